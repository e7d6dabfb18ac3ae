"""A storm of payments: each told ten times at once, late, out of order and again, while whoever is told is killed.

In the end the gateways' books and ours are the same to the fen. The seed is printed; `ATELIER_STORM_SEED` repeats it.
"""

import contextlib
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.orders import seeding
from atelier.orders.models import ORDERS
from atelier.orders.payment_models import CASES
from tests.crash.test_payment_kills import BALANCE, PURCHASE, hasten, waiting
from tests.sandbox_server import SandboxServer
from tests.servers import until
from tests.stack import Stack

SEED = int(os.environ.get("ATELIER_STORM_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
PACKAGES = tuple(seeding.OFFERED)
USERS = 5
COPIES = 10
VICTIMS = ("web", "money", "relay")
PAUSE_SECONDS = 0.5
# Of the hours that the gateways wait before they repeat a notice, seconds.
SPEED = 1_000
FREELY = {"ATELIER_PENDING_ORDERS_MAX": "1000", "ATELIER_ORDERS_PER_MINUTE": "100000"}
Trade = tuple[str, int, tuple[str | None, ...]]


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path, sandbox: SandboxServer) -> Iterator[Stack]:
    made = Stack(database_url, redis_url, tmp_path, env={**sandbox.environment, **FREELY})
    made.start("money", "relay", "beat", "web")
    yield made
    made.close()


class Buyers:
    """Some people who order whatever there is, by either gateway."""

    def __init__(self, stack: Stack) -> None:
        self.people = [stack.user(f"buyer{number}") for number in range(USERS)]
        self._stack = stack

    def order(self, number: int) -> str:
        """The number of a new order."""
        body = {
            "packageId": PACKAGES[number % len(PACKAGES)],
            **({"paymentMethod": "wechat"} if number % 2 else {"paymentMethod": "alipay", "channel": "qr"}),
        }
        answer = self._stack.client.post(PURCHASE, json=body, headers=self.people[number % USERS])
        assert answer.is_success, answer.text
        return str(answer.json()["orderNo"])

    def available(self) -> int:
        """What they have together."""
        balances = (self._stack.client.get(BALANCE, headers=one).json() for one in self.people)
        return sum(one["available"] for one in balances)


def misbehave(sandbox: SandboxServer) -> None:
    """Everything that may happen to a notice on its way."""
    sandbox.set(speed=SPEED)
    faults: dict[str, dict[str, Any]] = {
        "duplicate": {"copies": COPIES},
        "delay": {"rate": 0.3, "seconds": 1.0},
        "lose": {"rate": 0.1},
        "closed_first": {"rate": 0.2, "provider": "alipay"},
        "tamper": {"rate": 0.05},
        "wrong_key": {"rate": 0.05},
    }
    for kind, options in faults.items():
        sandbox.fault(kind, **{"rate": 1.0, **options})


def theirs(sandbox: SandboxServer) -> set[Trade]:
    """What was paid, by the gateways' books: order, fen, and the numbers of its payments."""
    return {
        (one["order_no"], one["paid_fen"], tuple(paid["payment_no"] for paid in one["payments"]))
        for one in sandbox.books()["trades"]
    }


def ours(session: Session) -> set[Trade]:
    """The same by our books."""
    columns = ORDERS.c
    rows = session.execute(
        select(columns.order_no, columns.amount_fen, columns.payment_no).where(columns.state == "paid")
    )
    return {(row.order_no, row.amount_fen, (row.payment_no,)) for row in rows}


def unpaid(session: Session) -> int:
    return len(session.scalars(select(ORDERS.c.id).where(ORDERS.c.state != "paid")).all())


def sold(session: Session) -> int:
    return sum(session.scalars(select(ORDERS.c.credits)))


def cases(session: Session) -> set[tuple[str, str]]:
    return {(row.kind, row.state) for row in session.execute(select(CASES.c.kind, CASES.c.state))}


def strike(stack: Stack, role: str) -> str:
    """Kill a role, and start it again."""
    stack.processes[role].kill()
    stack.start(role)
    return role


def come_to_rest(stack: Stack, sandbox: SandboxServer) -> bool:
    """Let the gateways repeat what was not taken, and the sweep find what was lost; whether all is settled then."""
    for notice in sandbox.books()["notices"]:
        if not any(one["outcome"] == "taken" for one in notice["attempts"]):
            sandbox.send(notice["id"])
    sandbox.until_quiet(seconds_max=60)
    stack.database.transact(hasten)
    with contextlib.suppress(TimeoutError):
        until(lambda: not stack.database.read(waiting), what="what is known is settled", seconds_max=10)
    return stack.database.read(unpaid) == 0 and not stack.database.read(waiting)


@pytest.mark.parametrize("orders", [20, pytest.param(500, marks=pytest.mark.proof)])
@pytest.mark.timeout(900)
def test_the_books_agree_to_the_fen(stack: Stack, sandbox: SandboxServer, orders: int) -> None:
    chance, over, struck = random.Random(SEED), threading.Event(), Counter[str]()
    print(f"ATELIER_STORM_SEED={SEED}")  # noqa: T201 - to repeat it
    buyers = Buyers(stack)
    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(buyers.order, range(orders)))
    misbehave(sandbox)

    def pay() -> None:
        for number in chance.sample(numbers, len(numbers)):
            sandbox.pay(number)
        over.set()

    payer = threading.Thread(target=pay)
    payer.start()
    while not (over.wait(PAUSE_SECONDS) and len(struck) == len(VICTIMS)):
        rest = [role for role in VICTIMS if role not in struck]
        struck[strike(stack, chance.choice(rest or VICTIMS))] += 1
    payer.join()
    sandbox.behave()
    until(lambda: come_to_rest(stack, sandbox), what="every payment is settled", seconds_max=300)
    books: dict[str, Any] = sandbox.books()
    told = sum(len(one["attempts"]) for one in books["notices"])
    print(f"{orders} orders, {told} deliveries of up to {COPIES} copies, struck {dict(struck)}")  # noqa: T201 - figures
    assert stack.database.read(ours) == theirs(sandbox)
    assert buyers.available() == stack.database.read(sold)
    assert stack.database.read(cases) <= {("late_payment", "resolved")}
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")
