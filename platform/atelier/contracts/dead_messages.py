"""Messages that nobody could handle, kept where an operator sees them.

What a message is about is due in the database and comes again by itself, so nothing is lost with one of these; but one
that nobody can read, or over which a task dies each time, tells of a defect. The same message is one row, however often
it comes, and there are ROWS_MAX rows at most.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import Index, Integer, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from atelier.kernel.clock import DAY_MS
from atelier.kernel.columns import Id, Key, Millis, Name
from atelier.kernel.database import Again, Base, is_duplicate, matched

Reason = Literal["unknown_contract", "unreadable", "crashed"]
ROWS_MAX = 10_000
KEPT_MS = 30 * DAY_MS
CHARS_MAX = 1_000


class DeadMessageRow(Base):
    """One message. `digest` names it whatever its length; `error` is the kind of the error, never its text."""

    __tablename__ = "dead_messages"
    __table_args__ = (Index("ix_dead_messages_last", "last_ms"),)

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    digest: Mapped[str] = mapped_column(Key(64), unique=True)
    contract: Mapped[str] = mapped_column(Name(64))
    message: Mapped[str] = mapped_column(Name(CHARS_MAX))
    reason: Mapped[str] = mapped_column(Key(20))
    error: Mapped[str] = mapped_column(Name(80))
    times: Mapped[int] = mapped_column(Integer)
    first_ms: Mapped[int] = mapped_column(Millis)
    last_ms: Mapped[int] = mapped_column(Millis)


TABLE = cast("Table", DeadMessageRow.__table__)
T = TABLE.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A message that nobody could handle; `message` is its text."""

    contract: str
    message: str
    reason: Reason
    error: str

    @property
    def digest(self) -> str:
        """Names the message."""
        return hashlib.sha256(f"{self.contract}\n{self.message}".encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage:
    """A row."""

    id: str
    contract: str
    message: str
    reason: Reason
    error: str
    times: int
    first_ms: int
    last_ms: int


_COLUMNS = tuple(T[name] for name in DeadMessage.__dataclass_fields__)


def bury(session: Session, dead: Dead, *, message_id: str, now_ms: int, rows_max: int = ROWS_MAX) -> None:
    """Keep it, or count it once more. When there are too many, the one that came least lately makes room."""
    again = update(TABLE).where(T.digest == dead.digest)
    if matched(session, again.values(times=T.times + 1, last_ms=now_ms, reason=dead.reason, error=dead.error[:80])):
        return
    if counted(session) >= rows_max:
        oldest = session.connection().execute(select(T.id).order_by(T.last_ms).limit(1)).scalar_one()
        session.connection().execute(delete(TABLE).where(T.id == oldest))
    row = {
        "id": message_id,
        "digest": dead.digest,
        "contract": dead.contract[:64],
        "message": dead.message[:CHARS_MAX],
        "reason": dead.reason,
        "error": dead.error[:80],
        "times": 1,
        "first_ms": now_ms,
        "last_ms": now_ms,
    }
    try:
        session.connection().execute(insert(TABLE), row)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def counted(session: Session) -> int:
    """How many there are."""
    return session.connection().execute(select(func.count()).select_from(TABLE)).scalar_one()


def page(session: Session, *, before: str | None, limit: int) -> Sequence[DeadMessage]:
    """The newest, below the id `before`."""
    statement = select(*_COLUMNS).order_by(T.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(T.id < before)
    return [DeadMessage(**row) for row in session.connection().execute(statement).mappings()]


def take(session: Session, *, message_id: str) -> DeadMessage | None:
    """Remove one; None when it is not there, or another removes it."""
    row = session.connection().execute(select(*_COLUMNS).where(T.id == message_id)).mappings().one_or_none()
    if row is None or not matched(session, delete(TABLE).where(T.id == message_id)):
        return None
    return DeadMessage(**row)
