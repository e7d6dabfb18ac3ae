"""The log of outgoing webhooks: what was told to whom, how it went, and telling it again."""

from functools import partial

from sqlalchemy.orm import Session

from atelier.webhooks import by_hand, queries
from atelier.webhooks.queries import Attempt, Event, Filter
from web.routing import Call, Endpoint
from web.schemas.webhook_events import (
    WebhookAttemptAnswer,
    WebhookEventAnswer,
    WebhookEventDetailAnswer,
    WebhookEventsAnswer,
    WebhookEventsQuery,
)
from web.submissions import SUBMISSIONS


async def list_events(call: Call) -> WebhookEventsAnswer:
    """The caller's events of the last thirty days."""
    query: WebhookEventsQuery = call.query
    wanted = Filter(user_id=call.user.user_id, webhook_id=query.webhook_id, job_id=query.job_id, state=query.status)
    found, total = await call.services.db.read(queries.page, wanted, offset=query.offset, limit=query.limit)
    return WebhookEventsAnswer.of(found, total=total, query=query)


async def read(call: Call) -> WebhookEventDetailAnswer:
    """One event with its latest attempts."""
    event, attempts = await call.services.db.read(_detail, event_id=call.path["eventId"], user_id=call.user.user_id)
    return WebhookEventDetailAnswer.of(event, attempt_log=[WebhookAttemptAnswer.of(one) for one in attempts])


async def redeliver(call: Call) -> WebhookEventAnswer:
    """Have an event told once more under the same id, or now rather than later if it waits for its next attempt."""
    event = await call.services.db.transact(
        by_hand.again, event_id=call.path["eventId"], user_id=call.user.user_id, now_ms=call.now_ms
    )
    call.request.app[SUBMISSIONS].wake()
    return WebhookEventAnswer.of(event)


def _detail(session: Session, *, event_id: str, user_id: str) -> tuple[Event, list[Attempt]]:
    return queries.event(session, event_id=event_id, user_id=user_id), queries.attempts(session, event_id=event_id)


_events = partial(Endpoint, tag="webhooks", cache="no-store")

ENDPOINTS = (
    _events(
        method="GET",
        path="/api/webhook-events",
        handler=list_events,
        summary=("Webhook 投递记录", "Log of webhooks"),
        query=WebhookEventsQuery,
        answer=WebhookEventsAnswer,
    ),
    _events(
        method="GET",
        path="/api/webhook-events/{eventId}",
        handler=read,
        summary=("查看投递事件", "Read an event"),
        answer=WebhookEventDetailAnswer,
        errors=("EVENT_NOT_FOUND",),
    ),
    _events(
        method="POST",
        path="/api/webhook-events/{eventId}/redeliver",
        handler=redeliver,
        summary=("重新投递", "Send an event again"),
        answer=WebhookEventAnswer,
        status=202,
        errors=("EVENT_NOT_FOUND", "WEBHOOK_DISABLED", "TOO_MANY_WEBHOOK_EVENTS"),
    ),
)
