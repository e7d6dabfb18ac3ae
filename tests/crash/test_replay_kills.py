"""A web process that is killed while an administrator has failed jobs done once more: each is done once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.jobs.models import DEAD_LETTERS, JOBS
from atelier.onboarding import operator
from tests.crash.test_kills import has_died
from tests.servers import until
from tests.stack import PASSWORD, Stack

JOBS_FAILED = 3
WHY = {"reason": "生成服务已恢复"}


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """A web process, and a worker to let jobs fail."""
    made = Stack(database_url, redis_url, tmp_path)
    made.start("web", "generation")
    yield made
    made.close()


def failed(stack: Stack) -> list[str]:
    """Jobs of somebody's, that have failed for good."""
    headers = stack.user("mei", amount=100)
    for _ in range(JOBS_FAILED):
        assert stack.echo(headers, fail="permanent").status_code == 202
    assert stack.until_finished() == {"failed": JOBS_FAILED}
    return sorted(stack.database.read(lambda session: session.scalars(select(DEAD_LETTERS.c.job_id)).all()))


def boss(stack: Stack) -> dict[str, str]:
    """An administrator's headers."""
    operator.create_user(
        stack.database, email="boss@example.com", username="boss", password=PASSWORD, role="admin", amount=0
    )
    answer = stack.client.post("/api/auth/login", json={"loginId": "boss", "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def retries(session: Session) -> list[str]:
    return sorted(session.scalars(select(JOBS.c.retry_of).where(JOBS.c.retry_of.is_not(None))))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("point", "many"),
    [
        ("replay.before_commit", True),
        ("replay.after_commit", False),
        pytest.param("replay.before_commit", False, marks=pytest.mark.proof),
        pytest.param("replay.after_commit", True, marks=pytest.mark.proof),
    ],
)
def test_web_killed_while_jobs_are_replayed(stack: Stack, point: str, many: bool) -> None:  # noqa: FBT001
    jobs = failed(stack)
    headers = boss(stack) | {"Idempotency-Key": "k"}
    stack.processes["web"].kill()
    stack.processes["generation"].kill()
    stack.start("web", fault=f"{point}:kill:1")
    doomed = stack.processes["web"]
    path = "/api/admin/jobs/replay"
    body: dict[str, Any] = {**WHY, "filter": {}}
    if not many:
        path, body, jobs = f"/api/admin/jobs/{jobs[0]}/replay", WHY, jobs[:1]
    with pytest.raises(httpx.TransportError):
        stack.client.post(path, json=body, headers=headers)
    until(lambda: has_died(doomed), what="the web process dies at its point")
    doomed.kill()
    assert stack.database.read(retries) == (jobs if point == "replay.after_commit" else [])
    stack.start("web")
    answers = [stack.client.post(path, json=body, headers=headers) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {200 if many else 202}
    assert answers[0].json() == answers[1].json()
    assert stack.database.read(retries) == jobs
    again = stack.client.post(path, json=body, headers=headers | {"Idempotency-Key": "l"})
    assert again.json().get("code") == "JOB_REPLAYED" or again.json()["matched"] == 0
    assert stack.database.read(retries) == jobs
    assert stack.diagnosis() == []
