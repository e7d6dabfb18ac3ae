"""The inbox of what gateways send: stored once and answered at once, settled by a worker afterwards.

A message that is in the inbox is settled in the end: its row is due until it is, and whoever sweeps publishes it again.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import PAYMENTS_SETTLE, PaymentMessage
from atelier.gateways.port import Notice
from atelier.kernel import faults
from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.database import Again, is_duplicate, matched
from atelier.orders import resolutions
from atelier.orders import service as orders
from atelier.orders.payment_models import EVENTS
from atelier.payments import refund_notices, returning, settlement
from atelier.payments.settlement import Payment, Settled, SettlementIds

E = EVENTS.c
OVERDUE_MS = MINUTE_MS
OVERDUE_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A message in the inbox."""

    id: str
    provider: str
    kind: str
    order_no: str
    fact: Mapping[str, Any]


def store(session: Session, notice: Notice, *, event_id: str, now_ms: int) -> bool:
    """Keep the message and have it settled; False when it is here already."""
    known = select(E.id).where(E.provider == notice.provider, E.event_key == notice.event_key)
    if session.connection().execute(known).scalar_one_or_none() is not None:
        return False
    row = {
        "id": event_id,
        "provider": notice.provider,
        "event_key": notice.event_key,
        "kind": notice.kind,
        "order_no": notice.order_no,
        "fact": {name: value for name, value in asdict(notice).items() if name not in _COLUMNS and value is not None},
        "received_ms": now_ms,
    }
    try:
        session.connection().execute(insert(EVENTS).values(**row, due_ms=db_now_ms()))
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error  # The same message, sent twice at once: the other one is kept.
        raise
    outbox.enqueue(session, PAYMENTS_SETTLE, PaymentMessage(event_id=event_id), now_ms=now_ms)
    faults.point("webhook.before_commit")
    return True


_COLUMNS = frozenset({"provider", "event_key", "kind", "order_no"})


def settle(session: Session, *, event_id: str, ids: SettlementIds, now_ms: int) -> Settled | None:
    """Settle one message; None when it was settled before, or another worker is at it."""
    event = _locked(session, event_id)
    if event is None:
        return None
    settled = _SETTLE[event.kind](session, event, ids, now_ms)
    done = update(EVENTS).where(E.id == event_id, E.due_ms.is_not(None))
    marked = matched(session, done.values(due_ms=None, outcome=settled.outcome, settled_ms=now_ms))
    assert marked, "the row is locked"
    faults.point("settlement.after_event")
    return settled


def requeue_overdue(session: Session, *, now_ms: int) -> int:
    """Send another message for what waits for more than a minute; how many that are."""
    overdue = (E.due_ms.is_not(None), E.due_ms < db_now_ms() - OVERDUE_MS)
    lost = session.connection().scalars(select(E.id).where(*overdue).order_by(E.due_ms).limit(OVERDUE_MAX)).all()
    again = [
        (PAYMENTS_SETTLE, PaymentMessage(event_id=one))
        for one in lost
        if matched(session, update(EVENTS).where(E.id == one, *overdue).values(due_ms=db_now_ms()))
    ]
    outbox.enqueue_many(session, again, now_ms=now_ms)
    return len(again)


def _locked(session: Session, event_id: str) -> Event | None:
    columns = (E.id, E.provider, E.kind, E.order_no, E.fact)
    waiting = select(*columns).where(E.id == event_id, E.due_ms.is_not(None)).with_for_update()
    row = session.connection().execute(waiting).mappings().one_or_none()
    return Event(**row) if row else None


def _payment(session: Session, event: Event, ids: SettlementIds, now_ms: int) -> Settled:
    fact = event.fact
    paid = Payment(
        provider=event.provider,
        order_no=event.order_no,
        payment_no=str(fact["payment_no"]),
        amount_fen=int(fact["amount_fen"]),
        currency=str(fact["currency"]),
        paid_ms=fact.get("paid_ms"),
        source="notice",
    )
    return settlement.settle_payment(session, paid, ids=ids, now_ms=now_ms)


def _closed(session: Session, event: Event, _ids: SettlementIds, now_ms: int) -> Settled:
    order = orders.lock(session, order_no=event.order_no)
    if order is None or order.provider != event.provider:
        return Settled(outcome="ignored")
    closed = orders.close(session, order_id=order.id, now_ms=now_ms)
    return Settled(outcome="closed" if closed else "known", order=order)


def _refund(session: Session, event: Event, ids: SettlementIds, now_ms: int) -> Settled:
    number = event.fact.get("refund_no")
    named = {"provider": event.provider, "order_no": event.order_no}
    if number and (case := resolutions.lock_by_refund(session, **named, refund_no=number)):
        said = returning.said_by_notice(event.fact)
        return returning.conclude(session, case_id=case.id, said=said, new_id=ids.case_id, now_ms=now_ms)
    return refund_notices.settle(
        session, provider=event.provider, order_no=event.order_no, fact=event.fact, ids=ids, now_ms=now_ms
    )


_Settle = Callable[[Session, Event, SettlementIds, int], Settled]
_SETTLE: Mapping[str, _Settle] = {"payment": _payment, "closed": _closed, "refund": _refund}
