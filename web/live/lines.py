"""Where pending jobs stand, and why they wait. Each queue's line is read at most once a second, for however many jobs.

Of a line that is too long to be read as a whole, the part of a user who asks is read for itself.
"""

from typing import NamedTuple

from atelier.jobs import explain
from atelier.jobs.explain import BlockedBy, Line
from atelier.jobs.queries import Snapshot
from atelier.kernel.database import AsyncDatabase
from web.live.fresh import Fresh, Known

FRESH_SECONDS = 1
ALONE_SECONDS = 5
SEPARATOR = " "


class Standing(NamedTuple):
    """How many jobs come before one (None: more than are counted), and why it is not running yet."""

    position: int | None
    blocked_by: BlockedBy


class Lines:
    """The lines before the queues. `window` is how many jobs of a user may run in each."""

    def __init__(self, db: AsyncDatabase, *, window: int) -> None:
        self._db = db
        self._window = window
        self._lines: Fresh[Line] = Fresh(self._read, seconds=FRESH_SECONDS)
        self._alone: Fresh[Line] = Fresh(self._read, seconds=ALONE_SECONDS)

    async def of(self, job: Snapshot) -> Standing:
        """Where this pending job stands."""
        line = await self._lines.get(job.queue)
        if not line.knows(job.id):
            line = await self._alone.get(f"{job.queue}{SEPARATOR}{job.user_id}")
        return _standing(line, job)

    def peek(self, job: Snapshot) -> Known[Standing] | None:
        """The same without waiting, twice as old at most; None when that isn't known."""
        line = self._lines.peek(job.queue)
        if line and not line.value.knows(job.id):
            line = self._alone.peek(f"{job.queue}{SEPARATOR}{job.user_id}")
        return Known(_standing(line.value, job)) if line else None

    async def _read(self, key: str) -> Line:
        queue, _, user_id = key.partition(SEPARATOR)
        return await self._db.read(explain.line, queue=queue, window=self._window, user_id=user_id or None)


def _standing(line: Line, job: Snapshot) -> Standing:
    blocked_by = line.blocked_by(user_id=job.user_id, provider=job.provider, run_after_ms=job.run_after_ms)
    return Standing(line.position(job.id, user_id=job.user_id), blocked_by)
