"""What holds between jobs and the projects that they were for.

version.asked   a completed job whose result was to become a version has that version, or it says why not
version.job     a version that a job made belongs to a job that has completed, and was asked for
"""

from sqlalchemy import and_, or_

from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.kernel.invariants import Family, Invariant, unless, within
from atelier.workshop.checks import KEPT, P
from atelier.workshop.models import SAVES, VERSIONS

_j, _s, _v = JOBS.alias("j"), SAVES.alias("s"), VERSIONS.alias("v")
_J, _S, _V = _j.c, _s.c, _v.c


def _asked() -> Family:
    made = and_(_V.project_id == _S.project_id, _S.reason.is_(None))
    refused = and_(_V.project_id.is_(None), _S.reason.is_not(None))
    decided = and_(_J.state == states.COMPLETED, or_(made, refused))
    open_ = and_(_J.state != states.COMPLETED, _V.project_id.is_(None), _S.reason.is_(None))
    return Family(
        rows=_s.join(_j, _J.id == _S.job_id)
        .outerjoin(_v, _V.job_id == _S.job_id)
        .outerjoin(P, P.c.id == _S.project_id),
        subject=_S.job_id,
        facts=(_J.state, _S.project_id, _S.reason, _V.number),
        # A project that is gone, or about to be, has taken its versions with it.
        invariants=(Invariant("version.asked", and_(P.c.id.is_not(None), KEPT, unless(or_(decided, open_)))),),
        where=within(_S.job_id),
        walked=SAVES.c.job_id,
        by_time=True,
    )


def _made() -> Family:
    right = and_(_J.state == states.COMPLETED, _J.project_id == _V.project_id, _J.user_id == _V.author_id)
    return Family(
        rows=_v.outerjoin(_j, _J.id == _V.job_id).outerjoin(_s, _S.job_id == _V.job_id),
        subject=_V.project_id,
        facts=(_V.number, _V.job_id, _J.state),
        invariants=(Invariant("version.job", or_(unless(right), _S.job_id.is_(None))),),
        where=and_(within(_V.project_id), _V.job_id.is_not(None)),
        walked=VERSIONS.c.project_id,
        by_time=True,
    )


FAMILIES = (_asked(), _made())
