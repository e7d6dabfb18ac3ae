"""Downloads: how many different users have bought an agent or had a job of it completed.

Counted by the clock, a slice of time after the other. Each slice begins a little before the last one ended, because
what happened then may have been committed later; whom it finds twice counts once.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.catalog import audience
from atelier.catalog.audience import Pair
from atelier.catalog.models import PURCHASES
from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.kernel import ids, logs
from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.database import Database

NAME = "downloads"
OVERLAP_MS = 10 * MINUTE_MS
SLICE_MS = 30 * MINUTE_MS
SLICES_MAX = 1_000
J = JOBS.c
P = PURCHASES.c
log = logs.get(__name__)


def count(database: Database) -> int:
    """Count everyone up to now; how many were new. What is left after SLICES_MAX slices waits for the next time."""
    new = 0
    for _ in range(SLICES_MAX):
        found, is_done = database.transact(count_slice)
        new += found
        if is_done:
            break
    if new:
        log.info("downloads.counted", new=new)
    return new


def count_slice(session: Session) -> tuple[int, bool]:
    """Count the next slice: how many users were new, and whether there is nothing left."""
    mark_ms = audience.until(session, name=NAME)
    now_ms = int(session.connection().scalar(select(db_now_ms())) or 0)
    from_ms = max(0, mark_ms - OVERLAP_MS)
    first_ms = _first(session, from_ms=from_ms)
    until_ms = now_ms if first_ms is None else min(now_ms, first_ms + SLICE_MS)
    used = _used(session, from_ms=from_ms, until_ms=until_ms)
    for pair, at_ms in _bought(session, from_ms=from_ms, until_ms=until_ms).items():
        used[pair] = min(at_ms, used.get(pair, at_ms))
    new = audience.add(session, first_ms=used)
    audience.moved(session, name=NAME, until_ms=max(mark_ms, until_ms))
    return new, until_ms >= now_ms


def _first(session: Session, *, from_ms: int) -> int | None:
    """When something happened first: months without anything are one step."""
    used = session.connection().scalar(select(func.min(J.finished_ms)).where(J.finished_ms >= from_ms))
    # Ids of purchases grow with time.
    bought = select(P.created_ms).where(P.id >= ids.floor(from_ms)).order_by(P.id).limit(1)
    found = [at_ms for at_ms in (used, session.connection().scalar(bought)) if at_ms is not None]
    return min(found, default=None)


def _used(session: Session, *, from_ms: int, until_ms: int) -> dict[Pair, int]:
    rows = session.connection().execute(
        select(J.agent_id, J.user_id, func.min(J.finished_ms))
        .where(J.finished_ms >= from_ms, J.finished_ms < until_ms, J.state == states.COMPLETED)
        .group_by(J.agent_id, J.user_id)
    )
    return {(agent_id, user_id): int(at_ms) for agent_id, user_id, at_ms in rows}


def _bought(session: Session, *, from_ms: int, until_ms: int) -> dict[Pair, int]:
    rows = session.connection().execute(
        select(P.agent_id, P.user_id, func.min(P.created_ms))
        .where(P.id >= ids.floor(from_ms), P.id < ids.floor(until_ms))
        .group_by(P.agent_id, P.user_id)
    )
    return {(agent_id, user_id): int(at_ms) for agent_id, user_id, at_ms in rows}
