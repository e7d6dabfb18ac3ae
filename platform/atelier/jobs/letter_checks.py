"""What dead letters promise.

letter.missing  every failed job has its letter, for as long as letters are kept, and no other job has an open one
letter.retry    what was tried again was tried by a job of the same user that says so
"""

from sqlalchemy import and_, case, func, or_

from atelier.jobs import dead_letters, states
from atelier.jobs.models import DEAD_LETTERS, JOBS
from atelier.kernel.clock import DAY_MS
from atelier.kernel.invariants import NOW_MS, Family, Invariant, within

_j = JOBS.alias("j")
_d = DEAD_LETTERS.alias("d")
_new = JOBS.alias("new_job")
_J, _D = _j.c, _d.c


def _written() -> Family:
    recent = _J.finished_ms > NOW_MS - dead_letters.KEPT_MS + DAY_MS
    return Family(
        rows=_j.outerjoin(_d, _D.job_id == _J.id),
        subject=_J.id,
        facts=(_J.state, _J.error_code, _D.state.label("letter")),
        invariants=(
            Invariant(
                "letter.missing",
                case(
                    (_J.state == states.FAILED, and_(_J.parent_id.is_(None), _D.job_id.is_(None), recent)),
                    (_J.state == states.CANCELED, _D.state.not_in((dead_letters.REPLAYED, dead_letters.RETRIED))),
                    else_=_D.job_id.is_not(None),
                ),
                "warning",
            ),
        ),
        where=within(_J.id),
        walked=JOBS.c.id,
        by_time=True,
    )


def _tried_again() -> Family:
    return Family(
        rows=_d.outerjoin(_new, _new.c.id == _D.new_job_id),
        subject=_D.job_id,
        facts=(_D.state, _D.new_job_id, _new.c.retry_of),
        invariants=(
            Invariant(
                "letter.retry",
                or_(func.coalesce(_new.c.retry_of, "") != _D.job_id, _new.c.user_id != _D.user_id),
            ),
        ),
        where=and_(within(_D.job_id), _D.new_job_id.is_not(None)),
        walked=DEAD_LETTERS.c.job_id,
        by_time=True,
    )


FAMILIES = (_written(), _tried_again())
