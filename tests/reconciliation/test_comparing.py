"""A day's bill beside our books: what one of them lacks is made good, or a case names it; once, whatever happens."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, now_ms
from atelier.orders import days, states
from atelier.orders.models import ORDERS
from atelier.orders.payment_models import STATEMENTS
from atelier.payments import comparing
from atelier.payments.one_bill import LEASE_MS
from tests.reconciliation.books import CREDITS, FEN, Row, Shop, back_line, compare_twice, day, noon, paid_line

Difference = tuple[str, str, int | None, int | None]


def differences(shop: Shop) -> list[Difference]:
    """What was found: kind, outcome, and what the two books said."""
    return sorted((one["kind"], one["outcome"], one["theirs_fen"], one["ours_fen"]) for one in shop.findings())


def kinds(cases: list[Row]) -> list[str]:
    return sorted(case["kind"] for case in cases)


def test_books_that_agree_have_no_findings(shop: Shop) -> None:
    orders = [shop.sold(ago=3) for _ in range(7)]
    compare_twice(shop)
    statement = shop.statements()[day(3)]
    assert (statement["state"], statement["place"], statement["error"]) == ("done", 7, None)
    assert statement["totals"]["ours"] == {"payments": 7, "payments_fen": 7 * FEN, "refunds": 0, "refunds_fen": 0}
    assert statement["totals"]["theirs"].items() >= statement["totals"]["ours"].items()
    assert (shop.findings(), shop.cases(), shop.told) == ([], [], [])
    assert {shop.now(order.id).state for order in orders} == {states.PAID}


def test_money_of_another_currency_is_not_ours_however_much_it_is(shop: Shop) -> None:
    pending, sold = shop.order(), shop.sold(ago=3)
    shop.there.pay(pending)
    (lines,) = shop.there.bills.values()
    lines[:] = [replace(line, currency="USD") for line in lines]
    compare_twice(shop)
    assert differences(shop) == [
        ("amount_differs", "amount_differs", FEN, FEN),
        ("missing_here", "wrong_amount", FEN, None),
    ]
    assert kinds(shop.cases()) == ["amount_differs", "wrong_amount"]
    assert (shop.now(pending.id).state, shop.balance(pending.user_id).available) == (states.PENDING, 0)
    assert shop.balance(sold.user_id).available == CREDITS


def test_what_was_paid_and_never_told_is_credited(shop: Shop) -> None:
    pending, closed = shop.order(), shop.order()
    shop.close(closed)
    trades = [shop.there.pay(order) for order in (pending, closed)]
    compare_twice(shop)
    assert differences(shop) == [("missing_here", "credited", FEN, None), ("missing_here", "late", FEN, None)]
    for order, trade in zip((pending, closed), trades, strict=True):
        now = shop.now(order.id)
        assert (now.state, now.payment_no, now.paid_ms) == (states.PAID, trade.payment_no, trade.paid_ms)
        assert shop.balance(order.user_id).available == CREDITS
    assert {one.account_id for one in shop.told} == {pending.user_id, closed.user_id}
    assert shop.statements()[day(3)]["totals"]["ours"]["payments_fen"] == 2 * FEN
    assert kinds(shop.cases()) == ["late_payment"]


def test_amounts_that_differ(shop: Shop) -> None:
    sold, pending = shop.sold(), shop.order()
    (line,) = shop.there.bills[day(3)]
    shop.there.bills[day(3)] = [replace(line, amount_fen=FEN + 1)]
    shop.there.pay(pending, fen=FEN - 1)
    compare_twice(shop)
    assert differences(shop) == [
        ("amount_differs", "amount_differs", FEN + 1, FEN),
        ("missing_here", "wrong_amount", FEN - 1, None),
    ]
    cases = {case["kind"]: case for case in shop.cases()}
    assert cases["amount_differs"]["details"] == {"day": day(3), "oursFen": FEN}
    assert (cases["amount_differs"]["order_id"], cases["wrong_amount"]["order_id"]) == (sold.id, pending.id)
    assert shop.balance(pending.user_id).available == 0


def test_money_for_nothing_of_ours(shop: Shop) -> None:
    sold = shop.sold()
    line = paid_line(shop.there.trades[sold.order_no])
    shop.there.write(replace(line, payment_no="P2"))
    shop.there.write(replace(line, order_no="a" * 64, payment_no="P3"))
    shop.there.write(replace(line, order_no="订单" * 40, payment_no="流水" * 40))
    shop.there.write(replace(line, order_no=shop.order().order_no))
    compare_twice(shop)
    assert kinds(shop.cases()) == ["double_payment", "payment_reused", "unknown_order", "unknown_order"]
    assert {outcome for _, outcome, _, _ in differences(shop)} == set(kinds(shop.cases()))
    assert shop.balance(sold.user_id).available == CREDITS


def test_the_numbers_of_one_gateway_are_not_those_of_the_other(shop: Shop) -> None:
    sold = shop.sold(provider="wechat")
    shop.there.write(paid_line(shop.books["wechat"].trades[sold.order_no]))
    compare_twice(shop)
    assert [(case["kind"], case["provider"]) for case in shop.cases()] == [("unknown_order", "alipay")]


class TestRefunds:
    def test_one_that_both_know(self, shop: Shop) -> None:
        sold = shop.sold()
        number = shop.give_back(sold, fen=90)
        shop.there.write(back_line(shop.there.trades[sold.order_no], refund_no=number, fen=90, at_ms=noon(3)))
        compare_twice(shop)
        assert (shop.findings(), shop.cases()) == ([], [])
        ours = shop.statements()[day(3)]["totals"]["ours"]
        assert ours == {"payments": 1, "payments_fen": FEN, "refunds": 1, "refunds_fen": 90}

    def test_one_whose_end_nobody_told_us(self, shop: Shop) -> None:
        sold = shop.sold()
        number = shop.give_back(sold, fen=90, ended=False)
        shop.there.write(back_line(shop.there.trades[sold.order_no], refund_no=number, fen=90, at_ms=noon(3)))
        assert shop.now(sold.id).state == states.REFUNDING
        compare_twice(shop)
        assert (shop.now(sold.id).state, shop.now(sold.id).refunded_fen) == (states.PARTIALLY_REFUNDED, 90)
        assert differences(shop) == [("refund_missing_here", "refunded", 90, None)]

    def test_one_that_nobody_wanted_here(self, shop: Shop) -> None:
        sold = shop.sold()
        shop.there.write(back_line(shop.there.trades[sold.order_no], refund_no="R1", fen=90, at_ms=noon(3)))
        compare_twice(shop)
        assert differences(shop) == [("refund_missing_here", "unknown_refund", 90, None)]
        (case,) = shop.cases()
        assert (case["kind"], case["order_id"], case["amount_fen"]) == ("unknown_refund", sold.id, 90)

    def test_another_amount(self, shop: Shop) -> None:
        sold = shop.sold()
        number = shop.give_back(sold, fen=90)
        shop.there.write(back_line(shop.there.trades[sold.order_no], refund_no=number, fen=91, at_ms=noon(3)))
        compare_twice(shop)
        assert differences(shop) == [("refund_differs", "refund_differs", 91, 90)]
        assert kinds(shop.cases()) == ["refund_differs"]

    def test_one_that_the_bill_names_before_its_payment(self, shop: Shop) -> None:
        orders = [shop.order() for _ in range(6)]
        trades = [shop.there.pay(order) for order in orders]
        lines = [
            back_line(one, refund_no=f"R{number}", fen=90, at_ms=noon(3) + HOUR_MS) for number, one in enumerate(trades)
        ]
        shop.there.bills[day(3)] = lines + shop.there.bills[day(3)]
        compare_twice(shop)
        assert [case["details"]["status"] for case in shop.cases()] == [states.PAID] * 6, "all were credited before"

    def test_one_that_no_bill_names(self, shop: Shop) -> None:
        sold = shop.sold(ago=5)
        number = shop.give_back(sold, fen=90, at_ms=noon(5) + HOUR_MS)
        shop.sold(ago=4)
        shop.there.absent.add(day(4))
        shop.compare()
        assert shop.findings() == [], "the next day's bill may name it"
        shop.there.absent.clear()
        shop.hasten_days()
        compare_twice(shop)
        assert differences(shop) == [("refund_missing_in_bill", "missing_in_bill", None, 90)]
        (case,) = shop.cases()
        assert case["details"] == {"day": day(5), "refundNo": number}


class TestMissingInBills:
    def test_a_payment_that_the_bill_of_its_day_does_not_name(self, shop: Shop) -> None:
        phantom, sold = shop.sold(), shop.sold()
        del shop.there.bills[day(3)][0]
        compare_twice(shop)
        assert differences(shop) == [("missing_in_bill", "missing_in_bill", None, FEN)]
        (case,) = shop.cases()
        assert (case["kind"], case["state"], case["order_id"]) == ("missing_in_bill", "open", phantom.id)
        assert shop.statements()[day(3)]["totals"]["ours"]["payments"] == 1
        assert (shop.now(phantom.id).state, shop.balance(sold.user_id).available) == (states.PAID, CREDITS)

    @pytest.mark.parametrize("beside_ms", [-MINUTE_MS, MINUTE_MS])
    def test_around_midnight_either_bill_may_name_it(self, shop: Shop, beside_ms: int) -> None:
        midnight = days.begin_ms(day(3))
        order = shop.order(ago=4)
        trade = shop.there.pay(order, at_ms=midnight - beside_ms)
        shop.notice(order, replace(trade, paid_ms=midnight + beside_ms))
        shop.sold(ago=4)
        compare_twice(shop)
        assert (shop.findings(), shop.cases()) == ([], [])

    def test_around_midnight_both_bills_must_be_there_before_it_is_missed(self, shop: Shop) -> None:
        shop.sold(ago=4)
        shop.sold(at_ms=days.begin_ms(day(3)) + MINUTE_MS)
        shop.there.bills[day(3)].clear()
        shop.there.absent.add(day(4))
        shop.compare()
        assert shop.findings() == []
        shop.there.absent.clear()
        shop.hasten_days()
        compare_twice(shop)
        (finding,) = shop.findings()
        assert finding["statement_id"] == shop.statements()[day(3)]["id"], "it belongs to its own day"

    def test_what_is_booked_when_its_day_was_compared_long_ago(self, shop: Shop) -> None:
        shop.sold(ago=6)
        late = shop.order(ago=6)
        shop.there.absent.update({day(1), day(2)})
        shop.compare()
        forged = replace(shop.there.pay(late, at_ms=noon(6)), payment_no="forged")
        shop.there.bills[day(6)].pop()
        assert shop.notice(late, forged).outcome == "credited"
        shop.there.absent.clear()
        shop.hasten_days()
        compare_twice(shop)
        assert [(case["kind"], case["order_id"]) for case in shop.cases()] == [("missing_in_bill", late.id)]

    def test_what_a_person_credits_because_of_a_bill_is_named_by_it(self, shop: Shop) -> None:
        shop.sold(ago=5)
        order = shop.order(ago=5)
        trade = shop.there.pay(order, fen=FEN - 1, at_ms=noon(5))
        shop.there.absent.update({day(1), day(2)})
        shop.compare()
        assert kinds(shop.cases()) == ["wrong_amount"]
        shop.notice(order, replace(trade, amount_fen=FEN))
        shop.there.absent.clear()
        shop.hasten_days()
        shop.compare()
        assert kinds(shop.cases()) == ["wrong_amount"]


class TestDays:
    def test_every_day_since_the_first_order_is_compared_the_oldest_first(self, shop: Shop) -> None:
        orders = [shop.order(ago=ago) for ago in (9, 7, 4)]
        for order, ago in zip(orders, (9, 7, 4), strict=True):
            shop.there.pay(order, at_ms=noon(ago))
        shop.compare()
        found = shop.statements()
        assert sorted(found) == [day(ago) for ago in range(9, 0, -1)]
        assert {row["state"] for name, row in found.items() if name != day(1)} == {"done"}
        assert shop.there.fetched[:8] == [day(ago) for ago in range(9, 1, -1)]
        assert {shop.balance(order.user_id).available for order in orders} == {CREDITS}

    def test_nothing_is_asked_for_before_ten_in_the_morning_of_the_next_day(self, shop: Shop) -> None:
        shop.sold(ago=1)
        shop.compare()
        (row,) = shop.statements().values()
        expected = days.begin_ms(day(0)) + 10 * HOUR_MS
        if expected > now_ms():
            assert (row["state"], row["due_ms"], shop.there.fetched) == ("waiting", expected, [])
        else:
            assert (row["state"], shop.there.fetched) == ("done", [day(1)])

    def test_only_as_far_back_as_there_are_bills(self, shop: Shop) -> None:
        shop.set(ORDERS, shop.sold().id, created_ms=noon(400))
        shop.compare()
        assert (min(shop.statements()), len(shop.statements())) == (day(365), 365)
        assert (min(shop.statements("wechat")), len(shop.statements("wechat"))) == (day(90), 90)

    def test_without_orders_there_is_nothing_to_compare(self, shop: Shop) -> None:
        assert (shop.compare(), shop.statements()) == (0, {})

    def test_a_bill_that_is_not_there_is_asked_for_more_and_more_rarely(self, shop: Shop) -> None:
        shop.sold()
        shop.there.absent.add(day(3))
        waits: list[int] = []
        for tries in range(1, 10):
            shop.compare()
            row = shop.statements()[day(3)]
            assert (row["state"], row["error"], row["tries"]) == ("running", "absent", tries)
            waits.append(round((row["due_ms"] - now_ms()) / MINUTE_MS))
            shop.hasten_days()
        assert waits == [5, 10, 20, 40, 80, 160, 320, 360, 360]
        shop.there.absent.clear()
        shop.compare()
        row = shop.statements()[day(3)]
        assert (row["state"], row["error"], row["place"]) == ("done", None, 1)

    def test_a_day_without_trade_has_no_bill_and_is_done(self, shop: Shop) -> None:
        shop.order(ago=3)
        shop.there.absent.add(day(3))
        shop.compare()
        row = shop.statements()[day(3)]
        assert (row["state"], row["error"], row["totals"]["theirs"]["lines"]) == ("done", "absent", 0)

    def test_a_bill_that_never_comes_is_given_up_when_it_can_come_no_more(self, shop: Shop) -> None:
        sold = shop.sold(provider="wechat")
        shop.books["wechat"].absent.update(day(ago) for ago in range(1, 4))
        shop.compare()
        row = shop.statements("wechat")[day(3)]
        shop.set(STATEMENTS, row["id"], day=day(91), due_ms=1)
        shop.set(ORDERS, sold.id, paid_ms=noon(91))
        shop.books["wechat"].absent.add(day(91))
        shop.compare()
        assert [(case["kind"], case["order_id"]) for case in shop.cases()] == [("missing_in_bill", sold.id)]

    def test_a_day_that_cannot_be_compared_keeps_no_other_waiting(self, shop: Shop) -> None:
        shop.sold(ago=4)
        order = shop.order(ago=3)
        shop.there.pay(order)
        broken: Any = [None]
        shop.there.bills[day(4)] = broken
        shop.compare()
        found = shop.statements()
        assert (found[day(4)]["state"], found[day(4)]["error"], found[day(3)]["state"]) == (
            "running",
            "INTERNAL",
            "done",
        )
        assert shop.balance(order.user_id).available == CREDITS


class TestRestarting:
    def a_mixed_day(self, shop: Shop) -> None:
        """Ten lines: five known, two lost, one for a stranger, two refunds nobody knows."""
        sold = [shop.sold() for _ in range(5)]
        for _ in range(2):
            shop.there.pay(shop.order())
        trade = shop.there.trades[sold[0].order_no]
        shop.there.write(replace(paid_line(trade), order_no="stranger", payment_no="P1"))
        for number in range(2):
            shop.there.bills[day(3)].insert(number, back_line(trade, refund_no=f"R{number}", fen=9, at_ms=noon(3)))

    def assert_whole(self, shop: Shop) -> None:
        statement = shop.statements()[day(3)]
        assert (statement["state"], statement["place"]) == ("done", 10)
        assert statement["totals"]["theirs"]["payments_fen"] == 8 * FEN
        assert statement["totals"]["ours"]["payments_fen"] == 7 * FEN
        assert kinds(shop.cases()) == ["unknown_order", "unknown_refund", "unknown_refund"]
        assert len(shop.findings()) == 5
        assert len(shop.told) == 2
        assert shop.examine().totals == {}

    def test_a_connection_that_breaks_anywhere_is_gone_on_with_where_it_broke(self, shop: Shop) -> None:
        self.a_mixed_day(shop)
        shop.there.breaks = list(range(10))
        places: list[int] = []
        for _ in range(11):
            shop.hasten_days()
            shop.compare()
            places.append(shop.statements()[day(3)]["place"])
        assert places == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 10]
        self.assert_whole(shop)

    def test_a_long_bill_is_compared_in_several_turns(self, shop: Shop) -> None:
        self.a_mixed_day(shop)
        places: list[int] = []
        while not places or shop.statements()[day(3)]["state"] != "done":
            shop.hasten_days()
            shop.compare(seconds_max=0)
            places.append(shop.statements()[day(3)]["place"])
        assert sorted(set(places)) == [3, 6, 9, 10]
        self.assert_whole(shop)

    def test_a_bill_that_changes_is_begun_anew(self, shop: Shop) -> None:
        self.a_mixed_day(shop)
        shop.there.breaks = [7]
        shop.compare()
        assert shop.statements()[day(3)]["place"] == 6
        shop.there.bills[day(3)].insert(0, shop.there.bills[day(3)].pop())
        shop.hasten_days()
        shop.compare()
        self.assert_whole(shop)

    def test_two_who_compare_at_once_double_nothing(self, shop: Shop) -> None:
        self.a_mixed_day(shop)
        # Some lose the day to another in the middle of it, at whatever line.
        losses = iter(range(6))
        shop.there.during = lambda place: shop.hasten_days() if place % 4 == 3 and next(losses, None) else None
        with ThreadPoolExecutor(4) as threads:
            for one in [threads.submit(shop.compare, batch=2) for _ in range(8)]:
                one.result()
        shop.there.during = lambda _place: None
        shop.hasten_days()
        shop.compare()
        self.assert_whole(shop)

    def test_who_has_lost_the_day_writes_nothing(self, shop: Shop) -> None:
        self.a_mixed_day(shop)
        shop.there.during = lambda place: shop.rerun() if place == 1 else None
        assert shop.compare(seconds_max=0) == 0
        row = shop.statements()[day(3)]
        assert (row["state"], row["place"], row["totals"]) == ("waiting", 0, {})


def test_a_period_is_long_enough_for_a_lease() -> None:
    """The day of one who was killed comes back, and not before they must have been."""
    assert LEASE_MS > 2 * comparing.SECONDS_MAX * 1_000
    assert LEASE_MS < DAY_MS
