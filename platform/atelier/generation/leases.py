"""Keeping the leases of everything that this process runs, with one thread and two statements a round."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

from atelier.generation import attempt as attempts
from atelier.generation.attempt import Attempt
from atelier.jobs import service as jobs
from atelier.jobs.service import Held
from atelier.kernel import logs
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient

LOOK_SECONDS = 1.0
log = logs.get(__name__)


class LeaseKeeper:
    """Renews leases every third of their length and tells attempts to stop: canceled, too late, or lost to another.

    While the database can't be reached nothing is renewed and nothing is stopped: either it comes back in time, or
    someone takes the job over and the fence keeps this worker's result out.
    """

    def __init__(self, database: Database, *, lease_ms: int) -> None:
        self._database = database
        self._lease_ms = lease_ms
        self._rounds_per_renewal = max(1, int(lease_ms / 3_000 / LOOK_SECONDS))
        self._guard = threading.Lock()
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keeping(self, attempt: Attempt) -> Generator[None]:
        """Keep the attempt's lease while the block runs."""
        with self._guard:
            self._attempts[attempt.claimed.id, attempt.claimed.fence] = attempt
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._guard:
                del self._attempts[attempt.claimed.id, attempt.claimed.fence]

    def stop_all(self, reason: str) -> None:
        """Tell everything that runs here to stop."""
        with self._guard:
            running = list(self._attempts.values())
        for one in running:
            one.stop(reason)

    def _keep(self) -> None:
        rounds = 0
        while True:
            self._wake.wait(LOOK_SECONDS)
            with self._guard:
                running = list(self._attempts.values())
            if not running:
                continue
            rounds += 1
            try:
                self._look(running, renew=rounds % self._rounds_per_renewal == 0)
            except Transient:
                log.warning("leases.unreachable", running=len(running))
            except Exception:
                # The thread must outlive any single failure, for all attempts depend on it.
                log.exception("leases.failed", running=len(running))

    def _look(self, running: list[Attempt], *, renew: bool) -> None:
        held = [Held(job_id=one.claimed.id, fence=one.claimed.fence) for one in running]
        if renew:
            self._database.transact(jobs.renew, held=held, lease_ms=self._lease_ms)
        pulses = {pulse.job_id: pulse for pulse in self._database.read(jobs.pulses, held=held)}
        for one in running:
            pulse = pulses.get(one.claimed.id)
            if pulse is None or pulse.fence != one.claimed.fence:
                one.stop(attempts.LOST)
            elif pulse.cancel_requested:
                one.stop(attempts.CANCELED)
            elif pulse.expired:
                one.stop(attempts.EXPIRED)
