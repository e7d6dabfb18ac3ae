"""Where pending jobs stand. The front of each queue is read at most once a second, for however many jobs."""

from bisect import bisect_left

from atelier.jobs.queries import POSITION_MAX
from atelier.kernel.database import AsyncDatabase
from web.live import reads
from web.live.fresh import Fresh, Known

FRESH_SECONDS = 1


class Lines:
    """The lines before the queues."""

    def __init__(self, db: AsyncDatabase) -> None:
        self._db = db
        self._fronts: Fresh[list[str]] = Fresh(self._read, seconds=FRESH_SECONDS)

    async def position(self, queue: str, job_id: str) -> int | None:
        """How many pending jobs of the queue are older; None when there are more than are counted."""
        return _ahead(await self._fronts.get(queue), job_id)

    def peek(self, queue: str, job_id: str) -> Known[int | None] | None:
        """The same without waiting, a second older at most; None when that isn't known."""
        front = self._fronts.peek(queue)
        return Known(_ahead(front.value, job_id)) if front else None

    async def _read(self, queue: str) -> list[str]:
        return await self._db.read(reads.front, queue=queue)


def _ahead(front: list[str], job_id: str) -> int | None:
    ahead = bisect_left(front, job_id)
    return ahead if ahead <= POSITION_MAX else None
