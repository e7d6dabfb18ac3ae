"""The positions of jobs that are being submitted: what is counted doesn't grow with the backlog."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.jobs import lanes, queries, states
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


def positions(
    session: Session,
    new: Sequence[Newcomer],
    *,
    waiting: Mapping[tuple[str, str], int],
    crowded: AbstractSet[str],
) -> dict[str, int | None]:
    """How many jobs come before each new one at most: those there already, and those before it in this group.

    `waiting` says how many jobs each of the users has in each queue; in the `crowded` ones more wait than are counted.
    """
    found: dict[str, int | None] = {}
    for queue in {one.lane.queue for one in new}:
        mine = [one for one in new if one.lane.queue == queue]
        total = (
            None
            if queue in crowded
            else queries.waiting_ahead(session, queue=queue, job_id=max(one.job_id for one in mine))
        )
        lanes_open = lanes.counted(session, queue=queue, most=POSITION_MAX + 1) if total != 0 else 0
        found |= _in_queue(session, mine, waiting=waiting, total=total, lanes_open=lanes_open)
    return found


def _in_queue(
    session: Session,
    new: Sequence[Newcomer],
    *,
    waiting: Mapping[tuple[str, str], int],
    total: int | None,
    lanes_open: int,
) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    earlier = Counter[str]()
    for number, one in enumerate(new):
        user_id = one.lane.user_id
        there = waiting.get((user_id, one.lane.queue), 0)
        own = there + earlier[user_id] if one.priority == "normal" else _before(session, one)
        others = None if total is None else total - there + number - earlier[user_id]
        users = max(0, lanes_open - bool(there)) + len(earlier.keys() - {user_id})
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
