"""What holds of results that are kept for a time.

result.there      a result that is not gone says what was made
result.referred   no version refers to a result that is gone
result.removed    what is gone is removed soon, and what may go is looked at
"""

from sqlalchemy import String, and_, cast, exists, or_

from atelier.jobs.models import RESULTS
from atelier.kernel.clock import HOUR_MS
from atelier.kernel.invariants import NOW_MS, Family, Invariant, within
from atelier.workshop.models import VERSION_RESULTS, VERSIONS

LATE_MS = 6 * HOUR_MS

_r = RESULTS.alias("r")
_R = _r.c
_emptied = cast(_R.document, String).contains('"outputs":[]')


def _kept() -> Family:
    spoken = exists().where(VERSION_RESULTS.c.job_id == _R.job_id)
    made = exists().where(VERSIONS.c.job_id == _R.job_id)
    gone = _R.gone_ms.is_not(None)
    return Family(
        rows=_r,
        subject=_R.job_id,
        facts=(_R.expires_ms, _R.gone_ms),
        invariants=(
            Invariant("result.there", and_(~gone, _emptied)),
            Invariant("result.referred", and_(gone, or_(spoken, made)), "warning"),
            Invariant("result.removed", _R.expires_ms < NOW_MS - LATE_MS, "warning"),
        ),
        where=within(_R.job_id),
        walked=RESULTS.c.job_id,
        by_time=True,
    )


FAMILIES = (_kept(),)
