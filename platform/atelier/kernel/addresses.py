"""Addresses in settings that no role could use: found when the settings are read, by the name of their variable, and
not by the first role that needs one.

Answers are as in `settings.Weaknesses`: for each field why, with {name} in place of the variable that sets it.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from email.utils import parseaddr
from urllib.parse import urlsplit

REDIS = frozenset({"redis", "rediss", "unix"})
HTTP = frozenset({"http", "https"})
SMTP = frozenset({"smtp", "smtps"})
# A letter's Message-ID is written down when it was sent: its id, and the domain of the sender, have a column of ASCII.
SENDER_DOMAIN_CHARS = 81
SENDER = (
    "{name} must be an address such as Atelier <no-reply@your.site>, in ASCII (a domain as xn--…), "
    f"with at most {SENDER_DOMAIN_CHARS} characters after the @"
)


def unusable(
    given: Mapping[str, str], *, frontend_urls: Iterable[str], trusted_proxies: Iterable[str]
) -> dict[str, str]:
    """What is there and is no address of its kind. `given` has the text of every setting; an empty one names none."""
    judged = {
        "redis_url": ("{name} must be redis://…, rediss://… or unix://…", _is(given["redis_url"], REDIS)),
        "broker_url": ("{name} must be an address such as redis://… or amqp://…", "://" in given["broker_url"]),
        "mail_url": ("{name} must be smtp://user:password@host:port or smtps://…", _is(given["mail_url"], SMTP)),
        "mail_from": (SENDER, _is_sender(given["mail_from"])),
        "public_url": ("{name} must be http://… or https://…", _is(given["public_url"], HTTP)),
        "llm_url": ("{name} must be http://… or https://…", _is(given["llm_url"], HTTP)),
        "openai_url": ("{name} must be http://… or https://…", _is(given["openai_url"], HTTP)),
        "kling_url": (
            "{name} must be http://… or https://…",
            _is(given["kling_url"], HTTP) and bool(given["kling_url"]),
        ),
        "kling_secret_key": ("{name} must be printable ASCII without blanks", _is_key(given["kling_secret_key"])),
        "llm_key": ("{name} must be printable ASCII without blanks", _is_key(given["llm_key"])),
        "openai_key": ("{name} must be printable ASCII without blanks", _is_key(given["openai_key"])),
        "frontend_urls": (
            "{name} must name origins such as https://your.site",
            all(map(_is_origin, frontend_urls)),
        ),
        "trusted_proxies": (
            "{name} must name IP addresses or networks, such as 10.0.0.0/8",
            all(map(_is_network, trusted_proxies)),
        ),
    }
    return {field: reason for field, (reason, is_good) in judged.items() if not is_good}


def _is(address: str, schemes: frozenset[str]) -> bool:
    """Whether it leads to a machine, or to a socket's file, by one of these schemes."""
    try:
        parts = urlsplit(address)
        leads = parts.path != "" if parts.scheme == "unix" else bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False
    return address == "" or (parts.scheme in schemes and leads)


def _is_sender(text: str) -> bool:
    """Whether letters can come from it, through any server: one that takes addresses in other scripts is rare."""
    _, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    named = bool(local) and 0 < len(domain) <= SENDER_DOMAIN_CHARS
    return named and address.isascii() and address.isprintable() and " " not in address


def _is_origin(address: str) -> bool:
    """Whether a browser or an app may call itself so."""
    scheme, found, rest = address.partition("://")
    return address == "*" or all((scheme, found, rest))


def _is_key(text: str) -> bool:
    """Whether a header can carry it."""
    return text.isascii() and text.isprintable() and " " not in text


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
