"""Sending stray money back: the gateway is asked outside of any transaction, with the case's one number, until it says.

Whoever hears what became of it ends the return: this call, a notice, or the line of a day's bill. The later ones change
nothing, unless they say something else.

A try is counted before anything is asked. On any but the first, the gateway is asked what became of the number before
it is asked to pay back: a worker may have died, or an answer been lost, after the money went.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.gateways import port
from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Gateway, ToRefund
from atelier.kernel import faults, logs
from atelier.kernel.clock import HOUR_MS, MINUTE_MS, SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.orders import cases, resolutions
from atelier.orders.cases import NewCase
from atelier.orders.resolutions import Case
from atelier.payments.resolving import REF_TYPE
from atelier.payments.settlement import Settled

# After the first try, the second, and so on; the last one again and again.
WAITS_MS: Final = (5 * SECOND_MS, 30 * SECOND_MS, 5 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS)
RETURNED: Final = "returned"
REOPENED: Final = "reopened"
WAITS: Final = "waits"
KNOWN: Final = "known"
MISSING: Final = "GATEWAY_MISSING"
CLOSED: Final = "REFUND_CLOSED"
# The payer reads it; why an administrator decided so is none of their business.
REASONS: Final = {
    "unknown_order": "订单不存在，退回款项",
    "wrong_amount": "金额与订单不符，退回款项",
    "double_payment": "重复支付，退回款项",
}
log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a gateway says: `succeeded` is None while nobody knows. `error` is its own word, or why nobody knows.

    `amount_fen` is what went back, None when it doesn't say.
    """

    succeeded: bool | None
    error: str | None = None
    amount_fen: int | None = None


def send_back(database: Database, *, gateways: Mapping[str, Gateway], case_id: str, lease_ms: int) -> Said | None:
    """Ask for the money of one case, once; None when nobody has to ask now."""
    case = database.transact(resolutions.claim, case_id=case_id, lease_ms=lease_ms)
    if case is None:
        return None
    said = _asked(gateways.get(case.provider), case)
    database.transact(conclude, case_id=case_id, said=said, new_id=new_id(), now_ms=now_ms())
    log.info("case.returning", case_id=case_id, tries=case.tries, succeeded=said.succeeded, error=said.error)
    return said


def conclude(session: Session, *, case_id: str, said: Said, new_id: str, now_ms: int) -> Settled:
    """End the return by what its gateway said, or have it asked again; `new_id` is for a case of what differs.

    What came of it: `returned`, `reopened` (the gateway would not), `waits`, `refund_differs`, or `known`.
    """
    case = resolutions.lock(session, case_id=case_id)
    assert case is not None, "cases are never deleted"
    if said.succeeded:
        settled = _went(session, case, said, new_id=new_id, now_ms=now_ms)
    elif case.state != resolutions.RETURNING:
        settled = Settled(outcome=KNOWN, case_id=case.id)
    elif said.succeeded is None:
        wait_ms = WAITS_MS[min(case.tries, len(WAITS_MS)) - 1]
        resolutions.put_off(session, case_id=case_id, wait_ms=wait_ms, error=said.error, now_ms=now_ms)
        settled = Settled(outcome=WAITS, case_id=case.id)
    else:
        resolutions.reopen(session, case, error=said.error or CLOSED)
        _record(session, case, "REFUND_FAILED", now_ms=now_ms)
        settled = Settled(outcome=REOPENED, case_id=case.id)
    faults.point("case.before_commit")
    return settled


def _went(session: Session, case: Case, said: Said, *, new_id: str, now_ms: int) -> Settled:
    """The money has gone, whatever was thought of it before."""
    settled = Settled(outcome=KNOWN, case_id=case.id)
    if case.state != cases.RESOLVED:
        by, note = case.resolved_by, case.note
        resolutions.resolve(session, case, resolution=resolutions.REFUNDED, note=note, by=by, now_ms=now_ms)
        _record(session, case, "REFUND_SUCCESS", now_ms=now_ms)
        settled = Settled(outcome=RETURNED, case_id=case.id)
    elif case.resolution != resolutions.REFUNDED:
        # The gateway had refused, and someone has resolved it in another way since.
        return _differs(session, case, said, new_id=new_id, now_ms=now_ms)
    if said.amount_fen in {None, case.amount_fen}:
        return settled
    return _differs(session, case, said, new_id=new_id, now_ms=now_ms)


def _differs(session: Session, case: Case, said: Said, *, new_id: str, now_ms: int) -> Settled:
    assert case.refund_no is not None, "it has one from when it is to be sent back"
    new = NewCase(
        id=new_id,
        kind="refund_differs",
        key=case.refund_no,
        provider=case.provider,
        order_no=case.order_no,
        order_id=case.order_id,
        user_id=case.user_id,
        payment_no=case.payment_no,
        amount_fen=said.amount_fen or case.amount_fen,
        details={
            "caseId": case.id,
            "refundNo": case.refund_no,
            "amountFen": case.amount_fen,
            "status": case.resolution or case.state,
        },
    )
    return Settled(outcome=new.kind, case_id=cases.open_once(session, new, now_ms=now_ms))


def said_by_notice(fact: Mapping[str, Any]) -> Said:
    """What a notice of a refund says, as it lies in the inbox."""
    state = fact.get("refund_state") or "succeeded"
    return Said(
        succeeded={"succeeded": True, "failed": False}.get(state),
        error=CLOSED if state == "failed" else None,
        amount_fen=fact.get("refund_fen"),
    )


def _asked(gateway: Gateway | None, case: Case) -> Said:
    if gateway is None:
        return Said(succeeded=None, error=MISSING)
    try:
        answer = _answer(gateway, case)
    except GatewayRefused as refused:
        return Said(succeeded=False, error=refused.reason[:64])
    except GatewayUnknown as unknown:
        return Said(succeeded=None, error=unknown.code)
    if answer.state == "failed":
        return Said(succeeded=False, error=CLOSED)
    if answer.state == "succeeded":
        return Said(succeeded=True, amount_fen=answer.amount_fen)
    return Said(succeeded=None)


def _answer(gateway: Gateway, case: Case) -> port.Refund:
    assert case.refund_no is not None, "it has one from when it is to be sent back"
    assert case.payment_no is not None, "only what was paid is sent back"
    assert case.amount_fen is not None, "and there is an amount to it"
    if case.tries > 1:
        found = _found(gateway, order_no=case.order_no, refund_no=case.refund_no)
        if found.state != "absent":
            return found
    wanted = ToRefund(
        order_no=case.order_no,
        payment_no=case.payment_no,
        refund_no=case.refund_no,
        amount_fen=case.amount_fen,
        total_fen=case.amount_fen,
        reason=REASONS[case.kind],
    )
    answer = gateway.refund(wanted)
    faults.point("case.after_call")
    return answer


def _found(gateway: Gateway, *, order_no: str, refund_no: str) -> port.Refund:
    try:
        return gateway.query_refund(order_no=order_no, refund_no=refund_no)
    except GatewayRefused as refused:
        # It would not tell, which says nothing of what it did.
        raise GatewayUnknown(refused.reason) from refused


def _record(session: Session, case: Case, action: str, *, now_ms: int) -> None:
    operation = oplog.Operation(
        action=action,
        user_id=case.resolved_by,
        resource_type=REF_TYPE,
        resource_id=case.id,
        details={"orderNo": case.order_no, "amountFen": case.amount_fen, "refundNo": case.refund_no},
    )
    oplog.record(session, operation, now_ms=now_ms)
