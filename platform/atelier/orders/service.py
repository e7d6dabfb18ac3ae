"""The verbs of an order's life. Each is one conditional UPDATE; who matches no row has lost the race and stops.

Whether an order can still be paid, and when its gateway is asked, is judged by the database's clock. Orders are locked
before accounts.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.database import Again, is_duplicate, matched
from atelier.orders import states
from atelier.orders.models import ORDERS

O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere
CREDITS_PURCHASE = "credits_purchase"
CURRENCY = "CNY"
# Minutes after its making at which an order's gateway is asked, because no notice has come; then at its end.
QUERIED_MINUTES = (1, 3, 10, 30)
# An order that is over is asked for some more times, further and further apart: money may have been on its way.
LATE_MINUTES = (5, 30, 4 * 60, 24 * 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """An order as it is made. `id` and `order_no` come from the caller, so that running twice is one order."""

    id: str
    order_no: str
    user_id: str
    provider: str
    channel: str
    amount_fen: int
    credits: int
    package_id: str
    items: Sequence[Any]
    return_url: str | None
    lasts_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as stored."""

    id: str
    order_no: str
    user_id: str
    type: str
    provider: str
    channel: str
    state: str
    amount_fen: int
    currency: str
    credits: int
    package_id: str
    items: Any
    payment_no: str | None
    refunded_fen: int
    refunding_fen: int
    return_url: str | None
    expires_ms: int
    queries: int
    created_ms: int
    paid_ms: int | None
    closed_ms: int | None


COLUMNS = tuple(O[name] for name in Order.__dataclass_fields__)


def create(session: Session, new: NewOrder, *, now_ms: int) -> Order:
    """Insert a pending order."""
    values = asdict(new)
    lasts_ms = values.pop("lasts_ms")
    fixed = {"type": CREDITS_PURCHASE, "state": states.PENDING, "currency": CURRENCY, "created_ms": now_ms}
    times = {"expires_ms": db_now_ms() + lasts_ms, "query_ms": db_now_ms() + QUERIED_MINUTES[0] * MINUTE_MS}
    session.connection().execute(insert(ORDERS).values(**values, **fixed, **times))
    made = find(session, order_id=new.id)
    assert made is not None
    return made


def find(session: Session, *, order_id: str) -> Order | None:
    """An order by its id."""
    return _one(session, O.id == order_id)


def find_by_no(session: Session, *, order_no: str) -> Order | None:
    """An order by its number."""
    return _one(session, O.order_no == order_no)


def lock(session: Session, *, order_no: str) -> Order | None:
    """An order by its number; nobody else changes it until this transaction has ended."""
    return _one(session, O.order_no == order_no, locked=True)


def lock_by_id(session: Session, *, order_id: str) -> Order | None:
    """An order by its id; nobody else changes it until this transaction has ended."""
    return _one(session, O.id == order_id, locked=True)


def find_by_payment(session: Session, *, provider: str, payment_no: str) -> Order | None:
    """The order that a payment was taken for."""
    return _one(session, (O.provider == provider) & (O.payment_no == payment_no))


def mark_paid(session: Session, *, order_id: str, payment_no: str, paid_ms: int) -> bool:
    """Pending or closed → paid; False when it is neither.

    Raises Again when another order was paid with this payment meanwhile: the next look sees it.
    """
    unpaid = update(ORDERS).where(O.id == order_id, O.state.in_(states.UNPAID))
    paid = unpaid.values(state=states.PAID, payment_no=payment_no, paid_ms=paid_ms, query_ms=None)
    try:
        return matched(session, paid) == 1
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def close(session: Session, *, order_id: str, now_ms: int) -> bool:
    """Pending → closed; False when it is not pending. The gateway is asked once more, later: it may have been paid."""
    pending = update(ORDERS).where(O.id == order_id, O.state == states.PENDING)
    again_ms = db_now_ms() + LATE_MINUTES[0] * MINUTE_MS
    return matched(session, pending.values(state=states.CLOSED, closed_ms=now_ms, query_ms=again_ms, queries=0)) == 1


def _one(session: Session, condition: Any, *, locked: bool = False) -> Order | None:
    statement = select(*COLUMNS).where(condition)
    row = session.connection().execute(statement.with_for_update() if locked else statement).mappings().one_or_none()
    return Order(**row) if row else None
