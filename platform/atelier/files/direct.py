"""Uploads that go straight to the storage: announced, sent by the browser, reported, looked at, kept or refused.

What was announced counts against its owner's quota from the beginning, so that nobody fills the storage with promises.
It is sent to a place of its own, from where a worker takes it over once: whatever is sent there later is nobody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from atelier.contracts import idempotency, outbox
from atelier.contracts.idempotency import Keyed
from atelier.contracts.messages import FILES_CHECK, FILES_REMOVE, FileMessage
from atelier.files import models, service
from atelier.files.errors import FileNotFound, UploadFailed
from atelier.files.models import FILES
from atelier.files.service import Quota
from atelier.kernel import clock
from atelier.kernel.database import matched

# A form that ends now may have been begun to be sent a moment ago: so long it may take to arrive.
GRACE_MS = clock.HOUR_MS
CHECK_MS = 10 * clock.MINUTE_MS
REFUSED_KEPT_MS = 7 * clock.DAY_MS
TRIES_MAX = 8
ROWS_MAX = 200
F = FILES.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a user wants to send: so many bytes of this type, to `key`."""

    id: str
    owner_id: str
    name: str
    type: str
    size: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A direct upload as it stands. While it is pending, `key` is where it is to be sent."""

    id: str
    owner_id: str
    state: str
    name: str
    type: str
    size: int
    sha256: str | None
    key: str
    refusal: str | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An upload that this worker may look at, and which try that is: only that try may say how it ended."""

    upload: Upload
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a look ended: a file that is kept under `key`, or a `refusal`."""

    name: str = ""
    type: str = ""
    size: int = 0
    sha256: str | None = None
    key: str = ""
    refusal: str | None = None


_COLUMNS = (
    F.id, F.owner_id, F.state, F.name, F.type, F.size, F.sha256, F.key, F.refusal, F.created_ms,
)  # fmt: skip
_UPLOADS = F.kind == models.UPLOAD


def announce(
    session: Session, new: Announcement, *, quota: Quota, form_ms: int, keyed: Keyed | None, now_ms: int
) -> tuple[Upload, bool]:
    """Expect a file; and whether this was announced before. Raises FileQuotaExceeded and IdempotencyKeyReused."""
    if stored := idempotency.find(session, keyed):
        return find(session, file_id=stored.answer["id"], owner_id=new.owner_id), True
    service.take(session, user_id=new.owner_id, size=new.size, quota=quota)
    row = {
        "id": new.id,
        "owner_id": new.owner_id,
        "kind": models.UPLOAD,
        "state": models.PENDING,
        "name": new.name,
        "type": new.type,
        "size": new.size,
        "key": new.key,
        "tries": 0,
        "due_ms": clock.db_now_ms() + form_ms + GRACE_MS,
        "created_ms": now_ms,
    }
    session.connection().execute(insert(FILES).values(row))
    idempotency.store(session, keyed, status=201, answer={"id": new.id}, now_ms=now_ms)
    return find(session, file_id=new.id, owner_id=new.owner_id), False


def find(session: Session, *, file_id: str, owner_id: str | None = None) -> Upload:
    """An upload, of this owner if one is named. Raises FileNotFound."""
    row = (
        session.connection()
        .execute(select(*_COLUMNS).where(F.id == file_id, _UPLOADS, F.state != models.REMOVING))
        .one_or_none()
    )
    if row is None or owner_id not in (None, row.owner_id):
        raise FileNotFound
    return _upload(row)


def arrived(session: Session, *, file_id: str, now_ms: int) -> None:
    """Have a worker look at a pending upload; nothing happens to one that is on its way already."""
    pending = update(FILES).where(F.id == file_id, _UPLOADS, F.state == models.PENDING)
    if matched(session, pending.values(state=models.CHECKING, due_ms=clock.db_now_ms())):
        outbox.enqueue(session, FILES_CHECK, FileMessage(file_id=file_id), now_ms=now_ms)


def claim(session: Session, *, file_id: str) -> Claimed | None:
    """Take the upload for ten minutes; None when it is decided, or someone else looks at it just now."""
    free = (F.id == file_id, F.state == models.CHECKING, F.due_ms <= clock.db_now_ms())
    taken = update(FILES).where(*free).values(tries=F.tries + 1, due_ms=clock.db_now_ms() + CHECK_MS)
    if not matched(session, taken):
        return None
    row = session.connection().execute(select(*_COLUMNS, F.tries).where(F.id == file_id)).one()
    return Claimed(upload=_upload(row), tries=row.tries)


def settle(session: Session, claimed: Claimed, verdict: Verdict) -> bool:
    """Keep or refuse it, and count what it really takes. False when the claim had passed to someone else."""
    upload = claimed.upload
    mine = update(FILES).where(F.id == upload.id, F.state == models.CHECKING, F.tries == claimed.tries)
    if verdict.refusal:
        ended = mine.values(state=models.REFUSED, refusal=verdict.refusal, due_ms=clock.db_now_ms() + REFUSED_KEPT_MS)
    else:
        ended = mine.values(
            state=models.READY,
            name=verdict.name,
            type=verdict.type,
            size=verdict.size,
            sha256=verdict.sha256,
            key=verdict.key,
            due_ms=None,
        )
    if not matched(session, ended):
        return False
    gone = 1 if verdict.refusal else 0
    service.give_back(session, user_id=upload.owner_id, files=gone, size=upload.size - verdict.size)
    return True


def lapse(session: Session, *, now_ms: int) -> int:
    """Give up uploads that were announced and never reported; how many."""
    rows = _overdue(session, models.PENDING)
    return sum(
        service.retire(
            session,
            file_id=row.id,
            owner_id=row.owner_id,
            kind=models.UPLOAD,
            size=row.size,
            state=models.PENDING,
            now_ms=now_ms,
        )
        for row in rows
    )


def requeue(session: Session, *, now_ms: int) -> int:
    """Send another message for what was not looked at or not removed in time; refuse what nobody can look at."""
    checking = _overdue(session, models.CHECKING)
    given_up = [row for row in checking if row.tries >= TRIES_MAX]
    for row in given_up:
        claimed = Claimed(upload=_upload(row), tries=row.tries)
        settle(session, claimed, Verdict(refusal=UploadFailed.code))
    again = [row.id for row in checking if row not in given_up]
    removing = [row.id for row in _overdue(session, models.REMOVING)]
    later = update(FILES).where(F.id.in_(removing), F.state == models.REMOVING)
    session.connection().execute(later.values(due_ms=clock.db_now_ms() + service.REMOVE_MS))
    outbox.enqueue_many(
        session,
        [
            *((FILES_CHECK, FileMessage(file_id=one)) for one in again),
            *((FILES_REMOVE, FileMessage(file_id=one)) for one in removing),
        ],
        now_ms=now_ms,
    )
    return len(again) + len(removing)


def forget_refused(session: Session) -> int:
    """Delete the rows of what was refused long ago; how many."""
    old = [row.id for row in _overdue(session, models.REFUSED)]
    if old:
        session.connection().execute(delete(FILES).where(F.id.in_(old), F.state == models.REFUSED))
    return len(old)


def _overdue(session: Session, state: str) -> Sequence[Any]:
    rows = session.connection().execute(
        select(*_COLUMNS, F.tries)
        .where(F.state == state, F.due_ms < clock.db_now_ms())
        .order_by(F.due_ms)
        .limit(ROWS_MAX)
    )
    return rows.all()


def _upload(row: Any) -> Upload:
    return Upload(
        id=row.id,
        owner_id=row.owner_id,
        state=row.state,
        name=row.name,
        type=row.type,
        size=row.size,
        sha256=row.sha256,
        key=row.key,
        refusal=row.refusal,
        created_ms=row.created_ms,
    )
