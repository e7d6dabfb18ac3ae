"""A media worker that is killed while it makes a picture: another makes it, it is paid once, and one file stays."""

import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from atelier.generation import collecting
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.storage import stores
from tests.crash.test_kills import WORKER, has_died
from tests.servers import until
from tests.stack import Stack

PRICE = 5


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """All roles but the one that is killed."""
    made = Stack(database_url, redis_url, tmp_path, env={"ATELIER_WEB_RELAY": "false"})
    made.start("money", "beat", "web", "relay")
    yield made
    made.close()


def draw(stack: Stack, headers: dict[str, str]) -> str:
    """Ask for a picture; the job's id."""
    body = {"agentId": stack.agent("poster-maker"), "inputData": {"prompt": "江南春雨"}}
    answer = stack.client.post("/api/workshop/generate", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["jobId"]
    return job_id


def survive(stack: Stack, points: tuple[str, ...]) -> None:
    """Kill the worker at each point in turn; then count what is there and what it cost."""
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=PRICE * len(points))
    drawn: list[str] = []
    for point in points:
        stack.start("media", fault=f"{point}:kill:1")
        doomed = stack.processes["media"]
        drawn.append(draw(stack, headers))
        until(partial(has_died, doomed), what=f"the worker dies at {point}", seconds_max=60)
        doomed.kill()
        stack.start("media")
        assert stack.until_finished() == Counter(completed=len(drawn))
        stack.processes["media"].kill()
    balance = stack.client.get("/api/payments/credits/balance", headers=headers).json()
    assert balance == {"balance": 0, "held": 0, "available": 0}
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")
    storage = stores.choose(stack.settings())
    collecting.collect(stack.database, storage=storage, now_ms=now_ms() + 3 * HOUR_MS)
    for job_id in drawn:
        (output,) = stack.client.get(f"/api/jobs/{job_id}/result", headers=headers).json()["outputs"]
        assert stack.client.get(output["url"]).content.startswith(b"\x89PNG")
        assert len(storage.keys(f"{collecting.FOLDER}/{job_id}", limit=9)) == 1


@pytest.mark.timeout(200)
def test_worker_killed_with_its_picture_kept(stack: Stack) -> None:
    survive(stack, ("worker.after_upload",))


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_worker_killed_anywhere_while_it_draws(stack: Stack) -> None:
    survive(stack, WORKER)
