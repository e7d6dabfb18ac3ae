"""Canceling: at once while a job waits, by request while it runs."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.generation.settle import Settlement, settle
from atelier.jobs import queries, states
from atelier.jobs import service as jobs
from atelier.jobs.ending import Ending
from atelier.jobs.errors import JobFinished, JobNotFound
from atelier.kernel.database import Again
from atelier.ledger.posting import Posted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """`done` means canceled now; otherwise its worker has been asked and will stop within seconds."""

    done: bool
    seq: int
    account: Posted | None


def cancel(session: Session, *, job_id: str, user_id: str, transfer_id: str, now_ms: int) -> Cancellation:
    """Cancel one of the user's jobs. Raises JobNotFound or JobFinished."""
    job = queries.stored(session, job_id=job_id, user_id=user_id)
    if job is None:
        raise JobNotFound(job_id)
    if job.state in states.FINISHED:
        raise JobFinished(job_id, status=job.state)
    if job.state == states.RUNNING:
        if not jobs.request_cancel(session, job_id=job_id, fence=job.fence):
            raise Again
        return Cancellation(done=False, seq=job.seq, account=None)
    seq = states.first_seq(job.fence + 1)
    ending = Ending(
        job_id=job_id,
        fence=job.fence,
        state=states.CANCELED,
        seq=seq,
        outcome=states.CANCELED,
        from_state=states.PENDING,
        bump=1,
    )
    (settled,) = settle(session, [Settlement(ending=ending, transfer_id=transfer_id, held=job.held)], now_ms=now_ms)
    if settled is None:
        raise Again
    return Cancellation(done=True, seq=seq, account=settled.account)
