"""Telling users: written in the transaction that gives the reason, delivered by a worker afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import NOTIFICATIONS_DELIVER, NotificationMessage
from atelier.kernel import clock
from atelier.kernel.database import Again, is_duplicate, matched
from atelier.kernel.errors import NotFound
from atelier.notifications import kinds
from atelier.notifications.models import Notification

PER_USER_MAX = 500
READ_KEPT_DAYS = 90
KEPT_DAYS = 180
OVERDUE_MS = 2 * clock.MINUTE_MS
OVERDUE_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to tell a user. `id` is made by the caller, outside of the transaction; `data` holds small values.

    `kind` and what its `data` must have are in `kinds.KINDS`; `ref_type` and `ref_id` name the thing that it is about.
    """

    id: str
    user_id: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ref_type: str | None = None
    ref_id: str | None = None


def notify(session: Session, notice: Notice, *, now_ms: int) -> None:
    """Tell the user when this transaction commits.

    Raises KeyError for a kind that doesn't exist and for data without a member that its sentence needs.
    """
    data = kinds.cleaned(notice.data)
    kinds.told(notice.kind, data, "zh")
    row = {
        "id": notice.id,
        "user_id": notice.user_id,
        "kind": notice.kind,
        "data": data,
        "ref_type": notice.ref_type,
        "ref_id": notice.ref_id,
        "due_ms": clock.db_now_ms(),
        "created_ms": now_ms,
    }
    session.execute(insert(Notification).values(row))
    outbox.enqueue(session, NOTIFICATIONS_DELIVER, NotificationMessage(notification_id=notice.id), now_ms=now_ms)


def settle(session: Session, *, notification_id: str, user_id: str, live: bool) -> int | None:
    """Note that the notification is being delivered; with `live`, answers the number of its live event.

    None, with nothing noted, when another delivery was faster; 0 without `live`.
    """
    seq = _next_seq(session, user_id) if live else None
    waiting = update(Notification).where(Notification.id == notification_id, Notification.due_ms.is_not(None))
    try:
        settled = matched(session, waiting.values(due_ms=None, seq=seq))
    except IntegrityError as error:
        if is_duplicate(error):
            # Two notifications of this user are delivered in the same millisecond: the other has the number.
            raise Again from error
        raise
    return (seq or 0) if settled else None


def trim(session: Session, *, user_id: str) -> None:
    """Delete the user's oldest notifications beyond PER_USER_MAX."""
    mine = Notification.user_id == user_id
    newest = select(Notification.id).where(mine).order_by(Notification.id.desc())
    if last := session.scalars(newest.offset(PER_USER_MAX).limit(1)).first():
        session.execute(delete(Notification).where(mine, Notification.id <= last))


def requeue_overdue(session: Session, *, now_ms: int) -> int:
    """Send another message for notifications whose message was lost; answers how many."""
    overdue = and_(Notification.due_ms.is_not(None), Notification.due_ms < clock.db_now_ms() - OVERDUE_MS)
    lost = session.scalars(select(Notification.id).where(overdue).order_by(Notification.due_ms).limit(OVERDUE_MAX))
    messages = [
        (NOTIFICATIONS_DELIVER, NotificationMessage(notification_id=one))
        for one in lost.all()
        if matched(
            session, update(Notification).where(Notification.id == one, overdue).values(due_ms=clock.db_now_ms())
        )
    ]
    outbox.enqueue_many(session, messages, now_ms=now_ms)
    return len(messages)


def mark_read(session: Session, *, notification_id: str, user_id: str, now_ms: int) -> None:
    """Note when it was read first. Raises NotFound."""
    mine = (Notification.id == notification_id, Notification.user_id == user_id)
    first_read = func.coalesce(Notification.read_ms, now_ms)
    if not matched(session, update(Notification).where(*mine).values(read_ms=first_read)):
        raise NotFound(notification_id)


def mark_all_read(session: Session, *, user_id: str, now_ms: int) -> int:
    """Note that the user has read everything that there is; answers how many that were."""
    unread = (Notification.user_id == user_id, Notification.read_ms.is_(None))
    return matched(session, update(Notification).where(*unread).values(read_ms=now_ms))


def remove(session: Session, *, notification_id: str, user_id: str) -> None:
    """Delete it. Raises NotFound."""
    mine = (Notification.id == notification_id, Notification.user_id == user_id)
    if not matched(session, delete(Notification).where(*mine)):
        raise NotFound(notification_id)


def _next_seq(session: Session, user_id: str) -> int:
    """The database's time, or one more than the user's last number: it grows also when rows were deleted."""
    last = select(func.max(Notification.seq)).where(Notification.user_id == user_id).scalar_subquery()
    row = session.execute(select(clock.db_now_ms().label("now"), last.label("last"))).one()
    return int(max(row.now, (row.last or 0) + 1))
