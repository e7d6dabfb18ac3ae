"""Fonts of this machine. Latin letters are drawn with the one inside Pillow, so that they look the same everywhere;
Chinese needs a font of the system.
"""

import os
import unicodedata
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont

SYSTEM_FOLDERS: Final = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local/share/fonts",
    Path.home() / ".fonts",
    Path("/System/Library/Fonts"),
    Path("/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)
# From the most to the least handsome on a poster.
_CJK_FILES: Final = (
    "NotoSerifCJK-Bold.ttc",
    "NotoSerifCJKsc-Bold.otf",
    "NotoSansCJK-Bold.ttc",
    "NotoSansCJKsc-Bold.otf",
    "SourceHanSerifSC-Bold.otf",
    "SourceHanSansSC-Bold.otf",
    "NotoSerifCJK-Regular.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Medium.ttc",
    "msyhbd.ttc",
    "msyh.ttc",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "uming.ttc",
    "ukai.ttc",
)
_WIDE_FILES: Final = ("DejaVuSans-Bold.ttf", "DejaVuSans.ttf", "NotoSans-Bold.ttf", "NotoSans-Regular.ttf")


class FontBook:
    """The fonts of some folders. Files are searched once, when the first text is set."""

    def __init__(self, folders: tuple[Path, ...] = SYSTEM_FOLDERS) -> None:
        self._folders = folders

    @cached_property
    def cjk(self) -> Path | None:
        """The handsomest CJK font, None where there is none."""
        return self._find(_CJK_FILES)

    @cached_property
    def _faces(self) -> tuple[Path | None, ...]:
        """The fonts in the order in which they are tried; None is Pillow's own."""
        return (None, *(path for path in (self.cjk, self._find(_WIDE_FILES)) if path is not None))

    def font_for(self, text: str, size: int) -> tuple[Font, str]:
        """Return the font for a text and what of the text can be drawn: all of it, or without what no font knows."""
        folded = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
        for wanted in (text, folded):
            for path in self._faces:
                if all(_knows(path, letter) for letter in wanted):
                    return load(path, size), wanted
        best = max(self._faces, key=lambda path: sum(_knows(path, letter) for letter in text))
        known = "".join(letter for letter in text if _knows(best, letter))
        return load(best, size), known if any(letter.isalnum() for letter in known) else ""

    def can_draw(self, text: str) -> bool:
        """Tell whether something of a text can be drawn."""
        return bool(text.strip()) and bool(self.font_for(text, 24)[1])

    def _find(self, names: tuple[str, ...]) -> Path | None:
        """A name earlier in the list wins over a folder earlier in the list."""
        found: dict[str, Path] = {}
        for folder in self._folders:
            for place, _, files in os.walk(folder):
                found.update({name: Path(place) / name for name in names if name in files and name not in found})
        return next((found[name] for name in names if name in found), None)


@lru_cache(maxsize=256)
def load(path: Path | None, size: int) -> Font:
    """Load a font file, or Pillow's own font for None. Collections are searched for the simplified Chinese face."""
    if path is None:
        font = ImageFont.load_default(size)
        assert isinstance(font, Font), "Pillow was built without FreeType"
        return font
    return ImageFont.truetype(str(path), size, index=_simplified_chinese(path))


@cache
def _simplified_chinese(path: Path) -> int:
    if path.suffix.lower() != ".ttc":
        return 0
    for index in range(12):
        try:
            family = ImageFont.truetype(str(path), 12, index=index).getname()[0] or ""
        except OSError:
            break
        if family.endswith(" SC"):
            return index
    return 0


@lru_cache(maxsize=16_384)
def _knows(path: Path | None, letter: str) -> bool:
    if letter.isspace():
        return True
    font = load(path, 24)
    return _shape(font, letter) != _shape(font, "\uffff")


def _shape(font: Font, letter: str) -> bytes:
    drawn = Image.new("1", (48, 48))
    ImageDraw.Draw(drawn).text((4, 4), letter, fill=1, font=font)
    return drawn.tobytes()
