"""When to look again: not before hardly any task was ever done, then often, then less and less."""

from hypothesis import given
from hypothesis import strategies as st

from atelier.generation.pacing import KINDS_MAX, KNOWN_MIN, Rhythm
from atelier.jobs import parking
from atelier.providers.later import Pace

PACE = Pace(first=20, least=5, most=30)
MINUTES_5 = 300_000


def learned(*took: int, kind: str = "a") -> Rhythm:
    rhythm = Rhythm(PACE)
    for one in took:
        rhythm.learn(kind, one)
    return rhythm


def test_while_nothing_is_known_the_wait_grows_with_the_age() -> None:
    rhythm = Rhythm(PACE)
    assert [rhythm.wait_ms("a", age) for age in (0, 20_000, 100_000, MINUTES_5)] == [5_000, 5_000, 15_000, 30_000]


def test_nothing_is_asked_before_hardly_any_was_ever_done() -> None:
    rhythm = learned(*range(270_000, 330_000, 1_000))
    early = 20_000 + rhythm.wait_ms("a", 20_000)
    assert 250_000 < early < 270_000
    assert 5_000 <= rhythm.wait_ms("a", early) <= 15_000
    assert rhythm.wait_ms("a", 2 * MINUTES_5) == 30_000


def test_one_kind_learns_from_all_until_it_is_known_itself() -> None:
    rhythm = learned(*[MINUTES_5] * KNOWN_MIN)
    assert rhythm.wait_ms("b", 0) == rhythm.wait_ms("a", 0)
    for _ in range(KNOWN_MIN):
        rhythm.learn("b", 30_000)
    assert rhythm.wait_ms("b", 0) < rhythm.wait_ms("a", 0)


def test_what_is_kept_is_bounded() -> None:
    rhythm = Rhythm(PACE)
    for number in range(KINDS_MAX + 10):
        rhythm.learn(str(number), 1)
    assert rhythm.kinds == KINDS_MAX


@given(st.lists(st.integers(1, 86_400_000), max_size=40), st.integers(0, 86_400_000))
def test_a_wait_is_at_least_the_least(took: list[int], age_ms: int) -> None:
    rhythm = learned(*took)
    wait_ms = rhythm.wait_ms("a", age_ms)
    assert wait_ms >= 5_000
    assert wait_ms <= 30_000 or age_ms + wait_ms <= max(took)


@given(st.integers(1, 10**9))
def test_waits_are_rounded_down_by_an_eighth_at_most(wait_ms: int) -> None:
    assert wait_ms * 7 / 8 <= parking.rounded(wait_ms) <= wait_ms
