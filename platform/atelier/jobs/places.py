"""The positions of jobs that are being submitted: what is counted doesn't grow with the backlog."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.arrivals import Found
from atelier.jobs.lanes import LaneKey
from atelier.jobs.models import JOBS
from atelier.jobs.queries import POSITION_MAX
from atelier.kernel.clock import db_now_ms

J = JOBS.c


class Newcomer(NamedTuple):
    """A job that is not there yet."""

    job_id: str
    lane: LaneKey
    priority: str


def positions(session: Session, new: Sequence[Newcomer], *, there: Found) -> dict[str, int | None]:
    """How many jobs come before each new one at most: those there already, and those before it in this group."""
    found: dict[str, int | None] = {}
    for queue in {one.lane.queue for one in new}:
        found |= _in_queue(session, [one for one in new if one.lane.queue == queue], queue, there)
    return found


def _in_queue(session: Session, new: Sequence[Newcomer], queue: str, there: Found) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    total = there.older.get(queue)
    lanes_open = there.lanes[queue] if total != 0 else 0
    earlier = Counter[str]()
    for number, one in enumerate(new):
        user_id = one.lane.user_id
        mine = there.waiting.get((user_id, queue), 0)
        own = mine + earlier[user_id] if one.priority == "normal" else _before(session, one)
        # What waits was counted a moment after what is older: some of it may be younger.
        others = None if total is None else max(0, total - mine + number - earlier[user_id])
        users = max(0, lanes_open - bool(mine)) + len(earlier.keys() - {user_id})
        position = own + users * (own + 1) if others is None else own + min(others, users * (own + 1))
        found[one.job_id] = position if position <= POSITION_MAX else None
        earlier[user_id] += 1
    return found


def _before(session: Session, one: Newcomer) -> int:
    """How many of the user's own jobs come before one of another priority, counted to POSITION_MAX."""
    rank = db_now_ms() - states.HEAD_STARTS_MS[one.priority]
    queue, user_id, provider = one.lane
    before = (
        select(J.id)
        .where(
            J.provider == provider,
            J.state == states.PENDING,
            J.queue == queue,
            J.user_id == user_id,
            J.rank_ms <= rank,
        )
        .limit(POSITION_MAX + 1)
        .subquery()
    )
    return session.connection().execute(select(func.count()).select_from(before)).scalar_one()
