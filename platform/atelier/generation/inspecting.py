"""One job with everything that is known of it, for whoever has to find out why it is where it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.generation.submit import hold_key
from atelier.jobs import dead_letters, explain, overview, states
from atelier.jobs.dead_letters import Letter
from atelier.jobs.errors import JobNotFound
from atelier.jobs.overview import Seen, Tried
from atelier.ledger import queries as ledger
from atelier.ledger.queries import HoldLine

OPERATIONS_MAX = 50
O = oplog.TABLE.c  # noqa: E741 - the table's initial, as everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened to a job."""

    at_ms: int
    what: str
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A job, its attempts, what happened in order, its credits, and why it waits."""

    job: Seen
    attempts: Sequence[Tried]
    timeline: Sequence[Moment]
    hold: HoldLine | None
    letter: Letter | None
    blocked_by: str | None
    position: int | None


def inspect(session: Session, *, job_id: str, window: int) -> Whole:
    """Anyone's job; `window` is how many of a user's jobs may run at once in a queue. Raises JobNotFound."""
    job = overview.find(session, job_id=job_id)
    if job is None:
        raise JobNotFound(job_id)
    attempts = overview.attempts(session, job_id=job_id)
    letter = dead_letters.find(session, job_id=job_id)
    hold = ledger.hold_line(session, key=hold_key(job_id))
    blocked_by, position = _standing(session, job, window) if job.state == states.PENDING else (None, None)
    moments = [*_own(job), *_tried(attempts), *_paid(hold), *_dealt(letter), *_done_to(session, job_id)]
    return Whole(
        job=job,
        attempts=attempts,
        timeline=sorted(moments, key=lambda one: one.at_ms),
        hold=hold,
        letter=letter,
        blocked_by=blocked_by,
        position=position,
    )


def _standing(session: Session, job: Seen, window: int) -> tuple[str, int | None]:
    line = explain.line(session, queue=job.queue, window=window)
    if not line.knows(job.id):
        line = explain.line(session, queue=job.queue, window=window, user_id=job.user_id)
    blocked_by = line.blocked_by(user_id=job.user_id, provider=job.provider, run_after_ms=job.run_after_ms)
    return blocked_by, line.position(job.id, user_id=job.user_id)


def _own(job: Seen) -> Iterator[Moment]:
    yield Moment(at_ms=job.created_ms, what="submitted", details={"retryOf": job.retry_of} if job.retry_of else {})
    if job.state == states.PENDING and job.run_after_ms:
        yield Moment(at_ms=job.run_after_ms, what="next_attempt_due", details={"errorCode": job.error_code})
    if job.state in states.ALIVE:
        yield Moment(at_ms=job.deadline_ms, what="deadline")
    if job.finished_ms is not None:
        yield Moment(at_ms=job.finished_ms, what=job.state, details={"errorCode": job.error_code, "used": job.used})


def _tried(attempts: Sequence[Tried]) -> Iterator[Moment]:
    for one in attempts:
        named = {"number": one.number, "provider": one.provider}
        yield Moment(at_ms=one.started_ms, what="attempt_started", details=named)
        if one.finished_ms is not None:
            yield Moment(at_ms=one.finished_ms, what="attempt_ended", details={**named, "outcome": one.outcome})


def _paid(hold: HoldLine | None) -> Iterator[Moment]:
    if hold is not None:
        yield Moment(at_ms=hold.created_ms, what="held", details={"amount": hold.amount})
        if hold.resolved_ms is not None:
            details = {"taken": hold.taken, "released": hold.amount - (hold.taken or 0)}
            yield Moment(at_ms=hold.resolved_ms, what="hold_resolved", details=details)


def _dealt(letter: Letter | None) -> Iterator[Moment]:
    # What administrators do is told by the operation log.
    if letter is not None and letter.resolved_ms is not None and letter.resolved_by is None:
        yield Moment(at_ms=letter.resolved_ms, what=letter.state, details={"newJobId": letter.new_job_id})


def _done_to(session: Session, job_id: str) -> Iterator[Moment]:
    """What administrators did to it."""
    rows = session.connection().execute(
        select(O.action, O.user_id, O.details, O.created_ms)
        .where(O.resource_id == job_id, O.resource_type == "job")
        .order_by(O.id.desc())
        .limit(OPERATIONS_MAX)
    )
    for row in rows:
        yield Moment(at_ms=row.created_ms, what=row.action, details={**row.details, "by": row.user_id})
