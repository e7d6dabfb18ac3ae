"""What orders brought, against the orders and the ledger: to the fen and to the credit, late, twice, and after days."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.analytics import reading, rolling
from atelier.analytics.models import ROLLUPS
from atelier.analytics.spans import Zone
from atelier.gateways.port import ProviderName
from atelier.kernel.clock import DAY_MS, HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger.models import TRANSFERS
from atelier.orders import service as orders
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.service import Order
from atelier.payments import settlement
from atelier.payments.settlement import Payment
from tests.payments.desk import Desk
from web.schemas.admin_analytics import PointAnswer

OFFSET_MS = 8 * HOUR_MS
ZONE = Zone(OFFSET_MS)
PER_TEST = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# What becomes of an order.
FATES = st.sampled_from(
    ["waits", "closed", "paid", "late", "back", "half back", "spent and back", "not back after all"]
)
GATEWAYS = st.sampled_from(["alipay", "wechat"])
SOLD = st.lists(
    st.tuples(GATEWAYS, FATES, st.integers(1, 2_000), st.integers(1, 300), st.floats(0, 6)), min_size=1, max_size=7
)


@pytest.fixture
def desk(db: Database) -> Desk:
    """A market that has been there for a while."""
    db.transact(_began, days_ago=5)
    return Desk(db)


def _began(session: Session, *, days_ago: int) -> None:
    user_id, at_ms = new_id(), now_ms() - days_ago * DAY_MS
    row: dict[str, Any] = {
        "id": user_id, "email": f"{user_id}@example.com", "email_key": f"{user_id}@example.com", "username": user_id,
        "username_key": user_id, "password_hash": "-", "display_name": "Someone", "role": "user", "status": "active",
        "token_version": 0, "settings": {}, "created_ms": at_ms, "updated_ms": at_ms,
    }  # fmt: skip
    session.execute(insert(User), row)


def _sell(desk: Desk, *, gateway: ProviderName, fate: str, fen: int, gives: int, days_ago: float) -> None:
    """An order of someone new that ends like this, all of it so many days ago."""
    user_id = desk.user()
    order = desk.order(user_id, fen=fen, gives=gives, provider=gateway, paid=fate not in {"waits", "closed", "late"})
    if fate in {"closed", "late"}:
        desk.db.transact(orders.close, order_id=order.id, now_ms=now_ms())
    if fate == "late":
        assert desk.pay(order).outcome == "late"
    if fate == "spent and back":
        desk.spend(user_id, (gives + 1) // 2)
    if fate in {"back", "spent and back"}:
        desk.back(order)
    if fate == "half back":
        desk.back(order, (fen + 1) // 2)
    if fate == "not back after all":
        desk.tills[gateway].moods.append("closed")
        desk.work(desk.want(order))
    desk.db.transact(_shift, user_id=user_id, by_ms=int(days_ago * DAY_MS))


def _shift(session: Session, *, user_id: str, by_ms: int) -> None:
    """Let everything of a user have happened earlier."""
    for table, own, names in (
        (ORDERS, ORDERS.c.user_id, ("created_ms", "paid_ms")),
        (REFUNDS, REFUNDS.c.user_id, ("finished_ms",)),
        (TRANSFERS, TRANSFERS.c.account_id, ("created_ms",)),
    ):
        values = {name: table.c[name] - by_ms for name in names}
        session.connection().execute(update(table).where(own == user_id).values(values))


def _truth(session: Session) -> dict[str, int]:
    """The same, from the rows of orders and of the ledger."""
    paid = case((ORDERS.c.paid_ms.is_not(None), ORDERS.c.amount_fen), else_=0)
    made = select(func.count(), func.count(ORDERS.c.paid_ms), func.sum(paid), func.sum(ORDERS.c.refunded_fen))
    number, converted, revenue, refunded = session.connection().execute(made).one()
    transfers = select(TRANSFERS.c.kind, func.sum(TRANSFERS.c.amount)).group_by(TRANSFERS.c.kind)
    moved: dict[str, int] = {row[0]: int(row[1]) for row in session.connection().execute(transfers)}
    return {
        "orders": number,
        "converted": converted,
        "paid": converted,
        "revenue_fen": int(revenue),
        "refunded_fen": int(refunded),
        "credits_sold": moved.get("topup", 0),
        "credits_taken_back": moved.get("clawback", 0) - moved.get("restore", 0),
    }


def _sales(db: Database) -> dict[str, Any]:
    """The figures of the whole time."""
    now = now_ms()
    from_ms, until_ms = ZONE.floor(now - 75 * DAY_MS, "day"), ZONE.next(ZONE.floor(now, "day"), "day")
    report = db.read(reading.report, from_ms=from_ms, until_ms=until_ms, granularity="day", zone=ZONE)
    shown = PointAnswer.of(from_ms, report.totals, active=None, groups=frozenset({"sales"})).sales
    assert shown is not None
    return shown.model_dump(by_alias=False)


def _roll(db: Database) -> None:
    while rolling.roll(db, utc_offset_ms=OFFSET_MS):
        pass


def _rows(session: Session) -> list[tuple[Any, ...]]:
    found = session.connection().execute(select(ROLLUPS).order_by(*ROLLUPS.primary_key.columns))
    return [tuple(row) for row in found]


@PER_TEST
@given(sold=SOLD)
def test_totals_are_those_of_orders_and_ledger(db: Database, sold: Sequence[tuple[Any, str, int, int, float]]) -> None:
    desk = Desk(db)
    db.transact(_began, days_ago=7)
    for gateway, fate, fen, gives, days_ago in sold:
        _sell(desk, gateway=gateway, fate=fate, fen=fen, gives=gives, days_ago=days_ago)
    _roll(db)
    # What earlier examples left in hours that were rolled before this one is late.
    rolling.verify(db, utc_offset_ms=OFFSET_MS, days=8)
    found, truth = _sales(db), db.read(_truth)
    assert {name: found[name] for name in truth} == truth
    assert found["conversion"] == round(truth["converted"] / truth["orders"], 4)
    for name in ("paid", "revenue_fen", "refunds", "refunded_fen"):
        assert sum(one[name] for one in found["gateways"].values()) == found[name]


def test_what_was_refunded_is_taken_off_what_was_sold_and_never_off_what_came_in(desk: Desk) -> None:
    _sell(desk, gateway="alipay", fate="back", fen=990, gives=100, days_ago=0)
    _sell(desk, gateway="wechat", fate="not back after all", fen=10, gives=1, days_ago=0)
    found = _sales(desk.db)
    assert (found["revenue_fen"], found["refunds"], found["refunded_fen"]) == (1_000, 1, 990)
    assert (found["credits_sold"], found["credits_taken_back"], found["conversion"]) == (101, 100, 1.0)
    gateway = {"paid": 1, "revenue_fen": 990, "refunds": 1, "refunded_fen": 990}
    assert found["gateways"]["alipay"] == gateway


def test_without_any_order_there_is_no_conversion(desk: Desk) -> None:
    nothing = dict.fromkeys(("paid", "revenue_fen", "refunds", "refunded_fen", "orders", "converted"), 0)
    sold: dict[str, Any] = {"conversion": None, "credits_sold": 0, "credits_taken_back": 0, "gateways": {}}
    assert _sales(desk.db) == nothing | sold


# Some days ago, and longer ago than hours are compared with their rows.
@pytest.mark.parametrize("days_ago", [2, 60])
def test_a_late_payment_counts_where_its_order_was_made_and_where_it_was_paid(desk: Desk, days_ago: int) -> None:
    desk.db.transact(_began, days_ago=days_ago + 1)
    order = desk.order(desk.user(), fen=990, gives=100, paid=False)
    desk.db.transact(orders.close, order_id=order.id, now_ms=now_ms())
    desk.db.transact(_shift, user_id=order.user_id, by_ms=days_ago * DAY_MS)
    _roll(desk.db)
    assert (_sales(desk.db)["conversion"], rolling.verify(desk.db, utc_offset_ms=OFFSET_MS)) == (0.0, 0)
    _pay(desk, order, paid_ms=order.created_ms - days_ago * DAY_MS + 2 * HOUR_MS)
    assert rolling.verify(desk.db, utc_offset_ms=OFFSET_MS) == 2
    found = _sales(desk.db)
    assert (found["orders"], found["conversion"], found["revenue_fen"], found["credits_sold"]) == (1, 1.0, 990, 100)
    assert rolling.verify(desk.db, utc_offset_ms=OFFSET_MS) == 0


def _pay(desk: Desk, order: Order, *, paid_ms: int) -> None:
    """Its gateway names a time that is long over."""
    paid = Payment(
        provider=order.provider,
        order_no=order.order_no,
        payment_no=f"P{order.order_no}",
        amount_fen=order.amount_fen,
        currency="CNY",
        source="bill",
        paid_ms=paid_ms,
    )
    settled = desk.db.transact(settlement.settle_payment, paid, ids=desk.ids(), now_ms=now_ms())
    assert settled.outcome == "late"


def test_an_hour_twice_is_the_same_hour(desk: Desk) -> None:
    _sell(desk, gateway="alipay", fate="half back", fen=990, gives=100, days_ago=2)
    _roll(desk.db)
    before = desk.db.read(_rows)
    assert {"orders", "converted", "paid", "revenue", "refunds", "refunded"} <= {row[0] for row in before}
    for slot_ms in {row[1] for row in before}:
        desk.db.transact(rolling.roll_slot, slot_ms=slot_ms, utc_offset_ms=OFFSET_MS)
    assert desk.db.read(_rows) == before
