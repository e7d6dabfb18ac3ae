"""Orders as administrators find them, with what was paid back and what had to be looked at."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from atelier.kernel import ids
from atelier.orders import refunds
from atelier.orders.errors import OrderNotFound
from atelier.orders.models import ORDERS
from atelier.orders.payment_models import CASES
from atelier.orders.refunds import Refund
from atelier.orders.service import COLUMNS, Order

COUNTED_MAX = 10_000
C = CASES.c
O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which orders. `order_no` is a whole number, the times are of an order's making."""

    state: str | None = None
    provider: str | None = None
    user_id: str | None = None
    order_no: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCase:
    """A case of an order."""

    id: str
    kind: str
    state: str
    amount_fen: int | None
    resolution: str | None
    created_ms: int
    resolved_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An order with everything that belongs to it, the oldest first."""

    order: Order
    refunds: list[Refund]
    cases: list[OrderCase]


def page(session: Session, *, wanted: Filter, offset: int, limit: int) -> tuple[list[Order], int]:
    """A page of orders, newest first, and how many there are (counted up to COUNTED_MAX)."""
    conditions = _conditions(wanted)
    rows = session.connection().execute(
        select(*COLUMNS).where(*conditions).order_by(O.id.desc()).offset(offset).limit(limit)
    )
    counted = select(O.id).where(*conditions).limit(COUNTED_MAX).subquery()
    total = session.connection().execute(select(func.count()).select_from(counted)).scalar_one()
    return [Order(**row) for row in rows.mappings()], total


def one(session: Session, *, order_id: str) -> Whole:
    """Raises OrderNotFound."""
    row = session.connection().execute(select(*COLUMNS).where(O.id == order_id)).mappings().one_or_none()
    if row is None:
        raise OrderNotFound(order_id)
    order = Order(**row)
    columns = [C[name] for name in OrderCase.__dataclass_fields__]
    cases = session.connection().execute(select(*columns).where(C.order_no == order.order_no).order_by(C.id))
    return Whole(
        order=order,
        refunds=refunds.of_order(session, order_id=order_id),
        cases=[OrderCase(**case) for case in cases.mappings()],
    )


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (O.state, wanted.state),
            (O.provider, wanted.provider),
            (O.user_id, wanted.user_id),
            (O.order_no, wanted.order_no),
        )
        if value is not None
    ]
    # Ids are made with the row, so a range of time is one of ids.
    if wanted.from_ms is not None:
        conditions.append(O.id >= ids.floor(wanted.from_ms))
    if wanted.until_ms is not None:
        conditions.append(O.id < ids.floor(wanted.until_ms))
    return conditions
