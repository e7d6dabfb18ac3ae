"""Reading the operation log and what clients told, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.contracts import client_log, oplog

O = oplog.TABLE.c  # noqa: E741 - the table's initial, as everywhere
L = client_log.TABLE.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filters of the operation log. `action` may be a beginning: `ADMIN_` is everything that administrators did."""

    action: str | None = None
    user_id: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One operation."""

    id: int
    action: str
    user_id: str | None
    resource_type: str | None
    resource_id: str | None
    details: Any
    address: str | None
    user_agent: str | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One message of a client."""

    id: str
    user_id: str
    action: str
    details: Any
    success: bool
    claimed_ms: int | None
    created_ms: int


def operations(session: Session, *, wanted: Wanted, limit: int) -> Sequence[Record]:
    """The newest that match, below the number `before`."""
    statement = select(oplog.TABLE).order_by(O.id.desc()).limit(limit)
    if wanted.resource_type is not None and not wanted.resource_type.isascii():
        return []
    equal = {O.user_id: wanted.user_id, O.resource_type: wanted.resource_type, O.resource_id: wanted.resource_id}
    statement = statement.where(*(column == value for column, value in equal.items() if value is not None))
    if wanted.action is not None and not wanted.action.isascii():
        return []  # MariaDB compares an ASCII column with no other text, and no such action is there.
    if wanted.action is not None:
        statement = statement.where(O.action.startswith(wanted.action, autoescape=True))
    if wanted.from_ms is not None:
        statement = statement.where(O.created_ms >= wanted.from_ms)
    if wanted.until_ms is not None:
        statement = statement.where(O.created_ms < wanted.until_ms)
    if wanted.before is not None:
        statement = statement.where(O.id < wanted.before)
    return [Record(**row) for row in session.connection().execute(statement).mappings()]


def client_logs(session: Session, *, user_id: str | None, before: str | None, limit: int) -> Sequence[Told]:
    """The newest messages of clients, below the id `before`."""
    statement = select(client_log.TABLE).order_by(L.id.desc()).limit(limit)
    if user_id is not None:
        statement = statement.where(L.user_id == user_id)
    if before is not None:
        statement = statement.where(L.id < before)
    return [Told(**row) for row in session.connection().execute(statement).mappings()]
