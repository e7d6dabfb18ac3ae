"""What clients say that they did: kept as told, append-only, and believed by nobody.

It is apart from the operation log, which only the platform itself writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Boolean, Index, Table, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis
from atelier.kernel.database import Base

ACTION_MAX = 64
DETAILS_BYTES_MAX = 16 * 1024
KEPT_DAYS = 90


class ClientLogRow(Base):
    """One message. `claimed_ms` is the client's own time, `created_ms` ours."""

    __tablename__ = "client_logs"
    __table_args__ = (Index("ix_client_logs_user", "user_id", "id"), Index("ix_client_logs_created", "created_ms"))

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    action: Mapped[str] = mapped_column(Key(ACTION_MAX))
    details: Mapped[Any] = mapped_column(JsonDoc)
    success: Mapped[bool] = mapped_column(Boolean)
    claimed_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)


TABLE = cast("Table", ClientLogRow.__table__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLog:
    """One message of a client."""

    id: str
    user_id: str
    action: str
    details: Mapping[str, Any]
    success: bool
    claimed_ms: int | None


def append(session: Session, log: ClientLog, *, now_ms: int) -> None:
    """Keep one message."""
    row = {
        "id": log.id,
        "user_id": log.user_id,
        "action": log.action,
        "details": dict(log.details),
        "success": log.success,
        "claimed_ms": log.claimed_ms,
        "created_ms": now_ms,
    }
    session.connection().execute(insert(TABLE), row)
