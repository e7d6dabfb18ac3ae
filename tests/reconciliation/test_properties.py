"""Whatever the two books miss of each other: after the comparison they agree to the fen, or a case names the rest."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atelier.gateways.port import ProviderName
from atelier.kernel.clock import MINUTE_MS
from atelier.orders import states
from tests.bounds import examples
from tests.reconciliation import strays
from tests.reconciliation.books import CREDITS, PROVIDERS, Row, Shop, back_line, day, noon, paid_line

PER_TEST = settings(
    max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MENDED = ("credited", "late", "refunded", "returned")


def told(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.sold(fen=fen, provider=provider)


def lost(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.books[provider].pay(shop.order(fen=fen, provider=provider))


def late(shop: Shop, provider: ProviderName, fen: int) -> None:
    order = shop.order(fen=fen, provider=provider)
    shop.close(order)
    shop.books[provider].pay(order)


def unpaid(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.order(fen=fen, provider=provider)


def too_little(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.books[provider].pay(shop.order(fen=fen + 1, provider=provider), fen=fen)


def changed(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.sold(fen=fen, provider=provider)
    bill = shop.books[provider].bills[day(3)]
    bill.append(replace(bill.pop(), amount_fen=fen + 7))


def phantom(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.sold(fen=fen, provider=provider)
    shop.books[provider].bills[day(3)].pop()


def double(shop: Shop, provider: ProviderName, fen: int) -> None:
    order = shop.sold(fen=fen, provider=provider)
    trade = shop.books[provider].trades[order.order_no]
    shop.books[provider].write(replace(paid_line(trade), payment_no=f"Q{order.order_no}"))


def stranger(shop: Shop, provider: ProviderName, fen: int) -> None:
    order = shop.order(fen=fen, provider=provider)
    line = paid_line(shop.books[provider].pay(order))
    shop.books[provider].bills[day(3)].pop()
    shop.books[provider].write(replace(line, order_no=f"S{order.order_no[1:]}"))


def paid_back(shop: Shop, provider: ProviderName, fen: int) -> None:
    order = shop.sold(fen=fen, provider=provider)
    number = shop.give_back(order, fen=fen)
    trade = shop.books[provider].trades[order.order_no]
    shop.books[provider].write(back_line(trade, refund_no=number, fen=fen, at_ms=noon(3) + MINUTE_MS))


def paid_back_untold(shop: Shop, provider: ProviderName, fen: int) -> None:
    order = shop.sold(fen=fen, provider=provider)
    number = shop.give_back(order, fen=fen, ended=False)
    trade = shop.books[provider].trades[order.order_no]
    shop.books[provider].write(back_line(trade, refund_no=number, fen=fen, at_ms=noon(3) + MINUTE_MS))


def paid_back_by_hand(shop: Shop, provider: ProviderName, fen: int) -> None:
    order = shop.order(fen=fen, provider=provider)
    trade = shop.books[provider].pay(order)
    line = back_line(trade, refund_no=f"H{order.order_no}", fen=fen, at_ms=noon(3) + MINUTE_MS)
    shop.books[provider].bills[day(3)].insert(0, line)


def paid_back_nowhere(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.give_back(shop.sold(fen=fen, provider=provider), fen=fen, at_ms=noon(3) - 2 * MINUTE_MS)


def sent_back(shop: Shop, provider: ProviderName, fen: int) -> None:
    kind = strays.STRAY[fen % len(strays.STRAY)]
    shop.books[provider].write(strays.sent_back(shop, kind, provider, fen=fen)[1])


def sent_back_untold(shop: Shop, provider: ProviderName, fen: int) -> None:
    shop.books[provider].write(strays.sent_back(shop, provider=provider, fen=fen, told=False)[1])


def sent_back_nowhere(shop: Shop, provider: ProviderName, fen: int) -> None:
    strays.sent_back(shop, provider=provider, fen=fen, at_ms=noon(3) - 2 * MINUTE_MS)


def sent_back_too_much(shop: Shop, provider: ProviderName, fen: int) -> None:
    _case, line = strays.sent_back(shop, provider=provider, fen=fen)
    shop.books[provider].bills[day(3)].insert(0, replace(line, amount_fen=line.amount_fen + 3))


FATES: Sequence[Callable[[Shop, ProviderName, int], None]] = (
    *(told, lost, late, unpaid, too_little, changed, phantom, double, stranger),
    *(paid_back, paid_back_untold, paid_back_by_hand, paid_back_nowhere),
    *(sent_back, sent_back_untold, sent_back_nowhere, sent_back_too_much),
)
LIVES = st.lists(
    st.tuples(st.sampled_from(FATES), st.sampled_from(PROVIDERS), st.integers(1, 9_999)), min_size=1, max_size=9
)
BREAKS = st.lists(st.integers(0, 12), max_size=3)


@PER_TEST
@given(lives=LIVES, breaks=BREAKS)
def test_books_agree_to_the_fen_or_a_case_names_the_rest(
    shop: Shop,
    restore: Callable[[], None],
    lives: Sequence[tuple[Callable[[Shop, ProviderName, int], None], ProviderName, int]],
    breaks: Sequence[int],
) -> None:
    restore()
    shop = Shop(shop.db)
    for fate, provider, fen in lives:
        fate(shop, provider, fen)
    for books in shop.books.values():
        books.breaks = list(breaks)
    for _ in range(len(breaks) + 1):
        shop.hasten_days()
        shop.compare(batch=2)
    assert_explained(shop)
    before = shop.everything()
    for _ in range(2):
        shop.rerun()
        shop.compare(batch=2)
    assert shop.everything() == before, "nothing more comes of doing it again"
    shop.relay()
    assert shop.examine().totals == {}


def assert_explained(shop: Shop) -> None:
    """What the gateways' books say is what ours say and what the findings say that is not mended."""
    cases = {case["id"] for case in shop.cases() if case["state"] == "open"}
    gone = {case["id"] for case in shop.cases() if case["resolution"] == "refunded"}
    for provider in PROVIDERS:
        ids = {row["id"] for row in shop.statements(provider).values()}
        found = [one for one in shop.findings() if one["statement_id"] in ids]
        left = [one for one in found if one["outcome"] not in MENDED and one["case_id"] not in gone]
        assert all(one["case_id"] in cases for one in left), "what is not mended is for a person"
        bill = [line for lines in shop.books[provider].bills.values() for line in lines]
        orders, refunds = _booked(shop, provider)
        for kind, ours in (("payment", orders), ("refund", refunds)):
            theirs = sum(line.amount_fen for line in bill if line.kind == kind)
            open_fen = sum(
                (one["theirs_fen"] or 0) - (one["ours_fen"] or 0)
                for one in left
                if ("refund" in one["kind"]) == (kind == "refund")
            )
            assert theirs - sum(ours) == open_fen, kind
    for order in shop.everything()["orders"]:
        is_paid = order["state"] not in states.UNPAID
        assert len(shop.topups(order["id"])) == is_paid
        assert not is_paid or shop.topups(order["id"]) == [CREDITS]


def _booked(shop: Shop, provider: str) -> tuple[list[int], list[int]]:
    def mine(row: Row) -> bool:
        return bool(row["provider"] == provider)

    rows = shop.everything()
    paid = [row["amount_fen"] for row in rows["orders"] if mine(row) and row["state"] not in states.UNPAID]
    back = [row["amount_fen"] for row in rows["refunds"] if mine(row) and row["state"] == states.SUCCEEDED]
    # Stray money that has gone back is of both kinds.
    gone = [case["amount_fen"] for case in shop.cases() if mine(case) and case["resolution"] == "refunded"]
    return paid + gone, back + gone
