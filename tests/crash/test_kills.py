"""Any process may be killed at any moment: every job ends, nothing is charged twice or for nothing.

Each case starts one role armed to send itself SIGKILL at a named point, drives jobs through it until it dies there,
starts it again and waits for the end. The doctor is the judge, and the client's own count is the second one.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.servers import Process, until
from tests.stack import Stack

WORKER = (
    "worker.after_claim",
    "worker.before_provider",
    "worker.after_provider",
    "worker.after_upload",
    "worker.before_settle",
    "settle.after_state",
    "settle.before_commit",
    "worker.after_settle",
)
RELAY = ("relay.after_claim", "relay.mid_batch", "relay.after_publish", "relay.after_finish")
WEB = ("submit.before_commit", "web.after_commit", "web.before_answer")
SWEEPER = ("sweeper.after_change", "sweeper.before_republish")
# Where a role is killed by default; `make proof` kills it at every point, on both databases.
SOME = {
    "worker.after_provider",
    "settle.before_commit",
    "relay.after_publish",
    "web.after_commit",
    "sweeper.after_change",
}
JOBS = 8
AMOUNT = 1_000


def at(points: tuple[str, ...]) -> pytest.MarkDecorator:
    """Some of these points, and in `make proof` the others."""
    some = tuple(point for point in points if point in SOME)
    others = pytest.param(tuple(point for point in points if point not in SOME), marks=pytest.mark.proof)
    return pytest.mark.parametrize("points", [some, others], ids=["some", "others"])


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """All roles; the web role leaves relaying to the relay, so that one process does each thing."""
    made = Stack(database_url, redis_url, tmp_path, env={"ATELIER_WEB_RELAY": "false"})
    made.start("money", "beat", "web", "relay", "generation")
    yield made
    made.close()


def kill_at(stack: Stack, role: str, point: str, headers: dict[str, str]) -> None:
    """Replace the role by one that dies at the point, drive it there, and replace it again."""
    stack.processes[role].kill()
    # A relay that finds everything waiting passes its points once; the others pass theirs once a job.
    stack.start(role, fault=f"{point}:kill:{1 if role == 'relay' else 2}")
    doomed = stack.processes[role]
    keys = [f"{point}-{number}" for number in range(JOBS)]
    for key in keys:
        submit(stack, headers, key)
    until(lambda: not doomed.alive, what=f"{role} dies at {point}", seconds_max=40)
    stack.start(role)
    for key in keys:
        assert submit(stack, headers, key), f"{key} is accepted, or was"
    # A job that the next kill hits again would lose an attempt to each, and may fail for want of more.
    stack.until_finished()


def submit(stack: Stack, headers: dict[str, str], key: str) -> bool:
    """Submit under a key; False when the web process is gone or going."""
    try:
        answer = stack.echo(headers, key=key, delayMs=20)
    except httpx.TransportError:
        return False
    assert answer.status_code in {202, 503}, answer.text
    return answer.status_code == 202


def assert_whole(stack: Stack, headers: dict[str, str], *, jobs: int) -> None:
    """All ended, each charged once, and nothing that the doctor minds."""
    assert stack.until_finished() == Counter(completed=jobs)
    balance = stack.client.get("/api/payments/credits/balance", headers=headers).json()
    assert balance == {"balance": AMOUNT - jobs, "held": 0, "available": AMOUNT - jobs}
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")


def has_died(doomed: Process) -> bool:
    """Whether the process, or the child of its pool that swept, is gone."""
    return not doomed.alive or "WorkerLostError" in doomed.log.read_text()


def drive(stack: Stack, role: str, points: tuple[str, ...]) -> None:
    """Kill the role at each of the points in turn."""
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=AMOUNT)
    for point in points:
        kill_at(stack, role, point, headers)
    assert_whole(stack, headers, jobs=JOBS * len(points))


@at(WORKER)
@pytest.mark.timeout(300)
def test_worker_killed_anywhere(stack: Stack, points: tuple[str, ...]) -> None:
    drive(stack, "generation", points)


@at(RELAY)
@pytest.mark.timeout(300)
def test_relay_killed_anywhere(stack: Stack, points: tuple[str, ...]) -> None:
    drive(stack, "relay", points)


@at(WEB)
@pytest.mark.timeout(300)
def test_web_killed_anywhere(stack: Stack, points: tuple[str, ...]) -> None:
    drive(stack, "web", points)


@at(SWEEPER)
@pytest.mark.timeout(300)
def test_sweeper_killed_while_it_takes_over(stack: Stack, points: tuple[str, ...]) -> None:
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=AMOUNT)
    for point in points:
        for job in range(JOBS):
            assert stack.echo(headers, delayMs=2_000, key=f"{point}-{job}").status_code == 202
        until(lambda: stack.states()["running"], what="jobs run")
        stack.processes["money"].kill()
        stack.start("money", fault=f"{point}:kill:{SWEEPER.index(point) + 1}")
        doomed = stack.processes["money"]
        # The worker dies with its jobs, and the relay with the messages: only the sweeper is left to notice.
        stack.processes["generation"].kill()
        until(partial(has_died, doomed), what=f"sweeper dies at {point}", seconds_max=40)
        doomed.kill()
        stack.start("money", "generation")
    assert_whole(stack, headers, jobs=JOBS * len(points))
