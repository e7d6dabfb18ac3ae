"""Jobs read in company: those that are asked for while a read is under way are read together by the next.

A read always begins after it was asked for, so it sees everything that was committed before.
"""

import asyncio
from collections.abc import Collection, Iterable

from atelier.generation import composed
from atelier.generation.composed import Standing
from atelier.jobs import queries
from atelier.jobs.queries import Snapshot
from atelier.kernel.database import AsyncDatabase
from web.live import reads

GROUP_MAX = 64
SEQS_MAX = 500


class GroupReader:
    """Turns many `read` into few queries, one at a time."""

    def __init__(self, db: AsyncDatabase) -> None:
        self._db = db
        self._wanted: dict[str, asyncio.Future[Snapshot | None]] = {}
        self._reader: asyncio.Task[None] | None = None
        self.reads = 0

    async def read(self, job_ids: Iterable[str]) -> dict[str, Snapshot]:
        """The jobs with these ids, as of now or later. Raises Transient."""
        loop = asyncio.get_running_loop()
        futures = {job_id: self._wanted.setdefault(job_id, loop.create_future()) for job_id in job_ids}
        if self._reader is None and futures:
            self._reader = asyncio.create_task(self._run())
        found: dict[str, Snapshot] = {}
        for job_id, future in futures.items():
            # Others may wait for the same job: a caller that goes away must not end it for them.
            job = await asyncio.shield(future)
            if job is not None:
                found[job_id] = job
        return found

    async def seqs(self, job_ids: Iterable[str]) -> dict[str, int]:
        """How far these jobs are now. Raises Transient."""
        ids = list(job_ids)
        found: dict[str, int] = {}
        for start in range(0, len(ids), SEQS_MAX):
            found |= await self._db.read(reads.seqs, job_ids=ids[start : start + SEQS_MAX])
        return found

    async def standings(self, job_ids: Collection[str]) -> dict[str, Standing]:
        """How far those of these jobs are that are put together from others and run. Raises Transient."""
        return await self._db.read(composed.standings, job_ids=sorted(job_ids)) if job_ids else {}

    async def close(self) -> None:
        """Wait for the reads that are under way."""
        while self._reader is not None:
            await asyncio.wait([self._reader])

    async def _run(self) -> None:
        try:
            while self._wanted:
                group = {job_id: self._wanted.pop(job_id) for job_id in list(self._wanted)[:GROUP_MAX]}
                await self._read(group)
        finally:
            self._reader = None

    async def _read(self, group: "dict[str, asyncio.Future[Snapshot | None]]") -> None:
        self.reads += 1
        try:
            found = await self._db.read(queries.snapshots, job_ids=list(group))
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            for future in group.values():
                future.set_exception(error)
                future.exception()  # Marks it as seen: its callers may all be gone.
        else:
            for job_id, future in group.items():
                future.set_result(found.get(job_id))
