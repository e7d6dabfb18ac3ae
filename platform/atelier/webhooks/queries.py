"""Reading the log of what was told."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.webhooks import states
from atelier.webhooks.errors import WebhookEventNotFound
from atelier.webhooks.models import ATTEMPTS, ENDPOINTS, EVENTS

E = EVENTS.c
A = ATTEMPTS.c
COUNTED_MAX = 10_000
ATTEMPTS_SHOWN_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event for one target. `next_ms` is when it is tried next, or, while it is being tried, given up for lost."""

    id: str
    user_id: str
    target_id: str
    webhook_id: str | None
    job_id: str | None
    type: str
    state: str
    attempts: int
    error: str | None
    next_ms: int | None
    created_ms: int
    ended_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt; without `ended_ms` it is being made, or its worker was lost."""

    number: int
    status: int | None
    error: str | None
    answer: str | None
    duration_ms: int | None
    started_ms: int
    ended_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which of a user's events."""

    user_id: str
    webhook_id: str | None = None
    job_id: str | None = None
    state: str | None = None


_EVENT = (
    E.id,
    E.user_id,
    E.target_id,
    E.endpoint_id,
    E.job_id,
    E.type,
    E.state,
    E.attempts,
    E.error,
    E.due_ms,
    E.created_ms,
    E.ended_ms,
)


def event(session: Session, *, event_id: str, user_id: str) -> Event:
    """One of the user's events. Raises WebhookEventNotFound."""
    mine = (E.id == event_id, E.user_id == user_id)
    row = session.connection().execute(select(*_EVENT).where(*mine)).one_or_none()
    if row is None:
        raise WebhookEventNotFound(event_id)
    return _event(row)


def page(session: Session, wanted: Filter, *, offset: int, limit: int) -> tuple[list[Event], int]:
    """A page of a user's events, the newest first, and how many there are (counted up to COUNTED_MAX)."""
    conditions = [E.user_id == wanted.user_id]
    equal = {E.endpoint_id: wanted.webhook_id, E.job_id: wanted.job_id, E.state: wanted.state}
    conditions += [column == value for column, value in equal.items() if value is not None]
    rows = session.connection().execute(
        select(*_EVENT).where(*conditions).order_by(E.id.desc()).offset(offset).limit(limit)
    )
    found = [_event(row) for row in rows]
    counted = select(E.id).where(*conditions).limit(COUNTED_MAX).subquery()
    return found, session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


def attempts(session: Session, *, event_id: str) -> list[Attempt]:
    """The latest attempts at an event, the first of them first."""
    rows = session.connection().execute(
        select(A.number, A.status, A.error, A.answer, A.duration_ms, A.started_ms, A.ended_ms)
        .where(A.event_id == event_id)
        .order_by(A.number.desc())
        .limit(ATTEMPTS_SHOWN_MAX)
    )
    return [Attempt(**dict(row)) for row in reversed(rows.mappings().all())]


def standing(session: Session, *, counted_max: int) -> tuple[int, int]:
    """How many events wait, and how many endpoints were turned off for their failures; each counted up to a bound."""
    waiting = select(E.wake_ms).where(E.wake_ms > 0).limit(counted_max).subquery()
    reason = ENDPOINTS.c.disabled_reason
    off = select(reason).where(reason.in_((states.GONE, states.FAILING))).limit(counted_max).subquery()
    count = session.connection().execute
    return (
        count(select(func.count()).select_from(waiting)).scalar_one(),
        count(select(func.count()).select_from(off)).scalar_one(),
    )


def _event(row: Any) -> Event:
    return Event(
        id=row.id,
        user_id=row.user_id,
        target_id=row.target_id,
        webhook_id=row.endpoint_id,
        job_id=row.job_id,
        type=row.type,
        state=row.state,
        attempts=row.attempts,
        error=row.error,
        next_ms=row.due_ms if row.state == states.WAITING else None,
        created_ms=row.created_ms,
        ended_ms=row.ended_ms,
    )
