"""Jobs as administrators look for them: whatever is combined, an index leads and a bounded number of rows is read.

A user's jobs are followed by the user, those of a state, a queue or a kind by the queues and states that can be meant,
all others by their time. What is left of the filter is looked at row by row: see `walking`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from atelier.contracts import queues
from atelier.jobs import reasons, states, walking
from atelier.jobs.models import ATTEMPTS, JOBS
from atelier.jobs.reasons import Reason
from atelier.jobs.walking import Walk

J, A = JOBS.c, ATTEMPTS.c
ATTEMPTS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs. Times are of their submission, `until_ms` exclusive; `before` is where a page has ended."""

    state: str | None = None
    reason: Reason | None = None
    error_code: str | None = None
    agent_id: str | None = None
    provider: str | None = None
    queue: str | None = None
    kind: str | None = None
    user_id: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A job as administrators see it: everything but what its user wrote and what it made."""

    id: str
    user_id: str
    agent_id: str
    agent_version: int
    project_id: str | None
    kind: str
    queue: str
    provider: str
    state: str
    seq: int
    fence: int
    attempts: int
    attempts_max: int
    owner: str | None
    run_after_ms: int
    lease_ms: int | None
    publishes: int
    cancel_requested: bool
    deadline_ms: int
    held: int
    used: int
    error_code: str | None
    retry_of: str | None
    parent_id: str | None
    created_ms: int
    started_ms: int | None
    finished_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One attempt."""

    number: int
    fence: int
    provider: str
    outcome: str | None
    started_ms: int
    finished_ms: int | None


_SEEN = tuple(J[field.name] for field in fields(Seen))
_TRIED = tuple(A[field.name] for field in fields(Tried))


def page(session: Session, wanted: Filter, *, limit: int) -> tuple[list[Seen], str | None]:
    """Jobs that match, the newest first, and from where to go on, None at the end."""
    index, legs, rest = _led(wanted)
    walk = Walk(
        key=J.id,
        legs=legs,
        rest=and_(*rest) if rest else None,
        index=index,
        limit=limit,
        before=wanted.before,
        from_ms=wanted.from_ms,
        until_ms=wanted.until_ms,
    )
    job_ids, following = walking.walk(session, walk)
    found = many(session, job_ids=job_ids) if job_ids else {}
    return [found[job_id] for job_id in job_ids], following


def many(session: Session, *, job_ids: Sequence[str]) -> dict[str, Seen]:
    """These jobs, by their ids."""
    found: dict[str, Seen] = {}
    for row in session.connection().execute(select(*_SEEN).where(J.id.in_(job_ids))).mappings():
        values: dict[str, Any] = {**row, "cancel_requested": bool(row["cancel_requested"])}
        found[values["id"]] = Seen(**values)
    return found


def find(session: Session, *, job_id: str) -> Seen | None:
    """One job, whoever's it is."""
    return many(session, job_ids=[job_id]).get(job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a job's user asked for."""

    input: dict[str, Any]
    config: dict[str, Any]
    priority: str


def asked(session: Session, *, job_ids: Sequence[str]) -> dict[str, Asked]:
    """What was asked for by these jobs; for doing it again, not for anyone to read."""
    rows = session.connection().execute(
        select(J.id, J.input, J.config, J.created_ms - J.rank_ms).where(J.id.in_(job_ids))
    )
    return {row[0]: Asked(input=row[1], config=row[2], priority=states.priority(ahead_ms=row[3])) for row in rows}


def attempts(session: Session, *, job_id: str) -> list[Tried]:
    """The last attempts at a job, in order: how it ended is among them, however often it was put back before."""
    last = select(*_TRIED).where(A.job_id == job_id).order_by(A.fence.desc()).limit(ATTEMPTS_MAX)
    return [Tried(**row) for row in session.connection().execute(last).mappings()][::-1]


Led = tuple[str, list[ColumnElement[bool] | None], list[ColumnElement[bool]]]


def _led(wanted: Filter) -> Led:
    """The index to follow, its parts, and what is left to be looked at row by row."""
    rest = [
        column == value
        for column, value in (
            (J.agent_id, wanted.agent_id),
            (J.provider, wanted.provider),
            (J.error_code, wanted.error_code),
        )
        if value is not None
    ]
    if wanted.reason is not None:
        rest.append(_of_class(wanted.reason))
    queue, kind = wanted.queue, wanted.kind
    if wanted.user_id is not None:
        rest += [J[name] == value for name, value in (("queue", queue), ("kind", kind)) if value is not None]
        mine: ColumnElement[bool] = J.user_id == wanted.user_id
        if wanted.state is None:
            return "ix_jobs_user", [mine], rest
        return "ix_jobs_user_queues", [and_(mine, J.state == wanted.state)], rest
    if wanted.state is None and queue is None and kind is None:
        return "PRIMARY", [None], rest
    possible = queues.may_hold(kind=kind) if kind else queues.GENERATION.values()
    in_queues = [name for name in possible if queue in {None, name}]
    if kind is not None and queues.GENERATION_COMPOSE in in_queues:
        # Every other queue tells the kind of its jobs.
        rest.append(J.kind == kind)
    in_states = [wanted.state] if wanted.state else [*states.ALIVE, *states.FINISHED]
    pairs = product(in_queues or ["-"], in_states)
    return "ix_jobs_queue_state", [and_(J.queue == name, J.state == state) for name, state in pairs], rest


def _of_class(reason: Reason) -> ColumnElement[bool]:
    codes = [code for code, one in reasons.CLASSES.items() if one == reason]
    if reason == reasons.of(None):
        # What nobody has thought of is of this class, too.
        return and_(J.state == states.FAILED, J.error_code.not_in([c for c in reasons.CLASSES if c not in codes]))
    return and_(J.state == states.FAILED, J.error_code.in_(codes))
