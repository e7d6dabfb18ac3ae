"""Reading files."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.files import models
from atelier.files.errors import FileNotFound
from atelier.files.models import FILES

F = FILES.c
COUNTED_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that may be read, and by whom: everyone, or its owner."""

    id: str
    name: str
    type: str
    size: int
    key: str
    public: bool


def readable(session: Session, *, file_id: str, user_id: str | None) -> Stored:
    """A file that this user (or nobody in particular) may read. Raises FileNotFound."""
    row = (
        session.connection()
        .execute(
            select(F.id, F.owner_id, F.kind, F.name, F.type, F.size, F.key).where(
                F.id == file_id, F.state == models.READY
            )
        )
        .one_or_none()
    )
    if row is None or not (row.kind in models.PUBLIC or row.owner_id == user_id):
        raise FileNotFound
    return Stored(id=row.id, name=row.name, type=row.type, size=row.size, key=row.key, public=row.kind in models.PUBLIC)


def page(session: Session, *, owner_id: str, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """A page of what the user has uploaded, newest first, and how many there are (counted up to COUNTED_MAX)."""
    mine = (F.owner_id == owner_id, F.kind == models.UPLOAD, F.state == models.READY)
    rows = (
        session.connection()
        .execute(
            select(F.id, F.name, F.type, F.size, F.sha256, F.created_ms)
            .where(*mine)
            .order_by(F.id.desc())
            .offset(offset)
            .limit(limit)
        )
        .mappings()
    )
    found = [dict(row) for row in rows]
    counted = select(F.id).where(*mine).limit(COUNTED_MAX).subquery()
    return found, session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


def is_own_public(session: Session, *, file_id: str, user_id: str) -> bool:
    """Whether everyone may see the file, and it is this user's."""
    mine = (F.id == file_id, F.owner_id == user_id, F.kind.in_(models.PUBLIC), F.state == models.READY)
    return session.connection().execute(select(F.id).where(*mine)).first() is not None
