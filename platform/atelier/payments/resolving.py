"""Administrators resolve cases: by giving credits for the money, by sending the money back, or by saying why neither.

Every resolution is logged in the transaction that makes it. Money goes back by `returning`; until its gateway has
said what became of it, the case is `returning` and nobody can resolve it otherwise.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.ledger import debts
from atelier.ledger import service as ledger
from atelier.ledger.posting import Posted
from atelier.ledger.service import Entry
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice
from atelier.orders import cases, resolutions
from atelier.orders import service as orders
from atelier.orders.errors import CaseNotFound, CaseResolved, ResolutionUnsuitable
from atelier.orders.resolutions import Case
from atelier.payments import outside_refunds
from atelier.payments.outside_refunds import Acceptance
from atelier.payments.settlement import REFUND_REF_TYPE, SettlementIds

REF_TYPE: Final = "case"
Resolution = Literal["refund_payment", "credit", "accept_refund", "dismiss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an administrator decided. `credits` is for `credit`, `amount_fen` for `accept_refund`.

    The ids are made by the caller; `refund_id` is of the refund that is accepted.
    """

    case_id: str
    resolution: Resolution
    note: str
    admin_id: str
    ids: SettlementIds
    refund_id: str
    credits: int | None = None
    amount_fen: int | None = None
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The case afterwards, and the user's account when credits moved."""

    case: Case
    account: Posted | None = None


def resolve(session: Session, decision: Decision, *, now_ms: int) -> Resolved:
    """Carry the decision out.

    Raises CaseNotFound, CaseResolved, ResolutionUnsuitable; accepting a refund, OrderNotRefundable and RefundTooLarge.
    """
    case = resolutions.lock(session, case_id=decision.case_id)
    if case is None:
        raise CaseNotFound(decision.case_id)
    if case.state != cases.OPEN:
        raise CaseResolved(status=case.state)
    account = _CARRIED_OUT[decision.resolution](session, case, decision, now_ms)
    _record(session, case, decision, now_ms=now_ms)
    after = resolutions.find(session, case_id=case.id)
    assert after is not None, "cases are never deleted"
    return Resolved(case=after, account=account)


def _refund(session: Session, case: Case, decision: Decision, now_ms: int) -> None:
    if case.payment_no is None or not case.amount_fen or not _is_stray(session, case):
        raise ResolutionUnsuitable
    number = resolutions.refund_no(case.id)
    resolutions.send_back(session, case, refund_no=number, note=decision.note, by=decision.admin_id, now_ms=now_ms)


def _credit(session: Session, case: Case, decision: Decision, now_ms: int) -> Posted:
    if case.user_id is None or decision.credits is None or not _is_stray(session, case):
        raise ResolutionUnsuitable
    _resolve(session, case, decision, resolutions.CREDITED, now_ms=now_ms)
    entry = Entry(
        transfer_id=decision.ids.transfer_id,
        key=f"topup:case:{case.id}",
        user_id=case.user_id,
        amount=decision.credits,
        ref_type=REF_TYPE,
        ref_id=case.id,
        note=case.order_no,
        actor=decision.admin_id,
    )
    account = ledger.topup(session, entry, now_ms=now_ms)
    notice = Notice(
        id=decision.ids.notice_id,
        user_id=case.user_id,
        kind="credits_adjusted",
        data={"amount": decision.credits, "reason": decision.note},
        ref_type=REF_TYPE,
        ref_id=case.id,
    )
    notifications.notify(session, notice, now_ms=now_ms)
    after_debts = debts.pay(
        session,
        user_id=case.user_id,
        ref_type=REFUND_REF_TYPE,
        cause=case.id,
        transfer_ids=decision.ids.debt_transfer_ids,
        now_ms=now_ms,
    )
    return after_debts or account


def _accept(session: Session, case: Case, decision: Decision, now_ms: int) -> Posted | None:
    acceptance = Acceptance(
        refund_id=decision.refund_id,
        admin_id=decision.admin_id,
        reason=decision.note,
        amount_fen=decision.amount_fen,
    )
    account = outside_refunds.accept(session, case, acceptance, ids=decision.ids, now_ms=now_ms)
    _resolve(session, case, decision, cases.ACCEPTED, now_ms=now_ms)
    return account


def _dismiss(session: Session, case: Case, decision: Decision, now_ms: int) -> None:
    _resolve(session, case, decision, resolutions.DISMISSED, now_ms=now_ms)


_CARRIED_OUT: Any = {"refund_payment": _refund, "credit": _credit, "accept_refund": _accept, "dismiss": _dismiss}


def _is_stray(session: Session, case: Case) -> bool:
    """Whether the money belongs to nothing: what an order was paid with goes back by a refund of that order."""
    if case.kind not in cases.STRAY_MONEY or case.payment_no is None:
        return False
    return orders.find_by_payment(session, provider=case.provider, payment_no=case.payment_no) is None


def _resolve(session: Session, case: Case, decision: Decision, resolution: str, *, now_ms: int) -> None:
    resolved = resolutions.resolve(
        session,
        case,
        resolution=resolution,
        note=decision.note,
        by=decision.admin_id,
        credits=decision.credits if resolution == resolutions.CREDITED else None,
        now_ms=now_ms,
    )
    assert resolved, "the case is locked and open"


def _record(session: Session, case: Case, decision: Decision, *, now_ms: int) -> None:
    operation = oplog.Operation(
        action="ADMIN_CASE_RESOLVE",
        user_id=decision.admin_id,
        resource_type=REF_TYPE,
        resource_id=case.id,
        details={
            "kind": case.kind,
            "orderNo": case.order_no,
            "amountFen": case.amount_fen,
            "resolution": decision.resolution,
            "credits": decision.credits,
            "reason": decision.note,
        },
        address=decision.address,
        user_agent=decision.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)
