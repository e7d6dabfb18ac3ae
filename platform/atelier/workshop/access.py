"""Who may do what to a project: the one place that decides it.

    private   its owner
    team      its owner and those who work on it with them
    public    everyone may read, also without signing in; only the others may write

An editor changes what the project says of itself, adds versions and generates; a viewer reads. Only the owner decides
who sees the project, invites, deletes. A project in the bin is there for nobody but its owner, and only to be restored.
Administrators are nobody special here: what users make in private stays private.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, and_, literal, select, tuple_
from sqlalchemy.orm import Session

from atelier.kernel.errors import Forbidden
from atelier.workshop.errors import ProjectNotFound
from atelier.workshop.models import MEMBERS, PROJECTS

Role = Literal["owner", "editor", "viewer"]
Need = Literal["read", "belong", "write", "own"]
P, M = PROJECTS.c, MEMBERS.c
_COLUMNS = tuple(PROJECTS.c)
_ENOUGH: dict[Need, tuple[Role, ...]] = {
    "read": ("owner", "editor", "viewer"),
    "belong": ("owner", "editor", "viewer"),
    "write": ("owner", "editor"),
    "own": ("owner",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project as someone with this role finds it; the role is None for the public."""

    id: str
    owner_id: str
    title: str
    description: str | None
    type: str
    status: str
    visibility: str
    config: dict[str, Any]
    revision: int
    versions: int
    current_number: int | None
    deleted_ms: int | None
    created_ms: int
    updated_ms: int
    role: Role | None


def role_of(*, owner_id: str, visibility: str, user_id: str | None, member_role: str | None) -> Role | None:
    """What the user is to a project, given the role in which they work on it, if they do."""
    if user_id is not None and owner_id == user_id:
        return "owner"
    if visibility == "private":
        return None
    return "editor" if member_role == "editor" else "viewer" if member_role else None


def allows(need: Need, *, visibility: str, role: Role | None) -> bool:
    """Whether this role is enough."""
    return role in _ENOUGH[need] or (need == "read" and visibility == "public")


def find(session: Session, *, project_id: str, user_id: str | None, need: Need) -> Project:
    """A project that is not in the bin, for someone who may do this to it.

    Raises ProjectNotFound for whoever may not even know of it, and Forbidden.
    """
    member = and_(M.project_id == P.id, M.user_id == literal(user_id))
    found = select(*_COLUMNS, M.role.label("member_role")).outerjoin_from(PROJECTS, MEMBERS, member)
    row = session.connection().execute(found.where(P.id == project_id, P.deleted_ms.is_(None))).one_or_none()
    if row is None:
        raise ProjectNotFound(project_id)
    return _judged(of_row(row, user_id=user_id, member_role=row.member_role), need)


def lock(session: Session, *, project_id: str, user_id: str, need: Need | None) -> Project:
    """As `find`, and nobody else changes the project or who works on it before this transaction ends.

    With `need` None the caller judges.
    """
    row = (
        session.connection()
        .execute(select(*_COLUMNS).where(P.id == project_id, P.deleted_ms.is_(None)).with_for_update())
        .one_or_none()
    )
    if row is None:
        raise ProjectNotFound(project_id)
    member_role = session.connection().scalar(select(M.role).where(M.project_id == project_id, M.user_id == user_id))
    project = of_row(row, user_id=user_id, member_role=member_role)
    return _judged(project, need) if need else project


def of_row(row: Row[*tuple[Any, ...]], *, user_id: str | None, member_role: str | None) -> Project:
    """The project of a row that has its columns by their names."""
    values = {column.name: getattr(row, column.name) for column in _COLUMNS}
    role = role_of(owner_id=row.owner_id, visibility=row.visibility, user_id=user_id, member_role=member_role)
    return Project(**values, role=role)


def writable(session: Session, *, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """How many versions there are, by pairs of project and user, where the user may write and it is not in the bin."""
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    project_ids = sorted({project_id for project_id, _ in pairs})
    rows = session.connection().execute(
        select(P.id, P.owner_id, P.visibility, P.versions).where(P.id.in_(project_ids), P.deleted_ms.is_(None))
    )
    projects = {row.id: row for row in rows}
    roles = member_roles(session, pairs=pairs)
    return {
        (project_id, user_id): int(row.versions)
        for project_id, user_id in pairs
        if (row := projects.get(project_id))
        and role_of(
            owner_id=row.owner_id,
            visibility=row.visibility,
            user_id=user_id,
            member_role=roles.get((project_id, user_id)),
        )
        in _ENOUGH["write"]
    }


def member_roles(session: Session, *, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The roles in which these pairs of project and user work together; whoever doesn't is left out."""
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    project_ids = sorted({project_id for project_id, _ in wanted})
    rows = session.connection().execute(
        # The plain list of ids is for databases that can't search an index by pairs.
        select(M.project_id, M.user_id, M.role).where(
            M.project_id.in_(project_ids), tuple_(M.project_id, M.user_id).in_(wanted)
        )
    )
    return {(row.project_id, row.user_id): row.role for row in rows}


def _judged(project: Project, need: Need) -> Project:
    if not allows("read", visibility=project.visibility, role=project.role):
        raise ProjectNotFound(project.id)
    if not allows(need, visibility=project.visibility, role=project.role):
        raise Forbidden
    return project
