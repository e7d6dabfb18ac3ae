"""What attempts know of the provider's side: whether it was called, what it answered, and its own id of the task.

calling   written before the call: from here on the provider may have it
accepted  it has it, under `upstream_id`
unknown   nobody can say whether it has it
rejected  it said no
absent    it was asked, more than once, and has nothing
ended     it has ended it without a result, or with one that is no good: a further generation needs a key of its own
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.models import ATTEMPTS, JOBS
from atelier.jobs.service import provider_key
from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import matched

CALLING = "calling"
ACCEPTED = "accepted"
UNKNOWN = "unknown"
REJECTED = "rejected"
ABSENT = "absent"
ENDED = "ended"
OPEN = frozenset({CALLING, ACCEPTED, UNKNOWN})
"""The provider may have it and may still finish it."""

A = ATTEMPTS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An attempt at the same job before this one."""

    fence: int
    provider_key: str
    upstream_id: str | None
    submitted: str | None


def earlier(session: Session, *, job_id: str, fence: int) -> list[Earlier]:
    """The attempts before this fence, the latest first."""
    rows = session.connection().execute(
        select(A.fence, A.provider_key, A.upstream_id, A.submit_state)
        .where(A.job_id == job_id, A.fence < fence)
        .order_by(A.fence.desc())
    )
    return [Earlier(fence=row[0], provider_key=row[1], upstream_id=row[2], submitted=row[3]) for row in rows]


def key(job_id: str, before: Sequence[Earlier]) -> str:
    """What names the next generation to the provider: the same until the provider has ended one without a result."""
    ended = sum(one.submitted == ENDED for one in before)
    return provider_key(job_id) if ended == 0 else f"{provider_key(job_id)}:{ended + 1}"


def calling(session: Session, *, job_id: str, fence: int, key: str) -> bool:
    """Note that the provider is about to be called under this key; False when the fence is lost."""
    job = JOBS.c
    mine = exists().where(job.id == job_id, job.fence == fence, job.state == states.RUNNING)
    noted = matched(
        session,
        update(ATTEMPTS)
        .where(A.job_id == job_id, A.fence == fence, mine)
        .values(submit_state=CALLING, provider_key=key),
    )
    return noted == 1


def note(
    session: Session,
    *,
    job_id: str,
    fence: int,
    submitted: str,
    upstream_id: str | None = None,
    key: str | None = None,
) -> None:
    """Note what became of the call, and the `key` it went by. What is accepted is timed from now."""
    known: dict[str, Any] = {} if key is None else {"provider_key": key}
    if upstream_id is not None:
        known |= {"upstream_id": upstream_id, "submitted_ms": db_now_ms()}
    session.connection().execute(
        update(ATTEMPTS).where(A.job_id == job_id, A.fence == fence).values(submit_state=submitted, misses=0, **known)
    )


def missed(session: Session, *, job_id: str, fence: int) -> None:
    """Count one more answer in a row that the provider has nothing of it, or that what it made is no good."""
    session.connection().execute(
        update(ATTEMPTS).where(A.job_id == job_id, A.fence == fence).values(misses=A.misses + 1)
    )


def seen(session: Session, *, held: Sequence[tuple[str, int]]) -> None:
    """Forget the answers in a row that were no good: the provider works at these."""
    for job_id, fence in held:
        session.connection().execute(update(ATTEMPTS).where(A.job_id == job_id, A.fence == fence).values(misses=0))
