"""Stray money that an administrator sent back: a day's bill names it by its case, and it is compared like a refund."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from atelier.gateways.port import ProviderName
from atelier.kernel.clock import HOUR_MS
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.orders.payment_models import CASES
from atelier.orders.service import Order
from atelier.payments import returning
from atelier.payments.returning import Said
from tests.reconciliation.books import FEN, PROVIDERS, Shop, back_line, compare_twice, day, noon
from tests.reconciliation.high_street import AGO, HighStreet
from tests.reconciliation.strays import STRAY, conclude, decide, line_of, sent_back, stray
from tests.sandbox_server import SandboxServer


def refunds_found(shop: Shop) -> list[tuple[str, str, int | None, int | None]]:
    """What was found of refunds: kind, outcome, and what the two books said."""
    found = [one for one in shop.findings() if "refund" in one["kind"]]
    return sorted((one["kind"], one["outcome"], one["theirs_fen"], one["ours_fen"]) for one in found)


def kinds(shop: Shop) -> list[str]:
    return [case["kind"] for case in shop.cases()]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", STRAY)
def test_one_that_both_know(shop: Shop, kind: str, provider: ProviderName) -> None:
    case, line = sent_back(shop, kind, provider)
    shop.books[provider].write(line)
    compare_twice(shop)
    assert (shop.cases()[0]["bill_day"], kinds(shop), refunds_found(shop)) == (day(3), [kind], [])
    (finding,) = shop.findings()
    assert (finding["kind"], finding["outcome"], finding["case_id"]) == ("missing_here", kind, case["id"])
    totals = shop.statements(provider)[day(3)]["totals"]
    assert totals["theirs"]["refunds_fen"] == totals["ours"]["refunds_fen"] == case["amount_fen"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_one_whose_end_nobody_told_us(shop: Shop, provider: ProviderName) -> None:
    trade = stray(shop, "double_payment", provider)
    (case,) = shop.cases()
    decide(shop, case["id"])
    shop.books[provider].write(line_of(case, trade))
    compare_twice(shop)
    (now,) = shop.cases()
    assert (now["state"], now["resolution"], now["bill_day"]) == ("resolved", "refunded", day(3))
    assert refunds_found(shop) == [("refund_missing_here", "returned", case["amount_fen"], None)]
    assert shop.statements(provider)[day(3)]["totals"]["ours"]["refunds_fen"] == case["amount_fen"]


def test_one_that_the_gateway_had_refused_and_made_after_all(shop: Shop) -> None:
    trade = stray(shop, "wrong_amount", "alipay")
    (case,) = shop.cases()
    decide(shop, case["id"])
    conclude(shop, case["id"], Said(succeeded=False, error="SYSTEM_BUSY"))
    shop.there.write(line_of(case, trade))
    compare_twice(shop)
    (now,) = shop.cases()
    assert (now["state"], now["resolution"], now["resolved_by"], now["error"]) == ("resolved", "refunded", None, None)
    assert refunds_found(shop) == [("refund_missing_here", "returned", case["amount_fen"], None)]


def test_one_that_goes_back_after_credits_were_given_for_it(shop: Shop) -> None:
    trade = stray(shop, "double_payment", "alipay")
    (case,) = shop.cases()
    decide(shop, case["id"])
    conclude(shop, case["id"], Said(succeeded=False, error="SYSTEM_BUSY"))
    decide(shop, case["id"], "credit", gives=7)
    shop.there.write(line_of(case, trade))
    compare_twice(shop)
    first, second = shop.cases()
    assert (first["resolution"], first["bill_day"], second["kind"], second["state"]) == (
        "credited",
        None,
        "refund_differs",
        "open",
    )
    assert second["details"].items() >= {"caseId": case["id"], "status": "credited"}.items()
    assert refunds_found(shop) == [("refund_differs", "refund_differs", case["amount_fen"], None)]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("told", [True, False])
def test_another_amount(shop: Shop, provider: ProviderName, *, told: bool) -> None:
    trade = stray(shop, "double_payment", provider)
    (case,) = shop.cases()
    decide(shop, case["id"])
    if told:
        conclude(shop, case["id"], Said(succeeded=True))
    shop.books[provider].write(replace(line_of(case, trade), amount_fen=case["amount_fen"] + 1))
    compare_twice(shop)
    first, second = shop.cases()
    assert (first["resolution"], second["kind"], second["amount_fen"]) == (
        "refunded",
        "refund_differs",
        case["amount_fen"] + 1,
    )
    assert second["details"].items() >= {"caseId": case["id"], "amountFen": case["amount_fen"]}.items()
    assert refunds_found(shop) == [("refund_differs", "refund_differs", case["amount_fen"] + 1, case["amount_fen"])]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", STRAY)
def test_one_that_no_bill_names(shop: Shop, kind: str, provider: ProviderName) -> None:
    case, _line = sent_back(shop, kind, provider)
    shop.books[provider].mute.add(day(2))
    shop.compare()
    assert refunds_found(shop) == [], "the next day's bill may name it"
    shop.books[provider].mute.clear()
    shop.hasten_days()
    compare_twice(shop)
    assert refunds_found(shop) == [("refund_missing_in_bill", "missing_in_bill", None, case["amount_fen"])]
    assert kinds(shop) == [kind, "missing_in_bill"]
    missing = shop.cases()[1]
    assert missing["details"] == {"day": day(3), "refundNo": case["refund_no"], "caseId": case["id"]}
    assert (missing["order_no"], missing["state"]) == (case["order_no"], "open")


def test_a_day_on_which_nothing_but_it_happened_is_waited_for(shop: Shop) -> None:
    case, _line = sent_back(shop, "unknown_order")
    shop.set(CASES, case["id"], resolved_ms=noon(4))
    shop.there.absent.add(day(4))
    shop.order(ago=4)
    shop.compare()
    row = shop.statements()[day(4)]
    assert (row["state"], row["error"]) == ("running", "absent")


@pytest.mark.parametrize("other", ["number", "order", "gateway"])
def test_what_is_not_its_refund_is_not_taken_for_it(shop: Shop, other: str) -> None:
    case, line = sent_back(shop)
    changed = {
        "number": replace(line, refund_no=f"case-{new_id()}"),
        "order": replace(line, order_no=shop.order().order_no),
        "gateway": line,
    }[other]
    shop.books["wechat" if other == "gateway" else "alipay"].write(changed)
    compare_twice(shop)
    assert sorted(kinds(shop)) == ["double_payment", "missing_in_bill", "unknown_refund"]
    assert shop.cases()[0]["bill_day"] is None, case["id"]


def test_one_payment_has_one_case_whatever_its_order_has_become(shop: Shop) -> None:
    order = shop.order()
    assert shop.notice(order, shop.there.pay(order, fen=FEN - 1)).outcome == "wrong_amount"
    (case,) = shop.cases()
    decide(shop, case["id"])
    conclude(shop, case["id"], Said(succeeded=True))
    assert shop.notice(order, shop.there.pay(order, payment_no="P2")).outcome == "credited"
    shop.there.write(
        back_line(shop.there.trades[order.order_no], refund_no=f"case-{case['id']}", fen=FEN - 1, at_ms=noon(3))
    )
    compare_twice(shop)
    assert kinds(shop) == ["wrong_amount"]
    (finding,) = shop.findings()
    assert (finding["outcome"], finding["case_id"]) == ("wrong_amount", case["id"])


class TestRestarting:
    def a_day(self, shop: Shop) -> list[str]:
        """Three cases whose money has gone back, is going back, and has by one fen too many; who have lines between
        those of six orders.
        """
        ids: list[str] = []
        for number in range(3):
            trade = stray(shop, "double_payment", "alipay")
            case = shop.cases()[-1]
            decide(shop, case["id"])
            if number != 1:
                conclude(shop, case["id"], Said(succeeded=True))
            line = replace(line_of(case, trade), amount_fen=case["amount_fen"] + number // 2)
            shop.there.bills[day(3)].insert(2 * number, line)
            ids.append(case["id"])
        return ids

    def assert_whole(self, shop: Shop, ids: list[str]) -> None:
        found = {case["id"]: case for case in shop.cases()}
        assert [(found[one]["resolution"], found[one]["bill_day"]) for one in ids] == [("refunded", day(3))] * 3
        assert sorted(kinds(shop)) == ["double_payment"] * 3 + ["refund_differs"]
        assert len(refunds_found(shop)) == 2
        shop.relay()
        assert shop.examine().totals == {}

    def test_a_connection_that_breaks_anywhere(self, shop: Shop) -> None:
        ids = self.a_day(shop)
        shop.there.breaks = list(range(9))
        for _ in range(10):
            shop.hasten_days()
            shop.compare(batch=2)
        assert shop.statements()[day(3)]["state"] == "done"
        self.assert_whole(shop, ids)

    def test_who_has_it_compared_while_the_gateway_answers(self, shop: Shop) -> None:
        ids = self.a_day(shop)
        shop.there.during = lambda place: conclude(shop, ids[1], Said(succeeded=True)) if place == 8 else None
        shop.compare()
        self.assert_whole_but_told(shop, ids)

    def assert_whole_but_told(self, shop: Shop, ids: list[str]) -> None:
        """The answer came first: there was nothing to find out."""
        assert [one["kind"] for one in shop.findings() if one["case_id"] == ids[1]] == ["missing_here"]
        found = {case["id"]: case for case in shop.cases()}
        assert [found[one]["bill_day"] for one in ids] == [day(3)] * 3
        assert len(refunds_found(shop)) == 1


# -- with gateways that keep books


@pytest.fixture
def street(db: Database, settings: Callable[..., Settings], sandbox: SandboxServer) -> Iterator[HighStreet]:
    made = HighStreet(db, settings(**sandbox.settings), sandbox)
    yield made
    made.close_connections()


def strays_on_the_street(street: HighStreet) -> list[Order]:
    """Orders, at both gateways, that were paid twice, and with too little; found by the bill of that day."""
    orders: list[Order] = []
    for provider in PROVIDERS:
        twice, wrong = (street.place(street.order(ago=AGO, provider=provider), ago=AGO) for _ in range(2))
        street.sandbox.pay(twice.order_no)
        street.sandbox.pay(twice.order_no, again=True)
        street.sandbox.pay(wrong.order_no, amount_fen=FEN - 1)
        orders += (twice, wrong)
    street.sandbox.set(ahead_ms=0)
    street.compare()
    assert sorted(kinds(street)) == ["double_payment"] * 2 + ["wrong_amount"] * 2
    return orders


def worker(street: HighStreet, case_id: str) -> Said | None:
    """What a worker does with its message, now."""
    street.set(CASES, case_id, due_ms=1)
    return returning.send_back(street.db, gateways=street.gateways, case_id=case_id, lease_ms=60_000)


@pytest.mark.parametrize("heard", [True, False])
def test_from_end_to_end(street: HighStreet, *, heard: bool) -> None:
    strays_on_the_street(street)
    ago = AGO - 1
    street.place(street.order(ago=ago), ago=ago)
    for case in street.cases():
        decide(street, case["id"])
        if not heard:
            street.sandbox.fault("lost", call="refund")
            assert worker(street, case["id"]) == Said(succeeded=None, error="GATEWAY_UNKNOWN")
            continue
        while (said := worker(street, case["id"])) == Said(succeeded=None):
            pass  # The gateway is at it.
        assert said == Said(succeeded=True, amount_fen=case["amount_fen"])
        street.set(CASES, case["id"], resolved_ms=noon(ago) + HOUR_MS)
    street.sandbox.set(ahead_ms=0)
    street.hasten_days()
    street.rerun()
    street.compare()
    assert sorted(kinds(street)) == ["double_payment"] * 2 + ["wrong_amount"] * 2
    assert {(case["resolution"], case["bill_day"]) for case in street.cases()} == {("refunded", day(ago))}
    for provider in PROVIDERS:
        totals = street.statements(provider)[day(ago)]["totals"]
        assert totals["theirs"]["refunds_fen"] == totals["ours"]["refunds_fen"] == 2 * FEN - 1
        assert street.in_books(provider)[1] == 2 * FEN - 1
    assert len(refunds_found(street)) == (0 if heard else 4)
    compare_twice(street)


def test_what_we_believe_to_have_gone_and_the_gateway_does_not(street: HighStreet) -> None:
    strays_on_the_street(street)
    for case in street.cases():
        decide(street, case["id"])
        conclude(street, case["id"], Said(succeeded=True), at_ms=noon(AGO - 1) - HOUR_MS)
    for provider in PROVIDERS:
        other = street.place(street.order(ago=AGO - 1, provider=provider), ago=AGO - 1)
        street.sandbox.pay(other.order_no)
    street.sandbox.set(ahead_ms=0)
    street.hasten_days()
    street.rerun()
    compare_twice(street)
    found = [case for case in street.cases() if case["kind"] == "missing_in_bill"]
    assert sorted(case["provider"] for case in found) == ["alipay", "alipay", "wechat", "wechat"]
    assert {case["details"]["day"] for case in found} == {day(AGO - 1)}
