"""Scenes of the outer world: mountains, the sea, a city. Each paints one canvas from edge to edge."""

import numpy as np

from atelier.providers.art.canvas import Canvas
from atelier.providers.art.colour import Rgb, paint
from atelier.providers.art.field import Field, clouds, edge, noise, ridge, sample, smooth


def ridges(canvas: Canvas) -> None:
    """Mountains behind mountains in the haze, a low sun, and pines on the nearest slope."""
    on, rng = canvas.on, canvas.rng
    _day_sky(canvas)
    _sun(canvas, height=0.26)
    layers = 6
    for layer in range(layers):
        near = layer / (layers - 1)
        base = 0.46 + 0.40 * near**1.15
        swing = 0.13 + 0.16 * near
        line = base - swing * (ridge(rng, on, bumps=1.6 + 1.2 * layer * (1 - near / 2), sharp=0.75) - 0.35)
        below = on.y - line[None, :]
        body = np.broadcast_to(canvas.tint(0.74 - 0.70 * near), canvas.picture.shape)
        # Mist gathers at the foot of every range, and less of it hangs before the near ones.
        mist = (0.75 - 0.6 * near) * smooth(base - swing * 0.4, base + 0.24, on.y + 0 * below)
        shaded = body + (canvas.tint(0.88 - 0.35 * near) - body) * mist[..., None]
        canvas.lay(shaded, edge(-below, on))
        if layer == layers - 1:
            _pines(canvas, line)


def sea(canvas: Canvas) -> None:
    """A wide sea under a sun, with its broken path of light, far islands and one sail."""
    on, rng = canvas.on, canvas.rng
    horizon = 0.52 + 0.06 * float(rng.uniform(-1, 1))
    _day_sky(canvas)
    sun = _sun(canvas, height=horizon - 0.17)
    for far in (0.0, 1.0):
        line = horizon - (0.035 + 0.05 * far) * np.clip(ridge(rng, on, bumps=2.5, sharp=0.4) * 2.2 - 1.0, 0, 1)
        canvas.lay(canvas.tint(0.62 - 0.16 * far), edge(line[None, :] - on.y, on))
    canvas.lay(_water(canvas, horizon=horizon, sun=sun), edge(horizon - on.y + 0 * on.x, on, softness=1.5))
    _sail(canvas, x=on.aspect * float(rng.uniform(0.18, 0.82)), foot=horizon + 0.03)


def skyline(canvas: Canvas) -> None:
    """A city at dusk, row behind row, with lit windows and its reflection in a river."""
    on = canvas.on
    _sky(canvas, top=0.12, horizon=0.72)
    _stars(canvas)
    _sun(canvas, height=0.24)
    shore = 0.82
    rows = 4
    for row in range(rows):
        near = row / (rows - 1)
        roofs = _roofs(canvas, low=0.10 + 0.05 * (1 - near), high=0.46 - 0.20 * near, width=0.030 + 0.028 * near)
        above = on.y - (shore - roofs)[None, :]
        haze = smooth(0.0, 0.5, above) * (0.55 - 0.4 * near)
        body = canvas.tint(0.46 - 0.44 * near)
        canvas.lay(body + (canvas.tint(0.68 - 0.3 * near) - body) * haze[..., None], edge(-above, on))
        if near > 0.3:
            _windows(canvas, above, cell=0.0105 + 0.006 * near)
    _mirror(canvas, shore=shore)


def _day_sky(canvas: Canvas) -> None:
    if canvas.palette.airy:
        _sky(canvas, top=0.84, horizon=0.97)
    else:
        _sky(canvas, top=0.42, horizon=0.93)


def _sky(canvas: Canvas, *, top: float, horizon: float) -> None:
    height = smooth(0.0, 0.72, canvas.on.y)
    veil = clouds(canvas.rng, canvas.on, across=2.2, down=7.0, octaves=5)
    canvas.paint(top + (horizon - top) * height + 0.16 * (veil - 0.5) * (0.35 + height))


def _sun(canvas: Canvas, *, height: float) -> float:
    """Paint the sun with its glow and return where it stands across the picture."""
    on, rng = canvas.on, canvas.rng
    x = on.aspect * float(rng.choice([rng.uniform(0.24, 0.40), rng.uniform(0.60, 0.76)]))
    y = height + 0.04 * float(rng.uniform(-1, 1))
    radius = 0.075 + 0.05 * float(rng.uniform())
    away = np.hypot(on.x - x, on.y - y)
    canvas.lay(canvas.accent, 0.42 * np.exp(-((away / (radius * 2.6)) ** 1.3)))
    canvas.lay(canvas.accent, 0.96 * edge(away - radius, on))
    return x


def _stars(canvas: Canvas) -> None:
    count = 140
    rng = canvas.rng
    columns = rng.integers(0, canvas.on.width, count)
    rows = (rng.uniform(0, 1, count) ** 1.6 * 0.5 * canvas.on.height).astype(np.int64)
    canvas.scatter(columns, rows, rng.uniform(0.2, 0.85, count))


def _pines(canvas: Canvas, line: Field) -> None:
    """Plant trees along a slope, whose height is given for every column."""
    on, rng = canvas.on, canvas.rng
    for _ in range(round(46 * on.aspect)):
        column = int(rng.integers(0, on.width))
        tall = float(rng.uniform(0.035, 0.105))
        foot = float(line[column]) + 0.012
        x = (column + 0.5) * on.pixel
        part = canvas.around(x, foot - tall / 2, 0.52 * tall)
        up = (foot - part.on.y) / tall
        # Branches: the outline goes in and out as it narrows towards the tip.
        reach = 0.20 * tall * (1.0 - up) * (0.62 + 0.38 * (1.0 - np.mod(up * 7.0, 1.0)))
        off = np.abs(part.on.x - x) - np.maximum(reach, 0.0)
        part.lay(canvas.tint(0.02), edge(off, on) * (up < 1.0) * (up > 0.0))


def _water(canvas: Canvas, *, horizon: float, sun: float) -> Rgb:
    """Return the sea as a picture: darker towards us, with the broken path of light below the sun."""
    on = canvas.on
    depth = np.clip((on.y - horizon) / (1 - horizon), 0.0, 1.0)
    swell = _swell(canvas, depth)
    body = paint(canvas.palette, np.broadcast_to(0.66 - 0.56 * depth**0.7, (on.height, on.width)))
    water = canvas.of(on, body * (0.90 + 0.28 * swell)[..., None])
    path = np.exp(-(((on.x - sun) / (0.035 + 0.28 * depth)) ** 2)) * (1.0 - 0.45 * depth)
    water.add_light(canvas.accent, 0.95 * smooth(0.50, 0.72, swell + 0.25 * path) * path)
    return np.clip(water.picture, 0.0, 1.0)


def _swell(canvas: Canvas, depth: Field) -> Field:
    """Return waves in perspective, 0..1: flat and close together far away, wide and few nearby."""
    on = canvas.on
    texture = clouds(canvas.rng, on, across=26.0, down=26.0, octaves=3, gain=0.6)
    scale = 0.10 + 0.90 * depth
    across = (on.x - on.aspect / 2) / scale * on.height * 0.42
    down = np.log(scale) * on.height * 1.25 + 0 * on.x
    return sample(texture, across + 7 * on.width, down + 7 * on.height, check=canvas.check)


def _sail(canvas: Canvas, *, x: float, foot: float) -> None:
    on = canvas.on
    tall = 0.085
    up = (foot - on.y) / tall
    for side, reach in ((1.0, 0.40), (-1.0, 0.26)):
        lean = side * (on.x - x) - 0.004
        inside = np.maximum(np.maximum(-lean, lean - reach * tall * (1.0 - up)), np.maximum(-up, up - 1.0) * tall)
        canvas.lay(canvas.tint(0.98 if side > 0 else 0.9), edge(inside, on, softness=1.4))
    hull = np.maximum(np.abs(on.x - x) - 0.036 + (on.y - foot) * 0.9, np.abs(on.y - foot - 0.007) - 0.007)
    canvas.lay(canvas.tint(0.05), edge(hull, on, softness=1.4))


def _roofs(canvas: Canvas, *, low: float, high: float, width: float) -> Field:
    """Return one row of building heights: flat steps of irregular width, some with a mast."""
    on, rng = canvas.on, canvas.rng
    heights = np.zeros(on.width, np.float32)
    at = -int(width * on.height)
    while at < on.width:
        wide = max(3, int(width * on.height * rng.uniform(0.8, 2.2)))
        tall = low + (high - low) * float(rng.uniform()) ** 1.8
        heights[max(0, at) : max(0, at + wide)] = tall
        if rng.uniform() < 0.25:
            middle = max(0, at + wide // 2)
            heights[middle : middle + max(1, on.height // 500)] = tall + 0.035
        at += wide + int(rng.integers(0, max(2, wide // 3)))
    return np.maximum(heights, low * 0.55)


def _windows(canvas: Canvas, above: Field, *, cell: float) -> None:
    """Light some windows of a row of houses; `above` is how far below its roof a pixel lies."""
    on = canvas.on
    columns = (on.x / cell).astype(np.int64)
    rows = (on.y / (cell * 1.35)).astype(np.int64)
    lit = canvas.rng.uniform(0, 1, (int(rows.max()) + 1, int(columns.max()) + 1)).astype(np.float32)
    warm = lit[rows, columns]
    across = np.abs(np.mod(on.x / cell, 1.0) - 0.5)
    down = np.abs(np.mod(on.y / (cell * 1.35), 1.0) - 0.5)
    pane = smooth(0.34, 0.24, np.maximum(across, down))
    canvas.lay(canvas.accent, pane * (above > cell) * (warm > 0.72) * (0.25 + 0.7 * warm**6))


def _mirror(canvas: Canvas, *, shore: float) -> None:
    """Turn everything below the shore into a trembling, darker image of what stands above it."""
    on = canvas.on
    first = int(shore * on.height)
    rows = np.arange(first, on.height)
    ripple = noise(canvas.rng, on, across=9.0, down=90.0)[first:]
    depth = ((rows - first) / max(1, on.height - first)).astype(np.float32)[:, None]
    source = np.clip(2 * first - rows, 0, on.height - 1)[:, None] - (ripple * 5).astype(np.int64)
    columns = np.arange(on.width)[None, :] + (ripple * on.width * (0.004 + 0.02 * depth)).astype(np.int64)
    image = canvas.picture[np.clip(source, 0, first), np.clip(columns, 0, on.width - 1)]
    dim = (0.35 + 0.30 * depth + 0.08 * ripple)[..., None]
    canvas.picture[first:] = np.clip(image + (canvas.tint(0.04) - image) * dim, 0, 1)
