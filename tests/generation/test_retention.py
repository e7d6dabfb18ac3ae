"""What has outlived its use goes, a few rows at a time; what has not stays."""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import keyed
from atelier.contracts.oplog import Operation
from atelier.generation import retention
from atelier.jobs.lane_models import LANES
from atelier.kernel.clock import DAY_MS, HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.orders.payment_models import EVENTS
from tests.jobs.floor import Floor
from tests.jobs.lifecycle import Workshop
from tests.payments.counter import Counter, paid

KEPT_DAYS = 400


def _record(session: Session, *, count: int, at_ms: int) -> None:
    oplog.record_many(session, [Operation(action="USER_LOGIN", user_id=new_id()) for _ in range(count)], now_ms=at_ms)


def _answer(session: Session, *, key: str, at_ms: int) -> None:
    of = keyed(user_id="", route="POST /x", key=key, body=b"")
    idempotency.store_many(session, [(of, 202, {"success": True})], now_ms=at_ms)


def _times(session: Session) -> list[int]:
    return list(session.connection().execute(select(oplog.TABLE.c.created_ms)).scalars())


def _answers(session: Session) -> int:
    return int(session.connection().execute(select(func.count()).select_from(idempotency.TABLE)).scalar_one())


@pytest.mark.parametrize("count", [1, retention.ROWS_MAX, 2 * retention.ROWS_MAX + 7])
def test_all_of_the_old_goes_and_nothing_of_the_new(db: Database, count: int) -> None:
    now = now_ms()
    db.transact(_record, count=count, at_ms=now - (KEPT_DAYS + 1) * DAY_MS)
    db.transact(_record, count=3, at_ms=now - (KEPT_DAYS - 1) * DAY_MS)
    assert retention.prune(db, operations_kept_days=KEPT_DAYS)["operations"] == count
    assert db.read(_times) == [now - (KEPT_DAYS - 1) * DAY_MS] * 3
    assert retention.prune(db, operations_kept_days=KEPT_DAYS)["operations"] == 0


def test_a_stored_answer_is_kept_a_day(db: Database) -> None:
    now = now_ms()
    db.transact(_answer, key="old", at_ms=now - 25 * HOUR_MS)
    db.transact(_answer, key="new", at_ms=now - 23 * HOUR_MS)
    retention.prune(db, operations_kept_days=KEPT_DAYS)
    assert db.read(_answers) == 1


def test_a_lane_goes_when_nobody_was_served_in_it_for_long_and_nothing_waits(db: Database) -> None:
    shop, floor = Workshop(db), Floor(db, slots=9, window=9)
    gone, waiting, fresh = shop.user(), shop.user(), shop.user()
    for user_id in (gone, waiting, fresh):
        shop.submit(user_id, 0)
    for claimed in floor.fill():
        assert shop.complete(claimed)
    shop.submit(waiting, 0)
    db.transact(_age_lanes, user_ids=[gone, waiting], turn_ms=now_ms() - 31 * DAY_MS)
    assert retention.prune(db, operations_kept_days=KEPT_DAYS)["lanes"] == 1
    assert db.read(_lane_owners) == {waiting, fresh}


def _age_lanes(session: Session, *, user_ids: list[str], turn_ms: int) -> None:
    # Closed, as a lane of a user with enough jobs running is: what waits in it keeps it, not that it is open.
    session.connection().execute(update(LANES).where(LANES.c.user_id.in_(user_ids)).values(turn_ms=turn_ms, open=0))


def _lane_owners(session: Session) -> set[str]:
    return set(session.connection().scalars(select(LANES.c.user_id)))


def test_what_a_gateway_sent_is_kept_until_it_is_settled_and_for_a_while_after(db: Database) -> None:
    counter = Counter(db)
    order = counter.order()
    for number in range(3):
        assert counter.receive(paid(order, event_key=f"e-{number}"))
    old, new, _ = counter.events()
    for event, settled_ms in ((old, now_ms() - 91 * DAY_MS), (new, now_ms() - 89 * DAY_MS)):
        assert counter.settle(event["id"])
        db.transact(_settled_at, event_id=event["id"], settled_ms=settled_ms)
    assert retention.prune(db, operations_kept_days=KEPT_DAYS)["payment_events"] == 1
    assert [one["event_key"] for one in counter.events()] == ["e-1", "e-2"]
    assert counter.take(paid(order, event_key="e-0")) == "known"


def _settled_at(session: Session, *, event_id: str, settled_ms: int) -> None:
    session.execute(update(EVENTS).where(EVENTS.c.id == event_id).values(settled_ms=settled_ms, received_ms=1))
