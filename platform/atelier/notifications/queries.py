"""Reading notifications."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.kernel import clock
from atelier.notifications.models import Notification

TOLD_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One notification; `kinds.told` makes its sentences. `seq` is the number of its live event, if there was one."""

    id: str
    user_id: str
    kind: str
    data: Mapping[str, Any]
    ref_type: str | None
    ref_id: str | None
    seq: int | None
    created_ms: int
    read_ms: int | None

    def numbered(self, seq: int | None) -> "Item":
        """The same with the number of its live event."""
        return replace(self, seq=seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a user's notifications, newest first; `total` are all that were asked for, `unread` all unread ones."""

    items: list[Item]
    total: int
    unread: int


_COLUMNS = (
    Notification.id,
    Notification.user_id,
    Notification.kind,
    Notification.data,
    Notification.ref_type,
    Notification.ref_id,
    Notification.seq,
    Notification.created_ms,
    Notification.read_ms,
)


def page(session: Session, *, user_id: str, unread_only: bool, before: str | None, offset: int, limit: int) -> Page:
    """The user's notifications, those older than `before` only, if there is one."""
    mine = Notification.user_id == user_id
    is_unread = Notification.read_ms.is_(None)
    wanted = [mine, *([is_unread] if unread_only else []), *([Notification.id < before] if before else [])]
    found = select(*_COLUMNS).where(*wanted).order_by(Notification.id.desc()).offset(offset).limit(limit)
    return Page(
        items=[Item(**row) for row in session.execute(found).mappings()],
        total=session.execute(select(func.count()).where(*wanted)).scalar_one(),
        unread=session.execute(select(func.count()).where(mine, is_unread)).scalar_one(),
    )


def waiting(session: Session, *, notification_id: str) -> Item | None:
    """A notification that was not delivered yet."""
    wanted = select(*_COLUMNS).where(Notification.id == notification_id, Notification.due_ms.is_not(None))
    row = session.execute(wanted).mappings().one_or_none()
    return Item(**row) if row else None


def newest(session: Session, *, user_id: str) -> int:
    """The highest number of a live event of this user, or 0."""
    highest = select(func.max(Notification.seq)).where(Notification.user_id == user_id)
    return session.execute(highest).scalar_one() or 0


def told_since(session: Session, *, user_ids: Collection[str], since: int) -> tuple[int, list[Item]]:
    """What these users were told live under a number above `since`, oldest first, and the database's time before."""
    now_ms = session.execute(select(clock.db_now_ms())).scalar_one()
    wanted = select(*_COLUMNS).where(Notification.user_id.in_(user_ids), Notification.seq > since)
    rows = session.execute(wanted.order_by(Notification.seq).limit(TOLD_MAX)).mappings()
    return now_ms, [Item(**row) for row in rows]


def undelivered(session: Session, *, counted_max: int) -> int:
    """How many wait to be delivered, counted up to a limit."""
    # Not IS NOT NULL, for which SQLite reads the whole index.
    counted = select(Notification.id).where(Notification.due_ms > 0).limit(counted_max).subquery()
    return session.execute(select(func.count()).select_from(counted)).scalar_one()
