"""Where payers may be sent after paying: addresses of the house, and of nobody whose name only looks like it.

An address is compared part by part with those that are allowed, never as text, and only after everything is refused
that one reader takes for something else than another does.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from atelier.orders.errors import ReturnUrlForbidden

CHARS_MAX = 500
PORTS = {"https": 443, "http": 80}
# Browsers take a backslash for a slash, and drop tabs and line feeds.
AMBIGUOUS = frozenset('\\"<>^`{|}')


class Place(NamedTuple):
    """Where an address leads: who is asked, and for what."""

    scheme: str
    host: str
    port: int
    path: str


def checked(url: str, *, allowed: Sequence[str], development: bool) -> str:
    """The address, if it begins with one that is allowed. Raises ReturnUrlForbidden.

    It must be https; http is for this very machine, in development.
    """
    place = _place(url)
    local = development and place is not None and place.scheme == "http" and _is_loopback(place.host)
    if place is None or not (place.scheme == "https" or local):
        raise ReturnUrlForbidden
    if not any(_covers(_place(one), place) for one in allowed):
        raise ReturnUrlForbidden
    return url


def _place(url: str) -> Place | None:
    """The parts of an address; None for one that may be read in two ways."""
    if len(url) > CHARS_MAX or not all("!" <= char <= "~" for char in url) or AMBIGUOUS & set(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not host or "@" in parts.netloc:
        return None
    segments = unquote(parts.path).replace("\\", "/").split("/")
    if {".", ".."} & set(segments):
        return None
    return Place(parts.scheme, host, port or PORTS[parts.scheme], parts.path)


def _covers(allowed: Place | None, place: Place) -> bool:
    if allowed is None or allowed[:3] != place[:3]:
        return False
    beginning = allowed.path.rstrip("/")
    return not beginning or place.path == beginning or place.path.startswith(f"{beginning}/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
