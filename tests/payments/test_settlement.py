"""Money becomes credits once: whatever comes, in whatever order, as often as it likes; what doesn't fit is a case."""

from collections import Counter as Count
from typing import Any

import pytest

from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.ledger import debts
from atelier.ledger.debts import TakeBack
from atelier.orders import states
from tests.payments.counter import CREDITS, PRICE_FEN, Counter, closed, paid

THREADS = 8


def test_a_paid_order_gives_its_credits_once_and_tells_its_user(counter: Counter) -> None:
    order = counter.order()
    assert counter.take(paid(order, payment_no="p-1")) == "credited"
    now = counter.see(order)
    assert (now.state, now.payment_no, now.paid_ms) == (states.PAID, "p-1", 1_700_000_000_000)
    assert counter.available(order) == CREDITS
    assert counter.told(order) == [("payment_received", {"orderNo": order.order_no, "amount": CREDITS, "yuan": "9.90"})]
    assert counter.take(paid(order, payment_no="p-1")) == "known"
    assert counter.transfers(order) == [f"topup:order:{order.id}"]
    assert counter.cases() == []


def test_events_of_one_payment_at_once_are_one_payment(counter: Counter) -> None:
    order = counter.order()
    outcomes = counter.take_at_once(*(paid(order) for _ in range(THREADS)))
    assert Count(outcomes) == Count(credited=1, known=THREADS - 1)
    assert counter.available(order) == CREDITS


def test_a_closed_order_that_is_paid_late_is_credited_and_noted(counter: Counter) -> None:
    order = counter.order()
    assert counter.take(closed(order)) == "closed"
    assert counter.see(order).state == states.CLOSED
    assert counter.take(paid(order)) == "late"
    assert counter.take(paid(order)) == "known"
    assert (counter.see(order).state, counter.available(order)) == (states.PAID, CREDITS)
    (case,) = counter.cases()
    assert (case["kind"], case["state"], case["resolution"]) == ("late_payment", "resolved", "credited")
    assert (case["order_id"], case["user_id"], case["amount_fen"]) == (order.id, order.user_id, PRICE_FEN)


def test_an_order_that_was_paid_is_not_closed(counter: Counter) -> None:
    order = counter.order()
    counter.take(paid(order))
    assert counter.take(closed(order)) == "known"
    assert counter.see(order).state == states.PAID


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("wrong_amount", {"amount_fen": PRICE_FEN - 1}),
        ("wrong_amount", {"amount_fen": PRICE_FEN + 1}),
        ("wrong_amount", {"amount_fen": 0}),
        ("wrong_amount", {"currency": "USD"}),
        ("unknown_order", {"order_no": "f" * 32}),
        ("unknown_order", {"order_no": "F" * 64}),
        ("unknown_order", {"provider": "wechat"}),
    ],
)
def test_what_does_not_fit_moves_nothing_and_is_one_case(counter: Counter, kind: str, changes: dict[str, Any]) -> None:
    order = counter.order()
    for _ in range(3):
        assert counter.take(paid(order, payment_no="p-1", **changes)) == kind
    assert (counter.see(order), counter.transfers(order), counter.told(order)) == (order, [], [])
    (case,) = counter.cases()
    assert (case["kind"], case["state"], case["payment_no"]) == (kind, "open", "p-1")
    assert case["amount_fen"] == changes.get("amount_fen", PRICE_FEN)
    assert counter.take(paid(order, payment_no="p-2")) == "credited", "the order itself can still be paid"


def test_the_same_payment_with_another_amount_is_not_passed_over(counter: Counter) -> None:
    order = counter.order()
    counter.take(paid(order, payment_no="p-1"))
    assert counter.take(paid(order, payment_no="p-1", amount_fen=PRICE_FEN * 2)) == "wrong_amount"
    assert counter.available(order) == CREDITS
    assert [case["kind"] for case in counter.cases()] == ["wrong_amount"]


def test_two_payments_of_one_order_at_once_are_one_and_a_case(counter: Counter) -> None:
    order = counter.order()
    outcomes = counter.take_at_once(*(paid(order, payment_no=f"p-{number % 2}") for number in range(THREADS)))
    assert Count(outcomes) == Count(credited=1, known=THREADS // 2 - 1, double_payment=THREADS // 2)
    assert counter.available(order) == CREDITS
    (case,) = counter.cases()
    assert (case["kind"], case["state"]) == ("double_payment", "open")
    assert {case["payment_no"], counter.see(order).payment_no} == {"p-0", "p-1"}


def test_one_payment_for_several_orders_at_once_pays_one_of_them(counter: Counter) -> None:
    orders = [counter.order() for _ in range(THREADS)]
    outcomes = counter.take_at_once(*(paid(order, payment_no="p-1") for order in orders))
    assert Count(outcomes) == Count(credited=1, payment_reused=THREADS - 1)
    assert sum(counter.available(order) for order in orders) == CREDITS
    assert Count(case["kind"] for case in counter.cases()) == Count(payment_reused=THREADS - 1)
    other = counter.order(provider="wechat")
    assert counter.take(paid(other, payment_no="p-1")) == "credited", "numbers of the other gateway are others"


@pytest.mark.parametrize(
    ("state", "refunded", "refunding"),
    [(states.REFUNDED, PRICE_FEN, 0), (states.PARTIALLY_REFUNDED, 1, 0), (states.REFUNDING, 0, PRICE_FEN)],
)
def test_an_order_that_was_refunded_never_becomes_paid(
    counter: Counter, state: str, refunded: int, refunding: int
) -> None:
    order = counter.order()
    counter.take(paid(order, payment_no="p-1"))
    counter.record(order, state=state, refunded_fen=refunded, refunding_fen=refunding)
    assert counter.take(paid(order, payment_no="p-1")) == "known"
    assert counter.take(paid(order, payment_no="p-2")) == "double_payment"
    assert counter.take(closed(order)) == "known"
    assert (counter.see(order).state, counter.available(order)) == (state, CREDITS)


def test_debts_are_paid_by_what_comes_next_the_oldest_first(counter: Counter) -> None:
    user_id = counter.shop.user(credits=10)
    for credits in (30, 150):  # noqa: A001 - the product's word
        back = TakeBack(transfer_id=new_id(), user_id=user_id, credits=credits, ref_type="refund", ref_id=new_id())
        counter.db.transact(debts.take_back, back, now_ms=now_ms())
    assert counter.db.read(debts.owed, user_id=user_id) == 20 + 150
    balances: list[tuple[int, int]] = []
    for _ in range(3):
        order = counter.order(user_id)
        event_id = counter.receive(paid(order))
        assert event_id
        settled = counter.settle(event_id)
        assert settled
        assert settled.account
        assert settled.account.available == counter.available(order)
        balances.append((counter.available(order), counter.db.read(debts.owed, user_id=user_id)))
    assert balances == [(0, 70), (30, 0), (130, 0)]
