"""The table of e-mails: at most one per template and cause."""

from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base


class Email(Base):
    """One e-mail. `due_ms` (database time): the next attempt of a queued row, the end of the claim of a sending one."""

    __tablename__ = "emails"
    __table_args__ = (
        UniqueConstraint("template", "ref"),
        CheckConstraint("state IN ('queued', 'sending', 'sent', 'failed')", name="state"),
        Index(None, "state", "due_ms"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    template: Mapped[str] = mapped_column(Key(32))
    ref: Mapped[str] = mapped_column(Key(64))
    user_id: Mapped[str] = mapped_column(Id(), index=True)
    recipient: Mapped[str] = mapped_column(Name(254))
    locale: Mapped[str] = mapped_column(Key(8))
    context: Mapped[dict[str, Any]] = mapped_column(JsonDoc, default=dict)
    state: Mapped[str] = mapped_column(Key(16), default="queued")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    message_id: Mapped[str | None] = mapped_column(Key(120))
    due_ms: Mapped[int] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis, index=True)
    sent_ms: Mapped[int | None] = mapped_column(Millis)
    error: Mapped[str | None] = mapped_column(Name(200))
