"""The echo provider: gives the prompt back, as slowly and as unreliably as asked. For tests and benchmarks."""

from typing import ClassVar

from atelier.providers.contract import (
    GenerationRequest,
    GenerationResult,
    Output,
    ProviderRejected,
    ProviderUnavailable,
    RunContext,
)
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import ECHO

INPUT_SCHEMA = ECHO.input
CONFIG_SCHEMA = ECHO.config
DEFAULT_CONFIG = ECHO.defaults


class AskedToFail(ProviderUnavailable):
    """Nothing is wrong with the provider: the request wants it so."""

    blames_provider: ClassVar[bool] = False


class Echo:
    """Answers the prompt. `delayMs` is spread over `steps`; `fail` fails the attempts up to `failTimes`, or all."""

    name: str = "echo"

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Return the prompt as one text, or fail the way the parameters ask for."""
        parameters = Parameters(request.parameters, CONFIG_SCHEMA)
        steps = parameters.integer("steps")
        pause = parameters.integer("delayMs") / 1000 / steps
        for step in range(1, steps + 1):
            if pause:
                context.sleep(pause)
            context.progress(step / steps, "echo")
        _fail_if_asked(request, parameters)
        return GenerationResult(
            outputs=(Output(type="text", content_type="text/plain; charset=utf-8", data=request.prompt.encode()),),
        )


def _fail_if_asked(request: GenerationRequest, parameters: Parameters) -> None:
    kind = parameters.text("fail")
    if not kind or (parameters.has("failTimes") and request.attempt > parameters.integer("failTimes")):
        return
    if kind == "permanent":
        raise ProviderRejected("asked to fail for good")
    raise AskedToFail("asked to fail this time")
