"""Canceling: at once while a job waits, by request while it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import ADVANCE, JobMessage
from atelier.contracts.queues import WORKFLOW
from atelier.generation.settle import Settlement, settle
from atelier.jobs import batches, queries, states
from atelier.jobs import service as jobs
from atelier.jobs.ending import Ending
from atelier.jobs.errors import BatchNotFound, JobFinished, JobIsStep, JobNotFound
from atelier.kernel.database import Again
from atelier.ledger.posting import Posted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """`done` means canceled now; otherwise its worker has been asked and will stop within seconds."""

    done: bool
    seq: int
    account: Posted | None


def cancel(session: Session, *, job_id: str, user_id: str, transfer_id: str, now_ms: int) -> Cancellation:
    """Cancel one of the user's jobs. Raises JobNotFound or JobFinished, or JobIsStep for a part of another."""
    job = queries.stored(session, job_id=job_id, user_id=user_id)
    if job is None:
        raise JobNotFound(job_id)
    if job.state in states.FINISHED:
        raise JobFinished(job_id, status=job.state)
    if job.parent_id is not None:
        raise JobIsStep(job_id, job_id=job.parent_id)
    if job.state == states.RUNNING:
        if not jobs.request_cancel(session, job_id=job_id, fence=job.fence):
            raise Again
        if job.provider == WORKFLOW:
            outbox.enqueue(session, ADVANCE, JobMessage(job_id=job_id), now_ms=now_ms)
        return Cancellation(done=False, seq=job.seq, account=None)
    ending = waiting(job_id=job_id, fence=job.fence)
    (settled,) = settle(session, [Settlement(ending=ending, transfer_id=transfer_id, held=job.held)], now_ms=now_ms)
    if settled is None:
        raise Again
    return Cancellation(done=True, seq=ending.seq, account=settled.account)


def waiting(*, job_id: str, fence: int) -> Ending:
    """The end of a job that waits."""
    return Ending(
        job_id=job_id,
        fence=fence,
        state=states.CANCELED,
        seq=states.first_seq(fence + 1),
        outcome=states.CANCELED,
        from_state=states.PENDING,
        bump=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCancellation:
    """Jobs that are canceled now, with the numbers of their events, and how many workers have been asked."""

    done: Sequence[tuple[str, int]]
    asked: int
    account: Posted | None


def cancel_batch(
    session: Session, *, batch_id: str, user_id: str, transfer_ids: Sequence[str], now_ms: int
) -> BatchCancellation:
    """Cancel whatever of a batch has not ended. Raises BatchNotFound."""
    if batches.find(session, batch_id=batch_id, user_id=user_id) is None:
        raise BatchNotFound(batch_id)
    alive = batches.alive(session, batch_id=batch_id)
    endings = [
        Settlement(ending=waiting(job_id=job.id, fence=job.fence), transfer_id=transfer_id, held=job.held)
        for job, transfer_id in zip(alive, transfer_ids, strict=False)
        if job.state == states.PENDING
    ]
    settled = settle(session, endings, now_ms=now_ms) if endings else []
    running = [job for job in alive if job.state == states.RUNNING]
    if not all(settled) or not all(jobs.request_cancel(session, job_id=one.id, fence=one.fence) for one in running):
        raise Again
    composed = [(ADVANCE, JobMessage(job_id=one.id)) for one in running if one.provider == WORKFLOW]
    outbox.enqueue_many(session, composed, now_ms=now_ms)
    accounts = [one.account for one in settled if one and one.account]
    return BatchCancellation(
        done=[(one.ending.job_id, one.ending.seq) for one in endings],
        asked=len(running),
        account=max(accounts, key=lambda one: one.version, default=None),
    )
