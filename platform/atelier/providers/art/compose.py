"""From a design to a finished picture. The same design gives the same pixels, wherever the same fonts are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from atelier.providers.art import abstracts, landscapes, patterns
from atelier.providers.art.canvas import Canvas, canvas
from atelier.providers.art.colour import PALETTES, Palette, Rgb
from atelier.providers.art.field import Generator, Plane, plane
from atelier.providers.art.fonts import FontBook
from atelier.providers.art.layout import Sheet, lay_out_cover, lay_out_poster
from atelier.providers.art.subject import palette_for, scene_for
from atelier.providers.headline import headline
from atelier.providers.language import has_han

Painter = Callable[[Canvas], None]
Step = Callable[[float, str], None]
Check = Callable[[], None]

PAINTERS: Final[dict[str, Painter]] = {
    "ridges": landscapes.ridges,
    "sea": landscapes.sea,
    "skyline": landscapes.skyline,
    "silk": abstracts.silk,
    "orbits": abstracts.orbits,
    "bloom": abstracts.bloom,
}
_WITHOUT_SCENE: Final[dict[str, Painter]] = {"pattern": patterns.pattern, "gradient": patterns.gradient}

# How far down a cover's plate stands, so that it hides neither the planet nor the sun.
_PLATES: Final = {"ridges": 0.68, "sea": 0.70, "skyline": 0.36, "silk": 0.50, "orbits": 0.74, "bloom": 0.50}


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Everything that decides a picture. `scene` is "" for patterns and gradients, which carry no text either."""

    style: str
    scene: str
    palette: str
    title: str
    subtitle: str
    width: int
    height: int
    seed: int


def lettering_of(wanted: Design, fonts: FontBook) -> str:
    """Tell how much of the text the fonts can draw: "full", "partial" or "missing"; "none" without a text."""
    text = (wanted.title + wanted.subtitle).replace(" ", "")
    if not text:
        return "none"
    known = (fonts.font_for(wanted.title, 24)[1] + fonts.font_for(wanted.subtitle, 24)[1]).replace(" ", "")
    return "full" if len(known) >= len(text) else "partial" if known else "missing"


def about(wanted: Design, fonts: FontBook) -> dict[str, object]:
    """Return what is told about a picture: what was decided, and whether its text could be drawn."""
    told: dict[str, object] = {
        "seed": wanted.seed,
        "style": wanted.style,
        "palette": wanted.palette,
        "width": wanted.width,
        "height": wanted.height,
        "lettering": lettering_of(wanted, fonts),
    }
    if wanted.scene:
        told["scene"] = wanted.scene
    if has_han(wanted.title + wanted.subtitle) and fonts.cjk is None:
        told["missingFont"] = "cjk"
    return told


def design(
    prompt: str, *, style: str, scene: str, palette: str, title: str, subtitle: str, size: tuple[int, int], seed: int
) -> Design:
    """Decide what "auto" and an empty title stand for, by the prompt's words first and the seed second."""
    rng = np.random.default_rng([seed, 0])
    with_text = style not in _WITHOUT_SCENE
    return Design(
        style=style,
        scene=(scene_for(prompt, rng) if scene == "auto" else scene) if with_text else "",
        palette=palette_for(prompt, rng) if palette == "auto" else palette,
        title=(title.strip() or headline(prompt, longest=16 if has_han(prompt) else 60)) if with_text else "",
        subtitle=subtitle.strip() if with_text else "",
        width=size[0],
        height=size[1],
        seed=seed,
    )


def render(wanted: Design, *, fonts: FontBook, step: Step, check: Check) -> Image.Image:
    """Paint, finish and letter a design, reporting each step with the fraction that is done before it."""
    step(0.05, "scene")
    on, palette = plane(wanted.width, wanted.height), PALETTES[wanted.palette]
    painter = _WITHOUT_SCENE.get(wanted.style) or PAINTERS[wanted.scene]
    picture = painted(painter, on, palette, rng=np.random.default_rng([wanted.seed, 1]), check=check)
    step(0.55, "texture")
    if wanted.style != "pattern":
        shade_corners(picture, on, strength=0.05 if palette.airy else 0.16)
    image = to_image(picture, np.random.default_rng([wanted.seed, 2]))
    step(0.75, "lettering")
    label = f"No. {wanted.seed % 10_000:04d}"
    sheet = Sheet(image, palette=palette, fonts=fonts, title=wanted.title, subtitle=wanted.subtitle, label=label)
    if wanted.style == "poster":
        lay_out_poster(sheet, variant=wanted.seed)
    elif wanted.style == "cover":
        lay_out_cover(sheet, middle=_PLATES[wanted.scene])
    return sheet.image


def painted(painter: Painter, on: Plane, palette: Palette, *, rng: Generator, check: Check) -> Rgb:
    """Return what a painter makes of an empty canvas."""
    fresh = canvas(on, palette, rng=rng, check=check)
    painter(fresh)
    return fresh.picture


def shade_corners(picture: Rgb, on: Plane, *, strength: float) -> None:
    """Darken the corners a little, as a lens does. Changes the picture."""
    away = ((on.x / on.aspect - 0.5) ** 2 + (on.y - 0.5) ** 2) * 2
    picture *= (1.0 - strength * away**1.5)[..., None]


def to_image(picture: Rgb, rng: Generator) -> Image.Image:
    """Turn numbers into bytes with a fine grain, which also hides the steps of slow gradients."""
    grain = rng.normal(0.0, 0.0075, picture.shape[:2]).astype(np.float32)
    return Image.fromarray((np.clip(picture + grain[..., None], 0, 1) * 255 + 0.5).astype(np.uint8))
