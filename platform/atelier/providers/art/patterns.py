"""Seamless patterns and soft gradients. A pattern's left edge continues its right one, its bottom edge its top."""

import numpy as np
from numpy.typing import NDArray

from atelier.providers.art.abstracts import displaced
from atelier.providers.art.canvas import Canvas
from atelier.providers.art.colour import Rgb, paint
from atelier.providers.art.field import Field, noise, smooth


def pattern(canvas: Canvas) -> None:
    """One of three families: overlapping scales, woven arcs, geometric tiles."""
    family = (scales, arcs, tiles)[int(canvas.rng.integers(0, 3))]
    family(canvas)


def scales(canvas: Canvas) -> None:
    """Seigaiha, the old pattern of waves: rows of discs, each made of rings."""
    on, rng = canvas.on, canvas.rng
    columns = int(rng.integers(4, 7))
    # An even number of rows: every second one is shifted by half a disc, and the first must follow the last.
    rows = 2 * max(2, round(columns * on.height / on.width * 1.45))
    across, down = _cells(canvas, columns, rows)
    flat = (on.height / rows) / (on.width / columns)
    shades = rng.uniform(0.08, 0.56, (rows, columns))
    marks = rng.uniform(0, 1, (rows, columns)) > 0.86
    canvas.paint(np.float32(0.9) + 0 * on.y)
    for row in range(-1 - int(0.5 / flat), rows + 2 + int(0.5 / flat)):
        window = np.flatnonzero(np.abs(down[:, 0] - row) * flat < 0.52)
        if window.size:
            part = slice(int(window[0]), int(window[-1]) + 1)
            place = np.mod(across - 0.5 * (row % 2), columns)
            away = np.hypot(np.mod(place, 1.0) - 0.5, (down[part] - row) * flat) / 0.5
            which = (row % rows, place.astype(np.int64)[0])
            strip = canvas.of(on, canvas.picture[part])
            _discs(strip, away, shades[which], marks[which], blur=2.4 * columns / on.width)


def _discs(strip: Canvas, away: Field, shades: Field, marks: NDArray[np.bool_], *, blur: float) -> None:
    """Lay one row of discs; `away` is the distance from the nearest one's middle, 1 at its edge."""
    inside = smooth(1.0 + blur / 2, 1.0 - blur / 2, away)
    step = np.clip(np.floor(away * 4.0), 0, 3)
    strip.lay(paint(strip.palette, shades + 0.11 * step), inside)
    strip.lay(strip.accent, inside * marks * (step < 2))
    line = np.abs(np.mod(away * 4.0 + 0.5, 1.0) - 0.5) / 4.0
    strip.lay(strip.tint(0.97), inside * smooth(0.022 + blur, 0.022, line))


def arcs(canvas: Canvas) -> None:
    """Truchet tiles: bundles of quarter circles that join into endless ribbons."""
    on, rng = canvas.on, canvas.rng
    columns = int(rng.integers(5, 9))
    rows = max(1, round(columns * on.height / on.width))
    across, down = _cells(canvas, columns, rows)
    flipped = rng.integers(0, 2, (rows, columns))[down.astype(np.int64), across.astype(np.int64)] == 1
    x, y = np.mod(across, 1.0), np.mod(down, 1.0)
    x = np.where(flipped, 1.0 - x, x)
    canvas.paint(np.float32(0.06) + 0 * on.y)
    blur = 1.2 * columns / on.width
    for away in (np.hypot(1.0 - x, 1.0 - y), np.hypot(x, y)):
        from_middle = np.abs(away - 0.5)
        canvas.lay(canvas.tint(0.03), smooth(0.30 + blur, 0.30 - blur, from_middle))
        for place, shade in ((0.0, 1.0), (0.10, 0.72), (0.20, 0.46)):
            stripe = smooth(0.032 + blur, 0.032 - blur, np.abs(from_middle - place))
            canvas.lay(canvas.accent if place == 0.0 else canvas.tint(shade), stripe)


def tiles(canvas: Canvas) -> None:
    """Geometric tiles in the manner of the Bauhaus: every tile has a ground, a figure and two colours."""
    on, rng = canvas.on, canvas.rng
    columns = int(rng.integers(4, 7))
    rows = max(1, round(columns * on.height / on.width))
    across, down = _cells(canvas, columns, rows)
    kinds = rng.integers(0, 6, (rows, columns))
    turns = rng.integers(0, 4, (rows, columns))
    for row in range(rows):
        for column in range(columns):
            part = np.ix_(down[:, 0].astype(np.int64) == row, across[0].astype(np.int64) == column)
            x, y = np.meshgrid(np.mod(across[:, part[1][0]], 1.0), np.mod(down[part[0][:, 0]], 1.0))
            u, v = ((x, y), (y, 1.0 - x), (1.0 - x, 1.0 - y), (1.0 - y, x))[int(turns[row, column])]
            ground, figure = _two_colours(canvas)
            mask = _figure(int(kinds[row, column]), u, v, blur=1.2 * columns / on.width)
            canvas.picture[part] = ground + (figure - ground) * mask[..., None]


def gradient(canvas: Canvas) -> None:
    """A wallpaper of slow colour: wide noise, displaced by wider noise, with one breath of the accent."""
    on, rng = canvas.on, canvas.rng
    push = [noise(rng, on, across=1.5) for _ in range(2)]
    value = displaced(canvas, push, across=1.4, octaves=2, reach=0.24)
    canvas.paint(0.10 + 0.84 * smooth(0.08, 0.92, value))
    x, y = on.aspect * float(rng.uniform(0.15, 0.85)), float(rng.uniform(0.15, 0.85))
    breath = np.exp(-(np.hypot(on.x - x, on.y - y) ** 2) / 0.06) * (0.4 + 0.6 * value)
    canvas.lay(canvas.accent, 0.55 * breath)


def _cells(canvas: Canvas, columns: int, rows: int) -> tuple[Field, Field]:
    """Return the plane counted in whole cells, so that both edges fall between two of them."""
    on = canvas.on
    across = np.minimum(on.x / on.aspect * columns, np.float32(columns) - np.float32(1e-4))
    return across, np.minimum(on.y * rows, np.float32(rows) - np.float32(1e-4))


def _two_colours(canvas: Canvas) -> tuple[Rgb, Rgb]:
    shades = (0.04, 0.24, 0.44, 0.66, 0.86, 0.98)
    first, second = canvas.rng.choice(len(shades), 2, replace=False)
    figure = canvas.accent if canvas.rng.uniform() < 0.2 else canvas.tint(shades[int(second)])
    return canvas.tint(shades[int(first)]), figure


def _figure(kind: int, u: Field, v: Field, *, blur: float) -> Field:
    """Return the mask of one of six figures within the unit square."""
    corner, middle, side = np.hypot(u, v), np.hypot(u - 0.5, v - 0.5), np.hypot(u - 0.5, v)
    distances = (
        corner - 1.0,
        middle - 0.34,
        side - 0.5,
        np.maximum(np.abs(np.mod(corner * 3.0 + 0.25, 1.0) - 0.5) / 3.0 - 0.083, corner - 1.0),
        np.hypot(np.mod(u * 3.0, 1.0) - 0.5, np.mod(v * 3.0, 1.0) - 0.5) / 3.0 - 0.085,
        u - v,
    )
    return smooth(blur / 2, -blur / 2, distances[kind])
