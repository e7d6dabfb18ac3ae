"""The verbs of a project's life: it is made, changed, put into the bin, taken out again, or gone after thirty days."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.contracts.oplog import Operation
from atelier.kernel.clock import DAY_MS, HOUR_MS
from atelier.kernel.errors import Forbidden
from atelier.workshop import access, references
from atelier.workshop.access import Project
from atelier.workshop.errors import Outdated, ProjectNotFound, TooManyProjects
from atelier.workshop.models import INVITATIONS, MEMBERS, PROJECTS, SAVES, VERSIONS

KEPT_MS = 30 * DAY_MS
# Restoring ends before purging begins, whatever two processes' clocks say.
PURGE_AFTER_MS = KEPT_MS + HOUR_MS
# The bin is part of the limit too, or making and deleting by turns would fill the database.
BIN_FACTOR = 5
PURGED_VERSIONS_MAX = 50
P = PROJECTS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProject:
    """What a project is born with. The id is made by the caller, so that running twice makes one."""

    id: str
    owner_id: str
    title: str
    description: str | None
    type: str
    visibility: str
    config: Mapping[str, Any]


class Changes(TypedDict, total=False):
    """What is missing stays."""

    title: str
    description: str | None
    type: str
    status: str
    visibility: str
    config: dict[str, Any]


def create(session: Session, new: NewProject, *, projects_max: int, now_ms: int) -> Project:
    """Make a project. The caller holds the owner's row, so that two at once don't pass the limit together.

    Raises TooManyProjects.
    """
    if session.connection().scalar(select(P.id).where(P.id == new.id)):
        # A transaction that was committed and not answered runs again.
        return access.find(session, project_id=new.id, user_id=new.owner_id, need="own")
    require_room(session, owner_id=new.owner_id, projects_max=projects_max, one_more=True)
    row = {
        "id": new.id,
        "owner_id": new.owner_id,
        "title": new.title,
        "description": new.description,
        "type": new.type,
        "status": "draft",
        "visibility": new.visibility,
        "config": dict(new.config),
        "revision": 1,
        "versions": 0,
        "created_ms": now_ms,
        "updated_ms": now_ms,
    }
    session.connection().execute(insert(PROJECTS), row)
    details = {"type": new.type, "visibility": new.visibility}
    _log(session, "PROJECT_CREATE", project_id=new.id, user_id=new.owner_id, details=details, now_ms=now_ms)
    return access.find(session, project_id=new.id, user_id=new.owner_id, need="own")


def require_room(session: Session, *, owner_id: str, projects_max: int, one_more: bool = False) -> None:
    """Raise TooManyProjects unless the owner may have another; `one_more` when there will be a new one."""
    count, live = (
        session.connection()
        .execute(select(func.count(), func.count(P.id) - func.count(P.deleted_ms)).where(P.owner_id == owner_id))
        .one()
    )
    if live >= projects_max or (one_more and count >= BIN_FACTOR * projects_max):
        raise TooManyProjects(limit=projects_max)


def change(
    session: Session,
    *,
    project_id: str,
    user_id: str,
    changes: Changes,
    seen: frozenset[str] | None = None,
    now_ms: int,
) -> Project:
    """Store the changes. With `seen`, only while the project's revision is one of these.

    Raises as `access.lock`, Forbidden when anyone but the owner decides who sees it, and Outdated.
    """
    project = access.lock(session, project_id=project_id, user_id=user_id, need="write")
    if seen is not None and str(project.revision) not in seen:
        raise Outdated
    values = {name: value for name, value in changes.items() if value != getattr(project, name)}
    if "visibility" in values and project.role != "owner":
        raise Forbidden
    if not values:
        return project
    session.connection().execute(
        update(PROJECTS).where(P.id == project_id).values(**values, revision=project.revision + 1, updated_ms=now_ms)
    )
    return access.find(session, project_id=project_id, user_id=user_id, need="read")


def bin_(session: Session, *, project_id: str, user_id: str, now_ms: int) -> None:
    """Put a project into the bin; jobs that run for it go on and add nothing to it. Raises as `access.lock`."""
    access.lock(session, project_id=project_id, user_id=user_id, need="own")
    session.connection().execute(update(PROJECTS).where(P.id == project_id).values(deleted_ms=now_ms))
    _log(session, "PROJECT_DELETE", project_id=project_id, user_id=user_id, details={}, now_ms=now_ms)


def take_out(session: Session, *, project_id: str, user_id: str, projects_max: int, now_ms: int) -> Project:
    """Take an own project out of the bin within thirty days. The caller holds the owner's row, as for `create`.

    One that is not in the bin is answered as it is. Raises ProjectNotFound and TooManyProjects.
    """
    row = (
        session.connection()
        .execute(select(P.deleted_ms).where(P.id == project_id, P.owner_id == user_id).with_for_update())
        .one_or_none()
    )
    if row is None or (row.deleted_ms is not None and row.deleted_ms <= now_ms - KEPT_MS):
        raise ProjectNotFound(project_id)
    if row.deleted_ms is not None:
        require_room(session, owner_id=user_id, projects_max=projects_max)
        session.connection().execute(
            update(PROJECTS).where(P.id == project_id).values(deleted_ms=None, updated_ms=now_ms)
        )
        _log(session, "PROJECT_RESTORE", project_id=project_id, user_id=user_id, details={}, now_ms=now_ms)
    return access.find(session, project_id=project_id, user_id=user_id, need="own")


def purge_some(session: Session, *, now_ms: int) -> bool:
    """Delete a part of a project that has been in the bin for too long; False when there is none.

    A part is so many versions, which may be large, or the last of them with everything else.
    """
    over = P.deleted_ms < now_ms - PURGE_AFTER_MS
    project_id = session.connection().scalar(
        select(P.id).where(over).order_by(P.deleted_ms).limit(1).with_for_update(skip_locked=True)
    )
    if project_id is None:
        return False
    versions = select(VERSIONS.c.number).where(VERSIONS.c.project_id == project_id).limit(PURGED_VERSIONS_MAX)
    numbers = session.connection().scalars(versions).all()
    of_project = VERSIONS.c.project_id == project_id
    session.connection().execute(delete(VERSIONS).where(of_project, VERSIONS.c.number.in_(numbers)))
    references.forget(session, project_id=project_id, numbers=numbers)
    if len(numbers) < PURGED_VERSIONS_MAX:
        for table in (SAVES, INVITATIONS, MEMBERS):
            session.connection().execute(delete(table).where(table.c.project_id == project_id))
        session.connection().execute(delete(PROJECTS).where(P.id == project_id))
    return True


def _log(
    session: Session, action: str, *, project_id: str, user_id: str, details: Mapping[str, Any], now_ms: int
) -> None:
    operation = Operation(
        action=action, user_id=user_id, resource_type="project", resource_id=project_id, details=details
    )
    oplog.record(session, operation, now_ms=now_ms)
