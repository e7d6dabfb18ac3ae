"""Closing orders that somebody may be paying at this moment."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.orders.service import Order
from atelier.payments import canceling
from atelier.payments.canceling import Ended
from atelier.payments.settlement import SettlementIds
from tests.payments.booth import Booth, Mood
from tests.payments.counter import CREDITS, PRICE_FEN, Counter, paid


def ordered(counter: Counter, booth: Booth) -> Order:
    """An order that the gateway knows."""
    order = counter.order()
    booth.states[order.order_no], booth.amounts[order.order_no] = "pending", order.amount_fen
    return order


def expired(counter: Counter, booth: Booth, order: Order) -> Ended:
    """What the periodic task does with it."""
    ids = SettlementIds.made(new_id)
    return canceling.close_expired(counter.db, {"alipay": booth}, order, ids=ids, now_ms=now_ms())


def test_what_nobody_has_paid_is_closed_at_its_gateway_and_here(counter: Counter) -> None:
    booth = Booth()
    order = ordered(counter, booth)
    ended = expired(counter, booth, order)
    assert (ended.order.state, ended.settled, booth.states[order.order_no]) == ("closed", None, "closed")
    assert expired(counter, booth, order).order == ended.order


def test_what_its_gateway_has_never_heard_of_is_closed(counter: Counter) -> None:
    booth = Booth()
    order = counter.order()
    assert expired(counter, booth, order).order.state == "closed"


def test_what_no_gateway_is_set_up_for_any_more_is_closed_here(counter: Counter) -> None:
    order = counter.order()
    ids = SettlementIds.made(new_id)
    assert canceling.close_expired(counter.db, {}, order, ids=ids, now_ms=now_ms()).order.state == "closed"


def test_what_was_paid_at_the_last_moment_is_credited(counter: Counter) -> None:
    booth = Booth()
    order = ordered(counter, booth)
    booth.meanwhile = booth.pay
    ended = expired(counter, booth, order)
    assert ended.settled
    assert (ended.order.state, ended.settled.outcome, counter.available(order)) == ("paid", "credited", CREDITS)
    booth.meanwhile = None
    again = expired(counter, booth, order)
    assert again.settled
    assert (again.settled.outcome, counter.available(order)) == ("known", CREDITS)


def test_what_was_paid_wrongly_is_closed_and_has_a_case(counter: Counter) -> None:
    booth = Booth()
    order = ordered(counter, booth)
    booth.pay(order.order_no, amount_fen=PRICE_FEN - 1)
    for _ in range(2):
        assert expired(counter, booth, order).order.state == "closed"
    assert [(one["kind"], one["state"]) for one in counter.cases()] == [("wrong_amount", "open")]
    assert counter.available(order) == 0


@pytest.mark.parametrize(
    ("moods", "error"),
    [
        (["unheard"], GatewayUnknown),
        (["lost"], GatewayUnknown),
        (["refused"], GatewayRefused),
        (["refused", "unheard"], GatewayUnknown),
        (["broken"], ValueError),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_while_nobody_can_say_nothing_changes(counter: Counter, moods: list[Mood], error: type[Exception]) -> None:
    booth = Booth()
    order = ordered(counter, booth)
    booth.moods.extend(moods)
    with pytest.raises(error):
        expired(counter, booth, order)
    assert counter.see(order) == order
    assert expired(counter, booth, order).order.state == "closed"


def test_closing_and_a_notice_at_once_are_one_payment(counter: Counter) -> None:
    booth = Booth()
    orders = [ordered(counter, booth) for _ in range(12)]

    def close(order: Order) -> object:
        return expired(counter, booth, order)

    def pay(order: Order) -> object:
        # What the gateway has taken before it is asked to close: its notice and our question come at once.
        return counter.take(paid(order, payment_no=f"P{order.order_no}"))

    for order in orders[:6]:
        booth.pay(order.order_no)
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(do, order) for order in orders for do in (close, pay)]
        assert all(future.result() for future in futures)
    for order in orders:
        assert (counter.see(order).state, counter.available(order)) == ("paid", CREDITS)
    # Notices of what the gateway says is closed come from a gateway that is wrong: credited, and never silent.
    assert {one["kind"] for one in counter.cases()} <= {"late_payment"}
    assert counter.shop.examine().totals == {}
