"""When the gateway of an order that nobody paid is asked what became of it: rarely, and more rarely as it ages.

A notice may never come, so every pending order has a moment at which its gateway is asked; at its end it is closed. An
order that is over is asked for some more times, because money may have been on its way. Whoever asks has first moved
that moment ahead, so that others take other orders, and comes back to this one if the asking died.
"""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.orders import states
from atelier.orders.models import ORDERS
from atelier.orders.service import COLUMNS, LATE_MINUTES, QUERIED_MINUTES, Order

O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere
IN_VAIN_PART = 4
IN_VAIN_MS_MIN = MINUTE_MS // 2
IN_VAIN_MS_MAX = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An order whose gateway is to be asked now. `is_over`: nobody may pay it any more."""

    order: Order
    is_over: bool
    age_ms: int


def claim(session: Session, *, limit: int, lease_ms: int) -> list[Due]:
    """Take so many orders that are due, the longest waiting first; they are due again after the lease."""
    now_ms = session.connection().execute(select(db_now_ms())).scalar_one()
    due = select(*COLUMNS).where(O.query_ms <= now_ms).order_by(O.query_ms, O.id).limit(limit)
    rows = session.connection().execute(due.with_for_update(skip_locked=True)).mappings().all()
    taken = [Order(**row) for row in rows]
    ahead = update(ORDERS).where(O.id.in_([order.id for order in taken]))
    session.connection().execute(ahead.values(query_ms=now_ms + lease_ms))
    return [
        Due(
            order=order,
            is_over=order.state == states.CLOSED or order.expires_ms <= now_ms,
            age_ms=max(0, now_ms - order.created_ms),
        )
        for order in taken
    ]


def again(session: Session, *, order_id: str) -> None:
    """Its gateway was asked, and the order is as it was: set the next time on its schedule, or none."""
    columns = (O.state, O.queries, O.expires_ms, db_now_ms().label("now_ms"))
    row = session.connection().execute(select(*columns).where(O.id == order_id).with_for_update()).one()
    asked: int = row.queries + 1
    next_ms: int | None = None
    if row.state == states.PENDING:
        next_ms = _next_of_pending(asked, row.now_ms, row.expires_ms)
    elif row.state == states.CLOSED and asked < len(LATE_MINUTES):
        next_ms = row.now_ms + LATE_MINUTES[asked] * MINUTE_MS
    session.connection().execute(update(ORDERS).where(O.id == order_id).values(queries=asked, query_ms=next_ms))


def in_vain(session: Session, due: Due) -> None:
    """Nobody could say: ask again after a part of its age, so that it is asked less and less often."""
    wait_ms = min(max(due.age_ms // IN_VAIN_PART, IN_VAIN_MS_MIN), IN_VAIN_MS_MAX)
    unpaid = update(ORDERS).where(O.id == due.order.id, O.query_ms.is_not(None))
    session.connection().execute(unpaid.values(query_ms=db_now_ms() + wait_ms))


def _next_of_pending(asked: int, now_ms: int, expires_ms: int) -> int:
    end_ms = max(expires_ms, now_ms + MINUTE_MS)
    if asked >= len(QUERIED_MINUTES):
        return end_ms
    return min(now_ms + (QUERIED_MINUTES[asked] - QUERIED_MINUTES[asked - 1]) * MINUTE_MS, end_ms)
