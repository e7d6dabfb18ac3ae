"""Paying back: credits first, then the money, whatever number of times the gateway has to be asked.

The credits are taken when the refund is wanted, so that they can't be spent meanwhile; what is missing becomes a debt.
If the gateway refuses, everything is given back. Whoever asks a gateway asks again with the same number until it knows:
see `repaying`. Locks: the order, the refund, the account, its debts.
"""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from atelier.contracts import idempotency, oplog, outbox
from atelier.contracts.idempotency import Keyed
from atelier.contracts.messages import PAYMENTS_REFUND, RefundMessage
from atelier.ledger import debts
from atelier.ledger.debts import TakeBack
from atelier.ledger.posting import Posted
from atelier.orders import refunds, states
from atelier.orders import service as orders
from atelier.orders.errors import OrderNotFound, OrderNotRefundable, RefundTooLarge
from atelier.orders.refunds import Refund
from atelier.orders.service import Order
from atelier.payments.settlement import REF_TYPE, REFUND_REF_TYPE

REFUNDABLE = (states.PAID, states.REFUNDING, states.PARTIALLY_REFUNDED)
ACCEPTED = 202


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWish:
    """An administrator wants money of an order to go back; None is everything that is left.

    The ids and the number are made by the caller, so that running twice is one refund.
    """

    order_id: str
    amount_fen: int | None
    reason: str
    admin_id: str
    refund_id: str
    refund_no: str
    transfer_id: str
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """The answer as JSON. `account` is the user's after it, None when nothing moved now."""

    answer: dict[str, Any]
    account: Posted | None = None
    replayed: bool = False


def new_number() -> str:
    """What names a refund to its gateway; nobody can guess it."""
    return f"R{secrets.token_hex(15)}"


def request(session: Session, wish: RefundWish, *, keyed: Keyed | None, now_ms: int) -> Requested:
    """Take the credits, set the money aside and have the gateway asked.

    Raises OrderNotFound, OrderNotRefundable, RefundTooLarge and IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        return Requested(answer=stored.answer, replayed=True)
    order = orders.lock_by_id(session, order_id=wish.order_id)
    if order is None:
        raise OrderNotFound
    if done := refunds.find(session, refund_id=wish.refund_id):
        return Requested(answer=answer_of(done))
    amount_fen = refundable(order, wish.amount_fen)
    refund, account = take(
        session, order, _wanted(wish, order, amount_fen, now_ms), transfer_id=wish.transfer_id, now_ms=now_ms
    )
    outbox.enqueue(session, PAYMENTS_REFUND, RefundMessage(refund_id=refund.id), now_ms=now_ms)
    _record(session, wish, refund, now_ms=now_ms)
    answer = answer_of(refund)
    idempotency.store(session, keyed, status=ACCEPTED, answer=answer, now_ms=now_ms)
    return Requested(answer=answer, account=account)


def refundable(order: Order, wanted_fen: int | None) -> int:
    """How much goes back if so much is wanted. Raises OrderNotRefundable and RefundTooLarge."""
    left_fen = order.amount_fen - order.refunded_fen - order.refunding_fen
    if order.state not in REFUNDABLE or not left_fen:
        raise OrderNotRefundable(status=order.state)
    if wanted_fen is not None and wanted_fen > left_fen:
        raise RefundTooLarge(refundable_fen=left_fen)
    return left_fen if wanted_fen is None else wanted_fen


def take(
    session: Session, order: Order, refund: Refund, *, transfer_id: str, now_ms: int
) -> tuple[Refund, Posted | None]:
    """Take the refund's credits back and store it; the refund as it is stored, and the user's account if it changed.

    The order is locked, and has so much left.
    """
    wanted = refunds.credits_for(session, order_id=order.id, amount_fen=refund.amount_fen)
    taking = TakeBack(
        transfer_id=transfer_id,
        user_id=order.user_id,
        credits=wanted,
        ref_type=REFUND_REF_TYPE,
        ref_id=refund.id,
        note=order.order_no,
    )
    taken = debts.take_back(session, taking, now_ms=now_ms)
    begun = replace(refund, credits=wanted, taken=taken.taken)
    stored = refunds.add(session, begun)
    assert stored, "the order is locked and has so much left"
    return begun, taken.account


def answer_of(refund: Refund) -> dict[str, Any]:
    """Times are milliseconds: the web tier writes them for its readers."""
    return {"success": True, "refund": shown(refund)}


def shown(refund: Refund) -> dict[str, Any]:
    """A refund as administrators see it."""
    return {
        "id": refund.id,
        "refundNo": refund.refund_no,
        "orderId": refund.order_id,
        "status": refund.state,
        "amountFen": refund.amount_fen,
        "credits": refund.credits,
        "creditsTaken": refund.taken,
        "external": bool(refund.external),
        "reason": refund.reason,
        "adminId": refund.admin_id,
        "gatewayNo": refund.gateway_no,
        "errorCode": refund.error,
        "tries": refund.tries,
        "createdAt": refund.created_ms,
        "finishedAt": refund.finished_ms,
    }


def _wanted(wish: RefundWish, order: Order, amount_fen: int, now_ms: int) -> Refund:
    return Refund(
        id=wish.refund_id,
        refund_no=wish.refund_no,
        order_id=order.id,
        user_id=order.user_id,
        provider=order.provider,
        state=states.REQUESTED,
        amount_fen=amount_fen,
        credits=0,
        taken=0,
        external=0,
        reason=wish.reason,
        admin_id=wish.admin_id,
        gateway_no=None,
        error=None,
        tries=0,
        created_ms=now_ms,
        finished_ms=None,
    )


def _record(session: Session, wish: RefundWish, refund: Refund, *, now_ms: int) -> None:
    operation = oplog.Operation(
        action="ADMIN_ORDER_REFUND",
        user_id=wish.admin_id,
        resource_type=REF_TYPE,
        resource_id=refund.order_id,
        details={
            "refundId": refund.id,
            "amountFen": refund.amount_fen,
            "credits": refund.credits,
            "creditsTaken": refund.taken,
            "reason": wish.reason,
        },
        address=wish.address,
        user_agent=wish.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)
