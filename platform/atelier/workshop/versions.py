"""Versions of a project: numbered 1, 2, 3 …, never changed, one of them current.

Whoever adds one holds the project's row, so numbers have no gaps however many come at once. Restoring an older version
moves the pointer to it and copies nothing: history stays as it was, the next version gets the next number, and doing
it twice is doing it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import Session

from atelier.workshop import access, previews, references
from atelier.workshop.access import Project
from atelier.workshop.errors import TooManyVersions, VersionNotFound
from atelier.workshop.models import PROJECTS, VERSIONS

V = VERSIONS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version without its content, which is `size` bytes of JSON. `kind` is what the job made that made it."""

    project_id: str
    number: int
    id: str
    author_id: str
    job_id: str | None
    kind: str | None
    note: str | None
    preview: str | None
    size: int
    created_ms: int


_COLUMNS = tuple(column for column in V if column.name != "content")
_NAMES = tuple(column.name for column in _COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What someone adds. The first version is current whatever is asked: a project with versions has a current one.

    `results` are the jobs of which it speaks, whose results are kept with it.
    """

    id: str
    content: dict[str, Any]
    note: str | None = None
    set_current: bool = True
    results: Sequence[str] = ()


def add(
    session: Session, new: NewVersion, *, project_id: str, user_id: str, versions_max: int, now_ms: int
) -> tuple[int, Version]:
    """Add a version; the number of the current one, and the new one. Raises as `access.lock`, and TooManyVersions."""
    project = access.lock(session, project_id=project_id, user_id=user_id, need="write")
    if written := _written(session, new, project):
        return project.current_number or written.number, written
    if project.versions >= versions_max:
        raise TooManyVersions(limit=versions_max)
    number = project.versions + 1
    current = number if new.set_current or project.current_number is None else project.current_number
    row = {
        "project_id": project_id,
        "number": number,
        "id": new.id,
        "author_id": user_id,
        "note": new.note,
        "preview": previews.of_content(new.content),
        "size": len(to_json(new.content)),
        "content": new.content,
        "created_ms": now_ms,
    }
    session.connection().execute(insert(VERSIONS), row)
    references.note(session, project_id=project_id, number=number, job_ids=new.results)
    moved(session, project_id=project_id, versions=number, current=current, now_ms=now_ms)
    return current, at(session, project_id=project_id, number=number)


def _written(session: Session, new: NewVersion, project: Project) -> Version | None:
    """The version, if this is a transaction that was committed and not answered, and runs again."""
    row = session.connection().execute(select(*_COLUMNS).where(V.id == new.id)).one_or_none()
    return _version(row) if row and row.project_id == project.id else None


def restore(session: Session, *, project_id: str, user_id: str, number: int, now_ms: int) -> Version:
    """Make this version the current one. Raises as `access.lock`, and VersionNotFound."""
    project = access.lock(session, project_id=project_id, user_id=user_id, need="write")
    version = at(session, project_id=project_id, number=number)
    if project.current_number != number:
        moved(session, project_id=project_id, versions=project.versions, current=number, now_ms=now_ms)
    return version


def moved(session: Session, *, project_id: str, versions: int, current: int, now_ms: int) -> None:
    """Note how many versions a locked project has, and which counts."""
    session.connection().execute(
        update(PROJECTS)
        .where(PROJECTS.c.id == project_id)
        .values(versions=versions, current_number=current, updated_ms=now_ms)
    )


def at(session: Session, *, project_id: str, number: int) -> Version:
    """Raises VersionNotFound."""
    row = (
        session.connection()
        .execute(select(*_COLUMNS).where(V.project_id == project_id, V.number == number))
        .one_or_none()
    )
    if row is None:
        raise VersionNotFound(f"{project_id} {number}")
    return _version(row)


def content(session: Session, *, project_id: str, number: int) -> dict[str, Any]:
    """What the version holds. Raises VersionNotFound."""
    row = (
        session.connection()
        .execute(select(V.content).where(V.project_id == project_id, V.number == number))
        .one_or_none()
    )
    if row is None:
        raise VersionNotFound(f"{project_id} {number}")
    found: dict[str, Any] = row.content
    return found


def page(session: Session, *, project_id: str, offset: int, limit: int) -> list[Version]:
    """A part of a project's versions, newest first; the project says how many there are."""
    rows = session.connection().execute(
        select(*_COLUMNS).where(V.project_id == project_id).order_by(V.number.desc()).offset(offset).limit(limit)
    )
    return [_version(row) for row in rows]


def current(session: Session, *, projects: Sequence[Project]) -> dict[str, Version]:
    """The current versions of these projects, by project; those without one are left out."""
    rows = session.connection().execute(
        select(*_COLUMNS)
        .join_from(VERSIONS, PROJECTS, PROJECTS.c.id == V.project_id)
        .where(V.project_id.in_([one.id for one in projects]), V.number == PROJECTS.c.current_number)
    )
    return {row.project_id: _version(row) for row in rows}


def _version(row: Row[*tuple[Any, ...]]) -> Version:
    return Version(**dict(zip(_NAMES, row, strict=True)))
