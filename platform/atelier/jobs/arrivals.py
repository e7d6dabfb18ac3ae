"""What a group of submissions has to know of the jobs that are there: all of it in one round trip.

What is counted is counted to POSITION_MAX and one more, so that it doesn't grow with the backlog.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.lane_models import CONTROLS, DRAINING, LANES
from atelier.jobs.models import JOBS
from atelier.jobs.queries import POSITION_MAX
from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import any_of

J = JOBS.c
L = LANES.c


@dataclass(slots=True)
class Found:
    """What is there.

    now_ms       the database's time
    is_draining  whether any queue or provider accepts nothing new
    written      which of the ids are jobs already
    waiting      how many pending jobs each of the users has, by user and queue
    older        how many pending jobs each queue has that are older; a queue with more than POSITION_MAX is left out
    lanes        how many lanes of each queue have something due
    """

    now_ms: int = 0
    is_draining: bool = False
    written: set[str] = field(default_factory=set[str])
    waiting: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    older: dict[str, int] = field(default_factory=dict[str, int])
    lanes: dict[str, int] = field(default_factory=dict[str, int])


def look(
    session: Session,
    *,
    job_ids: Sequence[str],
    user_ids: Collection[str],
    queues: Collection[str],
    crowded: Collection[str] = (),
) -> Found:
    """What is there for new jobs with these ids, of these users and in these queues.

    In `crowded` queues more jobs wait than are counted: they are not counted again.
    """
    named = tuple(sorted(queues))
    statement = _look(named, tuple(queue for queue in named if queue not in crowded))
    values = {"job_ids": job_ids, "user_ids": sorted(user_ids), "last_id": max(job_ids, default="")}
    found = Found()
    for what, name, queue, number in session.connection().execute(statement, values):
        if what == _NOW:
            found.now_ms = number
        elif what == _DRAINS:
            found.is_draining = number > 0
        elif what == _WRITTEN:
            found.written.add(name)
        elif what == _WAITS:
            found.waiting[name, queue] = number
        elif what == _LANES:
            found.lanes[queue] = number
        elif number <= POSITION_MAX:
            found.older[queue] = number
    return found


def waiting(session: Session, *, user_ids: Collection[str]) -> dict[tuple[str, str], int]:
    """How many pending jobs each of these users has, by user and queue."""
    rows = session.connection().execute(_WAITING, {"user_ids": sorted(user_ids)})
    return {(row[0], row[1]): row[2] for row in rows}


_WAITING = (
    select(J.user_id, J.queue, func.count())
    .where(J.user_id.in_(any_of("user_ids")), J.state == states.PENDING)
    .with_hint(JOBS, "FORCE INDEX (ix_jobs_user_queues)", "mysql")
    .group_by(J.user_id, J.queue)
)
_NOW, _DRAINS, _WRITTEN, _WAITS, _LANES, _OLDER = range(6)


@lru_cache(maxsize=64)
def _look(queues: tuple[str, ...], counted: tuple[str, ...]) -> Executable:
    nothing = null()
    draining = select(func.count()).where(CONTROLS.c.state == DRAINING).scalar_subquery()
    waiting = (
        _part(_WAITS, J.user_id, J.queue, func.count())
        .where(J.user_id.in_(any_of("user_ids")), J.state == states.PENDING)
        .with_hint(JOBS, "FORCE INDEX (ix_jobs_user_queues)", "mysql")
        .group_by(J.user_id, J.queue)
    )
    return union_all(
        _part(_NOW, nothing, nothing, db_now_ms()),
        _part(_DRAINS, nothing, nothing, draining),
        _part(_WRITTEN, J.id, nothing, nothing).where(J.id.in_(any_of("job_ids"))),
        waiting,
        *(_part(_LANES, nothing, _text(queue), _number(_open(queue))) for queue in queues),
        *(_part(_OLDER, nothing, _text(queue), _number(_older(queue))) for queue in counted),
    )


def _part(what: int, name: Any, queue: Any, number: Any) -> Select[*tuple[Any, ...]]:
    return select(literal_column(str(what), Integer), name, queue, number)


def _text(queue: str) -> ColumnElement[str]:
    return bindparam(None, queue, unique=True)


def _number(some: Select[*tuple[Any, ...]]) -> ColumnElement[int]:
    return select(func.count()).select_from(some.limit(POSITION_MAX + 1).subquery()).scalar_subquery()


def _open(queue: str) -> Select[*tuple[Any, ...]]:
    return select(literal_column("1", Integer)).where(L.queue == queue, L.open == 1)


def _older(queue: str) -> Select[*tuple[Any, ...]]:
    older = select(literal_column("1", Integer)).where(
        J.queue == queue, J.state == states.PENDING, J.id < bindparam("last_id")
    )
    return older.with_hint(JOBS, "FORCE INDEX (ix_jobs_queue_state)", "mysql")
