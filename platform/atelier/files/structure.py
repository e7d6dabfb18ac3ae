"""How many parts a picture's file has, counted quickly and only so far, before a decoder goes through it at leisure.

A few megabytes can hold millions of empty parts, or a thousand passes over the same pixels: each costs its sender a few
bytes and the decoder as much as a whole picture's worth of work.
"""

from collections.abc import Iterator
from typing import BinaryIO

from atelier.files.errors import ImageInvalid, ImageTooLarge

BYTES_MAX = 64 * 1024 * 1024
# Any file may have so many parts, a large one as many as it has pieces of this size: encoders make them much larger.
PARTS_FREE = 4_000
PART_BYTES = 256
# A progressive JPEG has some ten passes.
SCANS_MAX = 100
_STANDING_ALONE = frozenset({0x01, 0xFF, *range(0xD0, 0xDA)})


def require_plain(source: BinaryIO, *, content_type: str, frames_max: int) -> None:
    """Raises ImageTooLarge for a file of too many parts, frames or passes, and ImageInvalid for one that breaks off."""
    source.seek(0)
    data = source.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise ImageTooLarge(bytes_max=BYTES_MAX)
    walk = {"image/png": _png, "image/jpeg": _jpeg, "image/gif": _gif}.get(content_type)
    allowed = PARTS_FREE + len(data) // PART_BYTES
    frames = 0
    try:
        for parts, is_frame in enumerate(walk(data) if walk else ()):
            frames += is_frame
            if parts >= allowed or frames > frames_max:
                raise ImageTooLarge(frames=frames, frames_max=frames_max)
    except IndexError as error:
        raise ImageInvalid from error
    if content_type == "image/jpeg" and data.count(b"\xff\xda") > SCANS_MAX:
        raise ImageTooLarge(scans_max=SCANS_MAX)


def _png(data: bytes) -> Iterator[bool]:
    """Its chunks; True for each that begins a frame of an animation."""
    place = 8
    while place + 8 <= len(data):
        kind = data[place + 4 : place + 8]
        yield kind == b"fcTL"
        if kind == b"IEND":
            return
        place += 12 + int.from_bytes(data[place : place + 4])


def _jpeg(data: bytes) -> Iterator[bool]:
    """Its segments up to the first pixels."""
    place = 2
    while data[place] == 0xFF and data[place + 1] != 0xDA:
        yield False
        alone = data[place + 1] in _STANDING_ALONE
        place += (1 if data[place + 1] == 0xFF else 2) + (0 if alone else data[place + 2] << 8 | data[place + 3])


def _gif(data: bytes) -> Iterator[bool]:
    """Its blocks; True for each that begins a frame."""
    place = 13 + _table_bytes(data[10])
    while place < len(data) and data[place] != 0x3B:
        is_frame = data[place] == 0x2C
        yield is_frame
        if is_frame:
            place += 11 + _table_bytes(data[place + 9])
        elif data[place] == 0x21:
            place += 2
        else:
            place += 1  # Some programs write a zero between blocks; decoders pass over it.
            continue
        while size := data[place]:
            yield False
            place += size + 1
        place += 1


def _table_bytes(flags: int) -> int:
    """The length of a table of colours that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
