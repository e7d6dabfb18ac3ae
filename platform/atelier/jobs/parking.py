"""Jobs that run without a worker: parked until something else is done, and looked at when their time comes.

A parked job stays `running` under the fence of the attempt that parked it. It has no lease and no owner; `poll_ms` says
when to look next, and whoever looks moves that ahead first, so that two who look at once share the jobs between them.
Its deadline is the sweeper's to enforce when nobody looks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from atelier.jobs import states, upstream
from atelier.jobs.models import ATTEMPTS, JOBS
from atelier.jobs.service import Claimed
from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import matched

J = JOBS.c
A = ATTEMPTS.c


def park(session: Session, *, job_id: str, fence: int, wait_ms: int) -> bool:
    """Give up the lease of a running job and have it looked at after `wait_ms`; False when the fence is lost.

    A job that is to be canceled, or too late by then, is looked at in time for that.
    """
    now = db_now_ms()
    later = now + wait_ms
    look = case((J.cancel_requested != 0, now), (J.deadline_ms < later, J.deadline_ms), else_=later)
    parked = matched(
        session,
        update(JOBS)
        .where(J.id == job_id, J.fence == fence, J.state == states.RUNNING)
        .values(lease_ms=None, owner=None, poll_ms=look, sweep_ms=J.deadline_ms + states.LOOK_GRACE_MS),
    )
    return parked == 1


def park_abandoned(session: Session, *, job_id: str, fence: int, ending: bool) -> bool:
    """Park a job whose worker was lost after it had called a provider that finishes later; False for any other job.

    It is looked at now. One that is `ending` is the sweeper's again if nobody does so soon.
    """
    now = db_now_ms()
    called = exists().where(A.job_id == job_id, A.fence == fence, A.submit_state.in_(upstream.OPEN))
    sweep = now if ending else J.deadline_ms
    parked = matched(
        session,
        update(JOBS)
        .where(J.id == job_id, J.fence == fence, J.state == states.RUNNING, J.lease_ms < now, called)
        .values(lease_ms=None, owner=None, poll_ms=now, sweep_ms=sweep + states.LOOK_GRACE_MS),
    )
    return parked == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A parked job whose time has come, and what its attempt knows of the provider.

    submitted  calling | accepted | unknown | … as in the attempt; None when it parked for something else
    since_ms   how long ago its attempt began, and `age_ms` how long ago the provider took it
    expired    whether its deadline has passed
    """

    id: str
    user_id: str
    agent_id: str
    agent_version: int
    fence: int
    cancel_requested: bool
    expired: bool
    since_ms: int
    age_ms: int
    provider_key: str
    upstream_id: str | None
    submitted: str | None
    misses: int


Wait = Callable[[Due], int]


def due(session: Session, *, provider: str, limit: int, wait: Wait, ending_only: bool = False) -> list[Due]:
    """Take the parked jobs of a provider whose time has come; each comes again after `wait` of it, in milliseconds.

    `ending_only` leaves those alone that are neither to be canceled nor too late. `wait` must be pure.
    """
    now = db_now_ms()
    ending = (or_(J.cancel_requested != 0, J.deadline_ms <= now),) if ending_only else ()
    rows = session.connection().execute(
        select(
            J.id,
            J.user_id,
            J.agent_id,
            J.agent_version,
            J.fence,
            J.cancel_requested,
            (J.deadline_ms <= now).label("expired"),
            now.label("now"),
        )
        .where(J.provider == provider, J.poll_ms <= now, J.state == states.RUNNING, *ending)
        .order_by(J.poll_ms)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    jobs = rows.all()
    if not jobs:
        return []
    known = _attempts(session, [row[0] for row in jobs])
    found = [
        Due(
            id=row[0],
            user_id=row[1],
            agent_id=row[2],
            agent_version=row[3],
            fence=row[4],
            cancel_requested=bool(row[5]),
            expired=bool(row[6]),
            since_ms=row[7] - attempt.started_ms,
            age_ms=row[7] - (attempt.submitted_ms or attempt.started_ms),
            provider_key=attempt.provider_key,
            upstream_id=attempt.upstream_id,
            submitted=attempt.submit_state,
            misses=attempt.misses,
        )
        for row in jobs
        if (attempt := known.get((row[0], row[4])))
    ]
    _look_again(session, found, wait)
    return found


@dataclass(frozen=True, slots=True)
class _Attempt:
    started_ms: int
    submitted_ms: int | None
    provider_key: str
    upstream_id: str | None
    submit_state: str | None
    misses: int


def _attempts(session: Session, job_ids: Sequence[str]) -> Mapping[tuple[str, int], _Attempt]:
    rows = session.connection().execute(
        select(
            A.job_id, A.fence, A.started_ms, A.submitted_ms, A.provider_key, A.upstream_id, A.submit_state, A.misses
        ).where(A.job_id.in_(job_ids))
    )
    return {(row[0], row[1]): _Attempt(*row[2:]) for row in rows}


def _look_again(session: Session, found: Sequence[Due], wait: Wait) -> None:
    alike: dict[int, list[str]] = {}
    for one in found:
        alike.setdefault(rounded(wait(one)), []).append(one.id)
    for wait_ms, job_ids in alike.items():
        session.connection().execute(
            update(JOBS).where(J.id.in_(job_ids)).values(poll_ms=_by_deadline(db_now_ms() + wait_ms))
        )


def rounded(wait_ms: int) -> int:
    """A wait with one binary digit and three more: many jobs have few different waits, and each costs a statement."""
    step = 1 << max(0, wait_ms.bit_length() - 4)
    return max(1, wait_ms // step * step)


def _by_deadline(later: ColumnElement[int]) -> ColumnElement[int]:
    # A deadline that has passed and was looked at for that must not be looked at without end.
    return case((J.deadline_ms.between(db_now_ms(), later), J.deadline_ms), else_=later)


def postpone(session: Session, *, job_ids: Sequence[str], wait_ms: int) -> None:
    """Have these parked jobs looked at after `wait_ms`, whatever was said before; the others are left alone."""
    session.connection().execute(
        update(JOBS)
        .where(J.id.in_(sorted(job_ids)), J.state == states.RUNNING, J.poll_ms.is_not(None))
        .values(poll_ms=db_now_ms() + wait_ms)
    )


def wake(session: Session, *, job_ids: Sequence[str]) -> int:
    """Have these parked jobs looked at now; how many are parked."""
    now = db_now_ms()
    return matched(
        session,
        update(JOBS)
        .where(J.id.in_(sorted(job_ids)), J.state == states.RUNNING, J.poll_ms.is_not(None))
        .values(poll_ms=case((J.poll_ms < now, J.poll_ms), else_=now)),
    )


def next_in_ms(session: Session, *, provider: str) -> int | None:
    """How long until the next parked job of the provider is due, 0 when one is; None when none is parked."""
    found: int | None = (
        session.connection()
        .execute(select(func.min(J.poll_ms) - db_now_ms()).where(J.provider == provider, J.poll_ms > 0))
        .scalar_one()
    )
    return None if found is None else max(0, found)


def claimed(session: Session, *, job_id: str, fence: int) -> Claimed | None:
    """A parked job as its worker had claimed it; None when it is no longer parked under this fence."""
    row = (
        session.connection()
        .execute(
            select(*(J[name] for name in _CLAIMED), A.started_ms.label("claimed_ms"))
            .join_from(JOBS, ATTEMPTS, (A.job_id == J.id) & (A.fence == J.fence))
            .where(J.id == job_id, J.fence == fence, J.state == states.RUNNING, J.poll_ms.is_not(None))
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    fields: dict[str, Any] = {**row, "cancel_requested": bool(row["cancel_requested"])}
    return Claimed(**fields)


_CLAIMED = (
    "id",
    "user_id",
    "agent_id",
    "agent_version",
    "kind",
    "provider",
    "fence",
    "attempts",
    "attempts_max",
    "cancel_requested",
    "deadline_ms",
    "held",
    "input",
    "config",
    "created_ms",
    "project_id",
    "queue",
    "pricing",
    "parent_id",
    "rank_ms",
)
