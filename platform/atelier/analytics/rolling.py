"""Rolling up: each hour is counted again as a whole, so that doing it twice, late or after days changes nothing.

An hour is rolled when it is over for some minutes. What is committed later than that is noticed, because each rolled
hour has a checksum of its rows: the hours of the last days are compared with it, and those that differ are counted
again.
"""

import hashlib
from collections.abc import Sequence

from pydantic_core import to_json
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.analytics import facts, sales
from atelier.analytics.models import ACTIVE, ROLLED, ROLLUPS
from atelier.contracts import oplog
from atelier.jobs.models import JOBS
from atelier.kernel import logs
from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, db_now_ms
from atelier.kernel.database import Again, Database, is_duplicate
from atelier.ledger.models import TRANSFERS

GRACE_MS = 5 * MINUTE_MS
"""So long after its end, an hour is rolled up."""
SLOTS_MAX = 24 * 60
"""At most so many hours in one run: sixty days are caught up at once, more with the next runs."""
LOOK_BACK_DAYS = 40
O = oplog.TABLE.c  # noqa: E741 - the table's initial, as everywhere
log = logs.get(__name__)


def roll(database: Database, *, utc_offset_ms: int) -> int:
    """Roll up every hour that is over and not rolled yet; how many."""
    slots = database.read(_missing)
    if slots:
        busy = database.read(checksums, from_ms=slots[0], until_ms=slots[-1] + HOUR_MS)
        for slot_ms in slots:
            if slot_ms in busy:
                database.transact(roll_slot, slot_ms=slot_ms, utc_offset_ms=utc_offset_ms)
        database.transact(_note_quiet, slots=[slot_ms for slot_ms in slots if slot_ms not in busy])
        log.info("analytics.rolled", slots=len(slots))
    return len(slots)


def verify(database: Database, *, utc_offset_ms: int, days: int = LOOK_BACK_DAYS) -> int:
    """Count again the hours of the last days whose rows are not what they were; how many differed.

    And older ones that are known to have changed: what was ordered then has been paid in the last days.
    """
    end_ms = database.read(_end)
    since_ms = end_ms - days * DAY_MS
    older = database.read(sales.hours_of_late_payments, since_ms=since_ms)
    spans = [(slot_ms, slot_ms + HOUR_MS) for slot_ms in older]
    spans += [(until_ms - DAY_MS, until_ms) for until_ms in range(end_ms, since_ms, -DAY_MS)]
    mended = 0
    for from_ms, until_ms in spans:
        for slot_ms in database.read(_changed, from_ms=from_ms, until_ms=until_ms):
            database.transact(roll_slot, slot_ms=slot_ms, utc_offset_ms=utc_offset_ms)
            mended += 1
    if mended:
        log.info("analytics.mended", slots=mended)
    return mended


def roll_slot(session: Session, *, slot_ms: int, utc_offset_ms: int) -> None:
    """Replace everything that is known of one hour by what its rows say now."""
    until_ms = slot_ms + HOUR_MS
    found = facts.count(session, from_ms=slot_ms, until_ms=until_ms)
    connection = session.connection()
    connection.execute(delete(ROLLUPS).where(ROLLUPS.c.metric.in_(facts.METRICS), ROLLUPS.c.slot_ms == slot_ms))
    connection.execute(delete(ROLLED).where(ROLLED.c.slot_ms == slot_ms))
    rows = [
        {"metric": metric, "slot_ms": slot_ms, "dimension": dimension, "value": value}
        for (metric, dimension), value in sorted(found.items())
    ]
    checksum = checksums(session, from_ms=slot_ms, until_ms=until_ms).get(slot_ms, "")
    try:
        if rows:
            connection.execute(insert(ROLLUPS), rows)
        connection.execute(insert(ROLLED).values(slot_ms=slot_ms, checksum=checksum, rolled_ms=db_now_ms()))
        _note_active(session, slot_ms=slot_ms, day_ms=day_of(slot_ms, utc_offset_ms))
    except IntegrityError as error:
        # Another worker rolls the same hour: what it wrote is found and replaced.
        if is_duplicate(error):
            raise Again from error
        raise


def _note_quiet(session: Session, *, slots: Sequence[int]) -> None:
    """Hours in which nothing happened; should something come late, their checksum is no longer that of nothing."""
    connection = session.connection()
    known = set(connection.execute(select(ROLLED.c.slot_ms).where(ROLLED.c.slot_ms.in_(slots))).scalars())
    rows = [
        {"slot_ms": slot_ms, "checksum": "", "rolled_ms": slot_ms + HOUR_MS}
        for slot_ms in slots
        if slot_ms not in known
    ]
    try:
        if rows:
            connection.execute(insert(ROLLED), rows)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def day_of(moment_ms: int, utc_offset_ms: int) -> int:
    """When the day of a moment began."""
    return (moment_ms + utc_offset_ms) // DAY_MS * DAY_MS - utc_offset_ms


def checksums(session: Session, *, from_ms: int, until_ms: int) -> dict[int, str]:
    """For every hour of the span in which something happened: a digest of what its rows add up to."""
    sums: dict[int, list[list[int]]] = {}
    for place, (time, amount, which) in enumerate(_SOURCES):
        # Whole hours without a division, which the databases round differently.
        hour = time - time % HOUR_MS
        wanted = select(hour, func.count(), func.sum(amount)).where(time >= from_ms, time < until_ms).group_by(hour)
        rows = session.connection().execute(wanted if which is None else wanted.where(which))
        for slot_ms, number, amount_sum in rows:
            sums.setdefault(int(slot_ms), []).append([place, number, int(amount_sum)])
    return {slot_ms: hashlib.sha256(to_json(parts)).hexdigest() for slot_ms, parts in sums.items()}


_SOURCES: tuple[tuple[ColumnElement[int], ColumnElement[int], ColumnElement[bool] | None], ...] = (
    (User.__table__.c.created_ms, User.__table__.c.created_ms % 1_000, None),
    (JOBS.c.created_ms, JOBS.c.created_ms % 1_000, None),
    (JOBS.c.finished_ms, JOBS.c.finished_ms % 1_000 + JOBS.c.used, None),
    (TRANSFERS.c.created_ms, TRANSFERS.c.amount, None),
    (O.created_ms, O.id, None),
    *sales.SOURCES,
)


def _note_active(session: Session, *, slot_ms: int, day_ms: int) -> None:
    connection = session.connection()
    known = select(ACTIVE.c.user_id).where(ACTIVE.c.day_ms == day_ms)
    seen = (
        select(O.user_id)
        .where(
            O.created_ms >= slot_ms, O.created_ms < slot_ms + HOUR_MS, O.user_id.is_not(None), O.user_id.not_in(known)
        )
        .distinct()
    )
    rows = [{"day_ms": day_ms, "user_id": user_id} for user_id in connection.execute(seen).scalars()]
    if rows:
        connection.execute(insert(ACTIVE), rows)


def _end(session: Session) -> int:
    """When the newest hour ended that can be rolled."""
    now_ms = int(session.connection().execute(select(db_now_ms())).scalar_one())
    return (now_ms - GRACE_MS) // HOUR_MS * HOUR_MS


def _missing(session: Session) -> Sequence[int]:
    end_ms = _end(session)
    begin_ms = _begin(session, end_ms)
    rolled = set(session.connection().execute(select(ROLLED.c.slot_ms).where(ROLLED.c.slot_ms >= begin_ms)).scalars())
    return [slot_ms for slot_ms in range(begin_ms, end_ms, HOUR_MS) if slot_ms not in rolled][:SLOTS_MAX]


def _begin(session: Session, end_ms: int) -> int:
    """The first hour that may be missing: after the last without a gap, or the hour of the very first user."""
    slot = ROLLED.c.slot_ms
    rolled = select(func.count(), func.min(slot), func.max(slot)).select_from(ROLLED)
    number, first, last = session.connection().execute(rolled).one()
    if number:
        return int(last) + HOUR_MS if last - first == (number - 1) * HOUR_MS else int(first)
    born: int | None = session.connection().execute(select(func.min(User.created_ms))).scalar()
    return end_ms if born is None else int(born) // HOUR_MS * HOUR_MS


def _changed(session: Session, *, from_ms: int, until_ms: int) -> Sequence[int]:
    now = checksums(session, from_ms=from_ms, until_ms=until_ms)
    slot = ROLLED.c.slot_ms
    stored = select(slot, ROLLED.c.checksum).where(slot >= from_ms, slot < until_ms)
    rolled: dict[int, str] = {row[0]: row[1] for row in session.connection().execute(stored)}
    return sorted(slot_ms for slot_ms in rolled.keys() | now.keys() if now.get(slot_ms, "") != rolled.get(slot_ms, ""))
