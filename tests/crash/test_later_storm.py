"""Jobs that take minutes elsewhere, many at once, with a provider that misbehaves and processes that die."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.providers.fake_kling import FakeKling, Faults
from tests.generation import storm
from tests.servers import until
from tests.stack import Stack

BAD = Faults(
    unanswered=0.03, late=0.02, late_seconds=1.0, broken=0.03, unsure=0.03, full=0.02, failing=0.02, deaf=0.002
)
WORKER = ("later.before_call", "later.after_call", "later.after_park")
POLLER = (
    "poller.after_claim",
    "poller.after_fetch",
    "poller.after_note",
    "poller.after_poll",
    "poller.before_fetch",
    "poller.after_find",
    "worker.after_upload",
    "worker.before_settle",
    "settle.after_state",
    "settle.before_commit",
    "worker.after_settle",
)


@pytest.fixture
def fake() -> Iterator[FakeKling]:
    with FakeKling(seed=7) as running:
        yield running


def stack_of(database_url: str, redis_url: str, folder: Path, *, fake: FakeKling, pace: tuple[float, ...]) -> Stack:
    """The roles' surroundings, with a provider far away."""
    env = {"ATELIER_SLOTS_TEXT": "4", "ATELIER_USER_WINDOW": "50", **storm.environment(fake, pace=pace)}
    return Stack(database_url, redis_url, folder, env=env)


def states(stack: Stack) -> Counter[str]:
    """How many jobs are in which state, or parked."""
    return stack.database.read(storm.states)


def weather(
    stack: Stack, fake: FakeKling, *, jobs: int, seconds_max: float, within: tuple[float, float] | None = None
) -> storm.Lag:
    """Submit, let it storm, wait for the end, and judge; how late the poller was.

    `within` is how many seconds the tasks have left when nearly all are there; they take what they take otherwise.
    """
    stack.start("beat", "relay", "money", "generation", "submitting")
    job_ids = storm.submit(stack.database, count=jobs)
    until(lambda: states(stack)["parked"] > jobs * 0.9, what="nearly all are parked", seconds_max=seconds_max)
    if within:
        fake.end_within(*within)
    headers = stack.user("meanwhile", amount=5)
    began = time.monotonic()
    assert stack.echo(headers).status_code == 202
    until(lambda: states(stack)["completed"], what="another job runs meanwhile")
    assert time.monotonic() - began < 10
    fake.restart(keep=True)
    until(
        lambda: not states(stack).keys() & {"pending", "running", "parked"},
        what="all have ended",
        seconds_max=seconds_max,
    )
    fake.faults = Faults()
    made = storm.generations(fake)
    assert set(made.values()) == {1}
    assert {f"job:{job_id}" for job_id in job_ids} >= set(made)
    assert states(stack) == Counter(completed=jobs + 1)
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")
    return storm.lag(stack.processes["generation"].log)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_two_hundred_five_minute_jobs(database_url: str, redis_url: str, tmp_path: Path, fake: FakeKling) -> None:
    fake.seconds, fake.faults = lambda: 600.0, BAD
    stack = stack_of(database_url, redis_url, tmp_path, fake=fake, pace=(1.0, 1.0, 3.0, 2.0))
    stack.start("web")
    try:
        lag = weather(stack, fake, jobs=200, seconds_max=130, within=(5.0, 15.0))
    finally:
        stack.close()
    assert lag.p95 <= 2, lag


@pytest.mark.proof
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_five_thousand_five_minute_jobs(database_url: str, redis_url: str, tmp_path: Path, fake: FakeKling) -> None:
    """All of them at once, in real time: whatever else is slow here, it is not the provider that is made faster."""
    dice = random.Random(1)
    fake.seconds, fake.faults = lambda: dice.uniform(270, 330), BAD
    stack = stack_of(database_url, redis_url, tmp_path, fake=fake, pace=(20, 5, 30, 60))
    stack.start("web")
    try:
        lag = weather(stack, fake, jobs=5_000, seconds_max=1_400)
    finally:
        stack.close()
    assert lag.count >= 5_000
    assert lag.p95 <= 2, lag


def survive(stack: Stack, fake: FakeKling, *, role: str, points: tuple[str, ...]) -> None:
    """Kill the role at each point in turn; every job ends well, by one generation.

    The provider fails so often that it may be left alone for a while: that, too, must end by itself.
    """
    fake.seconds = lambda: 0.6
    fake.faults = Faults(unanswered=0.2, broken=0.1, failing=0.1)
    stack.start("beat", "relay", "money", *({"generation", "submitting"} - {role}))
    jobs = 0
    for point in points:
        stack.start(role, fault=f"{point}:kill:2")
        doomed = stack.processes[role]
        while doomed.alive:
            jobs += len(storm.submit(stack.database, count=5))
            until(
                lambda: not doomed.alive or not stack.states().keys() & {"pending", "running"},  # noqa: B023 - at once
                what=f"{role} dies at {point}: {stack.states()}",
                seconds_max=60,
            )
        stack.start(role)
        assert stack.until_finished(seconds_max=240) == Counter(completed=jobs)
        stack.processes[role].kill()
    assert set(storm.generations(fake).values()) == {1}
    stack.start(role)
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")


@pytest.fixture
def doomed_stack(database_url: str, redis_url: str, tmp_path: Path, fake: FakeKling) -> Iterator[Stack]:
    """All roles but the one that is killed."""
    made = stack_of(database_url, redis_url, tmp_path, fake=fake, pace=(0.3, 0.2, 0.5, 0.5))
    yield made
    made.close()


@pytest.mark.timeout(300)
def test_a_poller_killed_anywhere_loses_nothing(doomed_stack: Stack, fake: FakeKling) -> None:
    survive(doomed_stack, fake, role="generation", points=POLLER[1:2])


@pytest.mark.timeout(300)
def test_a_worker_killed_while_it_hands_over_sends_nothing_twice(doomed_stack: Stack, fake: FakeKling) -> None:
    survive(doomed_stack, fake, role="submitting", points=WORKER[1:2])


@pytest.mark.proof
@pytest.mark.timeout(300)
def test_a_worker_killed_at_each_point_of_handing_over(doomed_stack: Stack, fake: FakeKling) -> None:
    survive(doomed_stack, fake, role="submitting", points=WORKER)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_poller_killed_at_each_point(doomed_stack: Stack, fake: FakeKling) -> None:
    survive(doomed_stack, fake, role="generation", points=POLLER)
