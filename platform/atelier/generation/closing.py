"""Writing down how attempts ended, in company, and telling those who watch."""

import time
from collections.abc import Sequence

from sqlalchemy.orm import Session

from atelier.generation import attempt as attempts
from atelier.generation import outcomes, taking
from atelier.generation.attempt import Attempt
from atelier.generation.events import credits_changed, job_event
from atelier.generation.outcomes import Outcome, Retry
from atelier.generation.settle import Settled, Settlement, settle
from atelier.jobs import service as jobs
from atelier.jobs import states
from atelier.jobs.ending import end_attempts
from atelier.jobs.picking import Later
from atelier.jobs.service import Claimed
from atelier.kernel import faults, logs
from atelier.kernel.batching import GATHER_SECONDS, Batcher
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.live import counters, wire
from atelier.live.publisher import Publisher
from atelier.live.wire import Command

SETTLE_TRIES = 30
WAIT_SECONDS_MAX = 2.0
log = logs.get(__name__)


class Closer:
    """Closes attempts for the threads of one worker process."""

    def __init__(self, *, database: Database, publisher: Publisher, republish_ms: int) -> None:
        self._database = database
        self._publisher = publisher
        self._republish_ms = republish_ms
        self._settlements: Batcher[Settlement, Settled | Exception | None] = Batcher(
            self._settle_group, gather_seconds=GATHER_SECONDS
        )

    def close(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write the outcome, if the fence still holds. Raises Transient when the database stays away."""
        faults.point("worker.before_settle")
        if isinstance(outcome, Retry):
            self._put_back(attempt, outcome)
        else:
            self._settle(attempt, outcome)

    def _settle(self, attempt: Attempt, settlement: Settlement) -> None:
        ending, claimed = settlement.ending, attempt.claimed
        settled = self._persist(attempt, settlement)
        faults.point("worker.after_settle")
        if settled is None:
            log.warning("job.zombie", state=ending.state)
            return
        run_ms = max(0, now_ms() - claimed.claimed_ms)
        log.info("job.settled", state=ending.state, used=ending.used, error_code=ending.error_code, run_ms=run_ms)
        data = {"used": ending.used, "errorCode": ending.error_code}
        events = [job_event(ending.state, claimed.id, ending.seq, data)]
        if settled.account:
            events.append(credits_changed(settled.account))
        waited_ms = max(0, claimed.claimed_ms - claimed.created_ms)
        counts = counters.ended(kind=claimed.kind, state=ending.state, waited_ms=waited_ms)
        also = [*_called(claimed, ending.outcome, run_ms), *counters.add(counts)]
        if ending.state == states.COMPLETED:
            also += wire.sampled(claimed.agent_id, run_ms)
        self._publisher.publish(claimed.user_id, events, final=True, also=also)

    def _persist(self, attempt: Attempt, settlement: Settlement) -> Settled | None:
        # The work is done and paid for: while the database is away and the lease not lost, settling is tried again.
        is_lost = False
        for tried in range(SETTLE_TRIES):
            try:
                settled = self._settlements.call(settlement)
            except Transient:
                # A lost lease may be this very settlement, committed and not answered: asked once more, it is known.
                lost_before, is_lost = is_lost, attempt.reason == attempts.LOST
                if tried == SETTLE_TRIES - 1 or lost_before:
                    raise
                time.sleep(min(WAIT_SECONDS_MAX, 0.1 * 2**tried))
            else:
                if isinstance(settled, Exception):
                    raise settled
                return settled
        raise AssertionError

    def _settle_group(self, settlements: Sequence[Settlement]) -> Sequence[Settled | Exception | None]:
        try:
            return self._database.transact(settle, settlements, now_ms=now_ms())
        except Transient:
            raise
        except Exception as error:
            if len(settlements) == 1:
                raise
            # One that can't be settled must not take its neighbours with it.
            log.exception("settle.group_failed", jobs=len(settlements), error=type(error).__name__)
            return [self._settle_alone(one) for one in settlements]

    def _settle_alone(self, settlement: Settlement) -> Settled | Exception | None:
        try:
            return self._database.transact(settle, [settlement], now_ms=now_ms())[0]
        except Exception as error:  # noqa: BLE001 - handed to the one whose settlement it is
            return error

    def _put_back(self, attempt: Attempt, retry: Retry) -> None:
        back = self._database.transact(put_back, retry=retry, now_ms=now_ms(), republish_ms=self._republish_ms)
        if not back:
            # Either the job is another's now, and this changes nothing, or its user has canceled it meanwhile.
            self._settle(attempt, outcomes.canceled(attempt))
            return
        log.info("job.retried", error_code=retry.error_code, wait_ms=retry.wait_ms)
        data = {"errorCode": retry.error_code, "retryInMs": retry.wait_ms}
        claimed = attempt.claimed
        run_ms = max(0, now_ms() - claimed.claimed_ms)
        also = _called(claimed, retry.error_code or attempts.SHUTDOWN, run_ms)
        self._publisher.publish(claimed.user_id, [job_event("pending", retry.job_id, retry.seq, data)], also=also)


def _called(claimed: Claimed, outcome: str, run_ms: int) -> list[Command]:
    counts = counters.called(provider=claimed.provider, outcome=outcome, kind=claimed.kind, run_ms=run_ms)
    return counters.add(counts)


def put_back(session: Session, *, retry: Retry, now_ms: int, republish_ms: int) -> bool:
    """Make the job wait for its next attempt and send its message for then; False when the lease was lost."""
    back = jobs.put_back(
        session,
        job_id=retry.job_id,
        fence=retry.fence,
        wait_ms=retry.wait_ms,
        republish_ms=republish_ms,
        seq=retry.seq,
        error_code=retry.error_code,
        refund=retry.refund,
    )
    if back:
        end_attempts(session, [(retry.job_id, retry.fence, retry.error_code or attempts.SHUTDOWN)])
        own = Later(queue=retry.lane.queue, job_id=retry.job_id, wait_ms=retry.wait_ms)
        taking.invite(session, [own], now_ms=now_ms)
        taking.offer(session, [(retry.lane, retry.job_id)], now_ms=now_ms)
    return back
