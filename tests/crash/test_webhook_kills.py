"""A worker is killed before and after it has told a webhook: the event is told by another one, under the same id."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from atelier.kernel.clock import MINUTE_MS
from atelier.kernel.database import matched
from atelier.webhooks import events
from atelier.webhooks.models import EVENTS
from tests.servers import until
from tests.stack import Stack
from tests.webhooks.receiver import Receiver

LEASES_MS = events.LEASE_MS + events.OVERDUE_MS + MINUTE_MS


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A consumer that takes everything."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """All roles; webhooks may go to this machine."""
    made = Stack(database_url, redis_url, tmp_path, env={"ATELIER_WEBHOOK_LOOPBACK": "true"})
    made.start("money", "beat", "web", "relay")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("point", "told"),
    [
        pytest.param("webhook.after_claim", 1, marks=pytest.mark.proof),
        ("webhook.after_post", 2),
        pytest.param("settle.before_commit", 1, marks=pytest.mark.proof),
    ],
)
def test_a_killed_worker_loses_no_event(stack: Stack, receiver: Receiver, point: str, told: int) -> None:
    stack.start("generation", fault=f"{point}:kill:1")
    doomed = stack.processes["generation"]
    headers = stack.user("mei", amount=10)
    made = stack.client.post("/api/webhooks", json={"url": receiver.url}, headers=headers)
    assert made.status_code == 201, made.text
    job_id = stack.echo(headers).json()["jobId"]
    until(lambda: not doomed.alive, what=f"the worker dies at {point}", seconds_max=40)
    stack.start("generation")
    stack.until_finished()
    columns = EVENTS.c
    passed = {"due_ms": columns.due_ms - LEASES_MS, "wake_ms": columns.wake_ms - LEASES_MS}
    if point.startswith("webhook."):
        # The dead worker's lease ends by itself after minutes.
        stack.database.transact(matched, update(EVENTS).where(columns.due_ms.is_not(None)).values(passed))
    until(lambda: len(receiver.received) == told, what="the event is told", seconds_max=40)
    (event,) = stack.client.get("/api/webhook-events", headers=headers).json()["events"]

    def delivered() -> bool:
        return bool(stack.client.get(f"/api/webhook-events/{event['id']}", headers=headers).json()["endedAt"])

    until(delivered, what="the event is delivered")
    assert receiver.ids() == [event["id"]] * told
    assert all(one.is_signed_by(made.json()["secret"]) for one in receiver.received)
    assert {one.said["data"]["id"] for one in receiver.received} == {job_id}
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")
