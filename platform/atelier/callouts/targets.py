"""Which addresses users may have us call: the public internet by https, under a name or an address in its plain form.

What is written is judged when it is given; what a name leads to is judged again before every single connection,
because whoever owns a name may change its meaning between the two.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import ClassVar, Final

import httpx

from atelier.kernel.errors import Refusal
from atelier.kernel.internet import is_public

URL_CHARS_MAX: Final = 2_000
PORTS: Final = frozenset({443, 8443})
_HOST_CHARS_MAX: Final = 253
# What a name may not end with: networks that are never reached from outside, and forms of numbers that libraries
# take for addresses (2130706433, 0x7f000001, 017700000001 and 127.1 are all this machine).
_INNER: Final = re.compile(r"(^|\.)(localhost|localdomain|local|internal|intranet|lan|home|corp|home\.arpa|invalid)$")
_NUMBER: Final = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_AUTHORITY: Final = re.compile(r"//|[/?]")
_PLAIN: Final = re.compile(r"[^\s\\\x00-\x20\x7f-\x9f]+")


class BadTarget(Refusal):
    """Nobody is called at this address. `reason`: url, url_scheme, url_userinfo, url_port or url_host."""

    code: ClassVar[str] = "VALIDATION_FAILED"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def target(text: str, *, loopback: bool) -> str:
    """The address in its one plain form: ASCII, lower-case host, no final dot. Raises BadTarget.

    `loopback` allows this machine besides, by http too and on any port: for developments and tests.
    """
    if len(text) > URL_CHARS_MAX or not _PLAIN.fullmatch(text) or "#" in text:
        raise BadTarget("url")
    try:
        url = httpx.URL(text)
        host = url.raw_host.decode("ascii").lower()
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise BadTarget("url") from error
    if url.scheme != "https" and not (loopback and url.scheme == "http"):
        raise BadTarget("url_scheme")
    if not host:
        raise BadTarget("url_host")  # What follows looks for an authority, and `https:x` has none.
    if "@" in _AUTHORITY.split(text, maxsplit=2)[1]:
        raise BadTarget("url_userinfo")
    if not 0 < _port(url) < 65_536 or not (loopback or _port(url) in PORTS):
        raise BadTarget("url_port")
    plain = str(url.copy_with(host=_host(host, loopback=loopback)))
    if len(plain) > URL_CHARS_MAX or not plain.isascii():
        raise BadTarget("url")
    return plain


def origin(url: str) -> str:
    """Scheme, host and port of a plain address: what may be shown where its secrets may not."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode('ascii')}"


def may_connect(url: httpx.URL, addresses: Sequence[str], *, loopback: bool) -> bool:
    """Whether every address that a name leads to may be connected to: one that may not spoils all."""
    if not addresses:
        return False
    if loopback and all(_is_loopback(one) for one in addresses):
        return True
    return url.scheme == "https" and _port(url) in PORTS and all(is_public(one) for one in addresses)


def _port(url: httpx.URL) -> int:
    return 443 if url.port is None else url.port


def _host(host: str, *, loopback: bool) -> str:
    name = host.removesuffix(".")
    if not name or len(name) > _HOST_CHARS_MAX or "%" in name or name.endswith(".") or ".." in name:
        raise BadTarget("url_host")
    try:
        address = str(ipaddress.ip_address(name))
    except ValueError:
        return _name(name, loopback=loopback)
    if is_public(address) or (loopback and _is_loopback(address)):
        return address
    raise BadTarget("url_host")


def _name(name: str, *, loopback: bool) -> str:
    if _NUMBER.search(name) or not all(map(_LABEL.fullmatch, name.split("."))):
        raise BadTarget("url_host")
    if not loopback and ("." not in name or _INNER.search(name)):
        raise BadTarget("url_host")
    return name


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
