"""A worker's part in what finishes later: hand the request over once, park the job, and be free.

1. Look back: an earlier attempt may have handed it over already; then its task is taken on, or first looked for.
2. Note that the provider is about to be called: from here on it may have the request, whatever happens to this process.
3. Call it, and park the job with what it answered. What nobody can say is parked too, for the poller to find out.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from atelier.generation import attempt as attempts
from atelier.generation.attempt import Attempt
from atelier.generation.callbacks import Callbacks
from atelier.jobs import parking, upstream
from atelier.jobs.upstream import Earlier
from atelier.kernel import faults, logs
from atelier.kernel.clock import SECOND_MS
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.providers.contract import GenerationRequest
from atelier.providers.later import Absent, Accepted, LaterProvider, Rejected, Submitted, Unknown

PARK_TRIES = 30
WAIT_SECONDS_MAX = 2.0
log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """The provider has it under `key`, or may have it: look after `wait_ms`."""

    key: str
    submitted: str
    upstream_id: str | None
    wait_ms: int


class Submitter:
    """Hands requests over for the threads of one worker process."""

    def __init__(self, *, database: Database, providers: Mapping[str, LaterProvider], calls: Callbacks | None) -> None:
        self._database = database
        self._providers = providers
        self._calls = calls

    def takes(self, provider: str) -> bool:
        """Whether this is a provider that finishes later."""
        return provider in self._providers

    def submit(self, attempt: Attempt, request: GenerationRequest) -> Parked:
        """Hand the request over, unless an earlier attempt did. Raises what the provider refuses it for, or Stopped."""
        provider, claimed = self._providers[attempt.claimed.provider], attempt.claimed
        key = request.provider_key
        # Not the number of attempts: one that was refunded may have left a key that must not be used again.
        if claimed.fence > 1:
            before = self._database.read(upstream.earlier, job_id=claimed.id, fence=claimed.fence)
            key = upstream.key(claimed.id, before)
            if taken := self._taken_on(provider, before, key):
                return taken
        attempt.check()
        if not self._database.transact(upstream.calling, job_id=claimed.id, fence=claimed.fence, key=key):
            attempt.stop(attempts.LOST)
            attempt.check()
        faults.point("later.before_call")
        back = self._calls.url(provider.name, claimed.id) if self._calls else ""
        submitted = _called(provider, replace(request, provider_key=key, callback_url=back))
        faults.point("later.after_call")
        if isinstance(submitted, Rejected):
            self._note(attempt, upstream.REJECTED)
            raise submitted.failure
        if isinstance(submitted, Unknown):
            log.warning("later.unknown", reason=submitted.reason)
            return _unknown(provider, key)
        return _accepted(provider, submitted, key)

    def park(self, attempt: Attempt, parked: Parked) -> None:
        """Free the worker. While the database is away and the lease not lost, it is tried again."""
        for tried in range(PARK_TRIES):
            try:
                done = self._database.transact(_park, attempt=attempt, parked=parked)
            except Transient:
                if tried == PARK_TRIES - 1 or attempt.reason == attempts.LOST:
                    raise
                time.sleep(min(WAIT_SECONDS_MAX, 0.1 * 2**tried))
            else:
                faults.point("later.after_park")
                log.info("job.parked" if done else "job.zombie", submitted=parked.submitted, wait_ms=parked.wait_ms)
                return

    def _taken_on(self, provider: LaterProvider, before: list[Earlier], key: str) -> Parked | None:
        """What is known of a request that an earlier attempt may have handed over; None when there is none."""
        maybe = [one for one in before if one.submitted in upstream.OPEN]
        if not maybe:
            return None
        for one in maybe:
            if one.upstream_id is not None:
                return _accepted(provider, Accepted(upstream_id=one.upstream_id), key)
        found = provider.find(key)
        if isinstance(found, Accepted):
            return _accepted(provider, found, key)
        if isinstance(found, Absent) and provider.keyed:
            # Should the earlier request still arrive, the provider refuses one of the two.
            return None
        return _unknown(provider, key)

    def _note(self, attempt: Attempt, submitted: str) -> None:
        claimed = attempt.claimed
        self._database.transact(upstream.note, job_id=claimed.id, fence=claimed.fence, submitted=submitted)


def _called(provider: LaterProvider, request: GenerationRequest) -> Submitted:
    try:
        return provider.submit(request)
    except Exception:
        # Whatever the bug is, the request may have been sent before it.
        log.exception("later.bug")
        return Unknown(reason="bug")


def _park(session: Session, *, attempt: Attempt, parked: Parked) -> bool:
    job_id, fence = attempt.claimed.id, attempt.claimed.fence
    if not parking.park(session, job_id=job_id, fence=fence, wait_ms=parked.wait_ms):
        return False
    upstream.note(
        session,
        job_id=job_id,
        fence=fence,
        submitted=parked.submitted,
        upstream_id=parked.upstream_id,
        # What is taken on from an earlier attempt was handed over under a key that this one has not noted yet.
        key=parked.key,
    )
    return True


def _accepted(provider: LaterProvider, accepted: Accepted, key: str) -> Parked:
    wait_ms = int(provider.pace.first * SECOND_MS)
    return Parked(key=key, submitted=upstream.ACCEPTED, upstream_id=accepted.upstream_id, wait_ms=wait_ms)


def _unknown(provider: LaterProvider, key: str) -> Parked:
    wait_ms = int(provider.pace.least * SECOND_MS)
    return Parked(key=key, submitted=upstream.UNKNOWN, upstream_id=None, wait_ms=wait_ms)
