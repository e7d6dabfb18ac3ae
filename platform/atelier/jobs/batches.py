"""Batches: what was submitted together, and the jobs that have come of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.models import BATCHES, JOBS
from atelier.kernel.clock import DAY_MS

ITEMS_MAX = 100
# Its jobs stay, and are still found by its id; what was refused is forgotten with it.
KEPT_MS = 90 * DAY_MS
B, J = BATCHES.c, JOBS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was submitted: of each item, in order, its job (`{"jobId": …}`) or its refusal (`{"code": …}` and more)."""

    id: str
    user_id: str
    items: Sequence[dict[str, Any]]
    created_ms: int

    @property
    def job_ids(self) -> list[str]:
        """The jobs of those that were accepted."""
        return [item["jobId"] for item in self.items if "jobId" in item]


class Alive(NamedTuple):
    """A job of a batch that has not ended."""

    id: str
    state: str
    fence: int
    held: int
    provider: str


def create(session: Session, batch: Batch) -> None:
    """Insert it. Raises IntegrityError when it is there."""
    row = {"id": batch.id, "user_id": batch.user_id, "items": list(batch.items), "created_ms": batch.created_ms}
    session.connection().execute(insert(BATCHES), row)


def find(session: Session, *, batch_id: str, user_id: str) -> Batch | None:
    """One of the user's own."""
    row = (
        session.connection()
        .execute(select(B.id, B.user_id, B["items"], B.created_ms).where(B.id == batch_id, B.user_id == user_id))
        .one_or_none()
    )
    return Batch(id=row[0], user_id=row[1], items=row[2], created_ms=row[3]) if row else None


def alive(session: Session, *, batch_id: str) -> list[Alive]:
    """Its jobs that have not ended, by their ids. Locked, as by whoever ends one, before the account is."""
    rows = session.connection().execute(
        select(J.id, J.state, J.fence, J.held, J.provider)
        .where(J.batch_id == batch_id, J.state.in_(states.ALIVE))
        .order_by(J.id)
        .with_for_update()
    )
    return [Alive(row[0], row[1], row[2], row[3], row[4]) for row in rows]
