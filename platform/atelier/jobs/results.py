"""How long results are there: for as long as was promised, and longer while something refers to them.

A result goes in three steps, so that whatever is killed when, the next run goes on, and nobody is given half of it:
it is marked, and from then on nobody gets it; its files are removed; what the row still holds of it is emptied. A row
that is locked to be marked is the one place where it is decided: who wants to refer to a result holds its row, too.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.models import JOBS, RESULTS

R = RESULTS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A result whose time is over. `keys` are the files that its job has stored for it."""

    job_id: str
    gone: bool
    keys: tuple[str, ...]


def hold(session: Session, *, job_ids: Sequence[str]) -> list[str]:
    """Those of the jobs whose results are, or will be, there; none of these goes before this transaction ends.

    Call it before a project is locked: jobs that end insert their result first, too.
    """
    if not job_ids:
        return []
    locked = select(R.job_id, R.gone_ms).where(R.job_id.in_(job_ids)).order_by(R.job_id).with_for_update(read=True)
    gone = {row.job_id for row in session.connection().execute(locked) if row.gone_ms is not None}
    known = session.connection().scalars(select(JOBS.c.id).where(JOBS.c.id.in_(job_ids)))
    return sorted(set(known) - gone)


def due(session: Session, *, now_ms: int, limit: int) -> list[Due]:
    """Lock results that are to be looked at; those that somebody holds come with the next call."""
    rows = session.connection().execute(
        select(R.job_id, R.gone_ms, R.document)
        .where(R.expires_ms <= now_ms)
        .order_by(R.expires_ms)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [Due(job_id=row[0], gone=row[1] is not None, keys=_own(row[0], row[2])) for row in rows]


def of_families(session: Session, *, job_ids: Sequence[str]) -> set[str]:
    """Those of the jobs that are steps of one that is at work and needs them, or whose result may name their files."""
    parent, whole = JOBS.alias("parent"), RESULTS.alias("whole")
    steps = (
        select(JOBS.c.id)
        .join(parent, parent.c.id == JOBS.c.parent_id)
        .outerjoin(whole, whole.c.job_id == JOBS.c.parent_id)
    )
    is_there = and_(whole.c.job_id.is_not(None), whole.c.gone_ms.is_(None))
    needed = or_(parent.c.state.in_(states.ALIVE), is_there)
    return set(session.connection().scalars(steps.where(JOBS.c.id.in_(job_ids), needed)))


def put_off(session: Session, *, job_ids: Collection[str], until_ms: int) -> None:
    """Have these looked at later."""
    if job_ids:
        session.connection().execute(update(RESULTS).where(R.job_id.in_(sorted(job_ids))).values(expires_ms=until_ms))


def mark(session: Session, *, job_ids: Collection[str], now_ms: int, until_ms: int) -> None:
    """Give these to nobody any more; should whoever removes their files die, they come again after `until_ms`."""
    if job_ids:
        session.connection().execute(
            update(RESULTS)
            .where(R.job_id.in_(sorted(job_ids)))
            .values(gone_ms=func.coalesce(R.gone_ms, now_ms), expires_ms=until_ms)
        )


def empty(session: Session, *, job_id: str) -> None:
    """Keep of a result that is gone only what was paid for."""
    gone = select(R.document).where(R.job_id == job_id, R.gone_ms.is_not(None)).with_for_update()
    document: Any = session.connection().scalar(gone)
    if document is not None:
        left: dict[str, Any] = {**document, "outputs": []}
        session.connection().execute(update(RESULTS).where(R.job_id == job_id).values(document=left, expires_ms=None))


def _own(job_id: str, document: Any) -> tuple[str, ...]:
    """Files of another job are that job's result."""
    keys = (str(output["key"]) for output in document["outputs"] if "key" in output)
    return tuple(key for key in keys if key.startswith(f"outputs/{job_id}/"))
