"""What holds between API keys and the jobs that were submitted with them.

key.limit  what a key's jobs hold and have used is never negative, and not more than its limit
key.held   what a key says of it is what its jobs hold that have not ended
key.used   … and what those have used that completed
key.owner  a job that came with a key is its owner's
"""

from collections import Counter

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from atelier.accounts.key_models import KEYS
from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.kernel import ids
from atelier.kernel.clock import HOUR_MS
from atelier.kernel.invariants import Family, Findings, Invariant, spans, within

SUMMED_ROWS = 100_000

_k, _j = KEYS.alias("k"), JOBS.alias("j")
_K, _J = _k.c, _j.c


def _limits() -> Family:
    return Family(
        rows=_k,
        subject=_K.id,
        facts=(_K.user_id, _K.credit_limit, _K.credits_held, _K.credits_used),
        invariants=(
            Invariant(
                "key.limit",
                or_(_K.credits_held < 0, _K.credits_used < 0, _K.credits_held + _K.credits_used > _K.credit_limit),
            ),
        ),
        where=within(_K.id),
        walked=KEYS.c.id,
    )


def _owners() -> Family:
    return Family(
        rows=_j.join(_k, _K.id == _J.key_id),
        subject=_J.id,
        facts=(_J.user_id, _J.key_id, _K.user_id.label("owner")),
        invariants=(Invariant("key.owner", _K.user_id != _J.user_id),),
        where=within(_J.id),
        walked=JOBS.c.id,
        by_time=True,
    )


FAMILIES = (_limits(), _owners())

_held = func.sum(case((_J.state.in_(states.ALIVE), _J.held), else_=0))
_SPENT = (
    select(_J.key_id, _held, func.sum(_J.used)).where(and_(within(_J.id), _J.key_id.is_not(None))).group_by(_J.key_id)
)


def counters(session: Session) -> Findings:
    """Compare the counters of every key with the sums of its jobs, in one pass over the jobs since the oldest key."""
    found, held, used = Findings(), Counter[str](), Counter[str]()
    own = KEYS.c
    keys = (
        session.connection()
        .execute(select(own.id, own.credits_held, own.credits_used, own.created_ms).order_by(own.id))
        .all()
    )
    if not keys:
        return found
    # Whoever made a job's id may have had another clock than whoever made its key.
    after = ids.floor(min(key.created_ms for key in keys) - HOUR_MS)
    for span in spans(session, JOBS.c.id, after=after, rows=SUMMED_ROWS):
        for key_id, holds, uses in session.connection().execute(_SPENT, span):
            held[key_id] += int(holds)
            used[key_id] += int(uses)
    for key in keys:
        detail = f"held={key.credits_held} used={key.credits_used} jobs: held={held[key.id]} used={used[key.id]}"
        found.examined += 1
        if key.credits_held != held[key.id]:
            found.add("key.held", subject=key.id, detail=detail)
        if key.credits_used != used[key.id]:
            found.add("key.used", subject=key.id, detail=detail)
    return found
