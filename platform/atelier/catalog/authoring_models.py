"""Tables of what happens around an agent: what its author proposes, what people think of it, and who came."""

from typing import Any, cast

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, Table, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base

COMMENT_MAX = 1_000
REASON_MAX = 500


class AgentDraft(Base):
    """What an author wants an agent to be, as long as nobody has approved it. `document` is a whole definition.

    draft      its author is still at it
    review     it waits for a decision since `submitted_ms`
    rejected   `reason` says why
    """

    __tablename__ = "agent_drafts"
    __table_args__ = (
        CheckConstraint("status IN ('draft', 'review', 'rejected')", name="status"),
        Index("ix_agent_drafts_queue", "status", "submitted_ms", "agent_id"),
    )

    agent_id: Mapped[str] = mapped_column(Id(), ForeignKey("agents.id"), primary_key=True)
    status: Mapped[str] = mapped_column(Key(16))
    document: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    reason: Mapped[str | None] = mapped_column(Name(REASON_MAX))
    submitted_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)
    updated_ms: Mapped[int] = mapped_column(Millis)


class AgentReview(Base):
    """What one user thinks of one agent. Only active ones are shown and counted."""

    __tablename__ = "agent_reviews"
    __table_args__ = (
        UniqueConstraint("agent_id", "user_id"),
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
        CheckConstraint("status IN ('active', 'hidden')", name="status"),
        Index("ix_agent_reviews_newest", "agent_id", "status", "created_ms", "id"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    agent_id: Mapped[str] = mapped_column(Id(), ForeignKey("agents.id"))
    user_id: Mapped[str] = mapped_column(Id())
    rating: Mapped[int] = mapped_column(Integer)
    comment: Mapped[str | None] = mapped_column(Name(COMMENT_MAX))
    status: Mapped[str] = mapped_column(Key(16))
    created_ms: Mapped[int] = mapped_column(Millis)
    updated_ms: Mapped[int] = mapped_column(Millis)


class AgentView(Base):
    """Someone looked at an agent on a day. `key` is a keyed digest of who, what and when: it can't be read back."""

    __tablename__ = "agent_views"

    key: Mapped[str] = mapped_column(Key(43), primary_key=True)
    created_ms: Mapped[int] = mapped_column(Millis, index=True)


class AgentUser(Base):
    """A user has bought an agent or had a job of it completed, since `first_ms`; its creator is none."""

    __tablename__ = "agent_users"

    agent_id: Mapped[str] = mapped_column(Id(), ForeignKey("agents.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    first_ms: Mapped[int] = mapped_column(Millis)


class CountedUntil(Base):
    """How far a count that follows a growing table has come."""

    __tablename__ = "counted_until"

    name: Mapped[str] = mapped_column(Key(32), primary_key=True)
    until_ms: Mapped[int] = mapped_column(Millis)


DRAFTS = cast("Table", AgentDraft.__table__)
REVIEWS = cast("Table", AgentReview.__table__)
VIEWS = cast("Table", AgentView.__table__)
USERS = cast("Table", AgentUser.__table__)
COUNTED = cast("Table", CountedUntil.__table__)
