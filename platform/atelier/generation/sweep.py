"""The sweeper: what was lost is published again, what was abandoned is taken over, what is too late ends.

It is part of correctness: whatever the broker forgets and whichever worker dies, every job reaches its end because of
this. Each change is conditional on the state that was seen, so any number of sweepers do no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.generation import taking
from atelier.generation.settle import Settled, Settlement, settle
from atelier.jobs import parking, states
from atelier.jobs import service as jobs
from atelier.jobs.ending import Ending, end_attempts
from atelier.jobs.picking import Later
from atelier.jobs.queries import Overdue

ABANDONED = states.ABANDONED
TOO_LATE = "DEADLINE_EXCEEDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What became of an overdue job: its new state and event number, and the account if its hold ended."""

    state: str
    seq: int
    error_code: str | None
    settled: Settled | None = None


def republish(session: Session, overdue: Sequence[Overdue], *, now_ms: int, base_ms: int) -> int:
    """Publish waiting jobs once more, each after a longer wait than before; how many."""
    again = [
        one
        for one in overdue
        if jobs.republish(
            session,
            job_id=one.id,
            fence=one.fence,
            publishes=one.publishes,
            wait_ms=states.republish_ms(base_ms=base_ms, publishes=one.publishes + 1),
        )
    ]
    taking.invite(session, [Later(queue=one.lane.queue, job_id=one.id) for one in again], now_ms=now_ms)
    return len(again)


def take_over(session: Session, one: Overdue, *, transfer_id: str, now_ms: int, republish_ms: int) -> Swept | None:
    """End an abandoned job, or give it another attempt; None when it was not abandoned after all.

    What a provider may have that finishes later is left to the poller, where there is no other attempt: it stops what
    is to end there, too, and takes on what has only lost its worker.
    """
    ending = one.cancel_requested or one.past_deadline
    if (ending or one.attempts >= one.attempts_max) and parking.park_abandoned(
        session, job_id=one.id, fence=one.fence, ending=ending
    ):
        return None
    if one.cancel_requested:
        return _end(session, one, states.CANCELED, None, transfer_id=transfer_id, now_ms=now_ms)
    if one.past_deadline:
        return _end(session, one, states.FAILED, TOO_LATE, transfer_id=transfer_id, now_ms=now_ms)
    if one.attempts >= one.attempts_max:
        return _end(session, one, states.FAILED, ABANDONED, transfer_id=transfer_id, now_ms=now_ms)
    seq = states.first_seq(one.fence + 1)
    back = jobs.put_back(
        session,
        job_id=one.id,
        fence=one.fence,
        wait_ms=0,
        republish_ms=republish_ms,
        seq=seq,
        error_code=ABANDONED,
        bump=1,
    )
    if not back:
        return None
    end_attempts(session, [(one.id, one.fence, ABANDONED)])
    taking.invite(session, [Later(queue=one.lane.queue, job_id=one.id)], now_ms=now_ms)
    taking.offer(session, [(one.lane, one.id)], now_ms=now_ms)
    return Swept(state=states.PENDING, seq=seq, error_code=ABANDONED)


def expire(session: Session, one: Overdue, *, transfer_id: str, now_ms: int) -> Swept | None:
    """End a job whose deadline passed while it waited; None when it has moved on meanwhile."""
    return _end(
        session, one, states.FAILED, TOO_LATE, transfer_id=transfer_id, now_ms=now_ms, from_state=states.PENDING
    )


def _end(
    session: Session,
    one: Overdue,
    state: str,
    error_code: str | None,
    *,
    transfer_id: str,
    now_ms: int,
    from_state: str = states.RUNNING,
) -> Swept | None:
    seq = states.first_seq(one.fence + 1)
    ending = Ending(
        job_id=one.id,
        fence=one.fence,
        state=state,
        seq=seq,
        outcome=error_code or state,
        error_code=error_code,
        from_state=from_state,
        bump=1,
    )
    (settled,) = settle(session, [Settlement(ending=ending, transfer_id=transfer_id, held=one.held)], now_ms=now_ms)
    if settled is None or settled.again:
        return None  # Another sweeper was first, with the very same ending.
    return Swept(state=state, seq=seq, error_code=error_code, settled=settled)
