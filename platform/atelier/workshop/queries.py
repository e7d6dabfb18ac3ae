"""Reading lists of projects."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from atelier.workshop import access
from atelier.workshop.access import Project
from atelier.workshop.models import MEMBERS, PROJECTS
from atelier.workshop.projects import KEPT_MS

COUNTED_MAX = 10_000
P, M = PROJECTS.c, MEMBERS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which projects of a user's: their own, or others' on which they work.

    shared    others' projects; `role` narrows them to those where the user is editor, or viewer
    binned    own projects in the bin that can still be taken out, instead of those that are not there
    """

    user_id: str
    status: str | None = None
    type: str | None = None
    shared: bool = False
    role: str | None = None
    binned: bool = False


def page(session: Session, wanted: Filter, *, offset: int, limit: int, now_ms: int) -> tuple[list[Project], int]:
    """A page of projects, those first that changed last, and how many there are (counted up to COUNTED_MAX)."""
    conditions = _conditions(wanted, now_ms=now_ms)
    rows = session.connection().execute(
        select(*P, M.role.label("member_role"))
        .outerjoin_from(PROJECTS, MEMBERS, (M.project_id == P.id) & (M.user_id == wanted.user_id))
        .where(*conditions)
        .order_by(P.updated_ms.desc(), P.id.desc())
        .offset(offset)
        .limit(limit)
    )
    found = [access.of_row(row, user_id=wanted.user_id, member_role=row.member_role) for row in rows]
    return found, _count(session, wanted, conditions)


def _count(session: Session, wanted: Filter, conditions: Sequence[ColumnElement[bool]]) -> int:
    counted = (
        select(P.id)
        .outerjoin_from(PROJECTS, MEMBERS, (M.project_id == P.id) & (M.user_id == wanted.user_id))
        .where(*conditions)
        .limit(COUNTED_MAX)
        .subquery()
    )
    return session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


def _conditions(wanted: Filter, *, now_ms: int) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.shared or wanted.role:
        # A private project is its owner's alone, whoever worked on it before.
        conditions += [M.user_id == wanted.user_id, P.visibility != "private", P.deleted_ms.is_(None)]
    else:
        conditions.append(P.owner_id == wanted.user_id)
        conditions.append(P.deleted_ms > now_ms - KEPT_MS if wanted.binned else P.deleted_ms.is_(None))
    equal = {M.role: wanted.role, P.status: wanted.status, P.type: wanted.type}
    return conditions + [column == value for column, value in equal.items() if value is not None]
