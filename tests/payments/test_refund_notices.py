"""Notices of money that went back: of refunds of ours they are an answer, any other is a case that can be accepted."""

from dataclasses import replace
from typing import Any

import pytest

from atelier.kernel.clock import now_ms
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.orders.errors import CaseResolved, OrderNotRefundable, RefundTooLarge, ResolutionUnsuitable
from atelier.orders.service import Order
from atelier.payments import resolving, returning, settlement
from atelier.payments.resolving import Decision, Resolved
from atelier.payments.settlement import Payment, Settled
from tests.payments.desk import Desk

PRICE = 1_000
BY_HAND = "2024-by-hand"


def outcome(settled: Settled | None) -> str:
    assert settled is not None
    return settled.outcome


def accept(desk: Desk, case: dict[str, Any], *, fen: int | None = None) -> Resolved:
    decision = Decision(
        case_id=case["id"],
        resolution="accept_refund",
        note="在商户平台退款",
        admin_id=desk.admin_id,
        ids=desk.ids(),
        refund_id=new_id(),
        amount_fen=fen,
    )
    return desk.db.transact(resolving.resolve, decision, now_ms=now_ms())


class TestOurs:
    def test_one_that_comes_before_the_answer_is_the_answer(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id, provider="wechat")
        refund_id = desk.want(order, 400)
        refund_no = desk.refund(refund_id).refund_no
        assert outcome(desk.notice(order, refund_no, fen=400)) == "refunded"
        assert desk.now(order).state == "partially_refunded"
        assert desk.work(refund_id) is None
        assert desk.tills["wechat"].asked == []
        assert outcome(desk.notice(order, refund_no, fen=400)) == "known"
        assert [kind for kind, _ in desk.told(user_id)] == ["payment_received", "refund_made"]
        assert (desk.cases(), desk.examine().totals) == ([], {})

    def test_one_that_comes_afterwards_is_nothing_new(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        refund_id = desk.back(order)
        assert outcome(desk.notice(order, desk.refund(refund_id).refund_no, together=PRICE)) == "known"
        assert desk.now(order).refunded_fen == PRICE
        assert (desk.cases(), desk.examine().totals) == ([], {})

    def test_the_same_one_twice_is_one(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        refund_no = desk.refund(desk.want(order)).refund_no
        assert outcome(desk.notice(order, refund_no, together=PRICE, key="n1")) == "refunded"
        assert desk.notice(order, refund_no, together=PRICE, key="n1") is None
        assert desk.now(order).refunded_fen == PRICE

    def test_sums_that_pass_each_other_fit_in_any_order(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        first, second = (desk.refund(desk.want(order, part)).refund_no for part in (300, 500))
        assert outcome(desk.notice(order, second, together=800)) == "refunded"
        assert outcome(desk.notice(order, first, together=300)) == "refunded"
        assert outcome(desk.notice(order, second, together=800)) == "known"
        assert (desk.now(order).refunded_fen, desk.cases()) == (800, [])

    @pytest.mark.parametrize("amount", [{"fen": 399}, {"fen": 401}, {"together": 399}, {"together": 500}])
    def test_another_amount_opens_one_case(self, desk: Desk, amount: dict[str, Any]) -> None:
        order = desk.order(desk.user(), provider="wechat")
        refund_no = desk.refund(desk.want(order, 400)).refund_no
        assert outcome(desk.notice(order, refund_no, **amount)) == "refund_differs"
        assert outcome(desk.notice(order, refund_no, **amount)) == "refund_differs"
        (case,) = desk.cases()
        assert (case["kind"], case["state"], case["amount_fen"]) == ("refund_differs", "open", *amount.values())
        assert desk.now(order).refunded_fen == 400

    def test_one_that_says_no_gives_the_credits_back(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id, provider="wechat")
        refund_id = desk.want(order)
        desk.tills["wechat"].moods.append("busy")
        desk.work(refund_id)
        refund_no = desk.refund(refund_id).refund_no
        assert outcome(desk.notice(order, refund_no, fen=PRICE, state="processing")) == "known"
        settled = desk.notice(order, refund_no, fen=PRICE, state="failed")
        assert settled is not None
        assert settled.account is not None
        assert (settled.outcome, settled.account.available) == ("refund_failed", 100)
        assert outcome(desk.notice(order, refund_no, fen=PRICE, state="failed")) == "known"
        assert desk.work(refund_id) is None
        (case,) = desk.cases()
        assert (case["kind"], desk.now(order).state) == ("refund_failed", "paid")
        assert desk.examine().totals == {}

    def test_a_no_after_the_yes_has_to_be_looked_at(self, desk: Desk) -> None:
        order = desk.order(desk.user(), provider="wechat")
        refund_no = desk.refund(desk.back(order)).refund_no
        assert outcome(desk.notice(order, refund_no, fen=PRICE, state="failed")) == "refund_differs"
        assert desk.now(order).state == "refunded"

    def test_a_yes_after_the_no_can_be_accepted(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id, provider="wechat")
        refund_id = desk.want(order)
        desk.tills["wechat"].moods.append("refused")
        desk.work(refund_id)
        assert outcome(desk.notice(order, desk.refund(refund_id).refund_no, fen=PRICE)) == "unknown_refund"
        assert (desk.now(order).state, desk.balance(user_id).available) == ("paid", 100)
        accept(desk, desk.cases()[-1])
        assert (desk.now(order).state, desk.balance(user_id).available) == ("refunded", 0)
        assert desk.examine().totals == {}


class TestByHand:
    def test_one_is_accepted_once_and_takes_the_credits(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id, provider="wechat")
        desk.spend(user_id, 90)
        assert outcome(desk.notice(order, BY_HAND, fen=500)) == "unknown_refund"
        assert outcome(desk.notice(order, BY_HAND, fen=500)) == "unknown_refund"
        (case,) = desk.cases()
        assert (case["kind"], case["state"], case["amount_fen"]) == ("unknown_refund", "open", 500)
        assert (desk.now(order).refunded_fen, desk.balance(user_id).available) == (0, 10)
        done = accept(desk, case)
        assert done.account is not None
        assert (done.case.state, done.case.resolution, done.account.available) == ("resolved", "accepted", 0)
        assert desk.owed(user_id) == 40
        now, (refund,) = desk.now(order), desk.refunds(order)
        assert (now.state, now.refunded_fen, now.refunding_fen) == ("partially_refunded", 500, 0)
        assert (refund.refund_no, refund.external, refund.state, refund.credits) == (BY_HAND, 1, "succeeded", 50)
        assert desk.told(user_id)[-1][0] == "refund_made_owing"
        assert desk.messages() == 0
        assert outcome(desk.notice(order, BY_HAND, fen=500)) == "known"
        with pytest.raises(CaseResolved):
            accept(desk, case)
        assert desk.examine().totals == {}

    def test_sums_are_told_apart(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id)
        desk.notice(order, "hand-1", together=100)
        desk.notice(order, "hand-2", together=350)
        assert [case["amount_fen"] for case in desk.cases()] == [100, 250]
        for case in reversed(desk.cases()):
            accept(desk, case)
        assert desk.now(order).refunded_fen == 350
        desk.notice(order, None, together=PRICE)
        accept(desk, desk.cases()[-1])
        assert (desk.now(order).state, desk.balance(user_id).available) == ("refunded", 0)
        assert desk.examine().totals == {}

    def test_where_the_sum_says_nothing_the_administrator_does(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        desk.want(order, 300)
        desk.notice(order, BY_HAND, together=400)
        (case,) = desk.cases()
        assert case["amount_fen"] is None
        assert refused(desk, case) == ResolutionUnsuitable.code
        accept(desk, case, fen=100)
        assert (desk.now(order).refunded_fen, desk.now(order).refunding_fen) == (100, 300)

    def test_one_that_comes_before_the_payment_waits_for_it(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id, provider="wechat", paid=False)
        assert outcome(desk.notice(order, BY_HAND, fen=PRICE)) == "unknown_refund"
        (case,) = desk.cases()
        assert refused(desk, case) in {ResolutionUnsuitable.code, OrderNotRefundable.code}
        assert outcome(desk.pay(order)) == "credited"
        accept(desk, case)
        assert (desk.now(order).state, desk.balance(user_id).available) == ("refunded", 0)
        assert outcome(desk.pay(order)) == "known"
        assert desk.examine().totals == {}

    def test_more_than_is_left_is_not_accepted(self, desk: Desk) -> None:
        order = desk.order(desk.user(), provider="wechat")
        desk.back(order, 700)
        desk.notice(order, BY_HAND, fen=400)
        assert refused(desk, desk.cases()[-1]) == RefundTooLarge.code
        assert desk.cases()[-1]["state"] == "open"

    def test_what_was_paid_with_other_money_takes_nothing_from_the_order(self, desk: Desk) -> None:
        order = desk.order(desk.user(), provider="wechat")
        assert outcome(desk.notice(order, BY_HAND, fen=PRICE, payment_no="another")) == "unknown_refund"
        assert refused(desk, desk.cases()[-1]) == ResolutionUnsuitable.code
        assert desk.now(order).state == "paid"

    def test_nobodys_order_and_other_gateways_open_a_case_that_cannot_be_accepted(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        assert outcome(desk.notice(elsewhere(order), BY_HAND, fen=PRICE)) == "unknown_refund"
        assert refused(desk, desk.cases()[-1]) == ResolutionUnsuitable.code
        assert desk.now(order).state == "paid"

    def test_one_that_failed_moves_nothing(self, desk: Desk) -> None:
        order = desk.order(desk.user(), provider="wechat")
        assert outcome(desk.notice(order, BY_HAND, fen=PRICE, state="failed")) == "ignored"
        assert desk.cases() == []


def refused(desk: Desk, case: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as caught:
        accept(desk, case)
    return caught.value.code


def elsewhere(order: Order) -> Order:
    """The same number at the other gateway."""
    return replace(order, provider="wechat" if order.provider == "alipay" else "alipay")


class TestStrayMoneyOfTheSameOrder:
    """Alipay says what went back in all: also of a second payment, which a case has sent back."""

    def test_it_is_not_taken_for_more_of_our_refund(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        send_back(desk, order)
        refund_id = desk.want(order, 400)
        settled = desk.notice(order, desk.refund(refund_id).refund_no, together=1_400)
        assert settled is not None
        assert (settled.outcome, desk.now(order).refunded_fen) == ("refunded", 400)
        assert [case["kind"] for case in desk.cases()] == ["double_payment"]

    def test_it_is_not_a_part_of_what_somebody_else_paid_back(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        send_back(desk, order)
        settled = desk.notice(order, "H1", together=1_090)
        assert settled is not None
        assert settled.outcome == "unknown_refund"
        assert [case["amount_fen"] for case in desk.cases()] == [1_000, 90]

    def test_nobody_can_say_while_it_is_on_its_way(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        send_back(desk, order, ended=False)
        desk.notice(order, "H1", together=1_090)
        assert [case["amount_fen"] for case in desk.cases()] == [1_000, None]


def send_back(desk: Desk, order: Order, *, ended: bool = True) -> None:
    """The order is paid once more, and an administrator sends that back."""
    paid = Payment(
        provider="alipay",
        order_no=order.order_no,
        payment_no="Q1",
        amount_fen=order.amount_fen,
        currency="CNY",
        source="query",
    )
    desk.db.transact(settlement.settle_payment, paid, ids=desk.ids(), now_ms=now_ms())
    (case,) = desk.cases()
    decision = Decision(
        case_id=case["id"],
        resolution="refund_payment",
        note="重复支付",
        admin_id=desk.admin_id,
        ids=desk.ids(),
        refund_id=new_id(),
    )
    desk.db.transact(resolving.resolve, decision, now_ms=now_ms())
    if not ended:
        desk.till.moods.append("lost")
    returning.send_back(desk.db, gateways=desk.tills, case_id=case["id"], lease_ms=60_000)
