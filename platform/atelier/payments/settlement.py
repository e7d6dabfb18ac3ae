"""The one way in which money becomes credits, whoever says that it was paid: a notice, an answer, or a day's bill.

One transaction: the order becomes paid by one conditional change, its credits are posted under its own key, debts are
paid from them, and the user is told. What doesn't fit opens a case and moves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.contracts.oplog import Operation
from atelier.gateways.money import yuan
from atelier.kernel import faults
from atelier.ledger import debts
from atelier.ledger import service as ledger
from atelier.ledger.posting import Posted
from atelier.ledger.service import Entry
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice
from atelier.orders import cases, resolutions, states
from atelier.orders import service as orders
from atelier.orders.cases import Kind, NewCase
from atelier.orders.service import Order

DEBTS_PAID_MAX = 8
REF_TYPE = "order"
REFUND_REF_TYPE = "refund"
Source = Literal["notice", "query", "bill", "admin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a gateway says was paid. `paid_ms` is its own time of it, None when it doesn't say."""

    provider: str
    order_no: str
    payment_no: str
    amount_fen: int
    currency: str
    source: Source
    paid_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementIds:
    """Made by the caller, so that running twice is one settlement."""

    transfer_id: str
    debt_transfer_ids: tuple[str, ...]
    notice_id: str
    case_id: str

    @classmethod
    def made(cls, new_id: Callable[[], str]) -> Self:
        """Fresh ones."""
        return cls(
            transfer_id=new_id(),
            debt_transfer_ids=tuple(new_id() for _ in range(DEBTS_PAID_MAX)),
            notice_id=new_id(),
            case_id=new_id(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What came of it: `credited`, `late` (credited, with a case), `known` (it had been before), or the kind of case.

    `account` is the user's after it, when credits moved.
    """

    outcome: str
    account: Posted | None = None
    case_id: str | None = None
    order: Order | None = None


def settle_payment(session: Session, paid: Payment, *, ids: SettlementIds, now_ms: int) -> Settled:
    """Credit the payment, once; a payment that does not fit its order opens a case instead."""
    order = orders.lock(session, order_no=paid.order_no)
    if order is None or order.provider != paid.provider:
        return _case(session, paid, "unknown_order", None, ids=ids, now_ms=now_ms)
    if misfit := _misfit(paid, order):
        return _case(session, paid, misfit, order, ids=ids, now_ms=now_ms)
    if order.payment_no is not None:
        return Settled(outcome="known", order=order)
    if orders.find_by_payment(session, provider=paid.provider, payment_no=paid.payment_no):
        return _case(session, paid, "payment_reused", order, ids=ids, now_ms=now_ms)
    named = {"provider": paid.provider, "order_no": paid.order_no, "payment_no": paid.payment_no}
    if given := resolutions.given_away(session, **named):
        # It seemed to be another amount once, and a person has decided what became of it.
        return Settled(outcome=given[0], case_id=given[1], order=order)
    account = _credit(session, paid, order, ids=ids, now_ms=now_ms)
    late = order.state == states.CLOSED
    case_id = None
    if late:
        late_case = _case(session, paid, "late_payment", order, ids=ids, now_ms=now_ms, resolution="credited")
        case_id = late_case.case_id
    faults.point("settlement.before_commit")
    return Settled(outcome="late" if late else "credited", account=account, case_id=case_id, order=order)


def _misfit(paid: Payment, order: Order) -> Kind | None:
    if order.payment_no not in {None, paid.payment_no}:
        return "double_payment"
    return None if (paid.amount_fen, paid.currency) == (order.amount_fen, order.currency) else "wrong_amount"


def _credit(session: Session, paid: Payment, order: Order, *, ids: SettlementIds, now_ms: int) -> Posted:
    """The order is locked and unpaid: make it paid and post what it gives."""
    marked = orders.mark_paid(session, order_id=order.id, payment_no=paid.payment_no, paid_ms=paid.paid_ms or now_ms)
    assert marked, "the order was locked"
    faults.point("settlement.after_order")
    entry = Entry(
        transfer_id=ids.transfer_id,
        key=f"topup:order:{order.id}",
        user_id=order.user_id,
        amount=order.credits,
        ref_type=REF_TYPE,
        ref_id=order.id,
        note=order.order_no,
    )
    account = ledger.topup(session, entry, now_ms=now_ms)
    after_debts = debts.pay(
        session,
        user_id=order.user_id,
        ref_type=REFUND_REF_TYPE,
        cause=order.id,
        transfer_ids=ids.debt_transfer_ids,
        now_ms=now_ms,
    )
    _tell(session, paid, order, ids=ids, now_ms=now_ms)
    return after_debts or account


def _tell(session: Session, paid: Payment, order: Order, *, ids: SettlementIds, now_ms: int) -> None:
    notice = Notice(
        id=ids.notice_id,
        user_id=order.user_id,
        kind="payment_received",
        data={"orderNo": order.order_no, "amount": order.credits, "yuan": yuan(order.amount_fen)},
        ref_type=REF_TYPE,
        ref_id=order.id,
    )
    notifications.notify(session, notice, now_ms=now_ms)
    operation = Operation(
        action="PAYMENT_SUCCESS",
        user_id=order.user_id,
        resource_type=REF_TYPE,
        resource_id=order.id,
        details={
            "orderNo": order.order_no,
            "amountFen": order.amount_fen,
            "credits": order.credits,
            "paymentNo": paid.payment_no,
            "source": paid.source,
        },
    )
    oplog.record(session, operation, now_ms=now_ms)


def _case(
    session: Session,
    paid: Payment,
    kind: Kind,
    order: Order | None,
    *,
    ids: SettlementIds,
    now_ms: int,
    resolution: str | None = None,
) -> Settled:
    named = {"provider": paid.provider, "order_no": paid.order_no, "payment_no": paid.payment_no}
    if kind in cases.STRAY_MONEY and (known := cases.find_stray(session, **named)):
        return Settled(outcome=known[0], case_id=known[1], order=order)
    new = NewCase(
        id=ids.case_id,
        kind=kind,
        key=f"{paid.order_no}:{paid.payment_no}",
        provider=paid.provider,
        order_no=paid.order_no,
        order_id=order.id if order else None,
        user_id=order.user_id if order else None,
        payment_no=paid.payment_no,
        amount_fen=paid.amount_fen,
        details={"currency": paid.currency, "source": paid.source, "status": order.state if order else None},
        resolution=resolution,
    )
    return Settled(outcome=kind, case_id=cases.open_once(session, new, now_ms=now_ms), order=order)
