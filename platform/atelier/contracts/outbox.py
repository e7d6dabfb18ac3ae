"""Every message leaves through this table, written in the transaction that causes it.

A row exists until its message has been handed to the broker; the relay claims rows by moving `available_ms` a lease
ahead, publishes, and deletes what was published. So a message is sent at least once, and none without its cause.
"""

from collections.abc import Iterable
from typing import TypeVar, cast

from pydantic_core import to_json
from sqlalchemy import Index, Integer, String, Table, insert, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from atelier.contracts.messages import Contract, Message
from atelier.kernel.clock import db_now_ms
from atelier.kernel.columns import Key, Millis, Serial
from atelier.kernel.database import Base

M = TypeVar("M", bound=Message)


class OutboxRow(Base):
    """A message that has not reached the broker yet."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_available", "available_ms", "id"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    contract: Mapped[str] = mapped_column(Key(64))
    message: Mapped[str] = mapped_column(String(1_000))
    available_ms: Mapped[int] = mapped_column(Millis, server_default=text("0"))
    created_ms: Mapped[int] = mapped_column(Millis)
    claimed_by: Mapped[str | None] = mapped_column(Key(80))
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))


TABLE = cast("Table", OutboxRow.__table__)


def enqueue(session: Session, contract: Contract[M], message: M, *, now_ms: int, delay_ms: int = 0) -> None:
    """Send `message` when this transaction commits, or `delay_ms` later by the database's clock."""
    if delay_ms == 0:
        enqueue_many(session, [(contract, message)], now_ms=now_ms)
        return
    later = insert(TABLE).values(
        contract=contract.name,
        message=to_json(contract.dump(message)).decode(),
        available_ms=db_now_ms() + delay_ms,
        created_ms=now_ms,
    )
    session.connection().execute(later)


def enqueue_many(session: Session, messages: Iterable[tuple[Contract[M], M]], *, now_ms: int) -> None:
    """Send all of them when this transaction commits. They are due at once whatever any clock says."""
    rows = [
        {
            "contract": contract.name,
            "message": to_json(contract.dump(message)).decode(),
            "created_ms": now_ms,
        }
        for contract, message in messages
    ]
    if rows:
        session.connection().execute(_INSERT, rows)


_INSERT = insert(TABLE)
