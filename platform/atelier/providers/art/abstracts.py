"""Scenes of the inner world: silk, planets, flowers. Each paints one canvas from edge to edge."""

from collections.abc import Sequence

import numpy as np

from atelier.providers.art.canvas import Canvas
from atelier.providers.art.colour import paint
from atelier.providers.art.field import Field, clouds, edge, noise, plane, sample, smooth

Point = tuple[float, float]


def silk(canvas: Canvas) -> None:
    """Folded silk: noise that is displaced by noise, lit from the upper left."""
    on, rng = canvas.on, canvas.rng
    across = 1.3 + 0.5 * float(rng.uniform())
    push = [noise(rng, on, across=across) + 0.5 * noise(rng, on, across=2 * across) for _ in range(2)]
    folded = displaced(canvas, push, across=across, octaves=3, reach=0.26)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (folded * 2.6 + np.float32(rng.uniform())))
    down, right = np.gradient(wave)
    slope = np.float32(on.height / 9.0)
    light = np.clip(0.5 - slope * (0.55 * right + 0.85 * down) / np.sqrt(1 + slope**2 * (right**2 + down**2)), 0, 1)
    canvas.paint(0.10 + 0.62 * wave + 0.26 * (light - 0.5))
    canvas.add_light(canvas.accent, 2.2 * np.clip(light - 0.72, 0, 1) ** 1.5)


def orbits(canvas: Canvas) -> None:
    """A large planet with a ring, its moons on thin orbits, and dust between the stars."""
    on, rng = canvas.on, canvas.rng
    canvas.paint(0.03 + 0.22 * clouds(rng, on, across=2.0, octaves=6, gain=0.55) ** 2.2 + 0.10 * on.y)
    columns, rows = rng.integers(0, on.width, 420), rng.integers(0, on.height, 420)
    canvas.scatter(columns, rows, rng.uniform(0, 1, 420) ** 3)
    centre = (on.aspect * float(rng.uniform(0.52, 0.68)), float(rng.uniform(0.34, 0.44)))
    radius = float(rng.uniform(0.20, 0.25))
    tilt = float(rng.uniform(-0.45, -0.15))
    for orbit in range(4):
        _orbit(canvas, centre=centre, reach=radius * (1.75 + 0.62 * orbit), tilt=tilt)
    x, y = _turned(canvas, centre=centre, tilt=tilt)
    ring = _ring(x / radius, y / radius)
    canvas.lay(canvas.tint(0.86), ring * (y < 0))
    _planet(canvas, centre=centre, radius=radius)
    canvas.lay(canvas.tint(0.92), ring * (y >= 0))


def bloom(canvas: Canvas) -> None:
    """Dahlias: ring upon ring of petals, each throwing a soft shadow on the one below."""
    on, rng = canvas.on, canvas.rng
    glow = clouds(rng, on, across=1.4, octaves=3)
    bright = bool(rng.uniform() < 0.5)
    canvas.paint((0.86 if bright else 0.10) + 0.12 * (glow - 0.5) - 0.05 * on.y)
    places = ((0.16, 0.16, 0.12), (0.88, 0.84, 0.21), (0.20, 0.70, 0.17), (0.60, 0.42, 0.34))
    for number, (x, y, radius) in enumerate(places):
        shift = rng.uniform(-0.03, 0.03, 2)
        centre = (on.aspect * (x + float(shift[0])), y + float(shift[1]))
        _flower(canvas, centre=centre, radius=radius, lift=(number % 2) * 0.16 - 0.12 * bright)


def displaced(canvas: Canvas, push: Sequence[Field], *, across: float, octaves: int, reach: float) -> Field:
    """Return clouds of 0..1 read at places that are pushed away by up to `reach` heights."""
    on = canvas.on
    # The cloth is larger than the picture, so that no fold reaches its border, where it would be mirrored.
    cloth = plane(round(on.width * 1.9), round(on.height * 1.9))
    flow = clouds(canvas.rng, cloth, across=across * 1.9, octaves=octaves, gain=0.42)
    columns = np.arange(on.width, dtype=np.float32)[None, :] + np.float32(0.45 * on.width)
    rows = np.arange(on.height, dtype=np.float32)[:, None] + np.float32(0.45 * on.height)
    x, y = columns + reach * on.height * push[0], rows + reach * on.height * push[1]
    return sample(flow, x, y, check=canvas.check)


def _turned(canvas: Canvas, *, centre: Point, tilt: float) -> tuple[Field, Field]:
    """Return the plane's coordinates around a centre, turned by `tilt` radians."""
    x, y = canvas.on.x - centre[0], canvas.on.y - centre[1]
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    return x * cos + y * sin, y * cos - x * sin


def _orbit(canvas: Canvas, *, centre: Point, reach: float, tilt: float) -> None:
    """Draw an ellipse around the centre, and one moon somewhere on it."""
    on, rng = canvas.on, canvas.rng
    flat = 0.30
    x, y = _turned(canvas, centre=centre, tilt=tilt)
    away = np.hypot(x, y / flat)
    line = np.abs(away - reach) * (flat + (1 - flat) * np.abs(x) / np.maximum(away, 1e-4))
    canvas.lay(canvas.tint(0.75), 0.38 * edge(line - on.pixel * 0.4, on, softness=1.4))
    angle = float(rng.uniform(0, 2 * np.pi))
    moon = np.hypot(x - reach * np.cos(angle), y - reach * flat * np.sin(angle))
    canvas.lay(canvas.accent, edge(moon - float(rng.uniform(0.010, 0.026)), on))


def _ring(x: Field, y: Field) -> Field:
    """Return the mask of a grooved ring around a planet of radius 1."""
    away = np.hypot(x, y / 0.22)
    body = smooth(1.28, 1.33, away) * smooth(1.92, 1.84, away)
    grooves = 0.62 + 0.38 * np.sin(away * 46.0) * np.sin(away * 17.0)
    return np.asarray(body * np.clip(grooves, 0.05, 1.0) * 0.85, np.float32)


def _planet(canvas: Canvas, *, centre: Point, radius: float) -> None:
    on, rng = canvas.on, canvas.rng
    x, y = (on.x - centre[0]) / radius, (on.y - centre[1]) / radius
    away = np.hypot(x, y)
    tall = np.sqrt(np.clip(1.0 - away**2, 0, 1))
    bands = noise(rng, on, across=3.0, down=14.0) * 0.30 + noise(rng, on, across=1.5, down=34.0) * 0.12
    light = np.clip(-0.55 * x - 0.45 * y + 0.70 * tall, 0, 1)
    canvas.lay(paint(canvas.palette, 0.10 + (0.62 + 0.30 * bands) * light**0.9), edge((away - 1.0) * radius, on))
    halo = np.exp(-np.clip(away - 1.0, 0, None) * 9.0) * (away > 1.0) * np.clip(0.55 - 0.5 * x - 0.45 * y, 0, 1)
    canvas.add_light(canvas.tint(0.7), 0.35 * halo)


def _flower(canvas: Canvas, *, centre: Point, radius: float, lift: float) -> None:
    """Paint one flower; `lift` makes all its petals lighter or darker."""
    part, rng = canvas.around(*centre, radius * 1.2), canvas.rng
    x, y = part.on.x - centre[0], part.on.y - centre[1]
    away, angle = np.hypot(x, y), np.arctan2(y, x)
    rings = 9
    petals = int(rng.integers(11, 15))
    for ring in range(rings):
        inner = ring / (rings - 1)
        turn = angle + ring * np.pi / petals + float(rng.uniform(-0.05, 0.05))
        lobe = np.abs(np.cos(turn * petals / 2))
        outline = radius * (1.0 - 0.88 * inner**0.85) * (0.70 + 0.30 * lobe**0.62)
        part.lay(canvas.tint(0.02), 0.26 * smooth(0.16 * radius, -0.02 * radius, away - outline))
        along = (away / np.maximum(outline, 1e-4)) ** 1.6 * (0.5 + 0.5 * lobe**1.5)
        shade = np.clip(0.26 + lift + 0.40 * inner + 0.20 * along - 0.16 * (1 - lobe**0.5), 0.08, 0.97)
        part.lay(paint(canvas.palette, shade), edge(away - outline, part.on, softness=1.3))
    part.lay(canvas.accent, edge(away - 0.07 * radius, part.on))
