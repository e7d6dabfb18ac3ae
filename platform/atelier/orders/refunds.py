"""Refunds as stored: money that is to go back, is going back, or has."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import PAYMENTS_REFUND, RefundMessage
from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.database import matched
from atelier.orders import states
from atelier.orders.models import ORDERS, REFUNDS

R = REFUNDS.c
O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere
OVERDUE_MS = MINUTE_MS
OVERDUE_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund as stored."""

    id: str
    refund_no: str
    order_id: str
    user_id: str
    provider: str
    state: str
    amount_fen: int
    credits: int
    taken: int
    external: int
    reason: str
    admin_id: str | None
    gateway_no: str | None
    error: str | None
    tries: int
    created_ms: int
    finished_ms: int | None


COLUMNS = tuple(R[name] for name in Refund.__dataclass_fields__)


def add(session: Session, refund: Refund) -> bool:
    """Insert a requested refund, due at once, and set its money aside in the order.

    False, with nothing done, when the order has not so much left that was paid. The order is locked by the caller.
    """
    left = O.amount_fen - O.refunded_fen - O.refunding_fen
    paid = O.state.in_((states.PAID, states.REFUNDING, states.PARTIALLY_REFUNDED))
    aside = update(ORDERS).where(O.id == refund.order_id, paid, left >= refund.amount_fen)
    values = {"state": states.REFUNDING, "refunding_fen": O.refunding_fen + refund.amount_fen}
    if matched(session, aside.values(values)) != 1:
        return False
    row: dict[str, Any] = {name: getattr(refund, name) for name in Refund.__dataclass_fields__}
    session.connection().execute(insert(REFUNDS).values(**row, due_ms=db_now_ms()))
    return True


def lock(session: Session, *, refund_id: str) -> Refund | None:
    """A refund by its id; nobody else changes it until this transaction has ended. Lock its order first."""
    return _one(session, R.id == refund_id, locked=True)


def find(session: Session, *, refund_id: str) -> Refund | None:
    """A refund by its id."""
    return _one(session, R.id == refund_id)


def find_by_no(session: Session, *, refund_no: str) -> Refund | None:
    """A refund by its number."""
    return _one(session, R.refund_no == refund_no)


def of_order(session: Session, *, order_id: str) -> list[Refund]:
    """The refunds of an order, the oldest first."""
    rows = session.connection().execute(select(*COLUMNS).where(R.order_id == order_id).order_by(R.id)).mappings()
    return [Refund(**row) for row in rows]


def credits_for(session: Session, *, order_id: str, amount_fen: int) -> int:
    """The credits that go back with so much more of an order's money. The order is locked by the caller."""
    order = (
        session.connection()
        .execute(select(O.amount_fen, O.credits, O.refunded_fen + O.refunding_fen).where(O.id == order_id))
        .one()
    )
    going = select(func.coalesce(func.sum(R.credits), 0)).where(R.order_id == order_id, R.state != states.FAILED)
    return share(
        credits_given=order[1],
        whole_fen=order[0],
        back_fen=order[2] + amount_fen,
        going=int(session.connection().execute(going).scalar_one()),
    )


def share(*, credits_given: int, whole_fen: int, back_fen: int, going: int) -> int:
    """The credits that go back when `back_fen` of `whole_fen` do in all, and other refunds have `going` of them.

    Together they take what belongs to the money, rounded down, so that whoever pays back the last fen takes the last
    credit. A refund that failed may leave the others with one credit more than their money: the next takes none then.
    """
    return max(0, credits_given * back_fen // whole_fen - going)


def claim(session: Session, *, refund_id: str, lease_ms: int) -> Refund | None:
    """Take an open refund that is due, to ask its gateway; None when it has ended, or somebody else is at it.

    `tries` counts this one. Whoever dies with it holds it no longer than the lease.
    """
    due = update(REFUNDS).where(R.id == refund_id, R.state.in_(states.REFUND_OPEN), R.due_ms <= db_now_ms())
    if not matched(session, due.values(due_ms=db_now_ms() + lease_ms, tries=R.tries + 1)):
        return None
    return find(session, refund_id=refund_id)


def put_off(session: Session, *, refund_id: str, wait_ms: int, accepted: bool, error: str | None, now_ms: int) -> bool:
    """Ask again later; False when it has ended meanwhile. `accepted`: the gateway knows it and is at it."""
    values: dict[str, Any] = {"due_ms": db_now_ms() + wait_ms, "error": error}
    if accepted:
        values["state"] = states.PROCESSING
    waiting = update(REFUNDS).where(R.id == refund_id, R.state.in_(states.REFUND_OPEN))
    if not matched(session, waiting.values(values)):
        return False
    outbox.enqueue(session, PAYMENTS_REFUND, RefundMessage(refund_id=refund_id), now_ms=now_ms, delay_ms=wait_ms)
    return True


def requeue_overdue(session: Session, *, now_ms: int) -> int:
    """Send another message for what is due for more than a minute; how many that are."""
    overdue = (R.due_ms.is_not(None), R.due_ms < db_now_ms() - OVERDUE_MS)
    lost = session.connection().scalars(select(R.id).where(*overdue).order_by(R.due_ms).limit(OVERDUE_MAX)).all()
    again = [
        (PAYMENTS_REFUND, RefundMessage(refund_id=one))
        for one in lost
        if matched(session, update(REFUNDS).where(R.id == one, *overdue).values(due_ms=db_now_ms()))
    ]
    outbox.enqueue_many(session, again, now_ms=now_ms)
    return len(again)


def finish(
    session: Session, refund: Refund, *, succeeded: bool, gateway_no: str | None, error: str | None, now_ms: int
) -> bool:
    """The end of an open refund, and what it makes of its order; False when it had ended before.

    The order and the refund are locked by the caller.
    """
    state = states.SUCCEEDED if succeeded else states.FAILED
    ending = update(REFUNDS).where(R.id == refund.id, R.state.in_(states.REFUND_OPEN))
    ended = {"state": state, "gateway_no": gateway_no, "error": error, "due_ms": None, "finished_ms": now_ms}
    if matched(session, ending.values(ended)) != 1:
        return False
    fen = refund.amount_fen
    order = (
        session.connection()
        .execute(select(O.amount_fen, O.refunded_fen, O.refunding_fen).where(O.id == refund.order_id))
        .one()
    )
    refunded, refunding = order.refunded_fen + (fen if succeeded else 0), order.refunding_fen - fen
    values = {
        "refunded_fen": refunded,
        "refunding_fen": refunding,
        "state": _state(amount=order.amount_fen, refunded=refunded, refunding=refunding),
    }
    session.connection().execute(update(ORDERS).where(O.id == refund.order_id).values(values))
    return True


def _state(*, amount: int, refunded: int, refunding: int) -> str:
    if refunding:
        return states.REFUNDING
    if refunded == amount:
        return states.REFUNDED
    return states.PARTIALLY_REFUNDED if refunded else states.PAID


def _one(session: Session, condition: Any, *, locked: bool = False) -> Refund | None:
    statement = select(*COLUMNS).where(condition)
    row = session.connection().execute(statement.with_for_update() if locked else statement).mappings().one_or_none()
    return Refund(**row) if row else None
