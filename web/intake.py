"""Group commit for submissions: those that arrive while a transaction is written are written together by the next.

A submission that comes alone starts at once. Two groups are written at a time, so that one commit's wait for the disk
is another's time to be built.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from atelier.contracts.idempotency import IdempotencyInProgress
from atelier.generation.batch import Bundle, Bundled, submit_batch
from atelier.generation.submit import Accepted, Limits, Outcome, Submission, submit
from atelier.kernel import faults, logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import AsyncDatabase, DatabaseUnavailable
from atelier.kernel.errors import Transient

GROUPS_AT_ONCE = 2
GROUP_MAX = 32
"""More in one would leave too few for the other: groups of forty-eight were a sixth slower under the same load."""
WAITING_MAX = 2_000
TOGETHER_MAX = 50
CROWDED_SECONDS = 0.5
log = logs.get(__name__)

Waiting = tuple[Submission, "asyncio.Future[Outcome]"]
Together = tuple[Bundle, "asyncio.Future[Bundled]"]


class Intake:
    """The line of submissions of one web process. `announce` is told of what was committed, and must not block."""

    def __init__(
        self, db: AsyncDatabase, *, limits: Limits, announce: Callable[[Sequence[tuple[Submission, Accepted]]], None]
    ) -> None:
        self._db = db
        self._limits = limits
        self._announce = announce
        self._waiting: deque[Waiting] = deque()
        self._together: deque[Together] = deque()
        self._is_theirs = False
        self._writers: set[asyncio.Task[None]] = set()
        self._crowded: dict[str, float] = {}

    async def submit(self, submission: Submission) -> Accepted:
        """Write the submission, in company if there is any. Raises its refusal, or DatabaseUnavailable.

        The job is written even if the caller is gone meanwhile: whether it was is told by its Idempotency-Key.
        """
        if len(self._waiting) >= WAITING_MAX:
            message = "too many submissions are waiting"
            raise DatabaseUnavailable(message)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, future))
        self._start()
        outcome = await future
        if isinstance(outcome, Accepted):
            return outcome
        raise outcome

    async def submit_together(self, bundle: Bundle) -> Bundled:
        """Write these in a transaction of their own, in turns with the groups of others. Raises as `submit`."""
        if len(self._together) >= TOGETHER_MAX:
            message = "too many batches are waiting"
            raise DatabaseUnavailable(message)
        future: asyncio.Future[Bundled] = asyncio.get_running_loop().create_future()
        self._together.append((bundle, future))
        self._start()
        return await future

    async def close(self) -> None:
        """Wait until everything that was taken in is written."""
        while self._writers:
            await asyncio.wait(self._writers)

    def _start(self) -> None:
        if len(self._writers) >= GROUPS_AT_ONCE or not (self._waiting or self._together):
            return
        self._is_theirs = bool(self._together) and not (self._is_theirs and self._waiting)
        if self._is_theirs:
            writer = asyncio.create_task(self._write_together(*self._together.popleft()))
        else:
            group = [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]
            writer = asyncio.create_task(self._write(group))
        self._writers.add(writer)
        writer.add_done_callback(self._written)

    def _written(self, writer: "asyncio.Task[None]") -> None:
        self._writers.discard(writer)
        self._start()

    async def _write(self, group: list[Waiting]) -> None:
        try:
            submissions = [submission for submission, _ in group]
            outcomes = await self._db.transact(submit, submissions, limits=self._limits, crowded=self._crowded_now())
        except Transient as error:
            _fail(group, error)
        except Exception as error:
            if not isinstance(error, IdempotencyInProgress):  # Another process is at work on one of these keys.
                log.exception("intake.group_failed", jobs=len(group))
            if len(group) == 1:
                _fail(group, error)
                return
            for one in group:
                # One submission that breaks the group must not take its neighbours with it.
                await self._write([one])
        else:
            faults.point("web.after_commit")
            self._answer(group, outcomes)

    async def _write_together(self, bundle: Bundle, future: "asyncio.Future[Bundled]") -> None:
        try:
            bundled = await self._db.transact(
                submit_batch, bundle, limits=self._limits, crowded=self._crowded_now(), now_ms=now_ms()
            )
        except Exception as error:  # noqa: BLE001 - handed to the one whose batch it is
            if not future.done():
                future.set_exception(error)
            return
        faults.point("web.after_commit")
        if not future.done():
            future.set_result(bundled)
        self._tell([] if bundled.replayed else bundled.fresh)

    def _answer(self, group: list[Waiting], outcomes: Sequence[Outcome]) -> None:
        fresh: list[tuple[Submission, Accepted]] = []
        for (submission, future), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Accepted) and not outcome.replayed:
                fresh.append((submission, outcome))
                if outcome.answer["queuePosition"] is None:
                    self._crowded.setdefault(submission.lane.queue, time.monotonic() + CROWDED_SECONDS)
            if not future.done():
                future.set_result(outcome)
        self._tell(fresh)

    def _tell(self, fresh: Sequence[tuple[Submission, Accepted]]) -> None:
        try:
            self._announce(fresh)
        except Exception:
            # The jobs are written: news that can't be told must not turn into an error for their users.
            log.exception("intake.not_announced", jobs=len(fresh))

    def _crowded_now(self) -> frozenset[str]:
        # A queue with more waiting jobs than are counted still has so many a moment later: don't count them again.
        now = time.monotonic()
        for queue in [queue for queue, until in self._crowded.items() if until <= now]:
            del self._crowded[queue]
        return frozenset(self._crowded)


def _fail(group: list[Waiting], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
