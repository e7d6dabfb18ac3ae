"""How the tests ask a provider: one attempt of one job, with everything it reports kept."""

import itertools
from dataclasses import dataclass
from typing import Any

from atelier.providers.contract import GenerationRequest, Output, Provider
from atelier.providers.recording import RecordedRun


@dataclass(frozen=True)
class Answer:
    """What came back, and what was reported on the way."""

    outputs: tuple[Output, ...]
    run: RecordedRun

    @property
    def output(self) -> Output:
        assert len(self.outputs) == 1
        return self.outputs[0]

    @property
    def text(self) -> str:
        return self.output.data.decode()


def a_request(
    prompt: str,
    parameters: dict[str, Any] | None = None,
    *,
    job: str = "1",
    attempt: int = 1,
    model: str = "",
    seconds: float = 60.0,
) -> GenerationRequest:
    return GenerationRequest(
        provider_key=f"job:{job}",
        attempt=attempt,
        model=model,
        prompt=prompt,
        parameters=parameters or {},
        timeout_seconds=seconds,
    )


def ask(provider: Provider, prompt: str, parameters: dict[str, Any] | None = None, **more: Any) -> Answer:
    """Run one attempt to its end; its progress must have risen from somewhere to the whole."""
    run = RecordedRun()
    result = provider.run(a_request(prompt, parameters, **more), run)
    assert result.outputs
    assert all(0 <= low <= high <= 1 for low, high in itertools.pairwise(run.fractions))
    assert run.fractions[-1] == 1.0
    return Answer(result.outputs, run)


def stopped_after(reports: int) -> RecordedRun:
    """A run that is stopped at its so-manieth report or check."""
    return RecordedRun(stop_when=lambda run: len(run.fractions) + run.checks + len(run.deltas) >= reports)
