"""A web process that is killed while credits are ordered or an order is canceled: whoever asks again goes on."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.orders import seeding
from atelier.orders.models import ORDERS
from tests.crash.test_kills import has_died
from tests.sandbox_server import SandboxServer
from tests.servers import until
from tests.stack import Stack

PACKAGE = next(iter(seeding.OFFERED))
PURCHASE = "/api/payments/credits/purchase"
POINTS = ("order.before_commit", "order.before_place", "order.after_place")


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path, sandbox: SandboxServer) -> Iterator[Stack]:
    """Nobody but a web process, that is yet to be started: what is told is told to nobody."""
    sandbox.fault("drop", on="notice", left=None)
    made = Stack(database_url, redis_url, tmp_path, env={**sandbox.environment, "ATELIER_WEB_RELAY": "false"})
    yield made
    made.close()


def ask(stack: Stack, path: str, body: object, headers: dict[str, str]) -> httpx.Response | None:
    """The answer; None when the process died over it."""
    try:
        return stack.client.post(path, json=body, headers=headers)
    except httpx.TransportError:
        return None


def restart(stack: Stack) -> None:
    """Bury the one that died, and start another."""
    doomed = stack.processes["web"]
    until(lambda: has_died(doomed), what="the web process dies at its point")
    doomed.kill()
    stack.start("web")


def orders(session: Session) -> list[tuple[str, str, str]]:
    rows = session.execute(select(ORDERS.c.id, ORDERS.c.order_no, ORDERS.c.state).order_by(ORDERS.c.id))
    return [(row.id, row.order_no, row.state) for row in rows]


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("mariadb", marks=pytest.mark.proof)], indirect=True)
@pytest.mark.parametrize(
    "point", [*(pytest.param(point, marks=pytest.mark.proof) for point in POINTS[:-1]), POINTS[-1]]
)
def test_web_killed_while_credits_are_ordered(stack: Stack, sandbox: SandboxServer, point: str) -> None:
    stack.start("web", fault=f"{point}:kill:1")
    headers = stack.user("mei") | {"Idempotency-Key": "k"}
    body = {"packageId": PACKAGE, "paymentMethod": "wechat"}
    assert ask(stack, PURCHASE, body, headers) is None
    restart(stack)
    before = stack.database.read(orders)
    assert len(before) == (0 if point == "order.before_commit" else 1)
    answer = ask(stack, PURCHASE, body, headers)
    assert answer
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert stack.database.read(orders) == [(made["orderId"], made["orderNo"], "pending")]
    assert before in ([], stack.database.read(orders))
    assert [one["order_no"] for one in sandbox.books()["trades"]] == [made["orderNo"]]
    sandbox.pay_at(made["codeUrl"])
    assert sandbox.trade(made["orderNo"])["paid_fen"] == made["amountFen"]


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("mariadb", marks=pytest.mark.proof)], indirect=True)
def test_web_killed_between_the_two_ends_of_closing(stack: Stack, sandbox: SandboxServer) -> None:
    stack.start("web", fault="cancel.before_close:kill:1")
    headers = stack.user("mei")
    made = stack.client.post(PURCHASE, json={"packageId": PACKAGE, "paymentMethod": "wechat"}, headers=headers).json()
    cancel = f"/api/payments/orders/{made['orderId']}/cancel"
    assert ask(stack, cancel, None, headers) is None
    restart(stack)
    assert sandbox.trade(made["orderNo"])["state"] == "closed"
    assert stack.database.read(orders) == [(made["orderId"], made["orderNo"], "pending")]
    answer = ask(stack, cancel, None, headers)
    assert answer
    assert (answer.status_code, answer.json()["status"]) == (200, "closed")
    assert stack.diagnosis() == []
