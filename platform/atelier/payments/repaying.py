"""Asking gateways to pay back: outside of any transaction, with one number, until the answer is known.

1. Claim the refund: the try is counted and leased before anything is asked, so whoever comes after a worker that died
   knows that its call may have arrived.
2. On any try but the first, ask what became of the number; only if the gateway has never heard of it, or on the first
   try, ask it to pay back.
3. End the refund by what it said, or ask again after a wait that widens. A refusal ends it; a gateway that is at it,
   or that gave no answer, never does: the money may be on its way.

A refund that has had no end for a day (or five, while the gateway says that it is at it) opens a case. It stays open
and is asked about all the same: nobody but the gateway knows, and another number could pay twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.gateways import port
from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Gateway, ToRefund
from atelier.kernel import faults, logs
from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.orders import refunds
from atelier.orders import service as orders
from atelier.orders.refunds import Refund
from atelier.orders.service import Order
from atelier.payments import refund_ends
from atelier.payments.refund_ends import Told
from atelier.payments.settlement import Settled, SettlementIds

# After the first try, the second, and so on; the last one again and again.
WAITS_MS = (
    *(5 * SECOND_MS, 15 * SECOND_MS, MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS),
    *(HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS),
)
UNKNOWN_MS_MAX = DAY_MS
PROCESSING_MS_MAX = 5 * DAY_MS
MISSING = "GATEWAY_MISSING"
log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing has ended yet. `accepted`: the gateway is at it; otherwise `error` says why nobody knows."""

    accepted: bool
    error: str | None = None


def pay_back(database: Database, *, gateways: Mapping[str, Gateway], refund_id: str, lease_ms: int) -> Settled | None:
    """Ask for one refund, once; None when it is not due, or when it has to be asked about again."""
    refund = database.transact(refunds.claim, refund_id=refund_id, lease_ms=lease_ms)
    if refund is None:
        return None
    order = database.read(orders.find, order_id=refund.order_id)
    assert order is not None, "orders are never deleted"
    said = _asked(gateways.get(refund.provider), order, refund)
    ids = SettlementIds.made(new_id)
    if isinstance(said, Waiting):
        database.transact(wait, refund_id=refund.id, said=said, ids=ids, now_ms=now_ms())
        log.info("refund.waits", refund_id=refund.id, tries=refund.tries, error=said.error)
        return None
    settled = database.transact(refund_ends.conclude, refund_id=refund.id, told=said, ids=ids, now_ms=now_ms())
    log.info("refund.ended", refund_id=refund.id, outcome=settled.outcome, tries=refund.tries)
    return settled


def wait(session: Session, *, refund_id: str, said: Waiting, ids: SettlementIds, now_ms: int) -> None:
    """Ask again later, and have a person look at what takes too long."""
    refund = refunds.find(session, refund_id=refund_id)
    assert refund is not None, "refunds are never deleted"
    wait_ms = WAITS_MS[min(refund.tries, len(WAITS_MS)) - 1]
    if not refunds.put_off(
        session, refund_id=refund_id, wait_ms=wait_ms, accepted=said.accepted, error=said.error, now_ms=now_ms
    ):
        return
    if now_ms - refund.created_ms > (PROCESSING_MS_MAX if said.accepted else UNKNOWN_MS_MAX):
        order = orders.find(session, order_id=refund.order_id)
        assert order is not None, "orders are never deleted"
        told = Told(succeeded=False, source="query", error=said.error)
        refund_ends.open_case(
            session, order, refund, told=told, kind="refund_stuck", case_id=ids.case_id, now_ms=now_ms
        )
    faults.point("refund.before_put_off")


def _asked(gateway: Gateway | None, order: Order, refund: Refund) -> Told | Waiting:
    if gateway is None:
        return Waiting(accepted=False, error=MISSING)
    try:
        return _told(_answer(gateway, order, refund))
    except GatewayRefused as refused:
        return Told(succeeded=False, source="query", error=refused.reason[:64])
    except GatewayUnknown as unknown:
        return Waiting(accepted=False, error=unknown.code)
    except Exception as error:
        # Whatever went wrong here, the call may have arrived: only the gateway can say.
        log.exception("refund.broken", refund_id=refund.id)
        return Waiting(accepted=False, error=type(error).__name__[:64])


def _answer(gateway: Gateway, order: Order, refund: Refund) -> port.Refund:
    if refund.tries > 1:
        found = _found(gateway, order, refund)
        if found.state != "absent":
            return found
    assert order.payment_no is not None, "only what was paid is paid back"
    wanted = ToRefund(
        order_no=order.order_no,
        payment_no=order.payment_no,
        refund_no=refund.refund_no,
        amount_fen=refund.amount_fen,
        total_fen=order.amount_fen,
        reason=refund.reason,
    )
    faults.point("refund.before_call")
    answer = gateway.refund(wanted)
    faults.point("refund.after_call")
    return answer


def _found(gateway: Gateway, order: Order, refund: Refund) -> port.Refund:
    try:
        return gateway.query_refund(order_no=order.order_no, refund_no=refund.refund_no)
    except GatewayRefused as refused:
        # It would not tell, which says nothing of what it did.
        raise GatewayUnknown(refused.reason) from refused


def _told(answer: port.Refund) -> Told | Waiting:
    if answer.state in {"succeeded", "failed"}:
        succeeded = answer.state == "succeeded"
        return Told(
            succeeded=succeeded,
            source="query",
            gateway_no=answer.gateway_no,
            amount_fen=answer.amount_fen,
            error=None if succeeded else refund_ends.CLOSED,
        )
    return Waiting(accepted=answer.state == "processing")
