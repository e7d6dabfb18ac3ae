"""What orders brought: counted like everything else, from the rows of orders and refunds.

    orders ''            orders made; converted '' those of them that have been paid since, whenever that was
    paid <gateway>       payments, in the hour that the gateway names; revenue <gateway> their fen
    refunds <gateway>    refunds that succeeded; refunded <gateway> their fen

An order may be paid in an hour that was rolled long ago, and then belongs there: the digests of `rolling` notice it.
What credits were sold and taken back is the ledger's to say: its kinds topup, clawback and restore.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import Session

from atelier.gateways.port import ProviderName
from atelier.kernel.clock import HOUR_MS
from atelier.orders import states
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.payment_models import CASES

METRICS: Final = ("orders", "converted", "paid", "revenue", "refunds", "refunded")
O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere
R = REFUNDS.c
C = CASES.c
# Named, so that the indexes that begin with the gateway are used.
_OF_ORDERS: ColumnElement[bool] = O.provider.in_(get_args(ProviderName))
_OF_REFUNDS: ColumnElement[bool] = and_(R.provider.in_(get_args(ProviderName)), R.state == states.SUCCEEDED)

SOURCES: tuple[tuple[ColumnElement[int], ColumnElement[int], ColumnElement[bool] | None], ...] = (
    (O.created_ms, O.created_ms % 1_000 + case((O.paid_ms.is_not(None), 1_000), else_=0), None),
    (O.paid_ms, O.amount_fen, _OF_ORDERS),
    (R.finished_ms, R.amount_fen, _OF_REFUNDS),
)
"""For digests: when something happened, a number that changes with it, and which rows."""


def count(session: Session, *, from_ms: int, until_ms: int) -> Iterator[tuple[str, str, int]]:
    """Metric, dimension and sum of what happened from `from_ms` until before `until_ms`."""
    connection = session.connection()

    def within(column: Any) -> ColumnElement[bool]:
        return and_(column >= from_ms, column < until_ms)

    made = select(func.count(), func.count(O.paid_ms)).where(within(O.created_ms))
    orders, converted = connection.execute(made).one()
    yield "orders", "", orders
    yield "converted", "", converted
    paid = select(O.provider, func.count(), func.sum(O.amount_fen)).where(_OF_ORDERS, within(O.paid_ms))
    for gateway, number, fen in connection.execute(paid.group_by(O.provider)):
        yield "paid", gateway, number
        yield "revenue", gateway, int(fen)
    back = select(R.provider, func.count(), func.sum(R.amount_fen)).where(_OF_REFUNDS, within(R.finished_ms))
    for gateway, number, fen in connection.execute(back.group_by(R.provider)):
        yield "refunds", gateway, number
        yield "refunded", gateway, int(fen)


def hours_of_late_payments(session: Session, *, since_ms: int) -> Sequence[int]:
    """The hours before `since_ms` of orders that were closed then, and found to be paid since."""
    late = (
        select(O.created_ms, O.paid_ms)
        .join(CASES, C.order_id == O.id)
        .where(C.kind == "late_payment", C.created_ms >= since_ms, O.created_ms < since_ms)
    )
    moments = {moment for row in session.connection().execute(late) for moment in row if moment < since_ms}
    return sorted({moment // HOUR_MS * HOUR_MS for moment in moments})
