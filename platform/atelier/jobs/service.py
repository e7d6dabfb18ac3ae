"""The verbs of a job's life. Each change is one conditional UPDATE; who matches no row has lost the race and stops.

Leases and due times are compared and set by the database's clock alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, String, and_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.orm import Session

from atelier.jobs import lanes, states
from atelier.jobs.lanes import LaneKey
from atelier.jobs.models import ATTEMPTS, JOBS
from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import any_of, filled, matched

J = JOBS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """Everything that a job is born with. `rank_ms` is given by what it is a step of; else it follows from now."""

    id: str
    user_id: str
    agent_id: str
    agent_version: int
    project_id: str | None
    kind: str
    queue: str
    provider: str
    attempts_max: int
    deadline_ms: int
    held: int
    input: dict[str, Any]
    config: dict[str, Any]
    retry_of: str | None = None
    priority: str = "normal"
    key_id: str | None = None
    pricing: Mapping[str, Any] | None = None
    batch_id: str | None = None
    parent_id: str | None = None
    step: str | None = None
    rank_ms: int | None = None


def create(session: Session, new: Sequence[NewJob], *, now_ms: int, republish_ms: int) -> None:
    """Insert pending jobs, due at once, and open their lanes; the sweeper looks at them after `republish_ms`.

    Raises IntegrityError when a lane is made by another transaction meanwhile.
    """
    rows: list[dict[str, Any]] = [
        {
            "id": one.id,
            "user_id": one.user_id,
            "agent_id": one.agent_id,
            "agent_version": one.agent_version,
            "project_id": one.project_id,
            "kind": one.kind,
            "queue": one.queue,
            "provider": one.provider,
            "attempts_max": one.attempts_max,
            "sweep_ms": min(now_ms + republish_ms, one.deadline_ms),
            "deadline_ms": one.deadline_ms,
            "held": one.held,
            "input": one.input,
            "config": one.config,
            "retry_of": one.retry_of,
            "key_id": one.key_id,
            "pricing": one.pricing,
            "batch_id": one.batch_id,
            "parent_id": one.parent_id,
            "step": one.step,
            "rank_ms": states.rank_ms(created_ms=now_ms, priority=one.priority) if one.rank_ms is None else one.rank_ms,
            "created_ms": now_ms,
        }
        for one in new
    ]
    session.connection().execute(_INSERT, filled(rows, *_SELDOM))
    lanes.open_for(session, [LaneKey(one.queue, one.user_id, one.provider) for one in new])


_INSERT, _SELDOM = insert(JOBS), ("project_id", "retry_of", "key_id", "pricing", "batch_id", "parent_id", "step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A job that this worker holds until the lease ends, under this fence."""

    id: str
    user_id: str
    agent_id: str
    agent_version: int
    kind: str
    provider: str
    fence: int
    attempts: int
    attempts_max: int
    cancel_requested: bool
    deadline_ms: int
    held: int
    input: dict[str, Any]
    config: dict[str, Any]
    created_ms: int
    rank_ms: int
    claimed_ms: int
    project_id: str | None = None
    queue: str
    pricing: Mapping[str, Any] | None
    parent_id: str | None = None

    @property
    def lane(self) -> LaneKey:
        """Where it waited."""
        return LaneKey(self.queue, self.user_id, self.provider)


_CLAIMED = (
    J.id,
    J.user_id,
    J.agent_id,
    J.agent_version,
    J.kind,
    J.provider,
    J.fence,
    J.attempts,
    J.attempts_max,
    J.cancel_requested,
    J.deadline_ms,
    J.held,
    J.input,
    J.config,
    J.created_ms,
    J.lease_ms,
    J.project_id,
    J.queue,
    J.pricing,
    J.parent_id,
    J.rank_ms,
)
_HELD_BY = select(*_CLAIMED).where(J.id.in_(any_of("job_ids")), J.owner == bindparam("by"))


def claim(session: Session, *, job_ids: Sequence[str], owner: str, lease_ms: int) -> list[Claimed]:
    """Take those of the jobs that are due and that nobody holds. `owner` must be new for each call.

    MySQL evaluates assignments from left to right with the new values, so `seq` is set before the fence it reads.
    """
    taken = matched(session, _CLAIM, {"job_ids": job_ids, "by": owner, "for_ms": lease_ms})
    claimed = held_by(session, job_ids=job_ids, owner=owner, lease_ms=lease_ms)
    # When none was taken now but some are ours, this claim was committed and not answered: it is begun already.
    if taken:
        _begin_attempts(session, claimed)
    return claimed


_NOW = db_now_ms()
_CLAIM = (
    update(JOBS)
    .where(
        J.id.in_(any_of("job_ids")),
        J.attempts < J.attempts_max,
        or_(
            and_(J.state == states.PENDING, J.run_after_ms <= _NOW),
            and_(J.state == states.RUNNING, J.lease_ms < _NOW),
        ),
    )
    .ordered_values(
        (J.seq, (J.fence + 1) * states.SEQ_STEP + 1),
        (J.state, states.RUNNING),
        (J.fence, J.fence + 1),
        (J.attempts, J.attempts + 1),
        (J.owner, bindparam("by", type_=String)),
        (J.lease_ms, _NOW + bindparam("for_ms", type_=BigInteger)),
        (J.sweep_ms, _NOW + bindparam("for_ms", type_=BigInteger)),
        (J.started_ms, func.coalesce(J.started_ms, _NOW)),
    )
)


def held_by(session: Session, *, job_ids: Sequence[str], owner: str, lease_ms: int) -> list[Claimed]:
    """Those of the jobs that this owner has claimed."""
    rows = session.connection().execute(_HELD_BY, {"job_ids": job_ids, "by": owner})
    return [
        Claimed(
            id=row[0],
            user_id=row[1],
            agent_id=row[2],
            agent_version=row[3],
            kind=row[4],
            provider=row[5],
            fence=row[6],
            attempts=row[7],
            attempts_max=row[8],
            cancel_requested=bool(row[9]),
            deadline_ms=row[10],
            held=row[11],
            input=row[12],
            config=row[13],
            created_ms=row[14],
            claimed_ms=row[15] - lease_ms,
            project_id=row[16],
            queue=row[17],
            pricing=row[18],
            parent_id=row[19],
            rank_ms=row[20],
        )
        for row in rows
    ]


def _begin_attempts(session: Session, claimed: Sequence[Claimed]) -> None:
    again = [one.id for one in claimed if one.attempts > 1]
    if again:
        # Whoever held the job before and has not said how it went will not say it any more.
        session.connection().execute(
            update(ATTEMPTS)
            .where(ATTEMPTS.c.job_id.in_(again), ATTEMPTS.c.outcome.is_(None))
            .values(outcome=states.ABANDONED, finished_ms=db_now_ms())
        )
    rows = [
        {
            "job_id": one.id,
            "fence": one.fence,
            "number": one.attempts,
            "provider": one.provider,
            "provider_key": provider_key(one.id),
            "started_ms": one.claimed_ms,
        }
        for one in claimed
    ]
    session.connection().execute(_BEGIN, rows)


_BEGIN = insert(ATTEMPTS)


def provider_key(job_id: str) -> str:
    """What names this job to a provider: the same in every attempt, so that a provider can recognise it."""
    return f"job:{job_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A claim, as far as the lease keeper is concerned."""

    job_id: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What the keeper learns of a claim that still holds."""

    job_id: str
    fence: int
    cancel_requested: bool
    expired: bool


def renew(session: Session, *, held: Sequence[Held], lease_ms: int) -> None:
    """Move the leases of these claims ahead; those that were lost, or given up to be parked, are not matched."""
    now = db_now_ms()
    mine = or_(*(and_(J.id == one.job_id, J.fence == one.fence) for one in held))
    session.connection().execute(
        update(JOBS)
        .where(mine, J.state == states.RUNNING, J.lease_ms.is_not(None))
        .values(lease_ms=now + lease_ms, sweep_ms=now + lease_ms)
    )


def pulses(session: Session, *, held: Sequence[Held]) -> list[Pulse]:
    """Those of the claims that still hold, and whether they are to end."""
    rows = session.connection().execute(
        select(J.id, J.fence, J.cancel_requested, J.deadline_ms < db_now_ms()).where(
            J.id.in_([one.job_id for one in held]), J.state == states.RUNNING
        )
    )
    return [Pulse(job_id=row[0], fence=row[1], cancel_requested=bool(row[2]), expired=bool(row[3])) for row in rows]


def put_back(
    session: Session,
    *,
    job_id: str,
    fence: int,
    wait_ms: int,
    republish_ms: int,
    seq: int,
    error_code: str | None,
    bump: int = 0,
    refund: int = 0,
) -> bool:
    """Make a running job pending again, due after `wait_ms`, if this fence holds and nobody has canceled it.

    `refund` attempts don't count.
    """
    now = db_now_ms()
    # Who takes a job without its lease must find the lease over: its holder may have renewed it since it was seen.
    unheld = (J.lease_ms < now,) if bump else ()
    back = matched(
        session,
        update(JOBS)
        .where(J.id == job_id, J.fence == fence, J.state == states.RUNNING, J.cancel_requested == 0, *unheld)
        .values(
            state=states.PENDING,
            fence=fence + bump,
            seq=seq,
            run_after_ms=now + wait_ms,
            lease_ms=None,
            poll_ms=None,
            owner=None,
            sweep_ms=_in_time(now + wait_ms + republish_ms),
            publishes=0,
            error_code=error_code,
            attempts=J.attempts - refund,
        ),
    )
    return back == 1


def request_cancel(session: Session, *, job_id: str, fence: int) -> bool:
    """Ask the worker that holds the job to stop. One that is parked is looked at now, and ended if nobody looks."""
    now, parked = db_now_ms(), J.poll_ms.is_not(None)
    asked = matched(
        session,
        update(JOBS)
        .where(J.id == job_id, J.fence == fence, J.state == states.RUNNING)
        .values(
            cancel_requested=1,
            sweep_ms=case((parked, now + states.LOOK_GRACE_MS), else_=J.sweep_ms),
            poll_ms=case((parked, now), else_=None),
        ),
    )
    return asked == 1


def postpone(session: Session, *, job_ids: Sequence[str], wait_ms: int) -> None:
    """Have the sweeper look at these pending jobs again after `wait_ms`, or at their deadline."""
    session.connection().execute(
        update(JOBS)
        .where(J.id.in_(job_ids), J.state == states.PENDING)
        .values(sweep_ms=_in_time(db_now_ms() + wait_ms))
    )


def republish(session: Session, *, job_id: str, fence: int, publishes: int, wait_ms: int) -> bool:
    """Note that a pending job is published once more; the sweeper looks again after `wait_ms`, or at its deadline."""
    noted = matched(
        session,
        update(JOBS)
        .where(J.id == job_id, J.fence == fence, J.state == states.PENDING, J.publishes == publishes)
        .values(publishes=publishes + 1, sweep_ms=_in_time(db_now_ms() + wait_ms)),
    )
    return noted == 1


def _in_time(later: ColumnElement[int]) -> ColumnElement[int]:
    """When to look at a waiting job again: then, or at its deadline, because nobody else ends it."""
    return case((J.deadline_ms < later, J.deadline_ms), else_=later)
