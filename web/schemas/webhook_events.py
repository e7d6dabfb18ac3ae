"""Outgoing webhooks: the log of what was told, and what is told."""

from typing import Any, Literal, Self

from pydantic import Field

from atelier.webhooks.queries import Attempt, Event
from web.schemas.jobs import JobCredits, Kind
from web.schemas.model import Answer, PageQuery, Pagination, Timestamp, Uuid
from web.schemas.webhook_endpoints import EventType

Status = Literal["waiting", "delivered", "failed"]


class WebhookEventsQuery(PageQuery):
    """Which events."""

    webhook_id: Uuid | None = None
    job_id: Uuid | None = None
    status: Status | None = None


class WebhookEventAnswer(Answer):
    """One event for one address. Its id is the header `webhook-id` of every attempt."""

    id: Uuid
    type: EventType | Literal["webhook.ping"]
    webhook_id: Uuid | None = Field(description="null for the webhook that was given with a job")
    job_id: Uuid | None = Field(description="null for a ping")
    status: Status
    attempts: int
    error: str | None = Field(description="what was wrong with the last attempt, or why it was given up")
    next_attempt_at: Timestamp | None = Field(description="not before this; null when there is none")
    created_at: Timestamp
    ended_at: Timestamp | None

    @classmethod
    def of(cls, event: Event, **more: Any) -> Self:
        """An event as its user sees it."""
        shown = {
            "id": event.id,
            "type": event.type,
            "webhook_id": event.webhook_id,
            "job_id": event.job_id,
            "status": event.state,
            "attempts": event.attempts,
            "error": event.error,
            "next_attempt_at": event.next_ms,
            "created_at": event.created_ms,
            "ended_at": event.ended_ms,
        }
        return cls.model_validate({**shown, **more})


class WebhookAttemptAnswer(Answer):
    """One attempt at an event."""

    number: int
    status: int | None = Field(description="the HTTP status; null when nobody answered")
    error: str | None = Field(
        description="null when it went well, and while it is being made; else e.g. REFUSED, REDIRECTED, TIMEOUT, "
        "NAME_UNKNOWN, ADDRESS_FORBIDDEN, CONNECTION_FAILED, TLS_FAILED, ENDPOINT_GONE, WORKER_LOST"
    )
    response: str | None = Field(description="the first 2 048 characters of the answer")
    duration: int | None = Field(description="milliseconds")
    started_at: Timestamp
    ended_at: Timestamp | None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """An attempt as its user sees it."""
        return cls(
            number=attempt.number,
            status=attempt.status,
            error=attempt.error,
            response=attempt.answer,
            duration=attempt.duration_ms,
            started_at=attempt.started_ms,
            ended_at=attempt.ended_ms,
        )


class WebhookEventDetailAnswer(WebhookEventAnswer):
    """An event with its latest attempts."""

    attempt_log: list[WebhookAttemptAnswer]


class WebhookEventsAnswer(Answer):
    """A page of events, newest first."""

    events: list[WebhookEventAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, found: list[Event], *, total: int, query: PageQuery) -> Self:
        """The page."""
        shown = [WebhookEventAnswer.of(one) for one in found]
        return cls(events=shown, pagination=Pagination.of(query, total=total))


# ------------------------------------------------------------------------------------------------------ what is told


class EndedJobLinks(Answer):
    """Where to go from here, as whole addresses; each wants its user's token."""

    self: str
    events: str
    result: str


class EndedJob(Answer):
    """A job that has ended, as `GET /api/jobs/{jobId}` shows it, without what is for people."""

    id: Uuid
    status: Literal["completed", "failed", "canceled"]
    seq: int = Field(description="grows with every change of the job: drop what is not above the one that you have")
    kind: Kind
    agent_id: Uuid
    project_id: Uuid | None
    credits: JobCredits
    attempts: int
    error_code: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp
    processing_time: int | None = Field(description="milliseconds from start to end")
    links: EndedJobLinks


class JobEventBody(Answer):
    """A job has ended."""

    type: EventType
    timestamp: Timestamp
    data: EndedJob


class PingData(Answer):
    """Which endpoint is tried out."""

    webhook_id: Uuid


class PingBody(Answer):
    """Somebody tries out an endpoint."""

    type: Literal["webhook.ping"]
    timestamp: Timestamp
    data: PingData
