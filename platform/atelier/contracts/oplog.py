"""The operation log: who did what to which thing, written in the transaction that does it. No prompts, no secrets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Index, Table, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name, Serial
from atelier.kernel.database import Base, filled


class OperationRow(Base):
    """One operation. `action` is the stable word, e.g. USER_LOGIN."""

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_user", "user_id", "id"),
        Index("ix_operations_resource", "resource_id", "id"),
        Index("ix_operations_action", "action", "id"),
        Index("ix_operations_created", "created_ms"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    action: Mapped[str] = mapped_column(Key(40))
    user_id: Mapped[str | None] = mapped_column(Id())
    resource_type: Mapped[str | None] = mapped_column(Key(40))
    resource_id: Mapped[str | None] = mapped_column(Id())
    details: Mapped[Any] = mapped_column(JsonDoc)
    address: Mapped[str | None] = mapped_column(Key(45))
    user_agent: Mapped[str | None] = mapped_column(Name(300))
    created_ms: Mapped[int] = mapped_column(Millis)


TABLE = cast("Table", OperationRow.__table__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is recorded. `details` hold ids and numbers only."""

    action: str
    user_id: str | None
    resource_type: str | None = None
    resource_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    address: str | None = None
    user_agent: str | None = None


def record(session: Session, operation: Operation, *, now_ms: int) -> None:
    """Record one operation in this transaction."""
    record_many(session, [operation], now_ms=now_ms)


def record_many(session: Session, operations: Iterable[Operation], *, now_ms: int) -> None:
    """Record several."""
    rows = [
        {
            "action": one.action,
            "user_id": one.user_id,
            "resource_type": one.resource_type,
            "resource_id": one.resource_id,
            "details": dict(one.details),
            "address": one.address,
            "user_agent": (one.user_agent or "")[:300] or None,
            "created_ms": now_ms,
        }
        for one in operations
    ]
    if rows:
        session.connection().execute(_INSERT, filled(rows, "resource_type", "resource_id", "address", "user_agent"))


_INSERT = insert(TABLE)
