"""Whoever is killed while a payment is told or settled: the gateway tells it again, and it is credited once."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.orders import seeding
from atelier.orders.payment_models import EVENTS
from atelier.payments import inbox
from tests.crash.test_kills import has_died
from tests.sandbox_server import SandboxServer
from tests.servers import until
from tests.stack import Stack

PACKAGE = next(iter(seeding.OFFERED))
PURCHASE = "/api/payments/credits/purchase"
BALANCE = "/api/payments/credits/balance"
CREDITS = 100
WEB = ("webhook.before_commit", "webhook.after_commit")
WORKER = ("settlement.after_order", "settlement.before_commit", "settlement.after_event")
# Of hours that the gateways wait before they repeat a notice, minutes.
SPEED = 100


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path, sandbox: SandboxServer) -> Iterator[Stack]:
    """Web, relay and a gateway that repeats itself; a test starts money workers, and no clock ticks."""
    sandbox.set(speed=SPEED)
    made = Stack(database_url, redis_url, tmp_path, env={**sandbox.environment, "ATELIER_WEB_RELAY": "false"})
    made.start("relay", "web")
    yield made
    made.close()


def order(stack: Stack, headers: dict[str, str]) -> dict[str, Any]:
    """Somebody orders credits."""
    body = {"packageId": PACKAGE, "paymentMethod": "wechat"}
    answer = stack.client.post(PURCHASE, json=body, headers=headers)
    assert answer.is_success, answer.text
    made: dict[str, Any] = answer.json()
    return made


def available(stack: Stack, headers: dict[str, str]) -> int:
    """What they have."""
    found: int = stack.client.get(BALANCE, headers=headers).json()["available"]
    return found


def waiting(session: Session) -> Sequence[str]:
    """What is not settled yet."""
    return session.scalars(select(EVENTS.c.id).where(EVENTS.c.due_ms.is_not(None))).all()


def hasten(session: Session) -> None:
    """Let a minute and more pass for what waits, and the sweep come."""
    session.execute(update(EVENTS).where(EVENTS.c.due_ms.is_not(None)).values(due_ms=EVENTS.c.due_ms - 2 * MINUTE_MS))
    inbox.requeue_overdue(session, now_ms=now_ms())


def assert_whole(stack: Stack, sandbox: SandboxServer, headers: dict[str, str], *, orders: int) -> None:
    """Every order gave its credits once, and the books of the gateway are ours."""
    until(lambda: available(stack, headers) >= orders * CREDITS, what="all credits have come", seconds_max=60)
    sandbox.until_quiet()
    until(lambda: not stack.database.read(waiting), what="all is settled")
    assert available(stack, headers) == orders * CREDITS
    listed = stack.client.get("/api/payments/orders?limit=50", headers=headers).json()["orders"]
    ours = {one["orderNo"]: (one["status"], one["totalFen"], one["paymentId"]) for one in listed}
    theirs = {
        one["order_no"]: ("paid", one["paid_fen"], one["payments"][0]["payment_no"])
        for one in sandbox.books()["trades"]
    }
    assert ours == theirs
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("mariadb", marks=pytest.mark.proof)], indirect=True)
@pytest.mark.timeout(240)
def test_web_killed_while_it_takes_a_notice(stack: Stack, sandbox: SandboxServer) -> None:
    headers = stack.user("mei")
    stack.start("money")
    for point in WEB:
        made = order(stack, headers)
        stack.processes["web"].kill()
        stack.start("web", fault=f"{point}:kill:1")
        doomed = stack.processes["web"]
        sandbox.pay(made["orderNo"])
        until(partial(has_died, doomed), what=f"web dies at {point}", seconds_max=40)
        stack.start("web")
    assert_whole(stack, sandbox, headers, orders=len(WEB))
    assert any(len(one["attempts"]) > 1 for one in sandbox.books()["notices"])


@pytest.mark.parametrize("points", [WORKER[1:2], pytest.param(WORKER, marks=pytest.mark.proof)], ids=["some", "all"])
@pytest.mark.timeout(240)
def test_worker_killed_while_it_settles(stack: Stack, sandbox: SandboxServer, points: tuple[str, ...]) -> None:
    headers = stack.user("mei")
    for point in points:
        made = order(stack, headers)
        before = available(stack, headers)
        stack.start("money", fault=f"{point}:kill:1")
        doomed = stack.processes["money"]
        sandbox.pay(made["orderNo"])
        until(partial(has_died, doomed), what=f"the task dies at {point}", seconds_max=60)
        doomed.kill()
        assert available(stack, headers) == before
        stack.database.transact(hasten)
    stack.start("money")
    assert_whole(stack, sandbox, headers, orders=len(points))
