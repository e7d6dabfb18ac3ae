"""The operation log and what clients told."""

from typing import Annotated, Any, Self

from pydantic import Field

from atelier.administration.audit import Record, Told, Wanted
from web.schemas.model import LIMIT_DEFAULT, Answer, FromText, Line, Moment, Query, Timestamp, Uuid

FEED_MAX = 50


class FeedQuery(Query):
    """How much, and from where on: `cursor` is the `nextCursor` of the page before."""

    limit: Annotated[int, Field(ge=1, le=10**15), FromText] = Field(LIMIT_DEFAULT, description="above 50 means 50")

    @property
    def rows(self) -> int:
        """How many are wanted."""
        return min(self.limit, FEED_MAX)


class AuditQuery(FeedQuery):
    """Which operations."""

    action: Line = Field("", max_length=40, description="the word, or its beginning: `ADMIN_`")
    user_id: Uuid | None = Field(None, description="who did it")
    resource_type: Line = Field("", max_length=40)
    resource_id: Uuid | None = Field(None, description="what it was done to")
    from_: Moment | None = Field(None, alias="from")
    to: Moment | None = None
    cursor: Annotated[int | None, Field(ge=1, le=10**17), FromText] = None

    @property
    def wanted(self) -> Wanted:
        """The filter that this asks for."""
        return Wanted(
            action=self.action or None,
            user_id=self.user_id,
            resource_type=self.resource_type or None,
            resource_id=self.resource_id,
            from_ms=self.from_,
            until_ms=self.to,
            before=self.cursor,
        )


class RecordAnswer(Answer):
    """One operation."""

    id: str
    action: str
    user_id: str | None
    resource_type: str | None
    resource_id: str | None
    details: dict[str, Any]
    address: str | None
    user_agent: str | None
    created_at: Timestamp

    @classmethod
    def of(cls, record: Record) -> Self:
        """The operation."""
        return cls(
            id=str(record.id),
            action=record.action,
            user_id=record.user_id,
            resource_type=record.resource_type,
            resource_id=record.resource_id,
            details=record.details,
            address=record.address,
            user_agent=record.user_agent,
            created_at=record.created_ms,
        )


class AuditAnswer(Answer):
    """Operations, newest first. `nextCursor` is null at the end."""

    operations: list[RecordAnswer]
    next_cursor: str | None


class ClientLogsQuery(FeedQuery):
    """Whose messages."""

    user_id: Uuid | None = None
    cursor: Uuid | None = None


class ToldAnswer(Answer):
    """What a client told."""

    id: str
    user_id: str
    action: str
    details: dict[str, Any]
    success: bool
    claimed_at: Timestamp | None = Field(description="by the client's clock")
    created_at: Timestamp

    @classmethod
    def of(cls, told: Told) -> Self:
        """The message."""
        return cls(
            id=told.id,
            user_id=told.user_id,
            action=told.action,
            details=told.details,
            success=told.success,
            claimed_at=told.claimed_ms,
            created_at=told.created_ms,
        )


class ClientLogsAnswer(Answer):
    """Messages, newest first. `nextCursor` is null at the end."""

    logs: list[ToldAnswer]
    next_cursor: str | None
