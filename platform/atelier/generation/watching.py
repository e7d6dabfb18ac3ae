"""Watching one provider: which jobs are due, what it says of them, and what that leads to."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from atelier.generation.events import job_event
from atelier.generation.finishing import Finisher
from atelier.generation.pacing import Rhythm
from atelier.jobs import parking, states, upstream
from atelier.jobs.parking import Due
from atelier.kernel import faults, logs
from atelier.kernel.clock import SECOND_MS, now_ms
from atelier.kernel.errors import AtelierError, Transient
from atelier.providers.errors import Throttled
from atelier.providers.later import Status, TaskLost

ENDING_MAX = 2_000
KNOWN_MAX = 50_000
IDLE_SECONDS = 0.25
LOOKS_IN_LEAST = 4
"""Jobs that are due within a part of the shortest wait are looked at together: a call costs more than they wait."""
AWAY_SECONDS_MAX = 60.0
log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """A task was seen to have ended, so long after it had, when it was being looked at every `interval_ms`."""

    job_id: str
    lag_ms: int
    interval_ms: int


@dataclass(slots=True)
class _Known:
    """What this process remembers of a job, so as not to say the same twice."""

    wait_ms: int
    shown: tuple[str, float | None] = ("", None)


class Watch:
    """One provider, for one process. Only the thread that runs it looks; a few others end jobs."""

    def __init__(
        self,
        finisher: Finisher,
        *,
        threads: Executor,
        stopped: threading.Event,
        lease_ms: int,
        noticed: Callable[[Noticed], object],
    ) -> None:
        self._finisher = finisher
        self._provider = finisher.provider
        self._database = finisher.database
        self._threads = threads
        self._stopped = stopped
        self._lease_ms = lease_ms
        self._noticed = noticed
        self._rhythm = Rhythm(self._provider.pace)
        self._known: dict[str, _Known] = {}
        self._ending: set[str] = set()
        self._lasting: set[str] = set()
        self._extend_at = 0.0
        self._failures = 0
        self._away_until = 0.0

    def run(self, until: float) -> None:
        """Look until nothing is parked, or until then by the monotonic clock."""
        while not self._stopped.is_set() and time.monotonic() < until:
            try:
                wait = 0.0 if self.look() >= self._provider.list_max else self._until_next()
                self._extend()
            except Transient:
                log.warning("poller.unreachable", provider=self._provider.name)
                wait = IDLE_SECONDS
            if wait is None:
                return
            if wait:
                self._stopped.wait(wait)

    def look(self) -> int:
        """Deal with what is due, as many jobs as one call may name; how many those were. Raises Transient."""
        away = time.monotonic() < self._away_until
        found = self._database.transact(
            parking.due, provider=self._provider.name, limit=self._provider.list_max, wait=self._wait_ms,
            ending_only=away,
        )  # fmt: skip
        faults.point("poller.after_claim")
        free = [one for one in found if one.id not in self._ending]
        asked: list[Due] = []
        for one in free:
            if one.cancel_requested or one.expired:
                self._hand_over(one, self._finisher.stop)
            elif one.upstream_id is None:
                self._hand_over(one, self._finisher.resolve)
            else:
                asked.append(one)
        if asked and (told := self._ask(asked)) is not None:
            faults.point("poller.after_poll")
            self._take(asked, told)
        self._remember(free)
        return len(found)

    def _ask(self, asked: Sequence[Due]) -> Mapping[str, Status] | None:
        try:
            told = self._provider.poll([one.upstream_id or "" for one in asked])
        except Exception as error:  # noqa: BLE001 - logged
            # Whatever it is, it is the provider's: its jobs stay parked, and those of others are not held up.
            pause = min(AWAY_SECONDS_MAX, self._provider.pace.least / 2 * 2**self._failures)
            self._failures += 1
            if isinstance(error, Throttled) and error.retry_after is not None:
                pause = max(pause, min(error.retry_after, AWAY_SECONDS_MAX))
            self._away_until = time.monotonic() + pause
            code = error.code if isinstance(error, AtelierError) else type(error).__name__
            log.warning("provider.away", provider=self._provider.name, error_code=code, pause_seconds=pause)
            # They were not looked at: their turn is when the provider's is.
            self._postpone([one.id for one in asked], wait_ms=int(pause * SECOND_MS))
            return None
        self._failures, self._away_until = 0, 0.0
        return told

    def _take(self, asked: Sequence[Due], told: Mapping[str, Status]) -> None:
        known = [(one, status) for one in asked if (status := told.get(one.upstream_id or ""))]
        ended = [(one, status) for one, status in known if status.state in {"succeeded", "failed"}]
        if ended:
            # Ending takes longer than a look; should this process die over it, another looks after a lease.
            self._postpone([one.id for one, _ in ended], wait_ms=self._lease_ms)
        for one, status in ended:
            self._tell_noticed(one, status)
            self._hand_over(
                one, self._finisher.complete if status.state == "succeeded" else self._finisher.fail, status
            )
        for one, status in known:
            if status.state == "missing":
                self._hand_over(one, self._finisher.missing, TaskLost())
        alive = [(one, status) for one, status in known if status.state in {"queued", "running"}]
        again = [(one.id, one.fence) for one, _ in alive if one.misses]
        if again:
            self._database.transact(upstream.seen, held=again)
        news = [(one, status) for one, status in alive if self._is_news(one, status)]
        if news:
            self._threads.submit(self._show, news)

    def _hand_over(self, one: Due, end: Callable[..., None], *more: object) -> None:
        if len(self._ending) >= ENDING_MAX:
            return  # It comes again with its next look.
        self._ending.add(one.id)
        if end not in (self._finisher.resolve, self._finisher.missing):
            # These two have the job looked at again as soon as they know more, which must not be put off.
            self._lasting.add(one.id)
        self._threads.submit(self._end, one, end, *more)

    def _end(self, one: Due, end: Callable[..., None], *more: object) -> None:
        try:
            end(one, *more)
        except Transient as error:
            log.warning("later.not_ended", job_id=one.id, error_code=error.code)
        except Exception:
            log.exception("later.bug", job_id=one.id)
        finally:
            self._ending.discard(one.id)
            self._lasting.discard(one.id)

    def _postpone(self, job_ids: Sequence[str], *, wait_ms: int) -> None:
        self._database.transact(parking.postpone, job_ids=job_ids, wait_ms=wait_ms)

    def _extend(self) -> None:
        """Have nobody look at what is being ended here."""
        if self._lasting and time.monotonic() >= self._extend_at:
            self._extend_at = time.monotonic() + self._lease_ms / SECOND_MS / 3
            self._postpone(list(self._lasting), wait_ms=self._lease_ms)

    def _until_next(self) -> float | None:
        """How long to wait; None when nothing is parked. What is due is left alone while the provider is away."""
        next_ms = self._database.read(parking.next_in_ms, provider=self._provider.name)
        if next_ms is None:
            return IDLE_SECONDS if self._ending else None
        if time.monotonic() < self._away_until:
            return IDLE_SECONDS
        pause = min(IDLE_SECONDS, self._provider.pace.least / LOOKS_IN_LEAST)
        return max(pause, min(IDLE_SECONDS, next_ms / SECOND_MS))

    def _wait_ms(self, one: Due) -> int:
        if one.upstream_id is None:
            pace = self._provider.pace
            return int(SECOND_MS * min(pace.most, max(pace.least, one.age_ms / SECOND_MS / 4)))
        return self._rhythm.wait_ms(_kind(one), one.age_ms)

    def _remember(self, found: Sequence[Due]) -> None:
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        for one in found:
            if one.id not in self._ending:
                self._known.setdefault(one.id, _Known(0)).wait_ms = parking.rounded(self._wait_ms(one))

    def _tell_noticed(self, one: Due, status: Status) -> None:
        known = self._known.pop(one.id, None)
        most_ms = int(self._provider.pace.most * SECOND_MS)
        interval_ms = min(most_ms, known.wait_ms if known else most_ms)
        lag_ms = max(0, now_ms() - status.ended_ms) if status.ended_ms is not None else interval_ms // 2
        if status.state == "succeeded":
            self._rhythm.learn(_kind(one), max(1, one.age_ms - lag_ms))
        self._noticed(Noticed(job_id=one.id, lag_ms=lag_ms, interval_ms=interval_ms))
        log.info("job.noticed", job_id=one.id, lag_ms=lag_ms, interval_ms=interval_ms)

    def _is_news(self, one: Due, status: Status) -> bool:
        known = self._known.setdefault(one.id, _Known(0))
        before, known.shown = known.shown, (status.state, status.fraction)
        return before != known.shown

    def _show(self, news: Sequence[tuple[Due, Status]]) -> None:
        for one, status in news:
            seq = states.look_seq(one.fence, since_ms=one.since_ms) + 1
            data = {"step": status.state} | ({} if status.fraction is None else {"progress": round(status.fraction, 3)})
            self._finisher.send(one.user_id, [job_event("progress", one.id, seq, data)])


def _kind(one: Due) -> str:
    return f"{one.agent_id}:{one.agent_version}"
