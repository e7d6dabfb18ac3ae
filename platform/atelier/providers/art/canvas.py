"""What a painter works with: a plane to paint on, colours to paint with, and a generator that decides."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from atelier.providers.art.colour import Palette, Rgb, paint, rgb, tint
from atelier.providers.art.field import Field, Generator, Index, Plane


@dataclass(slots=True)
class Canvas:
    """A picture in the making. A painter changes `picture`, and draws from `rng` in a fixed order.

    `check` is called with every layer: it raises when nobody wants the picture any more.
    """

    on: Plane
    palette: Palette
    rng: Generator
    picture: Rgb
    check: Callable[[], None]

    def tint(self, value: float) -> Rgb:
        """Return the palette's colour at 0 (dark) to 1 (light)."""
        return tint(self.palette, value)

    @property
    def accent(self) -> Rgb:
        return rgb(self.palette.accent)

    def paint(self, value: Field) -> None:
        """Cover everything with the palette's colours of a field of 0..1."""
        whole = np.broadcast_to(value, (self.on.height, self.on.width))
        self.picture = paint(self.palette, whole)

    def lay(self, colour: Rgb, mask: Field) -> None:
        """Lay a colour, or another picture, over the picture where the mask is 1."""
        self.check()
        self.picture += (colour - self.picture) * mask[..., None]

    def add_light(self, colour: Rgb, amount: Field) -> None:
        """Brighten the picture as a glow does: never beyond white."""
        self.picture += (1.0 - self.picture) * (colour * np.clip(amount, 0.0, 1.0)[..., None])

    def scatter(self, columns: Index, rows: Index, shine: Field) -> None:
        """Brighten single pixels, as stars do."""
        spots = self.picture[rows, columns]
        self.picture[rows, columns] = spots + (1.0 - spots) * shine[:, None]

    def around(self, x: float, y: float, reach: float) -> "Canvas":
        """Return the part within `reach` of a point. What is laid on the part is laid on the whole."""
        window, on = self.on.around(x, y, reach)
        return self.of(on, self.picture[window])

    def of(self, on: Plane, picture: Rgb) -> "Canvas":
        """Return another picture to paint with the same colours and the same generator."""
        return Canvas(on, self.palette, self.rng, picture, self.check)


def canvas(on: Plane, palette: Palette, *, rng: Generator, check: Callable[[], None]) -> Canvas:
    """Return a canvas in the palette's darkest colour."""
    return Canvas(on, palette, rng, np.tile(palette.dark, (on.height, on.width, 1)), check)
