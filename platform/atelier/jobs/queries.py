"""Reading jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.lanes import LaneKey
from atelier.jobs.models import ATTEMPTS, JOBS, RESULTS
from atelier.kernel import ids
from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import any_of

J = JOBS.c
POSITION_MAX = 1_000
COUNTED_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A job as its owner sees it, without input, config and result."""

    id: str
    user_id: str
    agent_id: str
    project_id: str | None
    kind: str
    queue: str
    provider: str
    state: str
    seq: int
    attempts: int
    held: int
    used: int
    cancel_requested: bool
    error_code: str | None
    error_message: str | None
    run_after_ms: int
    created_ms: int
    started_ms: int | None
    finished_ms: int | None
    batch_id: str | None = None
    parent_id: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the job's state is final."""
        return self.state in states.FINISHED


_SNAPSHOT = (
    J.id,
    J.user_id,
    J.agent_id,
    J.project_id,
    J.kind,
    J.queue,
    J.provider,
    J.state,
    J.seq,
    J.attempts,
    J.held,
    J.used,
    J.cancel_requested,
    J.error_code,
    J.error_message,
    J.run_after_ms,
    J.created_ms,
    J.started_ms,
    J.finished_ms,
    J.batch_id,
    J.parent_id,
)
_NAMES = tuple(column.name for column in _SNAPSHOT)
_SNAPSHOTS = select(*_SNAPSHOT).where(J.id.in_(any_of("job_ids")))


def snapshots(session: Session, *, job_ids: Sequence[str]) -> dict[str, Snapshot]:
    """The jobs with these ids, whoever owns them: the caller checks `user_id`."""
    rows = session.connection().execute(_SNAPSHOTS, {"job_ids": job_ids})
    return {row[0]: Snapshot(**dict(zip(_NAMES, row, strict=True))) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which of a user's jobs; none that is a step of another. Times are milliseconds, `until_ms` exclusive."""

    user_id: str
    state: str | None = None
    agent_id: str | None = None
    project_id: str | None = None
    kind: str | None = None
    batch_id: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None


def page(session: Session, wanted: Filter, *, offset: int, limit: int) -> tuple[list[Snapshot], int]:
    """A page of a user's jobs, newest first, and how many there are (counted up to COUNTED_MAX)."""
    conditions = [J.user_id == wanted.user_id, J.parent_id.is_(None)]
    equal = {
        J.state: wanted.state,
        J.agent_id: wanted.agent_id,
        J.project_id: wanted.project_id,
        J.kind: wanted.kind,
        J.batch_id: wanted.batch_id,
    }
    conditions += [column == value for column, value in equal.items() if value is not None]
    # Ids are UUIDv7: their first 48 bits are the time, so a range of time is a range of the index.
    if wanted.from_ms is not None:
        conditions.append(J.id >= ids.floor(wanted.from_ms))
    if wanted.until_ms is not None:
        conditions.append(J.id < ids.floor(wanted.until_ms))
    rows = session.connection().execute(
        select(*_SNAPSHOT).where(*conditions).order_by(J.id.desc()).offset(offset).limit(limit)
    )
    found = [Snapshot(**dict(zip(_NAMES, row, strict=True))) for row in rows]
    counted = select(J.id).where(*conditions).limit(COUNTED_MAX).subquery()
    return found, session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


class Step(NamedTuple):
    """A part of a job."""

    id: str
    name: str
    kind: str
    agent_id: str
    state: str
    error_code: str | None
    created_ms: int
    started_ms: int | None
    finished_ms: int | None


def steps(session: Session, *, job_id: str) -> list[Step]:
    """The parts of a job that have begun, in their order."""
    columns = (J.id, J.step, J.kind, J.agent_id, J.state, J.error_code, J.created_ms, J.started_ms, J.finished_ms)
    rows = session.connection().execute(select(*columns).where(J.parent_id == job_id).order_by(J.id))
    return [Step(*row) for row in rows]


def of_batch(session: Session, *, batch_id: str) -> list[Snapshot]:
    """All jobs of a batch."""
    rows = session.connection().execute(select(*_SNAPSHOT).where(J.batch_id == batch_id).order_by(J.id))
    return [Snapshot(**dict(zip(_NAMES, row, strict=True))) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The parts of a job that are read seldom."""

    user_id: str
    agent_id: str
    project_id: str | None
    state: str
    seq: int
    fence: int
    kind: str
    held: int
    input: dict[str, Any]
    config: dict[str, Any]
    result: Any
    result_expires_ms: int | None
    result_gone_ms: int | None
    error_code: str | None
    deadline_ms: int
    created_ms: int
    started_ms: int | None
    finished_ms: int | None
    provider: str
    parent_id: str | None
    rank_ms: int

    @property
    def priority(self) -> str:
        """Which head start it was given."""
        return states.priority(ahead_ms=self.created_ms - self.rank_ms)

    @property
    def run_ms(self) -> int:
        """How long it took from its first claim to its end."""
        return (self.finished_ms or 0) - (self.started_ms or 0) if self.finished_ms and self.started_ms else 0


_STORED = (
    J.user_id,
    J.agent_id,
    J.project_id,
    J.state,
    J.seq,
    J.fence,
    J.kind,
    J.held,
    J.input,
    J.config,
    RESULTS.c.document.label("result"),
    RESULTS.c.expires_ms.label("result_expires_ms"),
    RESULTS.c.gone_ms.label("result_gone_ms"),
    J.error_code,
    J.deadline_ms,
    J.created_ms,
    J.started_ms,
    J.finished_ms,
    J.provider,
    J.parent_id,
    J.rank_ms,
)
_STORED_NAMES = tuple(column.name for column in _STORED)


def stored(session: Session, *, job_id: str, user_id: str) -> Stored | None:
    """One of the user's own jobs with input, config and result."""
    row = (
        session.connection()
        .execute(
            select(*_STORED)
            .outerjoin_from(JOBS, RESULTS, RESULTS.c.job_id == J.id)
            .where(J.id == job_id, J.user_id == user_id)
        )
        .one_or_none()
    )
    return Stored(**dict(zip(_STORED_NAMES, row, strict=True))) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A job that the sweeper has to look at, as it was seen."""

    id: str
    user_id: str
    agent_id: str
    kind: str
    fence: int
    attempts: int
    attempts_max: int
    cancel_requested: bool
    publishes: int
    held: int
    past_deadline: bool
    lane: LaneKey


def overdue(session: Session, *, queue: str, state: str, limit: int) -> list[Overdue]:
    """The jobs of a queue in this state whose time has come, the longest overdue first."""
    now = db_now_ms()
    rows = session.connection().execute(
        select(
            J.id,
            J.user_id,
            J.agent_id,
            J.kind,
            J.fence,
            J.attempts,
            J.attempts_max,
            J.cancel_requested,
            J.publishes,
            J.held,
            (J.deadline_ms <= now).label("past_deadline"),
            J.queue,
            J.provider,
        )
        .where(J.queue == queue, J.state == state, J.sweep_ms <= now)
        .order_by(J.sweep_ms)
        .limit(limit)
    )
    return [
        Overdue(
            id=row[0],
            user_id=row[1],
            agent_id=row[2],
            kind=row[3],
            fence=row[4],
            attempts=row[5],
            attempts_max=row[6],
            cancel_requested=bool(row[7]),
            publishes=row[8],
            held=row[9],
            past_deadline=bool(row[10]),
            lane=LaneKey(row[11], row[1], row[12]),
        )
        for row in rows
    ]


def attempts(session: Session, *, job_id: str) -> list[tuple[int, str, str | None]]:
    """Number, provider and outcome of each attempt."""
    rows = session.connection().execute(
        select(ATTEMPTS.c.number, ATTEMPTS.c.provider, ATTEMPTS.c.outcome)
        .where(ATTEMPTS.c.job_id == job_id)
        .order_by(ATTEMPTS.c.fence)
    )
    return [(row[0], row[1], row[2]) for row in rows]
