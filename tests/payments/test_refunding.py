"""Refunds as administrators want them: what is taken back, what is owed, and what is refused."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.contracts import idempotency
from atelier.contracts.idempotency import IdempotencyKeyReused, Keyed
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.ledger.errors import InsufficientCredits
from atelier.orders import refunds
from atelier.orders import service as orders
from atelier.orders.errors import OrderNotFound, OrderNotRefundable, RefundTooLarge
from tests.ledger.test_races import at_once, kinds
from tests.payments.desk import Desk

PRICE = 1_000
GIVEN = 100


def key(body: str = "") -> Keyed:
    return idempotency.keyed(user_id="admin", route="r", key="k", body=body.encode())


class TestRequesting:
    def test_credits_are_gone_and_the_gateway_is_to_be_asked(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id)
        desk.relay()
        wish = desk.wish(order)
        done = desk.grant(wish)
        assert done.account is not None
        assert (done.account.account_id, done.account.available) == (user_id, 0)
        now = desk.now(order)
        assert (now.state, now.refunding_fen, now.refunded_fen) == ("refunding", PRICE, 0)
        refund = desk.refund(wish.refund_id)
        assert (refund.state, refund.amount_fen, refund.credits, refund.taken) == ("requested", PRICE, GIVEN, GIVEN)
        assert done.answer["refund"]["id"] == refund.id
        assert desk.messages() == 1
        (logged,) = desk.operations()
        assert (logged["user_id"], logged["resource_id"]) == (desk.admin_id, order.id)
        assert logged["details"]["reason"] == "用户申请退款"
        assert desk.examine().totals == {}

    def test_what_was_spent_is_owed_and_nothing_is_negative(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id)
        desk.spend(user_id, 70)
        refund = desk.refund(desk.want(order))
        assert (refund.credits, refund.taken) == (GIVEN, 30)
        assert (desk.balance(user_id).available, desk.owed(user_id)) == (0, 70)
        with pytest.raises(InsufficientCredits):
            desk.spend(user_id, 1)
        assert desk.examine().totals == {}

    @pytest.mark.parametrize("state", ["pending", "closed", "refunded", "all of it"])
    def test_what_was_not_paid_or_is_gone_is_not_paid_back(self, desk: Desk, state: str) -> None:
        order = desk.order(desk.user(), paid=state not in {"pending", "closed"})
        if state == "closed":
            desk.db.transact(orders.close, order_id=order.id, now_ms=now_ms())
        if state == "refunded":
            desk.back(order)
        if state == "all of it":
            desk.want(order)
        desk.relay()
        with pytest.raises(OrderNotRefundable) as caught:
            desk.want(order, 1)
        assert caught.value.details == {"order_status": desk.now(order).state}
        assert desk.messages() == 0

    def test_nobodys_order(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        with pytest.raises(OrderNotFound):
            desk.want(replace(order, id=new_id()))

    def test_no_more_than_is_left(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        desk.want(order, 300)
        with pytest.raises(RefundTooLarge) as caught:
            desk.want(order, 701)
        assert caught.value.details == {"refundableFen": 700}
        desk.want(order, 700)
        assert desk.now(order).refunding_fen == PRICE

    def test_the_same_key_gets_the_same_answer(self, desk: Desk) -> None:
        order = desk.order(desk.user())
        first = desk.grant(desk.wish(order, 100), keyed=key())
        again = desk.grant(desk.wish(order, 100), keyed=key())
        assert (again.replayed, again.account, again.answer) == (True, None, first.answer)
        with pytest.raises(IdempotencyKeyReused):
            desk.grant(desk.wish(order, 100), keyed=key("other"))
        assert desk.now(order).refunding_fen == 100

    def test_a_commit_whose_answer_was_lost_is_recognised(self, desk: Desk) -> None:
        wish = desk.wish(desk.order(desk.user()))
        first, again = desk.grant(wish), desk.grant(wish)
        assert (again.answer, again.account) == (first.answer, None)
        assert desk.messages() == 1

    def test_two_administrators_at_once_pay_everything_back_once(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id)
        outcomes = at_once(lambda _: desk.want(order), threads=8)
        assert kinds(outcomes) == Counter({"str": 1, "OrderNotRefundable": 7})
        assert (desk.now(order).refunding_fen, desk.balance(user_id).available) == (PRICE, 0)
        assert desk.examine().totals == {}

    def test_parts_that_many_want_at_once_are_never_more_than_the_whole(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id)
        outcomes = at_once(lambda _: desk.want(order, 150), threads=12)
        assert kinds(outcomes) == Counter({"str": 6, "RefundTooLarge": 6})
        desk.want(order)
        assert sum(one.credits for one in desk.db.read(refunds.of_order, order_id=order.id)) == GIVEN
        assert (desk.balance(user_id).available, desk.owed(user_id)) == (0, 0)
        assert desk.examine().totals == {}


class TestRounding:
    @given(
        credits_given=st.integers(1, 50),
        whole_fen=st.integers(1, 50),
        wishes=st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=30),
    )
    def test_who_pays_everything_back_takes_everything(
        self, credits_given: int, whole_fen: int, wishes: list[tuple[int, bool]]
    ) -> None:
        going: list[tuple[int, int]] = []  # fen and credits of every refund that has not failed
        for fen, fails in [*wishes, (whole_fen, False)]:
            part = min(fen, whole_fen - sum(one[0] for one in going))
            if part == 0:
                going.pop(0)  # There is nothing left: one fails after all.
                continue
            taken = sum(one[1] for one in going)
            back = sum(one[0] for one in going) + part
            mine = refunds.share(credits_given=credits_given, whole_fen=whole_fen, back_fen=back, going=taken)
            assert 0 <= mine <= credits_given - taken
            if back == whole_fen:
                assert taken + mine == credits_given
            if not fails:
                going.append((part, mine))

    def test_ten_credits_in_three_parts(self, desk: Desk) -> None:
        user_id = desk.user()
        order = desk.order(user_id, fen=3, gives=10)
        assert [desk.refund(desk.back(order, 1)).credits for _ in range(3)] == [3, 3, 4]
        assert (desk.now(order).state, desk.balance(user_id).available) == ("refunded", 0)
        assert desk.examine().totals == {}
