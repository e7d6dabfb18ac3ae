"""What the demo saves, and whether it is what it should be."""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final

import av
from av.error import FFmpegError
from PIL import Image

from atelier.cli.console import Stop
from atelier.cli.words import say

TEXT_LENGTH_MIN: Final = 200
IMAGE_SIDE_MIN: Final = 1024


def save(path: Path, data: bytes, *, check: Callable[[Path], str]) -> str:
    """Write the file, open it again and answer in a few words what it is. Raises Stop when it is not what it should."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        return check(path)
    except (OSError, ValueError, EOFError, wave.Error, FFmpegError) as error:
        raise Stop(say(f"{path} doesn't open: {error}", zh=f"{path} 无法打开：{error}")) from error


def text(path: Path) -> str:
    """A text of at least 200 characters."""
    length = len(path.read_text("utf-8").strip())
    if length < TEXT_LENGTH_MIN:
        raise Stop(say(f"{path} has only {length} characters", zh=f"{path} 只有 {length} 个字符"))
    return say(f"{length} characters", zh=f"{length} 个字符")


def image(path: Path) -> str:
    """A picture of at least 1024 by 1024 pixels."""
    with Image.open(path) as picture:
        picture.load()
        width, height = picture.size
    if min(width, height) < IMAGE_SIDE_MIN:
        raise Stop(say(f"{path} has only {width} × {height} pixels", zh=f"{path} 只有 {width} × {height} 像素"))
    return f"{width} × {height}"


def audio(path: Path) -> str:
    """A sound that plays."""
    with wave.open(str(path), "rb") as sound:
        seconds = sound.getnframes() / sound.getframerate()
    if seconds <= 0:
        raise Stop(say(f"{path} is empty", zh=f"{path} 为空"))
    return f"{seconds:.1f} s"


def video(path: Path) -> str:
    """A clip with a picture and a sound, whose first frame can be shown."""
    with av.open(str(path)) as clip:
        if not (clip.streams.video and clip.streams.audio):
            raise Stop(say(f"{path} has no picture or no sound", zh=f"{path} 缺少画面或声音"))
        frame = next(clip.decode(video=0))
        seconds = (clip.duration or 0) / av.time_base
    return f"{frame.width} × {frame.height}, {seconds:.1f} s"
