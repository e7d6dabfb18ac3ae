"""Roll-ups against the rows that they are made of: to the credit, in any order, late, twice, and after missed days."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.analytics import facts, reading, rolling
from atelier.analytics.models import ACTIVE, ROLLED, ROLLUPS
from atelier.analytics.reading import Report
from atelier.analytics.spans import Zone
from atelier.contracts import oplog
from atelier.contracts.oplog import Operation
from atelier.jobs.models import JOBS
from atelier.kernel.clock import DAY_MS, HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger.models import TRANSFERS
from tests.bounds import examples
from tests.jobs.lifecycle import Workshop

OFFSET_MS = 8 * HOUR_MS
ZONE = Zone(OFFSET_MS)
PER_TEST = settings(
    max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


def _shift(session: Session, *, user_id: str, by_ms: int) -> None:
    """Let everything of a user have happened earlier."""
    connection = session.connection()
    mine = JOBS.c.user_id == user_id
    shares = and_(TRANSFERS.c.kind == "share", TRANSFERS.c.ref_id.in_(select(JOBS.c.id).where(mine)))
    for table, own, columns in (
        (JOBS, mine, ("created_ms", "started_ms", "finished_ms")),
        (TRANSFERS, or_(TRANSFERS.c.account_id == user_id, shares), ("created_ms",)),
    ):
        moved = {name: table.c[name] - by_ms for name in columns}
        connection.execute(update(table).where(own).values(moved))


def _born(session: Session, *, at_ms: int) -> str:
    user_id = new_id()
    row: dict[str, Any] = {
        "id": user_id, "email": f"{user_id}@example.com", "email_key": f"{user_id}@example.com", "username": user_id,
        "username_key": user_id, "password_hash": "-", "display_name": "Someone", "role": "user", "status": "active",
        "token_version": 0, "settings": {}, "created_ms": at_ms, "updated_ms": at_ms,
    }  # fmt: skip
    session.execute(insert(User), row)
    oplog.record(session, Operation(action="USER_REGISTER", user_id=user_id), now_ms=at_ms)
    return user_id


def _truth(session: Session) -> dict[str, int]:
    rows = session.connection().execute(
        select(TRANSFERS.c.kind, func.sum(TRANSFERS.c.amount)).group_by(TRANSFERS.c.kind)
    )
    # Every agent here is the house's.
    return {"share_platform" if kind == "share" else kind: int(amount) for kind, amount in rows}


def _rows(session: Session) -> list[tuple[Any, ...]]:
    found = session.connection().execute(select(ROLLUPS).order_by(*ROLLUPS.primary_key.columns))
    return [tuple(row) for row in found]


def _rolled(session: Session) -> list[int]:
    return list(session.connection().execute(select(ROLLED.c.slot_ms).order_by(ROLLED.c.slot_ms)).scalars())


def _active(session: Session) -> int:
    return int(session.connection().execute(select(func.count()).select_from(ACTIVE)).scalar_one())


def _report(db: Database, *, days: int = 50) -> Report:
    now = now_ms()
    from_ms, until_ms = ZONE.floor(now - days * DAY_MS, "day"), ZONE.next(ZONE.floor(now, "day"), "day")
    return db.read(reading.report, from_ms=from_ms, until_ms=until_ms, granularity="day", zone=ZONE)


def _credits(report: Report) -> dict[str, int]:
    found = {name: value for (metric, name), value in report.totals.items() if metric == "credits"}
    found.pop("uncaptured", None)
    return found


def _spend(shop: Workshop, *, price: int, used: int | None, days_ago: float) -> str:
    """Someone who paid for a job so many days ago, which cost `used`, or failed with None."""
    user_id = shop.user(credits=100)
    claimed = shop.claim_one(shop.submit(user_id, price))
    if used is None:
        shop.settle(shop.failure(claimed))
    else:
        shop.complete(claimed, used=used)
    shop.db.transact(_shift, user_id=user_id, by_ms=int(days_ago * DAY_MS))
    return user_id


SPENT = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from(["all", "half", "failed"]), st.floats(0, 6)), min_size=1, max_size=8
)


@PER_TEST
@given(spent=SPENT)
def test_totals_are_the_ledgers_to_the_credit(db: Database, spent: Sequence[tuple[int, str, float]]) -> None:
    shop = Workshop(db)
    db.transact(_born, at_ms=now_ms() - 7 * DAY_MS)
    for price, how, days_ago in spent:
        used = {"all": price, "half": price // 2, "failed": None}[how]
        _spend(shop, price=price, used=used, days_ago=days_ago)
    rolling.roll(db, utc_offset_ms=OFFSET_MS)
    # What earlier examples left in hours that were rolled before this one is late.
    rolling.verify(db, utc_offset_ms=OFFSET_MS, days=8)
    assert _credits(_report(db)) == {kind: amount for kind, amount in db.read(_truth).items() if amount}


def test_a_slot_twice_is_the_same_slot(shop: Workshop) -> None:
    shop.db.transact(_born, at_ms=now_ms() - 3 * DAY_MS)
    _spend(shop, price=7, used=5, days_ago=2)
    assert rolling.roll(shop.db, utc_offset_ms=OFFSET_MS) > 40
    before = shop.db.read(_rows)
    assert rolling.roll(shop.db, utc_offset_ms=OFFSET_MS) == 0
    for slot_ms in shop.db.read(_rolled):
        shop.db.transact(rolling.roll_slot, slot_ms=slot_ms, utc_offset_ms=OFFSET_MS)
    assert shop.db.read(_rows) == before


def test_what_comes_late_is_found(shop: Workshop) -> None:
    shop.db.transact(_born, at_ms=now_ms() - 3 * DAY_MS)
    rolling.roll(shop.db, utc_offset_ms=OFFSET_MS)
    _spend(shop, price=7, used=5, days_ago=2)
    assert _credits(_report(shop.db)) == {}
    assert rolling.verify(shop.db, utc_offset_ms=OFFSET_MS) >= 1
    assert _credits(_report(shop.db)) == {"topup": 100, "hold": 7, "capture": 5, "share_platform": 5}
    assert rolling.verify(shop.db, utc_offset_ms=OFFSET_MS) == 0


def test_missed_days_are_caught_up(shop: Workshop) -> None:
    shop.db.transact(_born, at_ms=now_ms() - 70 * DAY_MS)
    _spend(shop, price=7, used=7, days_ago=65)
    _spend(shop, price=3, used=3, days_ago=1)
    assert rolling.roll(shop.db, utc_offset_ms=OFFSET_MS) == rolling.SLOTS_MAX
    assert rolling.roll(shop.db, utc_offset_ms=OFFSET_MS) > 0
    assert rolling.roll(shop.db, utc_offset_ms=OFFSET_MS) == 0
    slots = shop.db.read(_rolled)
    assert slots == list(range(slots[0], slots[-1] + HOUR_MS, HOUR_MS))
    assert _credits(_report(shop.db, days=80))["capture"] == 10


def test_a_gap_is_filled(shop: Workshop) -> None:
    shop.db.transact(_born, at_ms=now_ms() - 2 * DAY_MS)
    rolling.roll(shop.db, utc_offset_ms=OFFSET_MS)
    slots = shop.db.read(_rolled)

    def forget(session: Session) -> None:
        session.connection().execute(ROLLED.delete().where(ROLLED.c.slot_ms.in_(slots[3:5])))

    shop.db.transact(forget)
    assert rolling.roll(shop.db, utc_offset_ms=OFFSET_MS) == 2
    assert shop.db.read(_rolled) == slots


def test_the_present_is_counted_live(shop: Workshop) -> None:
    shop.db.transact(_born, at_ms=now_ms())
    _spend(shop, price=7, used=5, days_ago=0)
    report = _report(shop.db)
    assert report.live_from_ms <= now_ms()
    assert _credits(report) == {"topup": 100, "hold": 7, "capture": 5, "share_platform": 5}
    assert report.totals["credits", "uncaptured"] == 2
    assert (report.totals["jobs", "completed"], report.totals["sign_ups", ""]) == (1, 1)
    assert [leader.value for leader in report.leaders["credits_agent"]] == [5]


def test_people_are_counted_once_a_day_and_once_a_month(db: Database) -> None:
    now = now_ms()
    today = ZONE.floor(now, "day")
    regular = db.transact(_born, at_ms=today - 3 * DAY_MS)
    for at_ms in (today - 3 * DAY_MS + HOUR_MS, today - 2 * DAY_MS, now):
        db.transact(oplog.record, Operation(action="USER_LOGIN", user_id=regular), now_ms=at_ms)
    db.transact(_born, at_ms=today - 2 * DAY_MS)
    rolling.roll(db, utc_offset_ms=OFFSET_MS)
    report = _report(db)
    assert [report.active[today - days * DAY_MS] for days in (4, 3, 2, 1, 0)] == [0, 1, 2, 0, 1]
    assert report.active_total == 2
    assert db.read(_active) <= 4


def test_percentiles_are_within_a_tenth() -> None:
    times = [*range(1, 100), *range(1_000, 100_000, 500)]
    counted: Counter[tuple[str, str]] = Counter()
    for time in times:
        digits = str(time)
        counted["run", f"{digits[:2]}e{max(0, len(digits) - 2)}"] += 1
    for part in (0.5, 0.95):
        exact = sorted(times)[int(part * len(times)) - 1]
        found = reading.percentile(counted, "run", part)
        assert found is not None
        assert 0.9 * exact <= found <= exact
    assert reading.percentile({}, "run", 0.5) is None


def test_durations_are_bucketed_by_the_database(shop: Workshop) -> None:
    user_id = _spend(shop, price=0, used=0, days_ago=0)

    def last(session: Session) -> None:
        times = {"started_ms": JOBS.c.created_ms + 12_345, "finished_ms": JOBS.c.created_ms + 12_345 + 7}
        session.connection().execute(update(JOBS).where(JOBS.c.user_id == user_id).values(times))

    shop.db.transact(last)
    found = shop.db.read(facts.count, from_ms=now_ms() - HOUR_MS, until_ms=now_ms() + HOUR_MS)
    assert (found["wait", "12e3"], found["run", "7e0"]) == (1, 1)
