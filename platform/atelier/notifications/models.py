"""The table of notifications."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis
from atelier.kernel.database import Base


class Notification(Base):
    """One thing that a user was told. The sentence is made of `kind` and `data` when it is read, in any language.

    `due_ms` (database time) says since when it waits to be delivered, and is NULL once it was. `seq` numbers the live
    event among the user's own; it is NULL as long as there was none.
    """

    __tablename__ = "notifications"
    __table_args__ = (Index(None, "user_id", "id"), UniqueConstraint("user_id", "seq"))

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    kind: Mapped[str] = mapped_column(Key(32))
    data: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    ref_type: Mapped[str | None] = mapped_column(Key(32))
    ref_id: Mapped[str | None] = mapped_column(Id())
    seq: Mapped[int | None] = mapped_column(Millis)
    due_ms: Mapped[int | None] = mapped_column(Millis, index=True)
    created_ms: Mapped[int] = mapped_column(Millis, index=True)
    read_ms: Mapped[int | None] = mapped_column(Millis, index=True)
