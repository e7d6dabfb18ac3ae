"""Orders as their owners read them, and how many of them wait."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from atelier.kernel.clock import SECOND_MS, db_now_ms
from atelier.orders import states
from atelier.orders.errors import OrderNotFound, OrderNotPending
from atelier.orders.models import ORDERS
from atelier.orders.service import COLUMNS, Order

O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Whose orders, and which of them."""

    user_id: str
    state: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many orders a user could pay now, and in how many seconds there is one less."""

    count: int
    seconds: int


def page(session: Session, *, wanted: Filter, offset: int, limit: int) -> tuple[list[Order], int]:
    """A page of the user's orders, newest first, and how many there are."""
    conditions: list[ColumnElement[bool]] = [O.user_id == wanted.user_id]
    if wanted.state:
        conditions.append(O.state == wanted.state)
    if wanted.type:
        conditions.append(O.type == wanted.type)
    mine = select(*COLUMNS).where(*conditions).order_by(O.id.desc()).offset(offset).limit(limit)
    total = session.connection().execute(select(func.count()).select_from(ORDERS).where(*conditions)).scalar_one()
    return [Order(**row) for row in session.connection().execute(mine).mappings()], total


def own(session: Session, *, order_id: str, user_id: str) -> Order:
    """An order of this user. Raises OrderNotFound, also for someone else's."""
    mine = select(*COLUMNS).where(O.id == order_id, O.user_id == user_id)
    row = session.connection().execute(mine).mappings().one_or_none()
    if row is None:
        raise OrderNotFound(order_id)
    return Order(**row)


def payable(session: Session, *, order_id: str, user_id: str) -> Order:
    """An order of this user that can be paid now. Raises OrderNotFound and OrderNotPending."""
    order = own(session, order_id=order_id, user_id=user_id)
    if order.state != states.PENDING:
        raise OrderNotPending(status=order.state)
    if not session.connection().scalar(select(O.id).where(O.id == order_id, O.expires_ms > db_now_ms())):
        raise OrderNotPending(status=states.CLOSED)  # It is over, and about to be closed.
    return order


def waiting(session: Session, *, user_id: str) -> Waiting:
    """What the user has not paid and still could."""
    left_ms = func.min(O.expires_ms) - db_now_ms()
    open_ = (O.user_id == user_id, O.state == states.PENDING, O.expires_ms > db_now_ms())
    count, soonest_ms = session.connection().execute(select(func.count(), left_ms).where(*open_)).one()
    return Waiting(count=count, seconds=max(1, -(-int(soonest_ms or 0) // SECOND_MS)))
