"""Palettes and colour: ramps are mixed in OKLab, where the way between two colours looks even and never muddy."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from atelier.providers.art.field import Field

Rgb = NDArray[np.floating[Any]]

_STEPS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours from dark to light, and one `accent` that belongs to none of them.

    An `airy` palette has a sky nearly as bright as paper, as in a print or an ink painting.
    """

    name: str
    colours: tuple[str, ...]
    accent: str
    airy: bool = False

    @property
    def dark(self) -> Rgb:
        return rgb(self.colours[0])

    @property
    def light(self) -> Rgb:
        return rgb(self.colours[-1])


PALETTES: Final = {
    palette.name: palette
    for palette in (
        Palette(
            name="dusk",
            colours=("#12122b", "#362a5e", "#87407a", "#d85f6c", "#f5a56b", "#fde5b8"),
            accent="#ffe9a8",
        ),
        Palette(
            name="aurora",
            colours=("#04121d", "#0a3347", "#0f6d70", "#48b690", "#aee3a5", "#f3f8dc"),
            accent="#f6d365",
        ),
        Palette(
            name="paper",
            colours=("#1f2933", "#3c5563", "#7b9aa3", "#bfcfc6", "#e4ddc6", "#f6efdf"),
            accent="#d9532f",
            airy=True,
        ),
        Palette(
            name="ember",
            colours=("#170b10", "#471421", "#962631", "#dc4f30", "#f59447", "#fddc94"),
            accent="#fff0c9",
        ),
        Palette(
            name="sea",
            colours=("#051a2d", "#0c3c60", "#1b6d8f", "#58a9b8", "#b4ddd4", "#f6f3e1"),
            accent="#f2a65a",
        ),
        Palette(
            name="mono",
            colours=("#0f1012", "#2b2e33", "#5b6067", "#9a9fa3", "#d6d8d7", "#f7f5f0"),
            accent="#e4572e",
        ),
        Palette(
            name="spring",
            colours=("#1f3036", "#40665c", "#7fa370", "#c2d394", "#f0e4c2", "#fdf6e8"),
            accent="#ec8f8a",
            airy=True,
        ),
        Palette(
            name="candy",
            colours=("#22134f", "#5336ba", "#a556ea", "#ff86c0", "#ffc3ae", "#fff3e4"),
            accent="#7ff0e0",
        ),
        Palette(
            name="ink",
            colours=("#15181a", "#363d40", "#6b7472", "#a7ada5", "#dbd8cc", "#f5f1e6"),
            accent="#b8331f",
            airy=True,
        ),
        Palette(
            name="desert",
            colours=("#281814", "#693829", "#b3623c", "#e0a067", "#f2d4ab", "#faf0df"),
            accent="#c8553d",
            airy=True,
        ),
    )
}


def rgb(colour: str) -> Rgb:
    """Return "#rrggbb" as three numbers in 0..1."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.float32) / 255.0


@cache
def ramp(colours: tuple[str, ...]) -> Rgb:
    """Return the colours as a table of 1024 evenly looking steps from the first to the last."""
    lab = np.stack([_to_oklab(rgb(colour)) for colour in colours])
    at = np.linspace(0.0, len(colours) - 1.0, _STEPS)
    steps = np.stack([np.interp(at, np.arange(len(colours)), lab[:, channel]) for channel in range(3)], axis=1)
    return _from_oklab(steps)


def tint(palette: Palette, value: float) -> Rgb:
    """Return the palette's colour at 0 (dark) to 1 (light)."""
    return np.asarray(ramp(palette.colours)[round(min(1.0, max(0.0, value)) * (_STEPS - 1))], np.float32)


def paint(palette: Palette, value: Field) -> Rgb:
    """Return a field of 0..1 as a picture in the palette's colours."""
    index = np.clip(value * (_STEPS - 1), 0, _STEPS - 1).astype(np.int32)
    return np.asarray(ramp(palette.colours)[index], np.float32)


def _to_oklab(colour: Rgb) -> NDArray[np.float64]:
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return np.asarray(_LAB @ np.cbrt(_LMS @ linear))


def _from_oklab(lab: NDArray[np.float64]) -> Rgb:
    linear = np.clip((lab @ np.linalg.inv(_LAB).T) ** 3 @ np.linalg.inv(_LMS).T, 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(srgb, np.float32)


# The matrices of Björn Ottosson's OKLab: linear sRGB → cone response, and its cube root → lightness and two hues.
_LMS: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
