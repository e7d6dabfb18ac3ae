"""What watching needs of the database beyond whole jobs: few columns, many users at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.errors import ResultExpired
from atelier.jobs.models import JOBS, RESULTS
from atelier.ledger.models import ACCOUNTS
from atelier.ledger.queries import Balance

J = JOBS.c
A = ACCOUNTS.c
CURRENT_MAX = 100
MARKS_MAX = 5_000


class Mark(NamedTuple):
    """How far a job is."""

    user_id: str
    job_id: str
    seq: int


def seqs(session: Session, *, job_ids: Sequence[str]) -> dict[str, int]:
    """How far these jobs are, whoever owns them. Nothing that is shown of a job changes without its number."""
    rows = session.connection().execute(select(J.id, J.seq).where(J.id.in_(job_ids)))
    return {row[0]: row[1] for row in rows}


def marks(session: Session, *, user_ids: Sequence[str], since_id: str) -> list[Mark]:
    """The unfinished jobs of these users, and all of theirs with an id from `since_id` on."""
    connection = session.connection()
    mine = J.user_id.in_(user_ids)
    found: dict[str, Mark] = {}
    for which in (J.state.in_(states.ALIVE), J.id >= since_id):
        rows = connection.execute(
            select(J.user_id, J.id, J.seq).where(mine, which).order_by(J.id.desc()).limit(MARKS_MAX)
        )
        found |= {row[1]: Mark(row[0], row[1], row[2]) for row in rows}
    return list(found.values())


def current(session: Session, *, user_id: str) -> list[str]:
    """A user's newest jobs and the newest of the unfinished ones, at most CURRENT_MAX of each, oldest first.

    None is a step of another.
    """
    connection = session.connection()
    found: set[str] = set()
    for which in (J.state.in_(states.ALIVE), J.id > ""):
        newest = (
            select(J.id)
            .where(J.user_id == user_id, J.parent_id.is_(None), which)
            .order_by(J.id.desc())
            .limit(CURRENT_MAX)
        )
        found.update(connection.execute(newest).scalars())
    return sorted(found)


def balances(session: Session, *, user_ids: Sequence[str]) -> dict[str, Balance]:
    """What these users have."""
    rows = session.connection().execute(
        select(A.id, A.credits_posted, A.debits_posted, A.debits_pending, A.version).where(A.id.in_(user_ids))
    )
    return {row[0]: Balance(balance=row[1] - row[2], held=row[3], spent=row[2], version=row[4]) for row in rows}


def result(session: Session, *, job_id: str) -> Any:
    """What a job has made, whoever owns it; None when there is nothing. Raises ResultExpired."""
    found = select(RESULTS.c.document, RESULTS.c.gone_ms).where(RESULTS.c.job_id == job_id)
    row = session.connection().execute(found).one_or_none()
    if row is not None and row.gone_ms is not None:
        raise ResultExpired(job_id)
    return row.document if row else None
