"""One round of sweeping, queue by queue: see `sweep` for what is done to each job."""

from collections import Counter
from collections.abc import Callable, Mapping

from atelier.contracts import queues
from atelier.generation import sweep
from atelier.generation.events import credits_changed, job_event
from atelier.generation.sweep import Swept
from atelier.jobs import queries, states
from atelier.jobs import service as jobs
from atelier.jobs.queries import Overdue
from atelier.kernel import faults, logs
from atelier.kernel.clock import MINUTE_MS, SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.live import counters
from atelier.live.counters import Count
from atelier.live.publisher import Publisher

ROUND_MAX = 500
PAGES_MAX = 20
POSTPONE_MS = 5 * MINUTE_MS
log = logs.get(__name__)


class Sweeper:
    """Sweeps for one process."""

    def __init__(self, *, settings: Settings, database: Database, publisher: Publisher) -> None:
        self._settings = settings
        self._database = database
        self._publisher = publisher
        self._republish_ms = settings.republish_seconds * SECOND_MS

    def sweep(self, depths: Mapping[str, int] | None) -> dict[str, int]:
        """Look at everything that is overdue. `depths` are the broker's queue lengths, None when it can't be asked.

        A backlog is not fed: nothing is published again into a queue that holds twice what its workers can run. What
        can't be swept is logged and left for the next round; it keeps nobody else waiting. Raises Transient.
        """
        done = Counter[str]()
        for queue in queues.GENERATION.values():
            for one in self._overdue(queue, states.RUNNING):
                done["taken_over"] += self._alone(self._take_over, one)
            has_room = depths is not None and depths.get(queue, 0) <= 2 * self._slots(queue)
            for _ in range(PAGES_MAX):
                waiting = self._overdue(queue, states.PENDING)
                self._sweep_waiting(waiting, done, publish=has_room)
                if has_room or len(waiting) < ROUND_MAX:
                    break
        if done.total():
            log.info("jobs.swept", **done)
        return done

    def _sweep_waiting(self, waiting: list[Overdue], done: Counter[str], *, publish: bool) -> None:
        for one in waiting:
            if one.past_deadline:
                done["expired"] += self._alone(self._expire, one)
            elif publish:
                done["republished"] += self._alone(self._republish, one)
        put_off = [one.id for one in waiting if not one.past_deadline]
        if put_off and not publish and len(waiting) == ROUND_MAX:
            # What is in front and can't be published must not hide those behind it whose deadline has passed. Where
            # nothing is hidden nobody is put off: once there is room, or a broker again, it is published at once.
            self._database.transact(jobs.postpone, job_ids=put_off, wait_ms=POSTPONE_MS)

    def _overdue(self, queue: str, state: str) -> list[Overdue]:
        return self._database.read(queries.overdue, queue=queue, state=state, limit=ROUND_MAX)

    def _slots(self, queue: str) -> int:
        return self._settings.slots_text if queue in queues.WORKERS["generation"] else self._settings.slots_media

    def _alone(self, deal: Callable[[Overdue], int], one: Overdue) -> int:
        try:
            return deal(one)
        except Transient:
            raise
        except Exception:
            log.exception("job.not_swept", job_id=one.id)
            return 0

    def _take_over(self, one: Overdue) -> int:
        swept = self._database.transact(
            sweep.take_over, one, transfer_id=new_id(), now_ms=now_ms(), republish_ms=self._republish_ms
        )
        return self._announce(one, swept)

    def _expire(self, one: Overdue) -> int:
        return self._announce(one, self._database.transact(sweep.expire, one, transfer_id=new_id(), now_ms=now_ms()))

    def _republish(self, one: Overdue) -> int:
        faults.point("sweeper.before_republish")
        return self._database.transact(sweep.republish, [one], now_ms=now_ms(), base_ms=self._republish_ms)

    def _announce(self, one: Overdue, swept: Swept | None) -> int:
        faults.point("sweeper.after_change")
        if swept is None:
            return 0
        events = [job_event(swept.state, one.id, swept.seq, {"errorCode": swept.error_code})]
        if swept.settled and swept.settled.account:
            events.append(credits_changed(swept.settled.account))
        final = swept.state in states.FINISHED
        counts = [Count(counter=counters.ENDED, labels=(one.kind, swept.state), value=1)] if final else []
        self._publisher.publish(one.user_id, events, final=final, also=counters.add(counts))
        return 1
