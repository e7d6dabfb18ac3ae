"""The local image maker: posters, covers, seamless patterns and gradients, composed by rules from a seed."""

import io

from atelier.providers.art.compose import Design, about, design, render
from atelier.providers.art.fonts import FontBook
from atelier.providers.contract import GenerationRequest, GenerationResult, Output, RunContext
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import IMAGE
from atelier.providers.seeds import seed_of

INPUT_SCHEMA = IMAGE.input
CONFIG_SCHEMA = IMAGE.config
DEFAULT_CONFIG = IMAGE.defaults


class LocalImage:
    """One PNG of 256 to 2048 pixels a side. Equal seed and parameters give equal bytes."""

    name: str = "local-image"

    def __init__(self, fonts: FontBook | None = None) -> None:
        self._fonts = fonts or FontBook()

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Compose the picture; the metadata tells the seed, what was decided, and whether text could be drawn."""
        wanted = _design(request)
        image = render(wanted, fonts=self._fonts, step=context.progress, check=context.check)
        context.progress(0.85, "encode")
        encoded = io.BytesIO()
        image.save(encoded, "PNG", compress_level=4)
        context.progress(1.0, "encode")
        told = about(wanted, self._fonts)
        output = Output(type="image", content_type="image/png", data=encoded.getvalue(), metadata=told)
        return GenerationResult(outputs=(output,))


def _design(request: GenerationRequest) -> Design:
    parameters = Parameters(request.parameters, CONFIG_SCHEMA)
    return design(
        request.prompt,
        style=parameters.text("style"),
        scene=parameters.text("scene"),
        palette=parameters.text("palette"),
        title=parameters.text("title"),
        subtitle=parameters.text("subtitle"),
        size=(parameters.integer("width"), parameters.integer("height")),
        seed=seed_of(request, parameters),
    )
