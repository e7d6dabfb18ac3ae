"""Asking gateways to pay back: whatever they answer, and whether or not they do, money goes back once."""

from collections import Counter

import pytest

from atelier.contracts.messages import PAYMENTS_REFUND
from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, now_ms
from atelier.orders import refunds
from atelier.payments import repaying
from tests.ledger.test_races import at_once, kinds
from tests.payments.desk import Desk
from tests.payments.till import Mood

PRICE = 1_000
GIVEN = 100


def test_money_goes_back_and_the_user_is_told(desk: Desk) -> None:
    user_id = desk.user()
    order = desk.order(user_id)
    refund_id = desk.want(order, 400)
    settled = desk.work(refund_id)
    assert settled is not None
    assert settled.outcome == "refunded"
    refund, now = desk.refund(refund_id), desk.now(order)
    assert (refund.state, refund.gateway_no, refund.error) == ("succeeded", f"G{refund.refund_no}", None)
    assert (now.state, now.refunded_fen, now.refunding_fen) == ("partially_refunded", 400, 0)
    assert desk.told(user_id)[1:] == [("refund_made", {"orderNo": order.order_no, "yuan": "4.00", "amount": 40})]
    assert desk.till.paid_back(order.order_no) == 400
    (logged,) = desk.operations("REFUND_SUCCESS")
    assert (logged["user_id"], logged["details"]["refundId"]) == (user_id, refund_id)
    desk.back(order)
    assert desk.now(order).state == "refunded"
    assert desk.till.paid_back(order.order_no) == PRICE
    assert (desk.cases(), desk.examine().totals) == ([], {})


def test_who_owes_is_told_how_much(desk: Desk) -> None:
    user_id = desk.user()
    order = desk.order(user_id)
    desk.spend(user_id, 70)
    desk.back(order)
    told = {"orderNo": order.order_no, "yuan": "10.00", "amount": GIVEN, "owed": 70}
    assert desk.told(user_id)[1:] == [("refund_made_owing", told)]


def test_a_refund_that_has_ended_is_not_asked_for_again(desk: Desk) -> None:
    order = desk.order(desk.user())
    refund_id = desk.back(order)
    assert desk.work(refund_id) is None
    assert [call for call, _ in desk.till.asked] == ["refund"]


@pytest.mark.parametrize("mood", ["lost", "unheard", "broken"])
def test_an_answer_that_never_came_is_asked_for_before_anything_else(desk: Desk, mood: Mood) -> None:
    user_id = desk.user()
    order = desk.order(user_id)
    refund_id = desk.want(order)
    desk.till.moods.append(mood)
    assert desk.work(refund_id) is None
    assert desk.refund(refund_id).state == "requested"
    assert desk.balance(user_id).available == 0
    settled = desk.later(refund_id)
    assert settled is not None
    assert settled.outcome == "refunded"
    number = desk.refund(refund_id).refund_no
    again = [("refund", number)] if mood == "unheard" else []
    assert desk.till.asked == [("refund", number), ("query", number), *again]
    assert desk.till.paid_back(order.order_no) == PRICE
    assert desk.examine().totals == {}


def test_one_that_the_gateway_is_at_is_only_asked_about(desk: Desk) -> None:
    order = desk.order(desk.user())
    refund_id = desk.want(order)
    desk.till.moods.append("busy")
    assert desk.work(refund_id) is None
    assert (desk.refund(refund_id).state, desk.now(order).state) == ("processing", "refunding")
    assert desk.later(refund_id) is None
    desk.till.finish(desk.refund(refund_id).refund_no)
    settled = desk.later(refund_id)
    assert settled is not None
    assert settled.outcome == "refunded"
    assert [call for call, _ in desk.till.asked] == ["refund", "query", "query"]


@pytest.mark.parametrize("mood", ["refused", "closed"])
def test_one_that_is_refused_gives_the_credits_back_and_asks_for_a_person(desk: Desk, mood: Mood) -> None:
    user_id = desk.user()
    order = desk.order(user_id)
    desk.spend(user_id, 70)
    refund_id = desk.want(order)
    desk.till.moods.append(mood)
    settled = desk.work(refund_id)
    assert settled is not None
    assert settled.account is not None
    assert (settled.outcome, settled.account.available) == ("refund_failed", 30)
    assert (desk.balance(user_id).available, desk.owed(user_id)) == (30, 0)
    now, refund = desk.now(order), desk.refund(refund_id)
    assert (now.state, now.refunded_fen, now.refunding_fen) == ("paid", 0, 0)
    error = "NOT_ENOUGH" if mood == "refused" else "REFUND_CLOSED"
    assert (refund.state, refund.error) == ("failed", error)
    (case,) = desk.cases()
    assert (case["kind"], case["state"], case["order_id"]) == ("refund_failed", "open", order.id)
    assert (case["details"]["refundId"], case["details"]["errorCode"]) == (refund_id, error)
    assert [kind for kind, _ in desk.told(user_id)] == ["payment_received"]
    assert desk.examine().totals == {}
    # Another one is another number.
    desk.back(order)
    assert desk.till.paid_back(order.order_no) == PRICE


def test_a_refusal_to_say_is_no_refusal_to_pay(desk: Desk) -> None:
    order = desk.order(desk.user())
    refund_id = desk.want(order)
    desk.till.moods.extend(["lost", "refused"])
    assert (desk.work(refund_id), desk.later(refund_id)) == (None, None)
    assert desk.refund(refund_id).error == "GATEWAY_UNKNOWN"
    settled = desk.later(refund_id)
    assert settled is not None
    assert settled.outcome == "refunded"
    assert desk.till.paid_back(order.order_no) == PRICE


def test_another_amount_than_was_asked_for_opens_a_case(desk: Desk) -> None:
    order = desk.order(desk.user())
    desk.till.moods.append("more")
    settled = desk.work(desk.want(order, 400))
    assert settled is not None
    assert settled.outcome == "refund_differs"
    (case,) = desk.cases()
    assert (case["kind"], case["amount_fen"], case["details"]["amountFen"]) == ("refund_differs", 401, 400)
    assert desk.now(order).state == "partially_refunded"


def test_a_gateway_that_is_not_set_up_is_waited_for(desk: Desk) -> None:
    order = desk.order(desk.user())
    refund_id = desk.want(order)
    assert repaying.pay_back(desk.db, gateways={}, refund_id=refund_id, lease_ms=1_000) is None
    assert desk.refund(refund_id).error == "GATEWAY_MISSING"
    settled = desk.later(refund_id)
    assert settled is not None
    assert settled.outcome == "refunded"


class TestWaiting:
    def test_waits_widen(self, desk: Desk) -> None:
        refund_id = desk.want(desk.order(desk.user()))
        for wait_ms in (*repaying.WAITS_MS, repaying.WAITS_MS[-1]):
            desk.till.moods.append("unheard")
            assert desk.later(refund_id) is None
            due_ms = desk.due_ms(refund_id)
            assert due_ms is not None
            assert abs(due_ms - now_ms() - wait_ms) < 5 * SECOND_MS
        assert desk.refund(refund_id).tries == len(repaying.WAITS_MS) + 1

    def test_one_that_is_not_due_is_left_alone(self, desk: Desk) -> None:
        refund_id = desk.want(desk.order(desk.user()))
        desk.till.moods.append("unheard")
        desk.work(refund_id)
        assert desk.work(refund_id) is None
        assert len(desk.till.asked) == 1

    @pytest.mark.parametrize(("mood", "after_ms"), [("unheard", DAY_MS), ("busy", 5 * DAY_MS)])
    def test_one_that_takes_too_long_opens_one_case_and_stays_open(self, desk: Desk, mood: Mood, after_ms: int) -> None:
        order = desk.order(desk.user())
        refund_id = desk.want(order)
        desk.till.moods.append(mood)
        desk.work(refund_id)
        desk.set(refund_id, created_ms=now_ms() - after_ms + HOUR_MS)
        desk.till.moods.append(mood)
        desk.later(refund_id)
        assert desk.cases() == []
        desk.set(refund_id, created_ms=now_ms() - after_ms - HOUR_MS)
        for _ in range(2):
            desk.till.moods.append(mood)
            assert desk.later(refund_id) is None
        (case,) = desk.cases()
        assert (case["kind"], case["state"], case["details"]["refundId"]) == ("refund_stuck", "open", refund_id)
        assert desk.now(order).state == "refunding"
        if mood == "busy":
            desk.till.finish(desk.refund(refund_id).refund_no)
        settled = desk.later(refund_id)
        assert settled is not None
        assert settled.outcome == "refunded"
        (case,) = desk.cases()
        assert (case["state"], case["resolution"]) == ("resolved", "refunded")

    def test_a_message_that_was_lost_is_sent_again(self, desk: Desk) -> None:
        refund_id = desk.want(desk.order(desk.user()))
        desk.relay()
        assert desk.db.transact(refunds.requeue_overdue, now_ms=now_ms()) == 0
        desk.set(refund_id, due_ms=now_ms() - 2 * MINUTE_MS)
        assert desk.db.transact(refunds.requeue_overdue, now_ms=now_ms()) == 1
        assert desk.db.transact(refunds.requeue_overdue, now_ms=now_ms()) == 0
        assert desk.messages() == 1, PAYMENTS_REFUND.name
        assert desk.work(refund_id) is not None

    def test_whoever_dies_with_it_holds_it_no_longer_than_the_lease(self, desk: Desk) -> None:
        refund_id = desk.want(desk.order(desk.user()))
        assert desk.db.transact(refunds.claim, refund_id=refund_id, lease_ms=60_000)
        assert desk.work(refund_id) is None
        desk.set(refund_id, due_ms=now_ms() - 1)
        settled = desk.work(refund_id)
        assert settled is not None
        # The first one may have asked already.
        assert [call for call, _ in desk.till.asked] == ["query", "refund"]


class TestAtOnce:
    def test_messages_that_come_twice_ask_once(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        refund_id = desk.want(order)
        outcomes = at_once(lambda _: desk.work(refund_id), threads=8)
        assert kinds(outcomes) == Counter({"NoneType": 7, "Settled": 1})
        assert len(desk.till.asked) == 1

    def test_workers_that_all_believe_it_is_theirs_pay_back_once(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id)
        refund_id = desk.want(order)
        outcomes = at_once(lambda _: desk.work(refund_id, lease_ms=0), threads=8)
        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert desk.till.paid_back(order.order_no) == PRICE
        assert [kind for kind, _ in desk.told(user_id)] == ["payment_received", "refund_made"]
        assert desk.examine().totals == {}

    def test_a_notice_that_comes_while_the_answer_does(self, desk: Desk) -> None:
        for number in range(4):
            user_id = desk.user()
            order = desk.order(user_id)
            refund_id = desk.want(order, 400)
            refund_no = desk.refund(refund_id).refund_no

            def hear(at: int, order=order, refund_id=refund_id, refund_no=refund_no) -> object:  # type: ignore[no-untyped-def]
                if at % 2:
                    return desk.work(refund_id)
                return desk.notice(order, refund_no, together=400, key=f"{order.id}:{at // 4}")

            outcomes = at_once(hear, threads=8)
            assert [one for one in outcomes if isinstance(one, Exception)] == [], number
            assert desk.now(order).refunded_fen == 400
            assert [kind for kind, _ in desk.told(user_id)] == ["payment_received", "refund_made"]
            assert desk.balance(user_id).available == 60
        assert (desk.cases(), desk.examine().totals) == ([], {})
