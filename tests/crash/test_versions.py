"""A worker that is killed while it settles a job for a project: the job completes, and has added one version."""

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from atelier.catalog.seed_content import ECHO
from tests.servers import until
from tests.stack import Stack

POINTS = ("worker.before_settle", "settle.after_state", "settle.before_commit", "worker.after_settle")
PROJECTS = "/api/workshop/projects"
JOBS = 8


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """All roles."""
    made = Stack(database_url, redis_url, tmp_path)
    made.start_all()
    yield made
    made.close()


def asked(stack: Stack, method: str, path: str, headers: dict[str, str], **more: object) -> httpx.Response:
    """An answer that is a good one."""
    answer = stack.client.request(method, path, headers=headers, json=more or None)
    answer.raise_for_status()
    return answer


@pytest.mark.parametrize("points", [POINTS[2:3], pytest.param(POINTS, marks=pytest.mark.proof)], ids=["some", "all"])
@pytest.mark.timeout(300)
def test_worker_killed_while_it_settles_into_a_project(stack: Stack, points: tuple[str, ...]) -> None:
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=1_000)
    project = asked(stack, "POST", PROJECTS, headers, title="江南", type="text").json()["id"]
    wish = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}, "projectId": project, "saveVersion": True}
    for point in points:
        stack.processes["generation"].kill()
        stack.start("generation", fault=f"{point}:kill:2")
        doomed = stack.processes["generation"]
        for _ in range(JOBS):
            asked(stack, "POST", "/api/workshop/generate", headers, **wish, config={"delayMs": 20})
        until(lambda doomed=doomed: not doomed.alive, what=f"the worker dies at {point}", seconds_max=40)  # type: ignore[misc]
        stack.start("generation")
    total = JOBS * len(points)
    assert stack.until_finished() == Counter(completed=total)
    numbers: list[int] = []
    jobs: set[str] = set()
    for page in range(1, total // 10 + 2):
        versions = asked(stack, "GET", f"{PROJECTS}/{project}/versions?limit=10&page={page}", headers).json()[
            "versions"
        ]
        numbers += [one["number"] for one in versions]
        jobs |= {one["jobId"] for one in versions}
    assert sorted(numbers) == list(range(1, total + 1))
    assert len(jobs) == total
    balance = asked(stack, "GET", "/api/payments/credits/balance", headers).json()
    assert balance == {"balance": 1_000 - total, "held": 0, "available": 1_000 - total}
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")
