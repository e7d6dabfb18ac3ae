"""Outgoing webhooks: endpoints, and the webhook of a single job."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from atelier.callouts.targets import URL_CHARS_MAX
from atelier.webhooks.endpoints import Webhook
from atelier.webhooks.keeping import Drop
from web.schemas.model import Answer, Body, Line, PageQuery, Pagination, Query, Timestamp, Uuid

EventType = Literal["job.completed", "job.failed", "job.canceled"]
EVENTS_MAX = 10

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=URL_CHARS_MAX,
        description="https, on port 443 or 8443, under a public name or address, without user, password or fragment",
    ),
]
Events = Annotated[list[EventType], Field(max_length=EVENTS_MAX, description="which events; none or empty: all")]
Description = Annotated[Line, Field(max_length=200)]


class JobWebhook(Body):
    """Who is to hear of this job, beside the user's endpoints; signed with the secret for webhooks of single jobs."""

    url: Url
    events: Events | None = None


class WebhookBody(Body):
    """A new endpoint."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://example.com/atelier", "events": ["job.completed"]}]}
    )

    url: Url
    events: Events | None = None
    description: Description | None = None
    enabled: bool = True


class WebhookChangeBody(Body):
    """What is to be different; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    url: Url | None = None
    events: Events | None = None
    description: Description | None = Field(None, description="empty: none")
    enabled: bool | None = Field(
        None, description="true also starts to count failures anew; false gives up what waits to be delivered"
    )


class WebhookAnswer(Answer):
    """An endpoint."""

    id: Uuid
    url: str
    events: list[EventType] = Field(description="empty: all")
    description: str | None
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None = Field(
        description="why it is off without its user having said so: it answered 410, or failed ten times in a row"
    )
    failures: int = Field(description="attempts in a row that failed")
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, webhook: Webhook, **more: str | None) -> Self:
        """An endpoint as its user sees it."""
        shown = {
            "id": webhook.id,
            "url": webhook.url,
            "events": list(webhook.events),
            "description": webhook.description,
            "enabled": webhook.enabled,
            "disabled_reason": webhook.disabled_reason,
            "failures": webhook.failures,
            "created_at": webhook.created_ms,
            "updated_at": webhook.changed_ms,
        }
        return cls.model_validate({**shown, **more})


class CreatedWebhookAnswer(WebhookAnswer):
    """A new endpoint with its secret, which is shown here and nowhere else."""

    secret: str | None = Field(
        description="whsec_…; null when the answer is given again and the secret has been changed since"
    )


class RotateQuery(Query):
    """What becomes of the old secrets."""

    drop: Drop | None = Field(
        None,
        description="what signs no more from now on: the previous secret (the current one then signs for 24 hours), "
        "the current one (the previous one then signs for as long as was promised), or all; it has to be said "
        "while a previous secret still signs",
    )


class RotatedAnswer(Answer):
    """A new secret, shown here and nowhere else."""

    secret: str | None = Field(
        description="whsec_…; null when the answer is given again and the secret has been changed since"
    )
    previous_valid_until: Timestamp | None = Field(
        description="until then every delivery is signed with an old secret too; null when none signs any more"
    )


class WebhooksAnswer(Answer):
    """A page of endpoints, newest first."""

    webhooks: list[WebhookAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, found: list[Webhook], *, total: int, query: PageQuery) -> Self:
        """The page."""
        shown = [WebhookAnswer.of(one) for one in found]
        return cls(webhooks=shown, pagination=Pagination.of(query, total=total))
