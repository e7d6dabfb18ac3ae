"""Setting text on a picture: the largest size that fits, lines broken as Chinese and English break them."""

import re
from dataclasses import dataclass

from PIL import Image, ImageDraw

from atelier.providers.art.fonts import Font, FontBook, load

Colour = tuple[int, int, int]

_NEVER_FIRST = "，。！？；：、）》」』”’…,.!?;:)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A text that was made to fit: its lines, its font and the height of all lines together, in pixels."""

    lines: tuple[str, ...]
    font: Font
    size: int
    leading: int

    @property
    def height(self) -> int:
        return self.leading * len(self.lines)


def fit(text: str, *, fonts: FontBook, width: int, largest: int, smallest: int, lines: int) -> Block:
    """Return the text at the largest size at which it needs at most so many lines. Too long a text is cut."""
    size = largest
    while True:
        font, known = fonts.font_for(text, size)
        broken = break_lines(known, font, width)
        if len(broken) <= lines or size <= smallest:
            break
        size = max(smallest, min(size - 1, round(size * 0.93)))
    if len(broken) > lines:
        broken = [*broken[: lines - 1], _shorten(broken[lines - 1], font, width)]
    return Block(lines=tuple(broken), font=font, size=size, leading=round(size * 1.22))


def break_lines(text: str, font: Font, width: int) -> list[str]:
    """Break between words, and between any two Chinese characters except before punctuation."""
    lines = [""]
    for piece in re.findall(r"[^\S\n]+|[!-~\u00a1-\u2e7f]+|.", text):
        joined = lines[-1] + piece
        if font.getlength(joined.rstrip()) <= width or not lines[-1].strip() or piece in _NEVER_FIRST:
            lines[-1] = joined
        else:
            lines.append(piece.lstrip())
    return [line.strip() for line in lines if line.strip()]


def draw_block(image: Image.Image, block: Block, *, at: tuple[int, int], colour: Colour, centred: bool = False) -> None:
    """Draw the lines below each other from `at`, the top left corner, or the top middle when `centred`."""
    draw = ImageDraw.Draw(image)
    weight = max(0, round(block.size * 0.011))
    for number, line in enumerate(block.lines):
        place = (at[0], at[1] + number * block.leading)
        anchor = "ma" if centred else "la"
        draw.text(place, line, fill=colour, font=block.font, anchor=anchor, stroke_width=weight, stroke_fill=colour)


def draw_spaced(
    image: Image.Image, text: str, *, at: tuple[int, int], size: int, colour: Colour, anchor: str = "l"
) -> None:
    """Draw a short ASCII label with wide gaps between its letters; `anchor` is "l", "m" or "r" of the whole."""
    font = load(None, size)
    gap = size * 0.28
    widths = [font.getlength(letter) + gap for letter in text]
    shift = {"l": 0.0, "m": 0.5, "r": 1.0}[anchor] * (sum(widths) - gap)
    x = at[0] - shift
    draw = ImageDraw.Draw(image)
    for letter, wide in zip(text, widths, strict=True):
        draw.text((x, at[1]), letter, fill=colour, font=font, anchor="ls")
        x += wide


def draw_column(image: Image.Image, text: str, *, font: Font, at: tuple[int, int], size: int, colour: Colour) -> int:
    """Draw a text from top to bottom, as Chinese titles are set; return the height used."""
    draw = ImageDraw.Draw(image)
    step = round(size * 1.14)
    for number, letter in enumerate(text):
        place = (at[0], at[1] + number * step + size // 2)
        draw.text(place, letter, fill=colour, font=font, anchor="mm", stroke_width=round(size * 0.012))
    return step * len(text)


def _shorten(line: str, font: Font, width: int) -> str:
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line.rstrip() + "..."
