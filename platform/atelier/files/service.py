"""Files that are kept: added, counted against what their owner may keep, removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.contracts import idempotency, outbox
from atelier.contracts.idempotency import Keyed
from atelier.contracts.messages import FILES_REMOVE, FileMessage
from atelier.files import models, names
from atelier.files.errors import FileInUse, FileNotFound, FileQuotaExceeded
from atelier.files.models import FILES, USAGE
from atelier.kernel import clock
from atelier.kernel.database import Again, is_duplicate, matched

REMOVE_MS = 10 * clock.MINUTE_MS
F = FILES.c
U = USAGE.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one user may keep."""

    files_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file whose bytes are in the storage already."""

    id: str
    owner_id: str
    kind: str
    name: str
    type: str
    size: int
    sha256: str
    key: str


def add(
    session: Session, new: NewFile, *, quota: Quota | None, keyed: Keyed | None, now_ms: int
) -> tuple[Mapping[str, Any], bool]:
    """Keep the file; the answer as JSON, and whether it was given before, so that the new bytes are nobody's.

    Raises FileQuotaExceeded and IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        return stored.answer, True
    if quota:
        take(session, user_id=new.owner_id, size=new.size, quota=quota)
    values = {"state": models.READY, "created_ms": now_ms, "tries": 0}
    session.connection().execute(insert(FILES).values(**_columns(new), **values))
    answer = described({**_columns(new), **values})
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return answer, False


def foresee(
    session: Session, *, user_id: str, size: int, quota: Quota | None, keyed: Keyed | None
) -> Mapping[str, Any] | None:
    """What `add` would answer or refuse without keeping anything, as far as that is known now.

    Raises FileQuotaExceeded and IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        answer: Mapping[str, Any] = stored.answer
        return answer
    if quota is None:
        return None
    files, used = usage(session, user_id=user_id)
    if files >= quota.files_max or used + size > quota.bytes_max:
        raise _too_much(files, used, quota)
    return None


def remove(session: Session, *, file_id: str, owner_id: str, now_ms: int) -> str:
    """Delete a file for everyone, and have its bytes deleted; its kind.

    Raises FileNotFound, and FileInUse for what an agent shows.
    """
    row = (
        session.connection()
        .execute(select(F.kind, F.size).where(F.id == file_id, F.owner_id == owner_id, F.state == models.READY))
        .one_or_none()
    )
    if row is None:
        raise FileNotFound
    if row.kind == models.ICON:
        raise FileInUse
    retire(session, file_id=file_id, owner_id=owner_id, kind=row.kind, size=row.size, state=models.READY, now_ms=now_ms)
    return str(row.kind)


def retire(session: Session, *, file_id: str, owner_id: str, kind: str, size: int, state: str, now_ms: int) -> bool:
    """Take a file that is in this state out of sight and out of the count; False when it is in another by now."""
    mine = update(FILES).where(F.id == file_id, F.state == state)
    if not matched(session, mine.values(state=models.REMOVING, due_ms=clock.db_now_ms() + REMOVE_MS)):
        return False
    if kind == models.UPLOAD:
        give_back(session, user_id=owner_id, files=1, size=size)
    outbox.enqueue(session, FILES_REMOVE, FileMessage(file_id=file_id), now_ms=now_ms)
    return True


def retire_avatars(session: Session, *, owner_id: str, but: str | None, now_ms: int) -> None:
    """Remove every avatar of the user but one. Whoever calls it has locked the user."""
    rows = (
        session.connection()
        .execute(
            select(F.id, F.size).where(
                F.owner_id == owner_id, F.kind == models.AVATAR, F.state == models.READY, F.id != (but or "")
            )
        )
        .all()
    )
    for row in rows:
        retire(
            session,
            file_id=row.id,
            owner_id=owner_id,
            kind=models.AVATAR,
            size=row.size,
            state=models.READY,
            now_ms=now_ms,
        )


def usage(session: Session, *, user_id: str) -> tuple[int, int]:
    """How many files and bytes the user keeps."""
    row = session.connection().execute(select(U.files, U.bytes).where(U.user_id == user_id)).one_or_none()
    return (row.files, row.bytes) if row else (0, 0)


def take(session: Session, *, user_id: str, size: int, quota: Quota) -> None:
    """Count one file more. Raises FileQuotaExceeded."""
    fits = (U.files < quota.files_max, U.bytes <= quota.bytes_max - size)
    more = update(USAGE).where(U.user_id == user_id, *fits).values(files=U.files + 1, bytes=U.bytes + size)
    if matched(session, more):
        return
    row = session.connection().execute(select(U.files, U.bytes).where(U.user_id == user_id)).one_or_none()
    if row or size > quota.bytes_max:
        raise _too_much(row.files if row else 0, row.bytes if row else 0, quota)
    try:
        session.connection().execute(insert(USAGE).values(user_id=user_id, files=1, bytes=size))
    except IntegrityError as error:
        if is_duplicate(error):  # Another first file of theirs was counted meanwhile.
            raise Again from error
        raise


def give_back(session: Session, *, user_id: str, files: int, size: int) -> None:
    """Count so much less (or more, for a negative size: a picture may grow by being made anew)."""
    less = update(USAGE).where(U.user_id == user_id)
    session.connection().execute(less.values(files=U.files - files, bytes=U.bytes - size))


def described(row: Mapping[str, Any]) -> dict[str, Any]:
    """A file as its owner sees it."""
    return {
        "id": row["id"],
        "name": row["name"],
        "size": row["size"],
        "type": row["type"],
        "sha256": row["sha256"],
        "url": names.url(row["id"]),
        "createdAt": clock.rfc3339(row["created_ms"]),
    }


def _columns(new: NewFile) -> dict[str, Any]:
    return {
        "id": new.id,
        "owner_id": new.owner_id,
        "kind": new.kind,
        "name": new.name,
        "type": new.type,
        "size": new.size,
        "sha256": new.sha256,
        "key": new.key,
    }


def _too_much(files: int, used: int, quota: Quota) -> FileQuotaExceeded:
    return FileQuotaExceeded(used_files=files, files_max=quota.files_max, used_bytes=used, bytes_max=quota.bytes_max)
