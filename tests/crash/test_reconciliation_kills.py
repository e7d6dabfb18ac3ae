"""Whoever is killed with a gateway's answer in hand, or in the middle of a bill: each payment is credited once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atelier.contracts.messages import PAYMENTS_COMPARE, PAYMENTS_WATCH, Contract, Tick
from atelier.kernel.settings import Settings
from atelier.orders import states
from atelier.orders.service import Order
from tests.crash.test_kills import has_died
from tests.crash.test_purchase_kills import tick
from tests.reconciliation.books import CREDITS, PROVIDERS, day
from tests.reconciliation.high_street import AGO, HighStreet
from tests.sandbox_server import SandboxServer
from tests.servers import until
from tests.stack import Stack


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path, sandbox: SandboxServer) -> Iterator[Stack]:
    """A relay, and money workers that a test starts; ticks come when it sends them."""
    made = Stack(database_url, redis_url, tmp_path, env=sandbox.environment)
    made.start("relay")
    yield made
    made.close()


@pytest.fixture
def street(stack: Stack, settings: Callable[..., Settings], sandbox: SandboxServer) -> Iterator[HighStreet]:
    made = HighStreet(stack.database, settings(**sandbox.settings), sandbox)
    yield made
    made.close_connections()


def kill_at(stack: Stack, point: str, contract: Contract[Tick]) -> None:
    """Have the task killed at this point; the next worker is a good one."""
    stack.start("money", fault=f"{point}:kill:1")
    doomed = stack.processes["money"]
    stack.database.transact(tick, contract)
    until(lambda: has_died(doomed), what=f"the task dies at {point}", seconds_max=60)
    doomed.kill()
    stack.start("money")


def assert_credited(street: HighStreet, orders: list[Order]) -> None:
    until(lambda: {street.now(one.id).state for one in orders} == {states.PAID}, what="they are paid", seconds_max=60)
    assert {street.balance(order.user_id).available for order in orders} == {CREDITS}


@pytest.mark.proof
@pytest.mark.timeout(240)
def test_killed_with_the_answer_of_a_gateway_in_hand(stack: Stack, street: HighStreet) -> None:
    orders = [street.place(street.order(ago=0, provider=provider)) for provider in PROVIDERS]
    for order in orders:
        street.sandbox.pay(order.order_no)
        street.due(order)
    kill_at(stack, "watch.after_query", PAYMENTS_WATCH)
    assert {street.now(order.id).state for order in orders} == {states.PENDING}
    for order in orders:
        street.due(order)  # The lease of the dead one is over.
    stack.database.transact(tick, PAYMENTS_WATCH)
    assert_credited(street, orders)
    until(lambda: not stack.diagnosis(), what="the doctor is content")


@pytest.mark.timeout(240)
def test_killed_in_the_middle_of_a_bill(stack: Stack, street: HighStreet) -> None:
    orders = [street.place(street.order(ago=AGO), ago=AGO) for _ in range(3)]
    for order in orders:
        street.sandbox.pay(order.order_no)
    street.sandbox.set(ahead_ms=0)
    kill_at(stack, "compare.before_commit", PAYMENTS_COMPARE)
    row = street.statements()[day(AGO)]
    assert (row["state"], row["place"]) == ("running", 0)
    street.hasten_days()
    stack.database.transact(tick, PAYMENTS_COMPARE)
    until(lambda: street.statements()[day(AGO)]["state"] == "done", what="the day is compared", seconds_max=60)
    assert_credited(street, orders)
    assert len(street.findings()) == len(orders)
    until(lambda: not stack.diagnosis(), what="the doctor is content")
