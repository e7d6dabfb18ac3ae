"""Refunds that somebody made at the gateway: an administrator accepts them, and then they are refunds as any other.

The money has gone already, so nobody is asked for it; the credits are taken back as for a refund of ours.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.ledger.posting import Posted
from atelier.orders import refunds, states
from atelier.orders import service as orders
from atelier.orders.errors import ResolutionUnsuitable
from atelier.orders.refunds import Refund
from atelier.orders.resolutions import Case
from atelier.orders.service import Order
from atelier.payments import refund_ends, refunding
from atelier.payments.refund_ends import Told
from atelier.payments.settlement import SettlementIds

UNKNOWN_REFUND = "unknown_refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Who accepts it and why; `amount_fen` is what went back, if the case does not say so or errs."""

    refund_id: str
    admin_id: str
    reason: str
    amount_fen: int | None = None


def accept(session: Session, case: Case, acceptance: Acceptance, *, ids: SettlementIds, now_ms: int) -> Posted | None:
    """Record the refund and take its credits back; the user's account if it changed. The case is locked and open.

    Raises ResolutionUnsuitable, OrderNotRefundable and RefundTooLarge.
    """
    amount_fen = acceptance.amount_fen or case.amount_fen
    order = orders.lock_by_id(session, order_id=case.order_id) if case.order_id else None
    if case.kind != UNKNOWN_REFUND or order is None or amount_fen is None:
        raise ResolutionUnsuitable
    if case.payment_no not in {None, order.payment_no}:
        raise ResolutionUnsuitable  # It was paid with other money: that this went back takes nothing from the order.
    refundable_fen = refunding.refundable(order, amount_fen)
    wanted = _made(session, case, acceptance, order=order, amount_fen=refundable_fen, now_ms=now_ms)
    refund, account = refunding.take(session, order, wanted, transfer_id=ids.transfer_id, now_ms=now_ms)
    told = Told(succeeded=True, source="admin", gateway_no=wanted.gateway_no)
    refund_ends.end(session, order, refund, told=told, ids=ids, now_ms=now_ms)
    return account


def _made(
    session: Session, case: Case, acceptance: Acceptance, *, order: Order, amount_fen: int, now_ms: int
) -> Refund:
    number: str | None = case.details.get("refundNo")
    if number is None or refunds.find_by_no(session, refund_no=number):
        # Nameless, or one of ours that had failed here and went through there after all.
        number = f"outside-{case.id}"
    return Refund(
        id=acceptance.refund_id,
        refund_no=number,
        order_id=order.id,
        user_id=order.user_id,
        provider=order.provider,
        state=states.REQUESTED,
        amount_fen=amount_fen,
        credits=0,
        taken=0,
        external=1,
        reason=acceptance.reason,
        admin_id=acceptance.admin_id,
        gateway_no=case.details.get("gatewayNo"),
        error=None,
        tries=0,
        created_ms=now_ms,
        finished_ms=None,
    )
