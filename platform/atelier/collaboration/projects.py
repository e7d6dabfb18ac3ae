"""Projects as their readers see them: with the one whose they are, and the version that counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from atelier.collaboration import people
from atelier.collaboration.people import Person
from atelier.workshop import access, projects, queries, versions
from atelier.workshop.access import Project
from atelier.workshop.projects import Changes, NewProject
from atelier.workshop.queries import Filter
from atelier.workshop.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A project, without the content of any version."""

    project: Project
    owner: Person
    current: Version | None


def page(session: Session, *, wanted: Filter, offset: int, limit: int, now_ms: int) -> tuple[list[Shown], int]:
    """As `queries.page`."""
    found, total = queries.page(session, wanted, offset=offset, limit=limit, now_ms=now_ms)
    return _shown(session, found), total


def one(session: Session, *, project_id: str, user_id: str | None) -> Shown:
    """A project that the user, or anybody, may read. Raises ProjectNotFound."""
    return _only(session, access.find(session, project_id=project_id, user_id=user_id, need="read"))


def create(session: Session, *, new: NewProject, projects_max: int, now_ms: int) -> Shown:
    """As `projects.create`."""
    people.hold(session, user_id=new.owner_id)
    return _only(session, projects.create(session, new, projects_max=projects_max, now_ms=now_ms))


def change(
    session: Session, *, project_id: str, user_id: str, changes: Changes, seen: frozenset[str] | None, now_ms: int
) -> Shown:
    """As `projects.change`."""
    changed = projects.change(
        session, project_id=project_id, user_id=user_id, changes=changes, seen=seen, now_ms=now_ms
    )
    return _only(session, changed)


def take_out(session: Session, *, project_id: str, user_id: str, projects_max: int, now_ms: int) -> Shown:
    """As `projects.take_out`."""
    people.hold(session, user_id=user_id)
    taken = projects.take_out(session, project_id=project_id, user_id=user_id, projects_max=projects_max, now_ms=now_ms)
    return _only(session, taken)


def versions_page(
    session: Session, *, project_id: str, user_id: str | None, offset: int, limit: int
) -> tuple[Project, list[Version]]:
    """A part of the versions, newest first, of a project that says how many there are. Raises ProjectNotFound."""
    project = access.find(session, project_id=project_id, user_id=user_id, need="read")
    return project, versions.page(session, project_id=project_id, offset=offset, limit=limit)


def version(
    session: Session, *, project_id: str, user_id: str | None, number: int
) -> tuple[Project, Version, dict[str, Any]]:
    """One version with its content. Raises ProjectNotFound and VersionNotFound."""
    project = access.find(session, project_id=project_id, user_id=user_id, need="read")
    found = versions.at(session, project_id=project_id, number=number)
    return project, found, versions.content(session, project_id=project_id, number=number)


def _only(session: Session, project: Project) -> Shown:
    (shown,) = _shown(session, [project])
    return shown


def _shown(session: Session, found: Sequence[Project]) -> list[Shown]:
    if not found:
        return []
    owners = people.of_ids(session, [one.owner_id for one in found])
    current = versions.current(session, projects=found)
    return [Shown(project=one, owner=owners[one.owner_id], current=current.get(one.id)) for one in found]
