"""Still pictures in motion: shots that drift and zoom slowly, fade into each other, and carry a title at the start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from atelier.providers.art.colour import PALETTES
from atelier.providers.art.compose import PAINTERS, Check, Design, Step, painted, shade_corners, to_image
from atelier.providers.art.field import Generator, plane
from atelier.providers.art.fonts import FontBook
from atelier.providers.art.layout import as_colour
from atelier.providers.art.lettering import draw_block, fit

Box = tuple[float, float, float, float]

# A shot is painted larger than a frame, so that the camera has room to move without ever magnifying pixels.
_ROOM: Final = 1.3
_FADE_SECONDS: Final = 0.8
_TITLE_SECONDS: Final = 3.2
_WORLDS: Final = (("ridges", "sea", "skyline"), ("silk", "orbits", "bloom"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture from `start` to `end` seconds, while the camera goes from the first box to the last."""

    picture: Image.Image
    first: Box
    last: Box
    start: float
    end: float

    def frame(self, second: float, size: tuple[int, int]) -> Image.Image:
        t = min(1.0, max(0.0, (second - self.start) / (self.end - self.start)))
        eased = 0.6 * t + 0.4 * t * t * (3 - 2 * t)
        left, top, right, bottom = (a + (b - a) * eased for a, b in zip(self.first, self.last, strict=True))
        return self.picture.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A film without sound. `title` and `shadow` are masks of the lettering, None where there is nothing to draw."""

    shots: tuple[Shot, ...]
    size: tuple[int, int]
    seconds: float
    title: Image.Image | None
    shadow: Image.Image | None
    ink: tuple[int, int, int]
    night: tuple[int, int, int]

    def frame(self, second: float) -> Image.Image:
        """Return the picture at a moment, in RGB."""
        shown = [shot for shot in self.shots if shot.start <= second < shot.end] or [self.shots[-1]]
        image = shown[0].frame(second, self.size)
        if len(shown) > 1:
            mix = (second - shown[1].start) / (shown[0].end - shown[1].start)
            image = Image.blend(image, shown[1].frame(second, self.size), min(1.0, max(0.0, mix)))
        self._letter(image, second)
        # No curtain at the start: players show the first frame as the film's picture.
        curtain = min(1.0, max(0.0, 1 - (self.seconds - second) / 0.6))
        return Image.blend(image, Image.new("RGB", self.size, self.night), curtain) if curtain > 0 else image

    def _letter(self, image: Image.Image, second: float) -> None:
        last = min(_TITLE_SECONDS, self.shots[0].end)
        shown = min(1.0, max(0.0, (second - 0.3) / 0.5), max(0.0, (last - second) / 0.5))
        if self.title is None or self.shadow is None or shown <= 0:
            return
        # A soft shadow first: the letters must be readable on a bright sky too.
        image.paste(self.night, (0, 0), self.shadow.point([round(level * shown) for level in range(256)]))
        image.paste(self.ink, (0, 0), self.title.point([round(level * shown) for level in range(256)]))


def film(wanted: Design, *, fonts: FontBook, seconds: float, step: Step, check: Check) -> Clip:
    """Paint the shots of a film of so many seconds in the design's palette; the first shows the design's scene."""
    rng = np.random.default_rng([wanted.seed, 3])
    count = 2 if seconds < 5 else 3 if seconds < 9 else 4 if seconds < 14 else 5
    fade = min(_FADE_SECONDS, seconds / count / 3)
    each = (seconds + fade * (count - 1)) / count
    shots: list[Shot] = []
    for number, scene in enumerate(_scenes(wanted.scene, rng)[:count]):
        step(0.02 + 0.26 * number / count, "scenes")
        start = number * (each - fade)
        picture = _paint(wanted, scene, number, check=check)
        first, last = _camera(picture.size, rng)
        shots.append(Shot(picture=picture, first=first, last=last, start=start, end=start + each))
    palette = PALETTES[wanted.palette]
    size = (wanted.width, wanted.height)
    title = _title(wanted.title, size, fonts)
    return Clip(
        shots=tuple(shots),
        size=size,
        seconds=seconds,
        title=title,
        shadow=None if title is None else _shadow(title),
        ink=as_colour(palette.light),
        night=as_colour(palette.dark * 0.35),
    )


def slides(pictures: Sequence[Image.Image], wanted: Design, *, seconds: float, check: Check) -> Clip:
    """Show pictures that are there already one after the other, each filling the frame, the camera moving over them."""
    rng = np.random.default_rng([wanted.seed, 6])
    size = (wanted.width, wanted.height)
    fade = min(_FADE_SECONDS, seconds / len(pictures) / 3)
    each = (seconds + fade * (len(pictures) - 1)) / len(pictures)
    room = (round(wanted.width * _ROOM), round(wanted.height * _ROOM))
    shots: list[Shot] = []
    for number, picture in enumerate(pictures):
        check()
        filled = ImageOps.fit(picture.convert("RGB"), room, Image.Resampling.LANCZOS)
        # Lettering may stand anywhere in the picture: the camera never goes as near as in a painted scene.
        near, wide = _box(room, 0.9, rng), _box(room, 0.99, rng)
        first, last = (near, wide) if number % 2 else (wide, near)
        start = number * (each - fade)
        shots.append(Shot(picture=filled, first=first, last=last, start=start, end=start + each))
    palette = PALETTES[wanted.palette]
    return Clip(
        shots=tuple(shots),
        size=size,
        seconds=seconds,
        title=None,
        shadow=None,
        ink=as_colour(palette.light),
        night=as_colour(palette.dark * 0.35),
    )


def _scenes(first: str, rng: Generator) -> list[str]:
    """Return five scenes of one world, landscapes or inner pictures, that come back to the first between the others."""
    world = next(family for family in _WORLDS if first in family)
    second, third = (str(name) for name in rng.permutation([name for name in world if name != first]))
    return [first, second, first, third, second]


def _paint(wanted: Design, scene: str, number: int, *, check: Check) -> Image.Image:
    on = plane(round(wanted.width * _ROOM), round(wanted.height * _ROOM))
    palette = PALETTES[wanted.palette]
    picture = painted(PAINTERS[scene], on, palette, rng=np.random.default_rng([wanted.seed, 4, number]), check=check)
    shade_corners(picture, on, strength=0.12)
    return to_image(picture, np.random.default_rng([wanted.seed, 5, number]))


def _camera(size: tuple[int, int], rng: Generator) -> tuple[Box, Box]:
    """Return where the camera begins and ends: nearer on one side, wider and shifted on the other."""
    near, wide = _box(size, 1 / _ROOM, rng), _box(size, 0.97, rng)
    return (near, wide) if rng.uniform() < 0.5 else (wide, near)


def _box(size: tuple[int, int], part: float, rng: Generator) -> Box:
    width, height = size[0] * part, size[1] * part
    left = (size[0] - width) * float(rng.uniform(0.15, 0.85))
    top = (size[1] - height) * float(rng.uniform(0.25, 0.75))
    return left, top, left + width, top + height


def _title(title: str, size: tuple[int, int], fonts: FontBook) -> Image.Image | None:
    if not fonts.can_draw(title):
        return None
    width, height = size
    sizes = {"largest": round(height * 0.13), "smallest": round(height * 0.05)}
    block = fit(title, fonts=fonts, width=round(width * 0.8), lines=2, **sizes)
    canvas = Image.new("RGB", size)
    draw_block(canvas, block, at=(width // 2, (height - block.height) // 2), colour=(255, 255, 255), centred=True)
    return canvas.convert("L")


def _shadow(title: Image.Image) -> Image.Image:
    spread = title.filter(ImageFilter.GaussianBlur(title.height * 0.030))
    return spread.point([min(150, level * 2) for level in range(256)])
