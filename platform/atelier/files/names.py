"""Names: what users call a file is shown and never used; where it is kept is our own secret."""

import re
import secrets
import unicodedata
from urllib.parse import quote

from atelier.files import media
from atelier.kernel import ids

NAME_MAX = 200
UNNAMED = "file"
FILES = "files"
INCOMING = "incoming"
PATH = "/api/files/"
# Ids begin with their time: so many digits of it are the same for some five hours, which makes folders of a good size.
FOLDER_DIGITS = 6
_KEY = re.compile(
    r"[a-z]+/[0-9a-f]+/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}-[0-9a-f]{32}(\.\w+)?"
)
_FORBIDDEN = frozenset('/\\"<>|:*?')


def shown(raw: str) -> str:
    """A name for people: one line without folders, control and direction characters, at most 200 characters."""
    last = re.split(r"[/\\]", raw)[-1]
    normal = unicodedata.normalize("NFC", last)
    kept = "".join(" " if c.isspace() else c for c in normal if _is_shown(c))
    name = " ".join(kept.split()).strip(". ")
    stem, dot, ending = name.rpartition(".")
    if len(name) > NAME_MAX and dot and len(ending) < 10:
        return f"{stem[: NAME_MAX - len(ending) - 1]}.{ending}"
    return name[:NAME_MAX] or UNNAMED


def completed(name: str, content_type: str) -> str:
    """The name, with the ending of its type if it has none."""
    return name if "." in name[1:] else f"{name[: NAME_MAX - 10]}.{media.ending(content_type)}"


def new_key(folder: str, *, content_type: str) -> str:
    """A place that nobody can guess, in the order of time: make it just before the bytes are put there."""
    fresh, secret = ids.new_id(), secrets.token_hex(16)
    return f"{folder}/{fresh[:FOLDER_DIGITS]}/{fresh}-{secret}.{media.ending(content_type)}"


def floor(folder: str, ms: int) -> str:
    """Keys of this folder that were made before this moment come before it, all others after it."""
    begin = ids.floor(ms)
    return f"{folder}/{begin[:FOLDER_DIGITS]}/{begin}"


def is_key(text: str) -> bool:
    """Whether `new_key` could have made it."""
    return _KEY.fullmatch(text) is not None


def url(file_id: str) -> str:
    """The path under which the file is served."""
    return f"{PATH}{file_id}"


def own_id(address: str | None) -> str | None:
    """The id in one of our own paths, None for any other address."""
    found = address.removeprefix(PATH) if address and address.startswith(PATH) else ""
    return found if ids.is_id(found) else None


def disposition(verb: str, name: str) -> str:
    """A Content-Disposition for any name: plain ASCII for old readers, all of it for others (RFC 6266)."""
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in name)
    return f"{verb}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _is_shown(character: str) -> bool:
    if character.isspace():
        return True
    return character not in _FORBIDDEN and unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
