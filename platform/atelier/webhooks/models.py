"""The tables of outgoing webhooks: who wants to hear what, what there is to tell, and how each attempt went."""

from typing import cast

from sqlalchemy import CheckConstraint, Index, Integer, Table, text
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, Key, Millis, Name
from atelier.kernel.database import Base
from atelier.webhooks import states

ZERO = text("0")
URL_CHARS = 2_000
ANSWER_CHARS = 2_048


class EndpointRow(Base):
    """An address that hears of all of a user's jobs.

    events           types separated by blanks; empty means all
    failures         attempts in a row that failed
    disabled_reason  gone or failing; NULL while it is on, and when its user turned it off
    deleted_ms       deleted endpoints are kept for as long as their events
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index("ix_webhook_endpoints_user", "user_id", "id"),
        Index("ix_webhook_endpoints_disabled", "disabled_reason"),
        Index("ix_webhook_endpoints_deleted", "deleted_ms"),
        CheckConstraint("enabled = 0 OR (deleted_ms IS NULL AND disabled_reason IS NULL)", name="enabled"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    url: Mapped[str] = mapped_column(Key(URL_CHARS))
    events: Mapped[str] = mapped_column(Key(200))
    description: Mapped[str | None] = mapped_column(Name(200))
    enabled: Mapped[int] = mapped_column(Integer)
    disabled_reason: Mapped[str | None] = mapped_column(Key(16))
    failures: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    created_ms: Mapped[int] = mapped_column(Millis)
    changed_ms: Mapped[int] = mapped_column(Millis)
    deleted_ms: Mapped[int | None] = mapped_column(Millis)


class JobWebhookRow(Base):
    """An address that hears of one job."""

    __tablename__ = "job_webhooks"
    __table_args__ = (Index("ix_job_webhooks_created", "created_ms"),)

    job_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    url: Mapped[str] = mapped_column(Key(URL_CHARS))
    events: Mapped[str] = mapped_column(Key(200))
    created_ms: Mapped[int] = mapped_column(Millis)


class SecretRow(Base):
    """What signs, sealed. `owner_id` is an endpoint, or a user, whose secret signs for the webhooks of single jobs.

    `kid` names the key that it is sealed with; `previous` signs beside it until `previous_until_ms`, which
    its user was told: until then it makes room for another one only when they say so.
    """

    __tablename__ = "webhook_secrets"
    __table_args__ = (Index("ix_webhook_secrets_kid", "kid"),)

    owner_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    kid: Mapped[str] = mapped_column(Key(16))
    sealed: Mapped[str] = mapped_column(Key(255))
    previous_kid: Mapped[str | None] = mapped_column(Key(16))
    previous: Mapped[str | None] = mapped_column(Key(255))
    previous_until_ms: Mapped[int | None] = mapped_column(Millis)
    changed_ms: Mapped[int] = mapped_column(Millis)


class EventRow(Base):
    """One thing to tell one address; its id is the `webhook-id`, the same in every attempt.

    target_id  the endpoint, or the job whose own webhook it is: events of one target are told one after the other
    in_order   1 unless it was asked for by hand: a ping, or one that is told again, neither waits nor is waited for
    tries      attempts since it began to wait; `attempts` are all of them, and the fence of whoever makes one
    due_ms     when the next attempt may begin, or when the one that runs is given up for lost (database clock)
    wake_ms    when a message for it is sent again (database clock)
    """

    __tablename__ = "webhook_events"
    __table_args__ = (
        Index("ix_webhook_events_target", "target_id", "state", "in_order", "id"),
        Index("ix_webhook_events_user", "user_id", "id"),
        Index("ix_webhook_events_endpoint", "endpoint_id", "id"),
        Index("ix_webhook_events_job", "job_id"),
        Index("ix_webhook_events_wake", "wake_ms"),
        Index("ix_webhook_events_ended", "ended_ms"),
        CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    target_id: Mapped[str] = mapped_column(Id())
    endpoint_id: Mapped[str | None] = mapped_column(Id())
    job_id: Mapped[str | None] = mapped_column(Id())
    type: Mapped[str] = mapped_column(Key(32))
    state: Mapped[str] = mapped_column(Key(10), server_default=states.WAITING)
    in_order: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    tries: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    attempts: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    error: Mapped[str | None] = mapped_column(Key(40))
    due_ms: Mapped[int | None] = mapped_column(Millis)
    wake_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)
    ended_ms: Mapped[int | None] = mapped_column(Millis)


class AttemptRow(Base):
    """One attempt, written before the call. Without `ended_ms` nobody knows how it went: its worker was lost.

    `answer` are the first characters of what came back.
    """

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        Index("ix_webhook_attempts_event", "event_id", "number"),
        Index("ix_webhook_attempts_started", "started_ms"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    event_id: Mapped[str] = mapped_column(Id())
    number: Mapped[int] = mapped_column(Integer)
    status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Key(40))
    answer: Mapped[str | None] = mapped_column(Name(ANSWER_CHARS))
    duration_ms: Mapped[int | None] = mapped_column(Millis)
    started_ms: Mapped[int] = mapped_column(Millis)
    ended_ms: Mapped[int | None] = mapped_column(Millis)


ENDPOINTS = cast("Table", EndpointRow.__table__)
JOB_WEBHOOKS = cast("Table", JobWebhookRow.__table__)
SECRETS = cast("Table", SecretRow.__table__)
EVENTS = cast("Table", EventRow.__table__)
ATTEMPTS = cast("Table", AttemptRow.__table__)
