"""What people may call themselves: pure functions that answer the cleaned text, or raise Invalid naming the field."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from atelier.accounts.errors import UserExists
from atelier.kernel import ids
from atelier.kernel.errors import Invalid

EMAIL_MAX = 254
LOCAL_PART_MAX = 64
DISPLAY_NAME_MAX = 100
BIO_MAX = 500
URL_MAX = 500
USERNAME = r"^[A-Za-z0-9_]{3,50}$"
OWN_FILE = "/api/files/"
# Names that would read as the house speaking. An operator may still create them on the command line.
RESERVED = frozenset(
    {"admin", "administrator", "atelier", "moderator", "official", "root", "security", "support", "system"}
)

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@(?:{_LABEL}\.)+(?:[a-z]{{2,63}}|xn--[a-z0-9-]{{1,59}})")
_USERNAME = re.compile(USERNAME)
_JOINERS = "\u200c\u200d"  # Persian and emoji need them


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address: as typed, and as compared."""

    email: str
    key: str


def email(text: str, *, field: str = "email") -> Address:
    """An ASCII address after NFKC (full-width letters become plain ones); other domains are written in punycode."""
    typed = unicodedata.normalize("NFKC", text[: 4 * EMAIL_MAX]).strip()
    key = typed.casefold()
    found = _EMAIL.fullmatch(key) if len(typed) <= EMAIL_MAX and typed.isascii() else None
    if found is None or len(found[1]) > LOCAL_PART_MAX:
        raise invalid(field, "email", "not an e-mail address")
    return Address(typed, key)


def login_key(text: str) -> tuple[str, str]:
    """What a login id is looked up by: ("email" | "username", key). Never refuses: an impossible id finds no one."""
    text = text[: 4 * EMAIL_MAX].encode(errors="replace").decode()  # half a surrogate pair is no text anywhere else
    key = unicodedata.normalize("NFKC", text).strip().casefold()
    return ("email" if "@" in key else "username"), key


def username(text: str, *, reserved: bool = True) -> str:
    """3 to 50 letters, digits and underscores. The house has taken its own names (UserExists) if `reserved`."""
    if not _USERNAME.fullmatch(text):
        raise invalid("username", "string_pattern_mismatch", "3 to 50 letters, digits and underscores")
    if reserved and text.lower() in RESERVED:
        raise UserExists
    return text


def display_name(text: str) -> str:
    """One line without control and direction characters, 1 to 100 characters of what is left."""
    return _bounded(" ".join(clean(text).split()), field="displayName", shortest=1, longest=DISPLAY_NAME_MAX)


def bio(text: str) -> str:
    """At most 500 characters, line breaks allowed."""
    return _bounded(clean(text).strip(), field="bio", shortest=0, longest=BIO_MAX)


def avatar_url(text: str) -> str:
    """An https address without user information, or one of our own files (`/api/files/<id>`)."""
    if text.startswith(OWN_FILE) and ids.is_id(text.removeprefix(OWN_FILE)):
        return text
    if len(text) > URL_MAX or not _is_https(text):
        raise invalid("avatarUrl", "url", "an https:// address or /api/files/<id>")
    return text


def clean(text: str) -> str:
    """NFC without control, format and surrogate characters; line breaks and tabs stay."""
    normal = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n"))
    return "".join(
        c for c in normal if c in "\n\t" or c in _JOINERS or unicodedata.category(c) not in {"Cc", "Cf", "Cs"}
    )


def invalid(field: str, code: str, message: str, **context: Any) -> Invalid:
    """A refusal of one field. `code` is the validators' word for it, `context` what its sentence names."""
    return Invalid([{"path": [field], "message": message, "code": code, "context": context}])


def _is_https(text: str) -> bool:
    if clean(text) != text or any(c.isspace() or c in '\\"<>`{}|^' for c in text):
        return False
    try:
        parts = urlsplit(text)
        known = parts.scheme == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return known and "@" not in parts.netloc


def _bounded(text: str, *, field: str, shortest: int, longest: int) -> str:
    if len(text) < shortest:
        raise invalid(field, "string_too_short", f"at least {shortest} characters", min_length=shortest)
    if len(text) > longest:
        raise invalid(field, "string_too_long", f"at most {longest} characters", max_length=longest)
    return text
