"""Closing an order that nobody has paid: at its gateway first, for someone may be paying just now.

What the gateway says decides. If it was paid, it is settled; if nobody can say, nothing has changed and it is asked
again later. No gateway is asked inside a transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.gateways.errors import GatewayRefused
from atelier.gateways.port import Gateway, Trade
from atelier.kernel import faults
from atelier.kernel.database import Database
from atelier.orders import service as orders
from atelier.orders.service import Order
from atelier.payments import settlement
from atelier.payments.settlement import Payment, Settled, SettlementIds

REF_TYPE = "order"
Reason = Literal["canceled", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The order as it is now: closed, or paid before anybody could close it. `settled` if that was found out here."""

    order: Order
    settled: Settled | None = None


def close(
    database: Database, gateway: Gateway, order: Order, *, reason: Reason, ids: SettlementIds, now_ms: int
) -> Ended:
    """Close a pending order at its gateway, and then here; settle it instead if it was paid.

    Raises GatewayUnknown and GatewayRefused, and has changed nothing then.
    """
    try:
        gateway.close(order.order_no)
    except GatewayRefused:
        trade = gateway.query(order.order_no)
        if payment := payment_of(trade, provider=order.provider):
            return database.transact(_settled, payment, order_id=order.id, reason=reason, ids=ids, now_ms=now_ms)
        if trade.state == "pending":
            raise
    faults.point("cancel.before_close")
    return Ended(order=database.transact(_closed, order_id=order.id, reason=reason, now_ms=now_ms))


def close_expired(
    database: Database, gateways: Mapping[str, Gateway], order: Order, *, ids: SettlementIds, now_ms: int
) -> Ended:
    """Close an order whose time is over, as `close` does; here alone when its gateway is not set up any more."""
    gateway = gateways.get(order.provider)
    if gateway is None:
        return Ended(order=database.transact(_closed, order_id=order.id, reason="expired", now_ms=now_ms))
    return close(database, gateway, order, reason="expired", ids=ids, now_ms=now_ms)


def payment_of(trade: Trade, *, provider: str) -> Payment | None:
    """What a gateway says was paid, when it was asked; None when it says that nothing was."""
    if trade.state != "paid" or trade.payment_no is None or trade.amount_fen is None:
        return None
    return Payment(
        provider=provider,
        order_no=trade.order_no,
        payment_no=trade.payment_no,
        amount_fen=trade.amount_fen,
        currency=trade.currency,
        source="query",
        paid_ms=trade.paid_ms,
    )


def _settled(
    session: Session, payment: Payment, *, order_id: str, reason: Reason, ids: SettlementIds, now_ms: int
) -> Ended:
    settled = settlement.settle_payment(session, payment, ids=ids, now_ms=now_ms)
    # What was paid and doesn't fit has a case now, and nobody can pay the order again.
    return Ended(order=_closed(session, order_id=order_id, reason=reason, now_ms=now_ms), settled=settled)


def _closed(session: Session, *, order_id: str, reason: Reason, now_ms: int) -> Order:
    if orders.close(session, order_id=order_id, now_ms=now_ms):
        order = _stored(session, order_id=order_id)
        operation = oplog.Operation(
            action="ORDER_CLOSE",
            user_id=order.user_id,
            resource_type=REF_TYPE,
            resource_id=order.id,
            details={"orderNo": order.order_no, "reason": reason},
        )
        oplog.record(session, operation, now_ms=now_ms)
        return order
    return _stored(session, order_id=order_id)


def _stored(session: Session, *, order_id: str) -> Order:
    order = orders.find(session, order_id=order_id)
    assert order is not None, "orders are never deleted"
    return order
