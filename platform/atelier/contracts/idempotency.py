"""The answers of requests that carried an Idempotency-Key, kept so that a repeated request gets the same answer.

The row is written in the transaction that does the work, so an answer is there exactly when the work is. Its key is a
digest, so that no collation can make two keys equal, and it is scoped to user and route, so that no one reads another's
answer.

Two requests with one key that meet in the database wait for each other at the key's row: `store` lets the one that
finds the row taken run again, and then find the answer. When the first one doesn't end, the second is refused.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from sqlalchemy import Index, Integer, Table, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Mapped, Session, mapped_column

from atelier.kernel.columns import JsonDoc, Key, Millis
from atelier.kernel.database import Again, Base, any_of, is_duplicate, is_lock_wait
from atelier.kernel.errors import Conflict, Refusal

KEPT_HOURS = 24


class IdempotencyKeyReused(Refusal):
    """The same key came with another body."""

    code: ClassVar[str] = "IDEMPOTENCY_KEY_REUSED"


class IdempotencyInProgress(Conflict):
    """A request with the same key is still running: its answer may be there in `retry_after` seconds."""

    code: ClassVar[str] = "IDEMPOTENCY_IN_PROGRESS"
    retry_after: ClassVar[int] = 1


class IdempotencyRow(Base):
    """One stored answer."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created", "created_ms"),)

    key: Mapped[str] = mapped_column(Key(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Key(64))
    status: Mapped[int] = mapped_column(Integer)
    answer: Mapped[Any] = mapped_column(JsonDoc)
    created_ms: Mapped[int] = mapped_column(Millis)


TABLE = cast("Table", IdempotencyRow.__table__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """A request's key and what its body was."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An earlier answer."""

    fingerprint: str
    status: int
    answer: Any

    def replay(self, keyed: Keyed) -> "Stored":
        """This answer, if the body is the same. Raises IdempotencyKeyReused."""
        if self.fingerprint != keyed.fingerprint:
            raise IdempotencyKeyReused
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """The answer of work that has only one good end: it is known, and stored, before the work is done."""

    keyed: Keyed
    status: int
    answer: Any


def keyed(*, user_id: str, route: str, key: str, body: bytes) -> Keyed:
    """The scoped key and the body's fingerprint."""
    scoped = hashlib.sha256(f"{user_id}\n{route}\n{key}".encode()).hexdigest()
    return Keyed(key=scoped, fingerprint=hashlib.sha256(body).hexdigest())


def find_many(session: Session, keys: Iterable[str]) -> Mapping[str, Stored]:
    """The stored answers by scoped key."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    rows = session.connection().execute(_FIND, {"keys": wanted})
    return {row.key: Stored(fingerprint=row.fingerprint, status=row.status, answer=row.answer) for row in rows}


_FIND = select(TABLE.c.key, TABLE.c.fingerprint, TABLE.c.status, TABLE.c.answer).where(TABLE.c.key.in_(any_of("keys")))


def look(session: Session, one: Keyed | None) -> Stored | None:
    """What is stored under this request's key, whatever body it was for, or None."""
    return find_many(session, [one.key]).get(one.key) if one else None


def find(session: Session, one: Keyed | None) -> Stored | None:
    """The stored answer of this request, or None. Raises IdempotencyKeyReused when the body differs."""
    stored = look(session, one)
    return stored.replay(one) if stored and one else None


def store_many(session: Session, answers: Iterable[tuple[Keyed, int, Any]], *, now_ms: int) -> None:
    """Keep answers. When another transaction took a key meanwhile, the whole transaction runs again and finds it.

    Raises IdempotencyInProgress when that other transaction doesn't end within the database's lock wait.
    """
    rows = [
        {"key": one.key, "fingerprint": one.fingerprint, "status": status, "answer": answer, "created_ms": now_ms}
        for one, status, answer in answers
    ]
    if not rows:
        return
    try:
        session.connection().execute(insert(TABLE), rows)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise
    except OperationalError as error:
        if is_lock_wait(error):  # Nobody holds the row of a key that is not there yet but who has just inserted it.
            raise IdempotencyInProgress from error
        raise


def store(session: Session, one: Keyed | None, *, status: int, answer: Any, now_ms: int) -> None:
    """Keep one answer, when the request had a key."""
    if one:
        store_many(session, [(one, status, answer)], now_ms=now_ms)


def promise(session: Session, one: Promised | None, *, now_ms: int) -> None:
    """Keep one answer ahead of its work, so that a duplicate waits for the key and for nothing that the work locks."""
    if one:
        store_many(session, [(one.keyed, one.status, one.answer)], now_ms=now_ms)


def complete(session: Session, one: Keyed, *, ahead: int, status: int, answer: Any) -> Any:
    """Put the answer in the place of what was kept with the status `ahead`; the first one to come counts.

    What is the answer of this key from now on.
    """
    waiting = update(TABLE).where(TABLE.c.key == one.key, TABLE.c.status == ahead)
    session.connection().execute(waiting.values(status=status, answer=answer))
    stored = look(session, one)
    return stored.answer if stored else answer  # Nothing is stored for somebody who comes a day later.
