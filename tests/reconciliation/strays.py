"""Money for nothing that is known here, and that an administrator sends back."""

from dataclasses import replace

from atelier.gateways.port import BillLine, ProviderName, Trade
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.kernel.ids import new_id
from atelier.payments import resolving, returning
from atelier.payments.resolving import Decision, Resolution
from atelier.payments.returning import Said
from tests.reconciliation.books import FEN, Row, Shop, back_line, noon

STRAY = ("double_payment", "wrong_amount", "unknown_order")


def stray(shop: Shop, kind: str, provider: ProviderName, *, fen: int = FEN) -> Trade:
    """Money for nothing, of which the gateway has told us, and which its bill of three days ago names."""
    order = shop.order(provider=provider, fen=fen)
    books = shop.books[provider]
    if kind == "double_payment":
        assert shop.notice(order, books.pay(order)).outcome == "credited"
        trade = books.pay(order, payment_no=f"Q{order.order_no}")
    elif kind == "wrong_amount":
        trade = books.pay(order, fen=fen + 1)
    else:
        order = replace(order, order_no=f"S{order.order_no[1:]}")
        trade = books.pay(order)
    assert shop.notice(order, trade).outcome == kind
    return trade


def decide(shop: Shop, case_id: str, resolution: Resolution = "refund_payment", *, gives: int | None = None) -> None:
    """What the administrator does."""
    decision = Decision(
        case_id=case_id,
        resolution=resolution,
        note="核对过了",
        credits=gives,
        admin_id=new_id(),
        ids=shop.ids(),
        refund_id=new_id(),
    )
    shop.db.transact(resolving.resolve, decision, now_ms=now_ms())


def conclude(shop: Shop, case_id: str, said: Said, *, at_ms: int | None = None) -> None:
    """What its gateway said, and when we heard it."""
    shop.db.transact(
        returning.conclude, case_id=case_id, said=said, new_id=new_id(), now_ms=noon(3) if at_ms is None else at_ms
    )


def sent_back(
    shop: Shop,
    kind: str = "double_payment",
    provider: ProviderName = "alipay",
    *,
    fen: int = FEN,
    at_ms: int | None = None,
    told: bool = True,
) -> tuple[Row, BillLine]:
    """A case whose money has gone back, and the line of a bill that would say so, which is in none yet.

    `told`: its gateway has told us.
    """
    trade = stray(shop, kind, provider, fen=fen)
    case_id = case_of(shop, trade)["id"]
    decide(shop, case_id)
    if told:
        conclude(shop, case_id, Said(succeeded=True), at_ms=at_ms)
    case = case_of(shop, trade)
    return case, line_of(case, trade)


def case_of(shop: Shop, trade: Trade) -> Row:
    """The one case of this money, as it is now."""
    (case,) = (one for one in shop.cases() if one["payment_no"] == trade.payment_no)
    return case


def line_of(case: Row, trade: Trade) -> BillLine:
    """The line of a bill that says that the money of this case has gone back."""
    return back_line(trade, refund_no=f"case-{case['id']}", fen=case["amount_fen"], at_ms=noon(3) + MINUTE_MS)
