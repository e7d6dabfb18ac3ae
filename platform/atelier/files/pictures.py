"""Pictures, made anew: what comes out has the same pixels and nothing else that came in.

No location, no camera, no second file behind the first, no data that only another program would read. Before anything
is decoded, the size that the header declares is compared with what a picture may need.
"""

import contextlib
import io
import struct
import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageCms, ImageSequence

from atelier.files import structure
from atelier.files.errors import ImageInvalid, ImageTooLarge
from atelier.storage.port import StorageUnavailable

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF"}
LOSSLESS = b"VP8L"
JPEG_QUALITY = 90
WEBP_QUALITY = 85
# How a picture has to be turned, by what its camera noted.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Decoders raise nearly everything for broken data.
_BROKEN = (
    *(ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, MemoryError),
    *(struct.error, RuntimeError, ArithmeticError, AttributeError),
)
# Pillow's own limit is above every limit of ours; what passes it is a bomb, and not worth a mere warning.
warnings.simplefilter("error", Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLimits:
    """How many pixels all frames may have together, and how many frames there may be."""

    pixels_max: int
    frames_max: int


def renew(source: BinaryIO, into: BinaryIO, *, content_type: str, limits: PictureLimits) -> None:
    """Write the picture, or the animation, in its own format. Raises ImageInvalid and ImageTooLarge."""
    head = _checked_head(source, content_type, limits)
    with _reading(source, content_type) as image:
        if _counted(image, content_type, limits) > 1:
            _write_animation(image, into, kind=FORMATS[content_type], limits=limits)
        else:
            _write(_bare(image), into, kind=FORMATS[content_type], lossless=LOSSLESS in head)


def shrink(source: BinaryIO, into: BinaryIO, *, content_type: str, side_max: int, limits: PictureLimits) -> None:
    """Write the first frame as WebP, at most so many pixels wide and high. Raises ImageInvalid and ImageTooLarge."""
    _checked_head(source, content_type, limits)
    with _reading(source, content_type) as image:
        _counted(image, content_type, limits)
        # A JPEG can be decoded at a fraction of its size, which most photographs need here.
        image.draft("RGB", (side_max * 2, side_max * 2))
        small = _bare(image)
        # Colours of a palette can't be mixed.
        small = small.convert(_plain_mode(small, alpha=True))
        small.thumbnail((side_max, side_max), Image.Resampling.LANCZOS)
        _write(small, into, kind="WEBP", lossless=False)


@contextlib.contextmanager
def _reading(source: BinaryIO, content_type: str) -> Generator[Image.Image]:
    """The picture, opened as what it was found to be; whatever its decoder stumbles over is ImageInvalid."""
    source.seek(0)
    try:
        with Image.open(source, formats=[FORMATS[content_type]]) as image:
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge from error
    except OSError as error:
        if error.errno is not None:  # It is the system that speaks, and not a decoder.
            raise StorageUnavailable(error.strerror or "") from error
        raise ImageInvalid("OSError") from error
    except _BROKEN as error:
        raise ImageInvalid(type(error).__name__) from error


def _checked_head(source: BinaryIO, content_type: str, limits: PictureLimits) -> bytes:
    """Look at a WebP's size by ourselves: its decoder reserves memory for all of it while it is being opened."""
    structure.require_plain(source, content_type=content_type, frames_max=limits.frames_max)
    source.seek(0)
    head = source.read(30)
    if content_type == "image/webp":
        _require_room(*_webp_size(head), frames=1, limits=limits)
    return head


def _webp_size(head: bytes) -> tuple[int, int]:
    chunk, data = head[12:16], head[20:30]
    if len(data) < 10:
        raise ImageInvalid
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if chunk == LOSSLESS:
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    raise ImageInvalid


def _counted(image: Image.Image, content_type: str, limits: PictureLimits) -> int:
    """How many frames there are; none is decoded for it before one is known to fit."""
    _require_room(*image.size, frames=1, limits=limits)
    # Some cameras hide further pictures behind a photograph: they are no frames, and they are left out.
    frames: int = 1 if content_type == "image/jpeg" else getattr(image, "n_frames", 1)
    _require_room(*image.size, frames=frames, limits=limits)
    return frames


def _require_room(width: int, height: int, *, frames: int, limits: PictureLimits) -> None:
    pixels = width * height * frames
    if pixels > limits.pixels_max or frames > limits.frames_max:
        raise ImageTooLarge(pixels=pixels, pixels_max=limits.pixels_max, frames=frames, frames_max=limits.frames_max)


def _bare(image: Image.Image) -> Image.Image:
    """The pixels as they are looked at, in common colours, without a note of any kind."""
    image.load()
    # Only the one note is read: to write the others anew, as the library does it, fails for those of many cameras.
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    image = _in_common_colours(image if turn is None else image.transpose(turn))
    image.info = {name: value for name, value in image.info.items() if name == "transparency"}
    return image


def _in_common_colours(image: Image.Image) -> Image.Image:
    """What a profile says of the colours, applied, because the profile itself is left out."""
    profile: bytes | None = image.info.get("icc_profile")
    if not profile or image.mode not in {"RGB", "RGBA", "CMYK"}:
        return image
    mode = "RGB" if image.mode == "CMYK" else image.mode
    try:
        theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, theirs, _srgb(), outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError):
        return image  # A broken profile says nothing.


def _srgb() -> Any:
    make: Any = ImageCms.createProfile  # pyright: ignore[reportUnknownVariableType] - half typed
    return make("sRGB")


def _write(image: Image.Image, into: BinaryIO, *, kind: str, lossless: bool) -> None:
    if kind in {"JPEG", "WEBP"}:
        mode = _plain_mode(image, alpha=kind == "WEBP")
        image = image if image.mode == mode else image.convert(mode)
    options: Mapping[str, Any] = {
        "JPEG": {"quality": JPEG_QUALITY, "progressive": True},
        "WEBP": {"quality": WEBP_QUALITY, "method": 4, "lossless": lossless},
    }.get(kind, {})
    image.save(into, kind, **options)


def _write_animation(image: Image.Image, into: BinaryIO, *, kind: str, limits: PictureLimits) -> None:
    durations: list[float] = []
    frames: list[Image.Image] = []
    for frame in ImageSequence.Iterator(image):
        _require_room(*frame.size, frames=len(frames) + 1, limits=limits)
        whole = frame.convert("RGBA")
        durations.append(frame.info.get("duration", 100))  # Known once the frame is decoded.
        whole.info = {}
        frames.append(whole)
    options: dict[str, Any] = {"duration": durations, "loop": int(image.info.get("loop", 0))}
    if kind == "GIF":
        options["disposal"] = 2
    if "loop" not in image.info and kind == "GIF":
        del options["loop"]  # It plays once.
    frames[0].save(into, kind, save_all=True, append_images=frames[1:], **options)


def _plain_mode(image: Image.Image, *, alpha: bool) -> str:
    if image.mode == "L" and not alpha:
        return "L"
    has_alpha = image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info
    return "RGBA" if has_alpha and alpha else "RGB"
