"""Orders of which no notice comes: their gateways are asked, until each is paid or over, and nothing is lost by it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from atelier.gateways.port import Trade, TradeState
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.orders import asking, states
from atelier.orders.models import ORDERS
from atelier.orders.service import LATE_MINUTES, QUERIED_MINUTES
from atelier.payments import watching
from tests.reconciliation.books import CREDITS, FEN, PROVIDERS, Shop


def test_a_notice_that_never_arrives_is_made_good_by_a_query(shop: Shop) -> None:
    order = shop.order(ago=0)
    trade = shop.there.pay(order, at_ms=now_ms())
    assert shop.watch() == 0, "nobody is asked before the first minute is over"
    shop.due(order)
    assert shop.watch() == 1
    now = shop.now(order.id)
    assert (now.state, now.payment_no, now.paid_ms) == (states.PAID, trade.payment_no, trade.paid_ms)
    assert shop.balance(order.user_id).available == CREDITS
    assert [(one.account_id, one.available) for one in shop.told] == [(order.user_id, CREDITS)]
    assert (shop.waits(order), shop.watch()) == (None, 0)
    assert shop.notice(order, trade).outcome == "known"
    assert shop.examine().totals == {}


@pytest.mark.parametrize("state", ["absent", "pending"])
def test_a_pending_order_is_asked_for_more_and_more_rarely_and_closed_at_its_end(shop: Shop, state: str) -> None:
    order = shop.order(ago=0)
    if state == "pending":
        shop.there.trades[order.order_no] = Trade(order_no=order.order_no, state="pending")
    waits = [shop.waits(order)]
    for _ in range(3):
        shop.due(order)
        shop.watch()
        waits.append(shop.waits(order))
    # The half hour of the last one is that of the end of the order.
    assert waits == [1.0, 2.0, 7.0, 20.0]
    assert QUERIED_MINUTES == (1, 3, 10, 30)
    assert (len(shop.there.asked), shop.there.closed) == (3, [])
    shop.due(order, expires_ms=1)
    shop.watch()
    assert shop.there.closed == [order.order_no], "first where someone might still pay it"
    assert shop.now(order.id).state == states.CLOSED


def test_a_closed_order_is_asked_for_some_more_times(shop: Shop) -> None:
    order = shop.order(ago=0)
    shop.close(order)
    waits = [shop.waits(order)]
    for _ in LATE_MINUTES:
        shop.due(order)
        assert shop.watch() == 1
        waits.append(shop.waits(order))
    assert waits == [*(float(minutes) for minutes in LATE_MINUTES), None]
    assert shop.watch() == 0


def test_who_pays_while_the_order_ends_gets_the_credits(shop: Shop) -> None:
    order = shop.order(ago=0)
    shop.there.pay(order)
    shop.due(order, expires_ms=1)
    shop.watch()
    assert (shop.now(order.id).state, shop.cases()) == (states.PAID, [])
    assert shop.balance(order.user_id).available == CREDITS
    assert len(shop.told) == 1


def test_what_is_paid_after_the_end_is_found_and_noted(shop: Shop) -> None:
    order = shop.order(ago=0)
    shop.close(order)
    shop.there.pay(order)
    shop.due(order)
    shop.watch()
    (case,) = shop.cases()
    assert (case["kind"], case["state"]) == ("late_payment", "resolved")
    assert shop.balance(order.user_id).available == CREDITS


def test_an_order_that_can_be_paid_there_though_it_is_closed_here_is_closed_there(shop: Shop) -> None:
    order = shop.order(ago=0)
    shop.close(order)
    shop.there.trades[order.order_no] = Trade(order_no=order.order_no, state="pending")
    shop.due(order)
    shop.watch()
    assert shop.there.closed == [order.order_no]


@pytest.mark.parametrize("state", ["closed", "refunded"])
def test_an_order_that_is_over_at_its_gateway_is_over_here(shop: Shop, state: TradeState) -> None:
    order = shop.order(ago=0)
    shop.there.trades[order.order_no] = Trade(order_no=order.order_no, state=state)
    shop.due(order)
    shop.watch()
    assert (shop.now(order.id).state, shop.balance(order.user_id).available) == (states.CLOSED, 0)


def test_a_wrong_amount_is_one_case_and_the_order_still_ends(shop: Shop) -> None:
    order = shop.order(ago=0)
    shop.there.pay(order, fen=FEN - 1)
    for expires_ms in (2**45, 1, 1):
        shop.due(order, expires_ms=expires_ms)
        shop.watch()
    assert [case["kind"] for case in shop.cases()] == ["wrong_amount"]
    assert (shop.now(order.id).state, shop.balance(order.user_id).available) == (states.CLOSED, 0)
    assert shop.there.closed == []


def test_a_gateway_that_answers_nothing_is_asked_less_and_less_and_no_order_is_lost(shop: Shop) -> None:
    order = shop.order(ago=0)
    shop.there.silent = True
    waits: list[float | None] = []
    for age_minutes in (1, 4, 20, 600):
        shop.due(order, created_ms=now_ms() - age_minutes * MINUTE_MS, expires_ms=1)
        assert shop.watch() == 1
        waits.append(shop.waits(order))
    assert waits == [0.5, 1.0, 5.0, 10.0]
    assert shop.now(order.id) == replace(order, created_ms=shop.now(order.id).created_ms, expires_ms=1)
    shop.there.silent = False
    shop.there.pay(order)
    shop.due(order)
    shop.watch()
    assert shop.balance(order.user_id).available == CREDITS


def test_a_silent_gateway_keeps_the_other_one_waiting_for_no_more_than_one_group(shop: Shop) -> None:
    silent = [shop.order(ago=0) for _ in range(3 * watching.GROUP)]
    paid = shop.order(ago=0, provider="wechat")
    shop.books["wechat"].pay(paid)
    for order in (*silent, paid):
        shop.due(order)
    shop.set(ORDERS, paid.id, query_ms=2)
    shop.there.silent = True
    assert shop.watch() == len(silent) + 1
    assert shop.now(paid.id).state == states.PAID
    assert len(shop.there.asked) == watching.GROUP
    assert all(shop.waits(order) for order in silent)


def test_an_order_of_a_gateway_that_is_gone_ends_all_the_same(shop: Shop) -> None:
    order = shop.order(ago=0, provider="wechat")
    del shop.books["wechat"]
    shop.due(order)
    shop.watch()
    assert shop.waits(order) == 2.0
    shop.due(order, expires_ms=1)
    shop.watch()
    assert shop.now(order.id).state == states.CLOSED


def test_many_who_watch_at_once_ask_for_each_order_once(shop: Shop) -> None:
    orders = [shop.order(ago=0, provider=PROVIDERS[number % 2]) for number in range(24)]
    for order in orders:
        shop.books[order.provider].pay(order)
        shop.due(order)
    with ThreadPoolExecutor(4) as threads:
        for one in [threads.submit(shop.watch) for _ in range(4)]:
            one.result()
    shop.watch()
    asked = Counter(number for books in shop.books.values() for number in books.asked)
    assert asked == Counter(order.order_no for order in orders)
    assert {shop.balance(order.user_id).available for order in orders} == {CREDITS}
    assert len(shop.told) == len(orders)
    assert shop.examine().totals == {}


def test_who_dies_with_orders_in_hand_leaves_them_to_the_next(shop: Shop) -> None:
    order = shop.order(ago=0)
    shop.there.pay(order)
    shop.due(order)
    assert len(shop.db.transact(asking.claim, limit=8, lease_ms=watching.LEASE_MS)) == 1
    assert shop.watch() == 0
    assert shop.waits(order) == watching.LEASE_MS / MINUTE_MS
    shop.due(order)
    shop.watch()
    assert shop.now(order.id).state == states.PAID
