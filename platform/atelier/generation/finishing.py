"""The ends of parked jobs: what is done once it is known what became of them, and may take a while.

Each end is conditional on the fence, so it does no harm that two processes find the same one. Until it is written down
the job stays parked and is looked at again: whatever dies here loses nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from atelier.generation import outcomes
from atelier.generation.attempt import Attempt
from atelier.generation.outcomes import Outcome
from atelier.generation.run import Runner
from atelier.generation.sweep import TOO_LATE
from atelier.jobs import parking, states, upstream
from atelier.jobs.parking import Due
from atelier.kernel import faults, logs
from atelier.kernel.clock import SECOND_MS
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal, Transient
from atelier.live.events import Event
from atelier.providers.errors import BadAnswer
from atelier.providers.later import Absent, Accepted, LaterProvider, NotTaken, Status, TaskLost

MISSES_MAX = 3
"""So often in a row, and for as long as a request may be late, the provider must have nothing before it is believed.

A result that is no good is fetched as often: what lies behind a link may be whole a moment later.
"""
log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finisher:
    """Ends the parked jobs of one provider."""

    provider: LaterProvider
    database: Database
    runner: Runner
    send: Callable[[str, Sequence[Event]], object]
    backoff_ms: int

    def complete(self, one: Due, status: Status) -> None:
        """Fetch what was made, keep it as our own, and take the credits; or give up what stays no good."""

        def made(attempt: Attempt) -> Outcome:
            faults.point("poller.before_fetch")
            try:
                result = self.provider.fetch(status)
            except BadAnswer as error:
                return self._spoiled(one, attempt, error)
            faults.point("poller.after_fetch")
            return self.runner.completed(attempt, result)

        self._end(one, made)

    def fail(self, one: Due, status: Status) -> None:
        """End the attempt as the provider did: for good, or for another generation, which gets a key of its own."""
        failure = status.failure or TaskLost()

        def failed(attempt: Attempt) -> Outcome:
            if isinstance(failure, Refusal):
                return outcomes.failed(attempt, failure.code, str(failure))
            return self._anew(one, attempt, failure)

        self._end(one, failed)

    def stop(self, one: Due) -> None:
        """End a job that its user has canceled, or whose deadline has passed; and what runs for it, if that works."""

        def stopped(attempt: Attempt) -> Outcome:
            self._stop_upstream(one)
            faults.point("poller.after_cancel")
            return outcomes.canceled(attempt) if one.cancel_requested else outcomes.failed(attempt, TOO_LATE)

        self._end(one, stopped)

    def resolve(self, one: Due) -> None:
        """Find out whether the provider has what nobody could say of."""
        found = self.provider.find(one.provider_key)
        faults.point("poller.after_find")
        if isinstance(found, Accepted):
            self.database.transact(_adopt, one=one, upstream_id=found.upstream_id)
            log.info("later.found", job_id=one.id)
        elif isinstance(found, Absent):
            self.missing(one, NotTaken(), after_ms=int(self.provider.pace.late * SECOND_MS))

    def missing(self, one: Due, failure: Transient, *, after_ms: int = 0) -> None:
        """Believe the provider that it has nothing once it has said so often enough, and long enough."""
        if one.misses + 1 < MISSES_MAX or one.since_ms < after_ms:
            self.database.transact(upstream.missed, job_id=one.id, fence=one.fence)
            return

        def again(attempt: Attempt) -> Outcome:
            self._note(one, upstream.ABSENT)
            faults.point("poller.after_note")
            return outcomes.unavailable(attempt, failure, backoff_ms=self.backoff_ms)

        self._end(one, again)

    def _spoiled(self, one: Due, attempt: Attempt, error: BadAnswer) -> Outcome:
        """Count a result that is no good, in the database: whoever looks next may be another process.

        The last of them ends the attempt. Where that was noted already, its process died before it could say so.
        """
        if one.misses + 1 < MISSES_MAX and one.submitted != upstream.ENDED:
            self.database.transact(upstream.missed, job_id=one.id, fence=one.fence)
            raise error
        return self._anew(one, attempt, error)

    def _anew(self, one: Due, attempt: Attempt, failure: Transient) -> Outcome:
        """End the attempt without a result, so that the next generation gets a key of its own."""
        self._note(one, upstream.ENDED)
        faults.point("poller.after_note")
        return outcomes.unavailable(attempt, failure, backoff_ms=self.backoff_ms)

    def _end(self, one: Due, how: Callable[[Attempt], Outcome]) -> None:
        claimed = self.database.read(parking.claimed, job_id=one.id, fence=one.fence)
        if claimed is None:
            return
        with structlog.contextvars.bound_contextvars(job_id=one.id, attempt=claimed.attempts, fence=one.fence):
            attempt = Attempt(claimed, self.send, seq=states.look_seq(one.fence, since_ms=one.since_ms) + 1)
            try:
                outcome = how(attempt)
            except Transient as error:
                log.warning("later.not_ended", error_code=error.code)
                return  # It stays parked, and comes again.
            except Refusal as error:
                outcome = outcomes.failed(attempt, error.code, str(error))
            except Exception:
                log.exception("job.bug")
                outcome = outcomes.failed(attempt, outcomes.BUG)
            self.runner.close(attempt, outcome)

    def _stop_upstream(self, one: Due) -> None:
        upstream_id = one.upstream_id
        try:
            if upstream_id is None and one.submitted in upstream.OPEN:
                found = self.provider.find(one.provider_key)
                upstream_id = found.upstream_id if isinstance(found, Accepted) else None
            if upstream_id is not None:
                log.info("later.canceled", job_id=one.id, stopped=self.provider.cancel(upstream_id))
        except Transient as error:
            # The user's credits don't wait for a provider that is away.
            log.warning("later.not_canceled", job_id=one.id, error_code=error.code)

    def _note(self, one: Due, submitted: str) -> None:
        self.database.transact(upstream.note, job_id=one.id, fence=one.fence, submitted=submitted)


def _adopt(session: Session, *, one: Due, upstream_id: str) -> None:
    upstream.note(session, job_id=one.id, fence=one.fence, submitted=upstream.ACCEPTED, upstream_id=upstream_id)
    parking.wake(session, job_ids=[one.id])
