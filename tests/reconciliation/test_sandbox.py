"""From end to end, with gateways that sign, keep books and give out bills: what no notice told is made good."""

from collections.abc import Callable, Iterator

import pytest

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.orders import states
from tests.reconciliation.books import CREDITS, FEN, PROVIDERS, day
from tests.reconciliation.high_street import AGO, HighStreet
from tests.sandbox_server import SandboxServer


@pytest.fixture
def street(db: Database, settings: Callable[..., Settings], sandbox: SandboxServer) -> Iterator[HighStreet]:
    made = HighStreet(db, settings(**sandbox.settings), sandbox)
    yield made
    made.close_connections()


def test_a_notice_that_is_dropped_is_settled_by_a_query(street: HighStreet) -> None:
    orders = [street.place(street.order(ago=0, provider=provider)) for provider in PROVIDERS]
    for order in orders:
        street.due(order)
    street.watch()
    assert {street.now(order.id).state for order in orders} == {states.PENDING}
    for order in orders:
        street.sandbox.pay(order.order_no)
        street.due(order)
    street.watch()
    for order in orders:
        assert street.now(order.id).state == states.PAID
        assert street.balance(order.user_id).available == CREDITS
        assert street.in_books(order.provider) == (FEN, 0)
    assert len(street.told) == len(orders)


def test_an_order_that_ends_can_be_paid_nowhere_any_more(street: HighStreet) -> None:
    orders = [street.place(street.order(ago=0, provider=provider)) for provider in PROVIDERS]
    for order in orders:
        street.sandbox.control("open", order_no=order.order_no)
        street.due(order, expires_ms=1)
    street.watch()
    for order in orders:
        assert street.now(order.id).state == states.CLOSED
        assert street.sandbox.trade(order.order_no)["state"] == "closed"


def test_a_days_bill_makes_both_books_agree(street: HighStreet) -> None:
    orders = [street.place(street.order(ago=AGO, provider=one), ago=AGO) for one in PROVIDERS for _ in range(4)]
    for order in orders:
        street.sandbox.pay(order.order_no)
    wrong = street.place(street.order(ago=AGO, provider="wechat"), ago=AGO)
    street.sandbox.pay(wrong.order_no, amount_fen=FEN - 1)
    street.sandbox.refund(orders[0].order_no, amount_fen=90)
    street.sandbox.set(ahead_ms=0)
    street.compare()
    for order in orders:
        assert street.now(order.id).state == states.PAID
        assert street.balance(order.user_id).available == CREDITS
    found = [street.statements(provider)[day(AGO)] for provider in PROVIDERS]
    assert [row["state"] for row in found] == ["done", "done"]
    for provider, row in zip(PROVIDERS, found, strict=True):
        theirs = row["totals"]["theirs"]
        assert (theirs["payments_fen"], theirs["refunds_fen"]) == street.in_books(provider)
        assert row["totals"]["ours"]["payments_fen"] == 4 * FEN
    assert sorted(case["kind"] for case in street.cases()) == ["unknown_refund", "wrong_amount"]
    before = street.everything()
    street.rerun()
    street.compare()
    assert street.everything() == before
    assert street.examine().totals == {}
