"""Where picture and text stand: the layouts of posters and covers."""

import numpy as np
from PIL import Image, ImageDraw

from atelier.providers.art.colour import Palette, Rgb, rgb, tint
from atelier.providers.art.fonts import FontBook
from atelier.providers.art.lettering import Block, Colour, draw_block, draw_column, draw_spaced, fit
from atelier.providers.language import has_han


class Sheet:
    """A picture with the words to set on it. Lengths are in parts of the shorter side."""

    def __init__(
        self, picture: Image.Image, *, palette: Palette, fonts: FontBook, title: str, subtitle: str, label: str
    ) -> None:
        self.image = picture
        self.fonts = fonts
        self.palette = palette
        self.title = title
        self.subtitle = subtitle
        self.label = label

    def px(self, part: float) -> int:
        return max(1, round(part * min(self.image.size)))

    def fit(self, text: str, width: int, *, largest: float, smallest: float, lines: int) -> Block:
        """Return a text made to fit a width in pixels, between two sizes in parts of the shorter side."""
        sizes = {"largest": self.px(largest), "smallest": self.px(smallest)}
        return fit(text, fonts=self.fonts, width=width, lines=lines, **sizes)

    def colour(self, value: float) -> Colour:
        return as_colour(tint(self.palette, value))

    @property
    def paper(self) -> Colour:
        """The palette's lightest colour, bleached: a margin must not outshine the picture."""
        return as_colour(self.palette.light * 0.4 + 0.6 * np.array([1.0, 0.992, 0.975], np.float32))

    @property
    def stamp(self) -> Colour:
        """The colour of a small label on paper: the accent where it can be read there."""
        accent = rgb(self.palette.accent)
        return self.accent if brightness(accent) < 0.68 else self.colour(0.38)

    @property
    def accent(self) -> Colour:
        return as_colour(rgb(self.palette.accent))


def brightness(colour: Rgb) -> float:
    return float(colour @ np.array([0.299, 0.587, 0.114], np.float32))


def as_colour(colour: Rgb) -> Colour:
    red, green, blue = (round(255 * float(part)) for part in colour)
    return red, green, blue


def lay_out_poster(sheet: Sheet, *, variant: int) -> None:
    """Set a poster: a short Chinese title in a column, else over the picture or on a paper margin below it."""
    if not sheet.fonts.can_draw(sheet.title):
        return
    if has_han(sheet.title) and len(sheet.title) <= 10 and variant % 3 != 1:
        _column(sheet)
    elif variant % 2:
        _framed(sheet)
    else:
        _over_picture(sheet)


def lay_out_cover(sheet: Sheet, *, middle: float) -> None:
    """Set a cover: the title centred on a paper plate with a double rule, its middle so far down."""
    if not sheet.fonts.can_draw(sheet.title):
        return
    width, height = sheet.image.size
    plate_width = round(width * 0.66)
    title = sheet.fit(sheet.title, round(plate_width * 0.80), largest=0.085, smallest=0.03, lines=3)
    subtitle = sheet.fit(sheet.subtitle, round(plate_width * 0.8), largest=0.026, smallest=0.016, lines=2)
    inner = title.height + (subtitle.height + sheet.px(0.03) if sheet.subtitle else 0)
    tall = inner + sheet.px(0.20)
    left = (width - plate_width) // 2
    top = max(0, min(round(height * middle - tall / 2), height - tall - sheet.px(0.05)))
    draw = ImageDraw.Draw(sheet.image)
    draw.rectangle((left, top, left + plate_width, top + tall), fill=sheet.paper)
    for inset, thick in ((0.016, 0.0035), (0.024, 0.0012)):
        gap, line = sheet.px(inset), sheet.px(thick)
        box = (left + gap, top + gap, left + plate_width - gap, top + tall - gap)
        draw.rectangle(box, outline=sheet.colour(0.06), width=line)
    y = top + sheet.px(0.085)
    draw_block(sheet.image, title, at=(width // 2, y), colour=sheet.colour(0.04), centred=True)
    if sheet.subtitle:
        y += title.height + sheet.px(0.03)
        draw_block(sheet.image, subtitle, at=(width // 2, y), colour=sheet.colour(0.30), centred=True)
    small = sheet.px(0.016)
    draw_spaced(
        sheet.image,
        sheet.label,
        at=(width // 2, top + tall - sheet.px(0.042)),
        size=small,
        colour=sheet.stamp,
        anchor="m",
    )


def _over_picture(sheet: Sheet) -> None:
    width, height = sheet.image.size
    margin = sheet.px(0.075)
    title = sheet.fit(sheet.title, width - 2 * margin, largest=0.115, smallest=0.034, lines=3)
    subtitle = sheet.fit(sheet.subtitle, width - 2 * margin, largest=0.028, smallest=0.018, lines=2)
    below = subtitle.height + sheet.px(0.02) if sheet.subtitle else 0
    top = height - margin - title.height - below - sheet.px(0.03)
    _darken(sheet, top - sheet.px(0.16))
    ImageDraw.Draw(sheet.image).rectangle(
        (margin, top - sheet.px(0.028), margin + sheet.px(0.09), top - sheet.px(0.022)), fill=sheet.accent
    )
    draw_block(sheet.image, title, at=(margin, top), colour=sheet.colour(1.0))
    if sheet.subtitle:
        place = (margin, top + title.height + sheet.px(0.02))
        draw_block(sheet.image, subtitle, at=place, colour=sheet.colour(0.86))
    _header(sheet, margin)


def _framed(sheet: Sheet) -> None:
    width, height = sheet.image.size
    margin = sheet.px(0.06)
    title = sheet.fit(sheet.title, width - 2 * margin, largest=0.088, smallest=0.03, lines=2)
    subtitle = sheet.fit(sheet.subtitle, width - 2 * margin, largest=0.026, smallest=0.017, lines=2)
    below = subtitle.height + sheet.px(0.018) if sheet.subtitle else 0
    foot = title.height + below + sheet.px(0.115)
    box = (width - 2 * margin, height - margin - foot)
    scene = _crop_to(sheet.image, box)
    sheet.image.paste(sheet.paper, (0, 0, width, height))
    sheet.image.paste(scene, (margin, margin))
    y = margin + box[1] + sheet.px(0.042)
    draw_block(sheet.image, title, at=(margin, y), colour=sheet.colour(0.04))
    if sheet.subtitle:
        place = (margin, y + title.height + sheet.px(0.018))
        draw_block(sheet.image, subtitle, at=place, colour=sheet.colour(0.34))
    base = height - sheet.px(0.034)
    draw_spaced(sheet.image, "ATELIER", at=(margin, base), size=sheet.px(0.0145), colour=sheet.colour(0.30))
    draw_spaced(
        sheet.image, sheet.label, at=(width - margin, base), size=sheet.px(0.0145), colour=sheet.stamp, anchor="r"
    )


def _column(sheet: Sheet) -> None:
    width, height = sheet.image.size
    title = sheet.fonts.font_for(sheet.title, 24)[1].replace(" ", "")
    size = min(sheet.px(0.115), round(0.66 * height / (1.14 * max(4, len(title)))))
    side = _calmer_side(sheet.image)
    x = sheet.px(0.075) + size // 2
    x = x if side == "left" else width - x
    light = _readable(sheet, (max(0, x - size), 0, min(width, x + size), height // 2)) == sheet.colour(0.99)
    _veil_side(sheet, side, dark=light, reach=x + size if side == "left" else width - x + size)
    ink = sheet.colour(0.99 if light else 0.03)
    top = sheet.px(0.085)
    used = draw_column(
        sheet.image, title, font=sheet.fonts.font_for(title, size)[0], at=(x, top), size=size, colour=ink
    )
    _seal(sheet, x=x, y=top + used + sheet.px(0.022), text=title[:2])
    if sheet.subtitle:
        margin = sheet.px(0.06)
        line = sheet.fit(sheet.subtitle, width - 2 * margin, largest=0.026, smallest=0.017, lines=2)
        place = (margin, height - margin - line.height)
        box = (margin, place[1], width - margin, height - margin)
        draw_block(sheet.image, line, at=place, colour=_readable(sheet, box))


def _seal(sheet: Sheet, *, x: int, y: int, text: str) -> None:
    side = sheet.px(0.052)
    draw = ImageDraw.Draw(sheet.image)
    draw.rounded_rectangle((x - side // 2, y, x + side // 2, y + side), radius=side // 8, fill=(178, 48, 32))
    half = round(side * 0.40)
    for number, letter in enumerate(text):
        font, known = sheet.fonts.font_for(letter, half)
        place = (x, y + side // 2 + round((number - (len(text) - 1) / 2) * half * 1.04))
        draw.text(place, known, fill=(250, 240, 226), font=font, anchor="mm")


def _header(sheet: Sheet, margin: int) -> None:
    width, size = sheet.image.width, sheet.px(0.0165)
    base = margin + sheet.px(0.008)
    box = (margin, base - size, margin + 8 * size, base)
    draw_spaced(sheet.image, "ATELIER", at=(margin, base), size=size, colour=_readable(sheet, box))
    box = (width - margin - 8 * size, base - size, width - margin, base)
    colour = _readable(sheet, box)
    draw_spaced(sheet.image, sheet.label, at=(width - margin, base), size=size, colour=colour, anchor="r")


def _darken(sheet: Sheet, top: int) -> None:
    """Let the picture fade into the palette's darkest colour towards the bottom, so that the title can be read."""
    width, height = sheet.image.size
    t = np.clip((np.arange(height) - top) / max(1, height - top), 0, 1)
    veil = Image.fromarray((255 * 0.84 * (t * t * (3 - 2 * t)) ** 0.8).astype(np.uint8)[:, None]).resize(
        (width, height)
    )
    sheet.image.paste(sheet.colour(0.0), (0, 0), veil)


def _veil_side(sheet: Sheet, side: str, *, dark: bool, reach: int) -> None:
    """Calm the picture behind a column of text, fading out towards the middle."""
    width, height = sheet.image.size
    t = np.clip(1.0 - np.arange(width) / (1.7 * reach), 0, 1)
    t = t if side == "left" else t[::-1]
    veil = Image.fromarray((255 * (0.55 if dark else 0.45) * t * t * (3 - 2 * t)).astype(np.uint8)[None, :])
    sheet.image.paste(sheet.colour(0.02 if dark else 0.97), (0, 0), veil.resize((width, height)))


def _readable(sheet: Sheet, box: tuple[int, int, int, int]) -> Colour:
    bright = float(np.asarray(sheet.image.crop(box).convert("L")).mean()) / 255
    return sheet.colour(0.03) if bright > 0.56 else sheet.colour(0.99)


def _calmer_side(image: Image.Image) -> str:
    """Compare colours, not brightness: a sun is often just as bright as its sky."""
    small = np.asarray(image.resize((96, 96)), np.float32)[:60]
    return "left" if float(small[:, :34].std(axis=1).sum()) < float(small[:, -34:].std(axis=1).sum()) else "right"


def _crop_to(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the middle of an image, scaled so that it just covers the size."""
    scale = max(size[0] / image.width, size[1] / image.height)
    wide, tall = size[0] / scale, size[1] / scale
    left, top = (image.width - wide) / 2, (image.height - tall) / 2
    return image.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + wide, top + tall))
