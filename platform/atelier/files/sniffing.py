"""What a file is, by what it holds and not by what anyone says."""

import codecs
import re
from typing import BinaryIO

HEAD_BYTES = 4_096
CHUNK_BYTES = 1024 * 1024
TEXT = ("text/plain", "text/markdown", "text/csv", "application/json")
NOTHING: tuple[str, ...] = ()

_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B "})
_MP4_BRANDS = frozenset(
    {b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash", b"M4V ", b"MSNV", b"mmp4"}
)
_OGG_AUDIO = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
_ID3_HEADER_BYTES = 10
# kbit/s of MPEG 1 and of MPEG 2 and 2.5, both layer III.
_RATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HERTZ = {0b11: (44_100, 48_000, 32_000), 0b10: (22_050, 24_000, 16_000), 0b00: (11_025, 12_000, 8_000)}
# A text that begins like this is a page or a drawing for browsers, whatever it is called.
# The groups never give back what they took: a text of a thousand comments must not be tried in a thousand ways.
_MARKUP = re.compile(
    rb"\s*+(?:<!--(?>.*?-->)\s*+)*+<(?:!doctype|\?xml|html|head|body|script|iframe|svg|math|object|embed)\b",
    re.IGNORECASE | re.DOTALL,
)
# What no text has: control characters other than tab, line feed, form feed and carriage return.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")


def types(file: BinaryIO) -> tuple[str, ...]:
    """The kept types that the content can be, the likeliest first; nothing when it is none of them."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    for look in (_picture, _sound, _mp4, _webm, _pdf):
        if found := look(head):
            return found
    if _is_mp3(file, head):
        return ("audio/mpeg",)
    return TEXT if head and not _MARKUP.match(head.removeprefix(codecs.BOM_UTF8)) and _is_text(file) else NOTHING


def _picture(head: bytes) -> tuple[str, ...]:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return ("image/png",)
    if head.startswith(b"\xff\xd8\xff"):
        return ("image/jpeg",)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return ("image/gif",)
    return ("image/webp",) if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else NOTHING


def _sound(head: bytes) -> tuple[str, ...]:
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return ("audio/wav",)
    if head.startswith(b"fLaC"):
        return ("audio/flac",)
    # The first packet follows the page's 27 bytes and its one entry in the table of segments.
    return ("audio/ogg",) if head.startswith(b"OggS") and head[28:].startswith(_OGG_AUDIO) else NOTHING


def _mp4(head: bytes) -> tuple[str, ...]:
    brand = head[8:12]
    if head[4:8] != b"ftyp":
        return NOTHING
    if brand in _AUDIO_BRANDS:
        return ("audio/mp4",)
    return ("video/mp4", "audio/mp4") if brand in _MP4_BRANDS else NOTHING


def _webm(head: bytes) -> tuple[str, ...]:
    # The element DocType, four bytes long: other Matroska files say "matroska" there.
    return ("video/webm",) if head.startswith(b"\x1aE\xdf\xa3") and b"\x42\x82\x84webm" in head[:64] else NOTHING


def _pdf(head: bytes) -> tuple[str, ...]:
    return ("application/pdf",) if re.match(rb"%PDF-[12]\.\d", head) else NOTHING


def _is_mp3(file: BinaryIO, head: bytes) -> bool:
    """Two frames in a row, because one frame's header is so short that anything may look like it."""
    begin = 0
    if head.startswith(b"ID3"):
        size = head[6:10]
        if len(size) < 4 or max(size) > 0x7F:
            return False
        begin = _ID3_HEADER_BYTES + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    length = _frame_bytes(_at(file, begin))
    return length > 0 and _frame_bytes(_at(file, begin + length)) > 0


def _at(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    return file.read(4)


def _frame_bytes(header: bytes) -> int:
    """The length of the layer III frame that begins so, 0 if none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, rate, pitch, padding = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in _HERTZ or rate in (0, 15) or pitch == 3:
        return 0
    first = version == 0b11
    return (144 if first else 72) * _RATES[first][rate] * 1_000 // _HERTZ[version][pitch] + padding


def _is_text(file: BinaryIO) -> bool:
    """Whether all of it is UTF-8 without control characters."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while chunk := file.read(CHUNK_BYTES):
            if _CONTROLS.search(decoder.decode(chunk)):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
