"""What the next run of an agent is said to take."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.live.estimates import estimate

ROUNDS = 4_000
LIKE: dict[str, Callable[[Random], float]] = {
    "alike": lambda chance: chance.gauss(4_000, 200),
    "even": lambda chance: chance.uniform(1_000, 9_000),
    "long tail": lambda chance: 4_000 * chance.lognormvariate(0, 0.6),
}


def test_nothing_is_said_without_a_run() -> None:
    assert estimate([]) is None


@given(runs_ms=st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_half_of_the_runs_took_no_longer_and_nine_in_ten_neither(runs_ms: list[int]) -> None:
    said = estimate(runs_ms)
    assert said
    assert said.p50_seconds <= said.p90_seconds
    for part, seconds in ((0.5, said.p50_seconds), (0.9, said.p90_seconds)):
        assert sum(one <= round(seconds * 1_000) for one in runs_ms) >= part * len(runs_ms)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 9, 10, 30, 200])
@pytest.mark.parametrize("kind", LIKE)
def test_about_nine_in_ten_of_the_next_runs_are_within_the_p90(kind: str, count: int) -> None:
    chance, draw = Random(count), LIKE[kind]
    held = 0
    for _ in range(ROUNDS if count < 30 else ROUNDS // 10):
        said = estimate([round(draw(chance)) for _ in range(count)])
        assert said
        held += draw(chance) <= said.p90_seconds * 1_000
    part = held / (ROUNDS if count < 30 else ROUNDS // 10)
    assert part >= 0.8
    assert part <= 0.95 or count < 9
