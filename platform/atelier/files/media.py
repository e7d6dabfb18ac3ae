"""The kinds of files that are kept, and whether a file is what it claims to be.

There is no SVG and no HTML among them, nor anything else that a browser would run.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from atelier.files.errors import UnsupportedMedia

UNNAMED = frozenset({"", "application/octet-stream", "binary/octet-stream"})
PLAIN = "text/plain"


class Kind(NamedTuple):
    """A media type: the endings of its names, the first being ours, and what else clients call it."""

    endings: tuple[str, ...]
    aliases: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "image/png": Kind(("png",), ("image/x-png",)),
    "image/jpeg": Kind(("jpg", "jpeg"), ("image/jpg", "image/pjpeg")),
    "image/webp": Kind(("webp",)),
    "image/gif": Kind(("gif",)),
    "audio/mpeg": Kind(("mp3",), ("audio/mp3", "audio/x-mp3")),
    "audio/wav": Kind(("wav",), ("audio/x-wav", "audio/wave", "audio/vnd.wave")),
    "audio/ogg": Kind(("ogg", "oga", "opus"), ("audio/opus", "application/ogg")),
    "audio/flac": Kind(("flac",), ("audio/x-flac",)),
    "audio/mp4": Kind(("m4a",), ("audio/m4a", "audio/x-m4a")),
    "video/mp4": Kind(("mp4", "m4v"), ("video/x-m4v",)),
    "video/webm": Kind(("webm",), ("audio/webm",)),
    "application/pdf": Kind(("pdf",), ("application/x-pdf",)),
    "text/plain": Kind(("txt",)),
    "text/markdown": Kind(("md", "markdown"), ("text/x-markdown",)),
    # Browsers on a machine with a spreadsheet say that a CSV is one.
    "text/csv": Kind(("csv",), ("application/csv", "application/vnd.ms-excel")),
    "application/json": Kind(("json",), ("text/json",)),
}
TEXTS = frozenset({"text/plain", "text/markdown", "text/csv", "application/json"})
IMAGES = frozenset(kind for kind in KINDS if kind.startswith("image/"))

_BY_ENDING = {ending: name for name, kind in KINDS.items() for ending in kind.endings}
_BY_NAME = {alias: name for name, kind in KINDS.items() for alias in (name, *kind.aliases)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a client says of a file: the type that its name stands for and the type that it was sent with, if any."""

    by_name: str | None
    by_type: str | None

    @property
    def type(self) -> str | None:
        """What it claims to be. A name says more than `text/plain`, by which clients mean any text."""
        return self.by_name or self.by_type


def claim(*, name: str, content_type: str) -> Claim:
    """What is claimed. Raises UnsupportedMedia for anything that isn't kept, and for a name and a type that differ."""
    stem, dot, ending = name.rpartition(".")
    by_name = _BY_ENDING.get(ending.lower()) if dot and stem else None
    if dot and stem and by_name is None:
        raise UnsupportedMedia(reason="extension")
    given = content_type.partition(";")[0].strip().lower()
    by_type = _BY_NAME.get(given)
    if by_type is None and given not in UNNAMED:
        raise UnsupportedMedia(reason="type")
    if by_name and by_type and by_name != by_type and not (by_type == PLAIN and by_name in TEXTS):
        raise UnsupportedMedia(reason="mismatch")
    return Claim(by_name=by_name, by_type=by_type)


def agreed(found: Collection[str], claimed: Claim) -> str:
    """The file's type: the claimed one if the content can be that, else what the content is. Raises UnsupportedMedia.

    `found` are the types that the content can be, the likeliest first.
    """
    if not found:
        raise UnsupportedMedia(reason="content")
    if claimed.type is None:
        return next(iter(found))
    if claimed.type not in found:
        raise UnsupportedMedia(reason="mismatch")
    return claimed.type


def ending(content_type: str) -> str:
    """How the names of such files end, without the dot."""
    return KINDS[content_type].endings[0]
