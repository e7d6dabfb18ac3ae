"""Jobs as they are polled: ready-made bytes with an ETag, kept in the process and read from the database in groups.

What is kept of an unfinished job is believed for five seconds while live events arrive, because an event that changes
a state evicts it at once, and for one second while they don't. What was asked for lately is looked after in the
background, so that who asks again doesn't wait: hundreds of numbers are compared in one query. A read that began before
an event is never kept.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from atelier.contracts.queues import WORKFLOW
from atelier.jobs import states
from atelier.jobs.errors import JobNotFound
from atelier.jobs.queries import Snapshot
from atelier.kernel.errors import Transient
from atelier.live.events import OUTPUT, PROGRESS
from atelier.live.wire import Notice
from web.live import views
from web.live.estimates import Estimates
from web.live.group import GroupReader
from web.live.lines import Lines
from web.live.streams import Streams
from web.live.views import Progress, Surroundings
from web.messages import Locale

ENTRIES_MAX = 20_000
FRESH_SECONDS = 5.0
FRESH_SECONDS_ALONE = 1.0
LOOK_PART = 0.2
"""What is asked for is looked at again when half of its time is over; this part of the time is between two looks."""
ASKED_LOOKS = 30
"""After so many looks without being asked for, a job is looked after no longer."""
PENDING_SECONDS = 2.0
RUNNING_SECONDS = 10.0
"""How long ready-made bytes are good: positions and estimates move without an event of the job's own."""


class Rendered:
    """A job in one language."""

    __slots__ = ("body", "composed", "etag", "finished", "good_until", "seq", "surroundings")

    def __init__(self, body: bytes, *, seq: int, job: Snapshot, surroundings: Surroundings) -> None:
        self.body = body
        self.composed = job.provider == WORKFLOW
        self.seq = seq
        self.finished = job.finished
        self.surroundings = surroundings
        self.good_until = 0.0
        self.etag = f'"{seq:x}-{blake2b(body, digest_size=8).hexdigest()}"'


class Entry:
    """A job as it was at `read_at`, which is never for one that has ended, and what was made of it since."""

    __slots__ = ("asked", "job", "progress", "read_at", "rendered", "user_id")

    def __init__(self, job: Snapshot, read_at: float) -> None:
        self.job = job
        self.user_id = job.user_id
        self.read_at = math.inf if job.finished else read_at
        self.asked = 0
        self.progress: Progress | None = None
        self.rendered: dict[Locale, Rendered] = {}

    @property
    def composed(self) -> bool:
        """Whether the job is put together from others."""
        return self.job.provider == WORKFLOW


class Snapshots:
    """See above. `healthy` says whether live events arrive."""

    def __init__(
        self, reader: GroupReader, *, lines: Lines, estimates: Estimates, streams: Streams, healthy: Callable[[], bool]
    ) -> None:
        self._reader = reader
        self._lines = lines
        self._estimates = estimates
        self._streams = streams
        self._healthy = healthy
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._reading: list[dict[str, int]] = []
        self._looks = 0
        self._sure_from = -math.inf
        self._look_now = asyncio.Event()

    # -- polling

    def known(self, job_id: str, *, user_id: str, locale: Locale) -> Rendered | None:
        """The user's job, if it can be shown without waiting for anything."""
        entry = self._entries.get(job_id)
        if entry is None or entry.user_id != user_id:
            return None
        now = time.monotonic()
        if self._is_old(entry, now):
            return None
        entry.asked = self._looks
        rendered = entry.rendered.get(locale)
        if rendered is not None and now < rendered.good_until:
            return rendered
        surroundings = self._surroundings_known(entry)
        return self._render(entry, locale, surroundings) if surroundings else None

    async def shown(self, job_id: str, *, user_id: str, locale: Locale) -> Rendered:
        """The user's job. Raises JobNotFound, also when it is someone else's, or Transient."""
        known = self.known(job_id, user_id=user_id, locale=locale)
        if known is not None:
            return known
        entry = self._entries.get(job_id)
        if entry is None or self._is_old(entry, time.monotonic()):
            # What is not kept, because something happened while it was read, still answers this request.
            entry = (await self.read([job_id])).get(job_id)
        if entry is None or entry.user_id != user_id:
            raise JobNotFound(job_id)
        entry.asked = self._looks
        return self._render(entry, locale, await self._surroundings(entry))

    async def document(self, entry: Entry, *, locale: Locale) -> dict[str, Any]:
        """The job as it is shown."""
        return views.document(entry.job, await self._surroundings(entry), locale=locale)

    async def read(self, job_ids: Iterable[str], *, keep: bool = True) -> dict[str, Entry]:
        """The jobs with these ids as the database has them now, whoever owns them; kept for polls. Raises Transient."""
        changed = dict.fromkeys(job_ids, 0)
        began = time.monotonic()
        self._reading.append(changed)
        try:
            jobs = await self._reader.read(changed)
            entries = await self.entries(jobs.values(), read_at=began)
        finally:
            self._reading = [one for one in self._reading if one is not changed]
        for entry in entries if keep else ():
            if changed[entry.job.id] <= entry.job.seq:
                self._keep(entry)
        return {entry.job.id: entry for entry in entries}

    async def entries(self, jobs: Iterable[Snapshot], *, read_at: float = 0.0) -> list[Entry]:
        """Jobs that were just read, with the newest progress of those that run. Raises Transient."""
        entries = [Entry(job, read_at) for job in jobs]
        running = [entry for entry in entries if entry.job.state == states.RUNNING]
        owners = {entry.job.id: entry.job.user_id for entry in running}
        newest = await self._streams.progress(list(owners), owners=owners)
        # What Redis has lost of these is in their steps.
        standings = await self._reader.standings([entry.job.id for entry in running if entry.composed])
        for entry in running:
            if standing := standings.get(entry.job.id):
                _advance(entry, Progress(standing.seq, standing.told["progress"], standing.told["step"]))
            kept = self._entries.get(entry.job.id)
            if kept is not None and kept.progress:
                _advance(entry, kept.progress)
            if notice := newest.get(entry.job.id):
                _advance(entry, views.progress(notice))
        return entries

    # -- being told

    def notice(self, notice: Notice) -> None:
        """Take an event into account; one that is older than what is known changes nothing."""
        job_id = notice.job_id
        if job_id is None or notice.type == OUTPUT:
            return
        entry = self._entries.get(job_id)
        if notice.type == PROGRESS and entry is not None and entry.job.state == states.RUNNING:
            _advance(entry, views.progress(notice))
            return
        if entry is not None and notice.seq > entry.job.seq:
            del self._entries[job_id]
        if notice.type != PROGRESS:
            for changed in self._reading:
                if job_id in changed:
                    changed[job_id] = max(changed[job_id], notice.seq)

    def doubt(self) -> None:
        """Events may have been missed: believe what is kept for a second only, until it was looked at again."""
        self._sure_from = time.monotonic()
        self._look_now.set()

    # -- looking after what is asked for

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._fresh_seconds * LOOK_PART):
                    await self._look_now.wait()
            self._look_now.clear()
            # While the database can't be read, entries grow too old by themselves.
            with suppress(Transient):
                await self.look(older_seconds=self._fresh_seconds / 2)

    async def look(self, *, older_seconds: float) -> None:
        """Compare with the database what was asked for lately and is so old. Raises Transient."""
        self._looks += 1
        began = time.monotonic()
        old, lately = max(began - older_seconds, self._sure_from), self._looks - ASKED_LOOKS
        due = {job_id: entry for job_id, entry in self._entries.items() if entry.read_at < old and entry.asked > lately}
        if not due:
            return
        seqs = await self._reader.seqs(due)
        for job_id, entry in due.items():
            if self._entries.get(job_id) is not entry:
                continue
            # The end of a step moves its parent on without a new number in the parent's row.
            if seqs.get(job_id) == entry.job.seq and not entry.composed:
                entry.read_at = began
            else:
                del self._entries[job_id]

    # -- inside

    @property
    def _fresh_seconds(self) -> float:
        return FRESH_SECONDS if self._healthy() else FRESH_SECONDS_ALONE

    def _is_old(self, entry: Entry, now: float) -> bool:
        age = now - entry.read_at
        return age >= FRESH_SECONDS_ALONE and (age >= self._fresh_seconds or entry.read_at < self._sure_from)

    def _keep(self, entry: Entry) -> None:
        kept = self._entries.get(entry.job.id)
        if kept is not None and kept.job.seq >= entry.job.seq:
            if kept.job.seq == entry.job.seq:
                kept.read_at = max(kept.read_at, entry.read_at)
                _advance(kept, entry.progress)
            return
        self._entries[entry.job.id] = entry
        self._entries.move_to_end(entry.job.id)
        while len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)

    def _render(self, entry: Entry, locale: Locale, surroundings: Surroundings) -> Rendered:
        rendered = entry.rendered.get(locale)
        if rendered is None or rendered.surroundings != surroundings:
            shown = views.document(entry.job, surroundings, locale=locale)
            rendered = entry.rendered[locale] = Rendered(
                to_json(shown), seq=shown["seq"], job=entry.job, surroundings=surroundings
            )
        rendered.good_until = time.monotonic() + _good_seconds(entry.job)
        return rendered

    def _surroundings_known(self, entry: Entry) -> Surroundings | None:
        job = entry.job
        standing = self._lines.peek(job) if job.state == states.PENDING else views.NOWHERE
        estimate = views.NO_ESTIMATE if job.finished else self._estimates.peek(job.agent_id)
        if standing is None or estimate is None:
            return None
        return Surroundings(entry.progress, standing.value, estimate.value)

    async def _surroundings(self, entry: Entry) -> Surroundings:
        job = entry.job
        standing = await self._lines.of(job) if job.state == states.PENDING else None
        estimate = None if job.finished else await self._estimates.of(job.agent_id)
        return Surroundings(entry.progress, standing, estimate)


def _advance(entry: Entry, progress: Progress | None) -> None:
    """Show this progress, unless a newer one is shown or the job has gone on since."""
    if progress and progress.seq > max(entry.job.seq, entry.progress.seq if entry.progress else 0):
        if progress.fraction is None and entry.progress is not None:
            progress = progress._replace(fraction=entry.progress.fraction)
        entry.progress = progress
        entry.rendered.clear()


def _good_seconds(job: Snapshot) -> float:
    if job.finished:
        return math.inf
    return PENDING_SECONDS if job.state == states.PENDING else RUNNING_SECONDS
