"""What projects promise about their own rows.

project.versions  a project's versions are numbered without gaps, as many as it says
project.current   a project with versions has a current one, and it is there
project.member    who works on a project, or is invited to it, is not its owner
"""

from sqlalchemy import and_, func, or_, select

from atelier.kernel.invariants import NOW_MS, Family, Invariant, within
from atelier.workshop.models import INVITATIONS, MEMBERS, PROJECTS, VERSIONS
from atelier.workshop.projects import KEPT_MS

P, _v = PROJECTS.alias("p"), VERSIONS.alias("v")
_P, _V = P.c, _v.c

# What is being purged loses its versions part by part.
KEPT = or_(_P.deleted_ms.is_(None), _P.deleted_ms > NOW_MS - KEPT_MS)


def _numbered() -> Family:
    counted = select(func.count()).where(_V.project_id == _P.id).correlate(P).scalar_subquery()
    newest = select(func.coalesce(func.max(_V.number), 0)).where(_V.project_id == _P.id).correlate(P).scalar_subquery()
    current = (
        select(func.count())
        .where(_V.project_id == _P.id, _V.number == _P.current_number)
        .correlate(P)
        .scalar_subquery()
    )
    return Family(
        rows=P,
        subject=_P.id,
        facts=(_P.versions, _P.current_number, counted.label("counted"), newest.label("newest")),
        invariants=(
            Invariant("project.versions", or_(counted != _P.versions, newest != _P.versions)),
            Invariant("project.current", and_(_P.versions > 0, current != 1)),
        ),
        where=and_(within(_P.id), KEPT),
        walked=PROJECTS.c.id,
        by_time=True,
    )


def _others() -> Family:
    working = select(func.count()).where(MEMBERS.c.project_id == _P.id, MEMBERS.c.user_id == _P.owner_id)
    invited = select(func.count()).where(INVITATIONS.c.project_id == _P.id, INVITATIONS.c.user_id == _P.owner_id)
    return Family(
        rows=P,
        subject=_P.id,
        facts=(_P.owner_id,),
        invariants=(
            Invariant(
                "project.member", working.correlate(P).scalar_subquery() + invited.correlate(P).scalar_subquery() > 0
            ),
        ),
        where=within(_P.id),
        walked=PROJECTS.c.id,
        by_time=True,
    )


FAMILIES = (_numbered(), _others())
