"""A worker that is killed while it puts a job together: every step is made once, and the whole is paid once."""

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.jobs.models import JOBS
from tests.crash.test_kills import has_died
from tests.servers import until
from tests.stack import Stack

PRICE = 25
CONFIG = {"scenes": 2, "secondsPerScene": 1, "resolution": "640x360", "audio": "none"}
STEPS = {"captions", "image-1", "image-2", "cut"}
POINTS = (
    *("compose.before_commit", "compose.after_commit", "advance.before_commit", "advance.after_commit"),
    *("settle.before_commit", "worker.after_settle"),
)


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """All roles but the one that is killed."""
    made = Stack(database_url, redis_url, tmp_path, env={"ATELIER_WEB_RELAY": "false"})
    made.start("money", "beat", "web", "relay", "media")
    yield made
    made.close()


def tell(stack: Stack, headers: dict[str, str]) -> str:
    """Ask for a film; the job's id."""
    body = {"agentId": stack.agent("story-video"), "inputData": {"prompt": "松鼠的秋天"}, "config": CONFIG}
    answer = stack.client.post("/api/workshop/generate", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["jobId"]
    return job_id


def steps(session: Session, *, job_id: str) -> dict[str, int]:
    """How often each step exists."""
    rows = session.connection().execute(
        select(JOBS.c.step, func.count()).where(JOBS.c.parent_id == job_id).group_by(JOBS.c.step)
    )
    return {row[0] or "": row[1] for row in rows}


def survive(stack: Stack, points: tuple[str, ...]) -> None:
    """Kill the worker at each point in turn; then count what is there and what it cost."""
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=PRICE * len(points))
    told: list[str] = []
    for point in points:
        stack.start("generation", fault=f"{point}:kill:1")
        doomed = stack.processes["generation"]
        told.append(tell(stack, headers))
        until(partial(has_died, doomed), what=f"the worker dies at {point}", seconds_max=60)
        doomed.kill()
        stack.start("generation")
        assert stack.until_finished(seconds_max=120).keys() == {"completed"}
        stack.processes["generation"].kill()
    for job_id in told:
        assert stack.database.read(steps, job_id=job_id) == dict.fromkeys(STEPS, 1)
        (output,) = stack.client.get(f"/api/jobs/{job_id}/result", headers=headers).json()["outputs"]
        assert stack.client.get(output["url"]).content[4:8] == b"ftyp"
    balance = stack.client.get("/api/payments/credits/balance", headers=headers).json()
    assert balance == {"balance": 0, "held": 0, "available": 0}
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")


@pytest.mark.timeout(240)
def test_worker_killed_between_two_steps(stack: Stack) -> None:
    survive(stack, ("advance.before_commit",))


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_worker_killed_anywhere_while_it_puts_together(stack: Stack) -> None:
    survive(stack, POINTS)
