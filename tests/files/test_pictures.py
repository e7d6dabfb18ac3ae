"""Pictures are made anew: the same pixels, and nothing else that came in."""

import io
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageOps

from atelier.files import pictures
from atelier.files.errors import ImageInvalid, ImageTooLarge
from atelier.files.pictures import PictureLimits
from tests.files import samples

LIMITS = PictureLimits(pixels_max=1_000_000, frames_max=50)
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


def renewed(data: bytes, kind: str, *, limits: PictureLimits = LIMITS) -> bytes:
    into = io.BytesIO()
    pictures.renew(io.BytesIO(data), into, content_type=TYPES[kind], limits=limits)
    return into.getvalue()


def shrunk(data: bytes, kind: str, *, side_max: int = 64) -> Image.Image:
    into = io.BytesIO()
    pictures.shrink(io.BytesIO(data), into, content_type=TYPES[kind], side_max=side_max, limits=LIMITS)
    return opened(into.getvalue())


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def difference(one: Image.Image, other: Image.Image) -> int:
    extremes: Any = ImageChops.difference(one.convert("RGBA"), other.convert("RGBA")).getextrema()
    return max(int(high) for _, high in extremes)


@pytest.mark.parametrize(
    ("kind", "mode", "options", "tolerance"),
    [
        ("PNG", "RGB", {}, 0),
        ("PNG", "RGBA", {}, 0),
        ("PNG", "P", {}, 0),
        ("PNG", "P", {"transparency": 7}, 0),
        ("PNG", "P", {"transparency": bytes(range(256))}, 0),
        ("PNG", "L", {}, 0),
        ("PNG", "LA", {}, 0),
        ("PNG", "1", {}, 0),
        ("JPEG", "RGB", {"quality": 95}, 12),
        ("JPEG", "L", {"quality": 95}, 12),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}, 12),
        ("JPEG", "CMYK", {"quality": 95}, 20),
        ("WEBP", "RGB", {"quality": 95}, 24),
        ("WEBP", "RGBA", {"lossless": True}, 0),
        ("GIF", "P", {}, 0),
        ("GIF", "P", {"transparency": 7}, 0),
        ("GIF", "L", {}, 0),
    ],
)
def test_the_pixels_stay(kind: str, mode: str, options: dict[str, Any], tolerance: int) -> None:
    data = samples.picture(kind, mode=mode, **options)
    made = opened(renewed(data, kind))
    assert made.format == kind
    assert made.size == (60, 40)
    assert difference(made, opened(data)) <= tolerance


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_stays_one(kind: str) -> None:
    made = opened(renewed(samples.animation(kind), kind))
    assert getattr(made, "n_frames", 1) == 4
    assert made.info.get("loop") == 2
    seen: list[tuple[int, int]] = []
    for number in range(4):
        made.seek(number)
        made.load()
        red: Any = made.convert("RGBA").getpixel((5, 5))
        seen.append((round(made.info["duration"]), red[0]))
    assert [duration for duration, _ in seen] == [50, 100, 150, 200]
    assert all(abs(red - 40 * number) <= 8 for number, (_, red) in enumerate(seen))


def test_no_note_survives() -> None:
    made = renewed(samples.noted_jpeg(), "JPEG")
    assert b"anary" not in made
    assert b"Exif" not in made
    assert dict(opened(made).getexif()) == {}
    made = renewed(samples.noted_png(), "PNG")
    for note in (b"GPS", b"Author", b"Mei", b"tEXt", b"iTXt", b"eXIf"):
        assert note not in made


def test_a_picture_is_turned_as_it_was_looked_at() -> None:
    assert opened(samples.noted_jpeg()).size == (40, 20)
    assert opened(renewed(samples.noted_jpeg(), "JPEG")).size == (20, 40)
    assert shrunk(samples.noted_jpeg(), "JPEG").size == (20, 40)


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_picture_is_turned_as_the_library_turns_it(turned: int) -> None:
    data = samples.noted_jpeg(turned=turned)
    expected = ImageOps.exif_transpose(opened(data))
    assert difference(opened(renewed(data, "JPEG")), expected) <= 12


def test_notes_that_make_no_sense_spoil_no_photograph() -> None:
    data = bytearray(samples.noted_jpeg())
    data[data.index(b"\x01\x0f\x00\x02") + 1] = 0  # The maker's name is the width now, and still a text.
    with pytest.raises(struct.error):
        ImageOps.exif_transpose(opened(bytes(data)))
    assert opened(renewed(bytes(data), "JPEG")).size == (20, 40)
    assert shrunk(bytes(data), "JPEG").size == (20, 40)


def test_an_animation_wider_than_its_format_allows_is_refused() -> None:
    data = bytearray(samples.animation("WEBP", frames=2, size=(50, 20)))
    data[24:27] = (20_000 - 1).to_bytes(3, "little")
    with pytest.raises(ImageInvalid):
        renewed(bytes(data), "WEBP")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_second_file_behind_the_first_is_gone(kind: str) -> None:
    archive = b"PK\x03\x04<script>alert(1)</script><?php system(1) ?>"
    made = renewed(samples.picture(kind) + archive, kind)
    for piece in (b"PK\x03\x04", b"<script>", b"<?php"):
        assert piece not in made


def test_a_profile_is_applied_and_left_out() -> None:
    for profile in (b"nonsense" * 40, b""):
        made = opened(renewed(samples.picture("JPEG", icc_profile=profile), "JPEG"))
        assert "icc_profile" not in made.info


# -- bombs


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (samples.declared_png(50_000, 50_000), "PNG"),
        (samples.declared_png(2**31 - 1, 2**31 - 1), "PNG"),
        (samples.bomb_png(12_000), "PNG"),
        (samples.declared_webp(16_384, 16_384), "WEBP"),
        (samples.declared_webp(16_384, 16_384, chunk=b"VP8L"), "WEBP"),
        (samples.declared_webp(16_383, 16_383, chunk=b"VP8 "), "WEBP"),
        (samples.animation("GIF", frames=60), "GIF"),
        (samples.animation("GIF", frames=8, size=(400, 400)), "GIF"),
        (samples.animation("WEBP", frames=8, size=(400, 400)), "WEBP"),
        (samples.animation("PNG", frames=60), "PNG"),
        (samples.picture("JPEG", size=(1_200, 1_000)), "JPEG"),
    ],
)
def test_a_bomb_is_refused_before_it_is_decoded(data: bytes, kind: str) -> None:
    with pytest.raises(ImageTooLarge):
        renewed(data, kind)
    with pytest.raises(ImageTooLarge):
        shrunk(data, kind)


def test_a_gif_whose_frame_is_larger_than_it_says_is_refused() -> None:
    data = bytearray(samples.animation("GIF", frames=2, size=(30, 30)))
    frame = data.index(b",", data.index(b",") + 1)
    data[frame + 5 : frame + 9] = (60_000).to_bytes(2, "little") * 2
    with pytest.raises((ImageTooLarge, ImageInvalid)):
        renewed(bytes(data), "GIF")


def _many_chunks() -> bytes:
    data = samples.picture("PNG")
    empty = b"\0\0\0\0aaAa" + zlib.crc32(b"aaAa").to_bytes(4)
    return data[:33] + empty * 300_000 + data[33:]


def _many_segments() -> bytes:
    data = samples.picture("JPEG")
    return data[:2] + b"\xff\xe5\0\2" * 500_000 + data[2:]


def _many_scans() -> bytes:
    data = samples.picture("JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    return data[:scan] + data[scan:-2] * 500 + data[-2:]


GIF_HEAD = b"GIF89a\1\0\1\0\x80\0\0" + b"\0\0\0\xff\xff\xff"
GIF_FRAME = b",\0\0\0\0\1\0\1\0\0\2"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (_many_chunks(), "PNG"),
        (_many_segments(), "JPEG"),
        (_many_scans(), "JPEG"),
        (GIF_HEAD + (GIF_FRAME + b"\2\x44\1\0") * 200_000 + b";", "GIF"),
        (GIF_HEAD + GIF_FRAME + b"\1\x44" * 1_000_000 + b"\0;", "GIF"),
        (GIF_HEAD + b"\0" * 3_000_000 + b";", "GIF"),
    ],
)
def test_a_file_of_a_million_nothings_is_refused_at_once(data: bytes, kind: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ImageTooLarge):
        renewed(data, kind)
    assert time.monotonic() - begun < 5  # far below what making it anew would take, on a machine that is busy


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_half_a_picture_is_none(kind: str) -> None:
    data = samples.picture(kind, size=(200, 200))
    with pytest.raises(ImageInvalid):
        renewed(data[: len(data) // 2], kind)
    with pytest.raises(ImageInvalid):
        renewed(data[:12], kind)


@settings(max_examples=150)
@given(kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]), data=st.data())
def test_a_damaged_picture_is_refused_or_a_picture(kind: str, data: st.DataObject) -> None:
    raw = bytearray(samples.animation(kind) if kind in {"GIF", "WEBP"} else samples.picture(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        made = renewed(bytes(raw), kind)
    except (ImageInvalid, ImageTooLarge):
        return
    assert opened(made).format == kind


# -- avatars


def test_an_avatar_is_small_and_keeps_its_proportions() -> None:
    made = shrunk(samples.picture("PNG", size=(800, 400)), "PNG")
    assert (made.format, made.size) == ("WEBP", (64, 32))
    assert shrunk(samples.picture("JPEG", size=(900, 900)), "JPEG").size == (64, 64)
    assert shrunk(samples.picture("PNG", size=(20, 10)), "PNG").size == (20, 10), "it is never made larger"


def test_an_avatar_keeps_what_is_transparent_and_its_first_frame_only() -> None:
    clear = io.BytesIO()
    Image.new("RGBA", (80, 80), (255, 0, 0, 0)).save(clear, "PNG")
    made: Any = shrunk(clear.getvalue(), "PNG").convert("RGBA").getpixel((5, 5))
    assert made[3] == 0
    moving = shrunk(samples.animation("GIF"), "GIF")
    assert getattr(moving, "n_frames", 1) == 1
