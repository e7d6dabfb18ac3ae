"""Small files of every kind that is kept, and of some that are not."""

import io
import json
import struct
import zlib
from typing import Any

import av
import numpy as np
from PIL import Image, PngImagePlugin


def picture(kind: str = "PNG", *, size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: Any) -> bytes:
    """A picture with a gradient, so that every pixel says where it is."""
    image = Image.linear_gradient("L").resize(size).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def animation(kind: str = "GIF", *, frames: int = 4, size: tuple[int, int] = (50, 30)) -> bytes:
    """An animation whose frames differ in colour and in how long they last."""
    images = [Image.new("RGBA", size, (40 * number % 256, 80, 200, 255)) for number in range(frames)]
    file = io.BytesIO()
    durations = [50 + 50 * number for number in range(frames)]
    images[0].save(file, kind, save_all=True, append_images=images[1:], duration=durations, loop=2)
    return file.getvalue()


def noted_png() -> bytes:
    """A PNG that says where and by whom it was made."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("GPS", "30.2741 N, 120.1551 E")
    notes.add_itxt("Author", "Mei")
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (10, 20, 30)).save(file, "PNG", pnginfo=notes)
    return file.getvalue()


def noted_jpeg(*, turned: int = 6) -> bytes:
    """A photograph with Exif: turned, with a place, and with a thumbnail's worth of secrets in a comment."""
    image = Image.new("RGB", (40, 20), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = turned
    exif[0x010F] = "Canary camera"
    exif.get_ifd(0x8825)[1] = "N"
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, comment=b"canary comment")
    return file.getvalue()


def declared_png(width: int, height: int) -> bytes:
    """A PNG of one pixel that says that it has so many."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\1\2\3")
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", pixel) + part(b"IEND", b"")


def bomb_png(side: int) -> bytes:
    """A PNG that really has so many pixels, in a few kilobytes."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", data) + part(b"IEND", b"")


def declared_webp(width: int, height: int, *, chunk: bytes = b"VP8X") -> bytes:
    """A WebP that says that it has so many pixels, and has none."""
    if chunk == b"VP8X":
        data = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif chunk == b"VP8L":
        data = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + b"\0" * 5
    else:
        data = b"\0\0\0\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little")
    body = b"WEBP" + chunk + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def sound(container: str, codec: str, *, rate: int = 44_100) -> bytes:
    """A tenth of a second of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, rate // 4), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 0)
        for piece in (*resampler.resample(frame), None):
            out.mux(stream.encode(piece))
    return file.getvalue()


def film(container: str, codec: str) -> bytes:
    """Three black frames."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(stream.encode(None))
    return file.getvalue()


PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
JSON = json.dumps({"标题": "画"}, ensure_ascii=False).encode()
