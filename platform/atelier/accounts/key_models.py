"""The table of API keys."""

from typing import Any, cast

from sqlalchemy import CheckConstraint, Index, Integer, Table, text
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base

NAME_MAX = 100


class ApiKeyRow(Base):
    """One key. Of the key itself only its digest is kept, and as much as its owner knows it by.

    credits_held  what the key's jobs hold now; credits_used: what they have used. Both together never pass the limit
    last_used_ms  to the minute
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("ix_api_keys_user", "user_id", "id"),
        CheckConstraint("credits_held >= 0 AND credits_used >= 0", name="credits"),
        CheckConstraint("credit_limit IS NULL OR credits_held + credits_used <= credit_limit", name="credit_limit"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    name: Mapped[str] = mapped_column(Name(NAME_MAX))
    digest: Mapped[str] = mapped_column(Key(64), unique=True)
    prefix: Mapped[str] = mapped_column(Key(8))
    last_four: Mapped[str] = mapped_column(Key(4))
    scopes: Mapped[Any] = mapped_column(JsonDoc)
    requests_per_minute: Mapped[int | None] = mapped_column(Integer)
    submissions_per_minute: Mapped[int | None] = mapped_column(Integer)
    credit_limit: Mapped[int | None] = mapped_column(Millis)
    credits_held: Mapped[int] = mapped_column(Millis, server_default=text("0"))
    credits_used: Mapped[int] = mapped_column(Millis, server_default=text("0"))
    expires_ms: Mapped[int | None] = mapped_column(Millis, index=True)
    revoked_ms: Mapped[int | None] = mapped_column(Millis, index=True)
    last_used_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)
    updated_ms: Mapped[int] = mapped_column(Millis)


KEYS = cast("Table", ApiKeyRow.__table__)
