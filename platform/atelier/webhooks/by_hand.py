"""What a user has told by hand: a ping, or an event once more. It takes no turn, and nothing waits for it."""

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import Again, matched
from atelier.webhooks import endpoints, events, queries, states
from atelier.webhooks.errors import TooManyWaitingEvents, WebhookDisabled
from atelier.webhooks.models import ATTEMPTS, ENDPOINTS, EVENTS
from atelier.webhooks.queries import Event

E = EVENTS.c
BY_HAND_MAX = 100
RETRY_AFTER_SECONDS = 60


def ping(session: Session, *, webhook_id: str, user_id: str, event_id: str, now_ms: int) -> Event:
    """Have a test event told. Raises WebhookNotFound, WebhookDisabled or TooManyWaitingEvents."""
    if not endpoints.own(session, webhook_id=webhook_id, user_id=user_id).enabled:
        raise WebhookDisabled(webhook_id)
    _refuse_crowds(session, user_id)
    row = {
        "id": event_id,
        "user_id": user_id,
        "target_id": webhook_id,
        "endpoint_id": webhook_id,
        "type": states.PING,
        "in_order": 0,
        "due_ms": db_now_ms(),
        "wake_ms": db_now_ms() + events.OVERDUE_MS,
        "created_ms": now_ms,
    }
    session.connection().execute(insert(EVENTS).values(row))
    events.tell(session, [webhook_id], now_ms=now_ms)
    return queries.event(session, event_id=event_id, user_id=user_id)


def again(session: Session, *, event_id: str, user_id: str, now_ms: int) -> Event:
    """Have an event told once more, under the same id, or now rather than later if it waits for its next attempt.

    Raises WebhookEventNotFound, WebhookDisabled or TooManyWaitingEvents.
    """
    seen = queries.event(session, event_id=event_id, user_id=user_id)
    if seen.webhook_id is not None:
        on = select(ENDPOINTS.c.id).where(ENDPOINTS.c.id == seen.webhook_id, ENDPOINTS.c.enabled == 1)
        if session.connection().execute(on).scalar_one_or_none() is None:
            raise WebhookDisabled(seen.webhook_id)
    if seen.state == states.WAITING:
        _hurry(session, event_id)
    else:
        _refuse_crowds(session, user_id)
        changed = matched(
            session,
            update(EVENTS)
            .where(E.id == event_id, E.state == seen.state, E.attempts == seen.attempts)
            .values(
                state=states.WAITING,
                in_order=0,
                tries=0,
                due_ms=db_now_ms(),
                wake_ms=db_now_ms() + events.OVERDUE_MS,
                ended_ms=None,
            ),
        )
        if not changed:
            raise Again
    events.tell(session, [seen.target_id], now_ms=now_ms)
    return queries.event(session, event_id=event_id, user_id=user_id)


def _hurry(session: Session, event_id: str) -> None:
    # Who is at it now has its lease: a second one would be told twice.
    running = select(ATTEMPTS.c.id).where(
        ATTEMPTS.c.event_id == event_id, ATTEMPTS.c.ended_ms.is_(None), ATTEMPTS.c.error.is_(None)
    )
    session.connection().execute(
        update(EVENTS)
        .where(E.id == event_id, E.state == states.WAITING, ~running.exists())
        .values(due_ms=db_now_ms(), wake_ms=db_now_ms() + events.OVERDUE_MS)
    )


def _refuse_crowds(session: Session, user_id: str) -> None:
    waiting = (
        select(E.id)
        .where(E.user_id == user_id, E.state == states.WAITING, E.in_order == 0)
        .limit(BY_HAND_MAX)
        .subquery()
    )
    if session.connection().execute(select(func.count()).select_from(waiting)).scalar_one() >= BY_HAND_MAX:
        raise TooManyWaitingEvents(retry_after=RETRY_AFTER_SECONDS)
