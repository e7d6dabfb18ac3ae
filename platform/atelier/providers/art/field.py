"""Two-dimensional fields of numbers, the raw material of every picture. Everything follows from the generator given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating[Any]]
Index = NDArray[np.int64]
Generator = np.random.Generator

_BAND: Final = 128


@dataclass(frozen=True, slots=True)
class Plane:
    """The pixel grid. `x` runs from 0 to the aspect ratio, `y` from 0 (top) to 1, so that a circle stays round."""

    width: int
    height: int
    x: Field
    y: Field
    pixel: float  # the size of one pixel in the units of `x` and `y`

    @property
    def aspect(self) -> float:
        return self.width / self.height

    def around(self, x: float, y: float, reach: float) -> tuple[tuple[slice, slice], "Plane"]:
        """Return the part of the plane within `reach` of a point: as slices of the picture, and as a plane."""
        columns = self._cut(x, reach, self.width)
        rows = self._cut(y, reach, self.height)
        part = Plane(columns.stop - columns.start, rows.stop - rows.start, self.x[:, columns], self.y[rows], self.pixel)
        return (rows, columns), part

    def _cut(self, middle: float, reach: float, size: int) -> slice:
        first = min(size - 1, max(0, int((middle - reach) / self.pixel)))
        return slice(first, max(first + 1, min(size, int((middle + reach) / self.pixel) + 1)))


def plane(width: int, height: int) -> Plane:
    """Return the grid of so many pixels. `x` is one row and `y` one column: numpy spreads them where they meet."""
    x = (np.arange(width, dtype=np.float32) + 0.5)[None, :] / height
    y = (np.arange(height, dtype=np.float32) + 0.5)[:, None] / height
    return Plane(width, height, x.astype(np.float32), y.astype(np.float32), 1.0 / height)


def smooth(low: float, high: float, value: Field) -> Field:
    """Go from 0 to 1 between `low` and `high`, softly at both ends. `low` above `high` goes down instead."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def edge(distance: Field, on: Plane, *, softness: float = 1.0) -> Field:
    """Return 1 where a signed distance is below 0, 0 above it, with an antialiased edge of `softness` pixels."""
    return np.asarray(np.clip(0.5 - distance / (on.pixel * softness), 0.0, 1.0), np.float32)


def noise(rng: Generator, on: Plane, *, across: float, down: float | None = None) -> Field:
    """Return smooth noise with so many bumps `across` and `down` the plane, mostly within -1 and 1."""
    down = down or max(1.0, across / on.aspect)
    columns, rows = int(np.ceil(across)) + 3, int(np.ceil(down)) + 3
    lattice = Image.fromarray(rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32))
    box = (1.0, 1.0, 1.0 + across, 1.0 + down)
    return np.asarray(lattice.resize((on.width, on.height), Image.Resampling.BICUBIC, box=box))


def clouds(
    rng: Generator, on: Plane, *, across: float, down: float | None = None, octaves: int = 5, gain: float = 0.5
) -> Field:
    """Return noise on several scales, stretched to exactly 0..1."""
    down = down or max(1.0, across / on.aspect)
    total = np.zeros((on.height, on.width), np.float32)
    for octave in range(octaves):
        total += gain**octave * noise(rng, on, across=across * 2**octave, down=down * 2**octave)
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / max(high - low, 1e-6), np.float32)


def ridge(rng: Generator, on: Plane, *, bumps: float, octaves: int = 6, gain: float = 0.5, sharp: float = 0.6) -> Field:
    """Return one row of heights in 0..1: a mountain line when `sharp` is near 1, rolling hills near 0."""
    total = np.zeros(on.width, np.float32)
    weight = 0.0
    at = np.linspace(0.0, 1.0, on.width, dtype=np.float32)
    for octave in range(octaves):
        cells = bumps * 2**octave
        knots = rng.uniform(-1.0, 1.0, int(np.ceil(cells)) + 2)
        place = at * cells
        left = place.astype(np.int64)
        t = place - left
        t = t * t * (3.0 - 2.0 * t)
        value = knots[left] * (1.0 - t) + knots[left + 1] * t
        peaked = 1.0 - 2.0 * np.abs(value)
        total += gain**octave * ((1.0 - sharp) * value + sharp * peaked)
        weight += gain**octave
    return np.asarray(0.5 + 0.5 * total / weight, np.float32)


def sample(source: Field, x: Field, y: Field, *, check: Callable[[], None]) -> Field:
    """Read a field at fractional pixel places; beyond its border it is continued by reflection.

    The places are taken some rows at a time: that keeps the numbers in the processor's cache, and `check` is called.
    """
    read = np.empty(x.shape, np.float32)
    for first in range(0, x.shape[0], _BAND):
        check()
        rows = slice(first, first + _BAND)
        read[rows] = _sample_band(source, x[rows], y[rows])
    return read


def _sample_band(source: Field, x: Field, y: Field) -> Field:
    height, width = source.shape
    x0, fx = _split(x, width)
    y0, fy = _split(y, height)
    x1, y1 = _fold(x0 + 1, width), _fold(y0 + 1, height)
    x0, y0 = _fold(x0, width), _fold(y0, height)
    top = source[y0, x0] * (1 - fx) + source[y0, x1] * fx
    bottom = source[y1, x0] * (1 - fx) + source[y1, x1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy, np.float32)


def _split(place: Field, size: int) -> tuple[Index, Field]:
    # Far away places are folded before the conversion: a huge float does not fit an index.
    near = np.mod(place, 2.0 * size)
    whole = np.floor(near)
    return whole.astype(np.int64), np.asarray(near - whole, np.float32)


def _fold(index: Index, size: int) -> Index:
    wrapped = np.mod(index, 2 * size)
    return np.where(wrapped < size, wrapped, 2 * size - 1 - wrapped)
