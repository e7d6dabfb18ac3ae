"""How a refund ends, whoever says so: the gateway's answer, its notice, or a day's bill.

Succeeded: the user is told. Failed: the credits are given back, and a case asks an administrator to look. Each refund
ends once, by one conditional change.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.gateways.money import yuan
from atelier.kernel import faults
from atelier.ledger import debts
from atelier.ledger.debts import TakeBack
from atelier.ledger.posting import Posted
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice
from atelier.orders import cases, refunds, states
from atelier.orders import service as orders
from atelier.orders.cases import Kind, NewCase
from atelier.orders.refunds import Refund
from atelier.orders.service import Order
from atelier.payments.settlement import REF_TYPE, REFUND_REF_TYPE, Settled, SettlementIds, Source

KNOWN: Final = "known"
REFUNDED: Final = "refunded"
REFUND_FAILED: Final = "refund_failed"
CLOSED: Final = "REFUND_CLOSED"
"""The error of a refund that the gateway closed without a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a gateway says of a refund that has ended. `amount_fen` is None when it doesn't say; `error` is its code."""

    succeeded: bool
    source: Source
    gateway_no: str | None = None
    amount_fen: int | None = None
    error: str | None = None


def conclude(session: Session, *, refund_id: str, told: Told, ids: SettlementIds, now_ms: int) -> Settled:
    """End a refund; `known` when it had ended before."""
    found = refunds.find(session, refund_id=refund_id)
    order = orders.lock_by_id(session, order_id=found.order_id) if found else None
    refund = refunds.lock(session, refund_id=refund_id)
    assert order is not None, "refunds and their orders are never deleted"
    assert refund is not None, "refunds are never deleted"
    settled = end(session, order, refund, told=told, ids=ids, now_ms=now_ms)
    faults.point("refund.before_commit")
    return settled


def end(session: Session, order: Order, refund: Refund, *, told: Told, ids: SettlementIds, now_ms: int) -> Settled:
    """The same for a refund that is locked, and its order too."""
    ended = refunds.finish(
        session,
        refund,
        succeeded=told.succeeded,
        gateway_no=told.gateway_no or refund.gateway_no,
        error=None if told.succeeded else told.error,
        now_ms=now_ms,
    )
    if not ended:
        return Settled(outcome=KNOWN, order=order)
    outcome = REFUNDED if told.succeeded else REFUND_FAILED
    cases.settle_by_itself(
        session,
        kind="refund_stuck",
        provider=order.provider,
        key=refund.refund_no,
        resolution=outcome,
        now_ms=now_ms,
    )
    if told.succeeded:
        return _succeeded(session, order, refund, told=told, ids=ids, now_ms=now_ms)
    return _failed(session, order, refund, told=told, ids=ids, now_ms=now_ms)


def _succeeded(
    session: Session, order: Order, refund: Refund, *, told: Told, ids: SettlementIds, now_ms: int
) -> Settled:
    tell(session, order, refund, told=told, notice_id=ids.notice_id, now_ms=now_ms)
    if told.amount_fen in {None, refund.amount_fen}:
        return Settled(outcome=REFUNDED, order=order)
    case_id = open_case(session, order, refund, told=told, kind="refund_differs", case_id=ids.case_id, now_ms=now_ms)
    return Settled(outcome="refund_differs", case_id=case_id, order=order)


def tell(session: Session, order: Order, refund: Refund, *, told: Told, notice_id: str, now_ms: int) -> None:
    """Money has gone back: tell the user, and write it down."""
    owed = debts.left(session, ref_id=refund.id)
    data = {"orderNo": order.order_no, "yuan": yuan(refund.amount_fen), "amount": refund.credits}
    notice = Notice(
        id=notice_id,
        user_id=order.user_id,
        kind="refund_made_owing" if owed else "refund_made",
        data=data | {"owed": owed} if owed else data,
        ref_type=REF_TYPE,
        ref_id=order.id,
    )
    notifications.notify(session, notice, now_ms=now_ms)
    operation = oplog.Operation(
        action="REFUND_SUCCESS",
        user_id=order.user_id,
        resource_type=REF_TYPE,
        resource_id=order.id,
        details={
            "orderNo": order.order_no,
            "refundId": refund.id,
            "amountFen": refund.amount_fen,
            "credits": refund.credits,
            "source": told.source,
        },
    )
    oplog.record(session, operation, now_ms=now_ms)


def _failed(session: Session, order: Order, refund: Refund, *, told: Told, ids: SettlementIds, now_ms: int) -> Settled:
    account = _given_back(session, order, refund, ids=ids, now_ms=now_ms)
    case_id = open_case(session, order, refund, told=told, kind=REFUND_FAILED, case_id=ids.case_id, now_ms=now_ms)
    return Settled(outcome=REFUND_FAILED, account=account, case_id=case_id, order=order)


def _given_back(session: Session, order: Order, refund: Refund, *, ids: SettlementIds, now_ms: int) -> Posted | None:
    giving = TakeBack(
        transfer_id=ids.transfer_id,
        user_id=order.user_id,
        credits=refund.taken,
        ref_type=REFUND_REF_TYPE,
        ref_id=refund.id,
        note=order.order_no,
    )
    account = debts.give_back(session, giving, now_ms=now_ms)
    if account is None:
        return None
    # What comes back was a top-up once, and pays what else is owed like one.
    return (
        debts.pay(
            session,
            user_id=order.user_id,
            ref_type=REFUND_REF_TYPE,
            cause=refund.id,
            transfer_ids=ids.debt_transfer_ids,
            now_ms=now_ms,
        )
        or account
    )


def open_case(
    session: Session, order: Order, refund: Refund, *, told: Told, kind: Kind, case_id: str, now_ms: int
) -> str:
    """A person has to look at this refund; the case's id."""
    new = NewCase(
        id=case_id,
        kind=kind,
        key=refund.refund_no,
        provider=order.provider,
        order_no=order.order_no,
        order_id=order.id,
        user_id=order.user_id,
        payment_no=order.payment_no,
        amount_fen=told.amount_fen or refund.amount_fen,
        details={
            "refundId": refund.id,
            "refundNo": refund.refund_no,
            "amountFen": refund.amount_fen,
            "errorCode": told.error,
            "source": told.source,
            "status": states.SUCCEEDED if told.succeeded else states.FAILED,
        },
    )
    return cases.open_once(session, new, now_ms=now_ms)
