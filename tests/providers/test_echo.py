from typing import Any

import pytest

from atelier.providers.contract import ProviderRejected, ProviderUnavailable, Stopped
from atelier.providers.echo import Echo
from atelier.providers.errors import ParameterInvalid
from atelier.providers.recording import RecordedRun
from tests.providers.asking import a_request, ask, stopped_after


class TestEcho:
    def test_gives_the_prompt_back(self) -> None:
        answer = ask(Echo(), "你好 echo")
        assert answer.text == "你好 echo"
        assert answer.output.type == "text"

    def test_reports_every_step(self) -> None:
        assert ask(Echo(), "x", {"steps": 4}).run.fractions == [0.25, 0.5, 0.75, 1.0]

    def test_spreads_the_delay_over_the_steps(self) -> None:
        assert ask(Echo(), "x", {"steps": 4, "delayMs": 40}).run.sleeps == [0.01] * 4

    def test_never_sleeps_without_a_delay(self) -> None:
        assert ask(Echo(), "x", {"steps": 100}).run.sleeps == []

    @pytest.mark.parametrize("kind", ["transient", "permanent"])
    def test_fails_always_when_no_number_of_times_is_given(self, kind: str) -> None:
        error = ProviderUnavailable if kind == "transient" else ProviderRejected
        for attempt in (1, 50):
            with pytest.raises(error):
                ask(Echo(), "x", {"fail": kind}, attempt=attempt)

    def test_fails_the_first_attempts_only(self) -> None:
        for attempt in (1, 2):
            with pytest.raises(ProviderUnavailable):
                ask(Echo(), "x", {"fail": "transient", "failTimes": 2}, attempt=attempt)
        assert ask(Echo(), "x", {"fail": "transient", "failTimes": 2}, attempt=3).text == "x"

    def test_ends_within_a_step_when_it_is_stopped(self) -> None:
        run = stopped_after(3)
        with pytest.raises(Stopped):
            Echo().run(a_request("x", {"steps": 100}), run)
        assert len(run.fractions) == 3

    def test_a_stop_cuts_a_long_delay_short(self) -> None:
        run = RecordedRun()
        run.stop()
        with pytest.raises(Stopped):
            Echo().run(a_request("x", {"delayMs": 600_000}), run)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"delayMs": -1},
            {"delayMs": 600_001},
            {"delayMs": "5"},
            {"delayMs": True},
            {"steps": 0},
            {"steps": 1.5},
            {"fail": "sometimes"},
            {"fail": 3},
            {"fail": "transient", "failTimes": 101},
        ],
    )
    def test_refuses_parameters_out_of_bounds(self, parameters: dict[str, Any]) -> None:
        with pytest.raises(ParameterInvalid) as refused:
            ask(Echo(), "x", parameters)
        assert refused.value.details["parameter"] in parameters
