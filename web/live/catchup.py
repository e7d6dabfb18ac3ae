"""Reading what a feed has missed, before it began or while Redis was away.

1. Hold what comes live for the job.
2. Read the job from the database, then its stream from Redis. In this order a final state is never without the events
   that led to it, because a worker records those first.
3. Let through what is newer than the feed has seen: the stream's events, the whole job where its state is not among
   them or where text before them is lost, and what was held; all in the order of their numbers.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from itertools import islice

from atelier.jobs import states
from atelier.jobs.errors import JobNotFound
from atelier.jobs.queries import Snapshot
from atelier.kernel import clock, logs
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.errors import Transient
from atelier.ledger.queries import Balance
from atelier.live import wire
from atelier.live.events import CREDITS_CHANGED, Event
from atelier.live.wire import Notice
from web.live import losses, reads, told, views
from web.live.feed import NOTHING, Feed, Track
from web.live.feeds import Feeds
from web.live.group import GroupReader
from web.live.streams import Streams
from web.messages import Locale
from web.snapshots import Entry, Snapshots

log = logs.get(__name__)

GROUP_MAX = 64
CHECK_SECONDS = 5.0
CHECK_SECONDS_ALONE = 1.0
RECENT_MS = 10 * clock.SECOND_MS


class CatchUp:
    """See above."""

    def __init__(
        self,
        db: AsyncDatabase,
        *,
        feeds: Feeds,
        reader: GroupReader,
        snapshots: Snapshots,
        streams: Streams,
        healthy: Callable[[], bool],
    ) -> None:
        self._db = db
        self._reader = reader
        self._feeds = feeds
        self._snapshots = snapshots
        self._streams = streams
        self._healthy = healthy
        self._missed = asyncio.Event()
        self._held: list[tuple[Feed, str, Track]] = []

    # -- beginning to follow

    async def follow(
        self, feed: Feed, job_id: str, *, after: int | None, hello: Callable[[Snapshot], bytes] | None = None
    ) -> Snapshot:
        """Follow one job after this number, or from its present state on; `hello` goes out first.

        Raises JobNotFound, also when it is someone else's, or Transient.
        """
        track = feed.hold(job_id)
        self._feeds.watch(feed, job_id)
        recalled: list[Notice] = []
        try:
            entry = await self._own(feed, job_id)
            job = entry.job
            known = after is not None and _is_plausible(after, job)
            track.seen, track.over = after if known and after is not None else NOTHING, False
            since = track.seen if known else job.seq
            found = await self._streams.after({job_id: since}, owners={job_id: job.user_id})
            recalled = await self._recalled(entry, found.get(job_id, []), feed.locale, after=since)
            if hello:
                feed.say(hello(job))
        except BaseException:
            self._feeds.unwatch(feed, job_id)
            feed.leave(job_id)
            raise
        feed.release(job_id, track, recalled)
        return job

    async def follow_everything(self, feed: Feed, *, finished: bool, hello: bytes) -> None:
        """Follow all jobs, the credits and the notifications of the feed's user.

        `finished` asks for the newest finished jobs as well. Raises Transient.
        """
        feed.pause()
        self._feeds.watch_everything(feed)
        first: list[Notice] = []
        try:
            feed.told = await self._db.read(told.newest, user_id=feed.user_id)
            ids = await self._db.read(reads.current, user_id=feed.user_id)
            jobs = await self._snapshots.read(ids, keep=False)
            wanted = [jobs[job_id] for job_id in ids if job_id in jobs and (finished or not jobs[job_id].job.finished)]
            first = [await self._whole(entry, feed.locale, seq=entry.job.seq) for entry in wanted]
            balances = await self._db.read(reads.balances, user_ids=[feed.user_id])
            first += [_credits(user_id, balance) for user_id, balance in balances.items()]
            feed.say(hello)
        except BaseException:
            self._feeds.unwatch_everything(feed)
            raise
        finally:
            feed.resume(first)

    async def _own(self, feed: Feed, job_id: str) -> Entry:
        entry = (await self._snapshots.read([job_id], keep=False)).get(job_id)
        if entry is None or entry.job.user_id != feed.user_id:
            raise JobNotFound(job_id)
        return entry

    # -- going on

    def doubt(self) -> None:
        """Events have been missed, it may be: hold what comes until they are fetched, because it would hide them."""
        self.believe()
        followed = self._feeds.alive()
        self._held = [(feed, job_id, feed.hold(job_id)) for job_id, feeds in followed.items() for feed in feeds]

    def believe(self) -> None:
        """Let through what is held."""
        held, self._held = self._held, []
        for feed, job_id, track in held:
            feed.release(job_id, track)

    def missed(self) -> None:
        """Events may have been missed: let everyone catch up now."""
        self._missed.set()

    async def run(self) -> None:
        """Look after everyone until cancelled."""
        checked_at, failing = time.monotonic(), False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS_ALONE):
                    await self._missed.wait()
            missed = self._missed.is_set()
            if not missed and self._healthy() and time.monotonic() - checked_at < CHECK_SECONDS:
                continue
            self._missed.clear()
            checked_at = time.monotonic()
            try:
                await self._fetch() if missed else await self.check(missed=False)
                failing = False
            except Transient as error:
                if not failing:
                    log.warning("live.check_failed", code=error.code)
                failing = True
                if missed:
                    self._missed.set()
                    await asyncio.sleep(CHECK_SECONDS_ALONE)

    async def _fetch(self) -> None:
        """Bring everyone what was missed, and let through what was held for that."""
        held = self._held
        try:
            await self.check(missed=True)
        finally:
            if self._held is held:  # Otherwise it was lost once more meanwhile, and the next time is another's.
                self.believe()

    async def check(self, *, missed: bool) -> None:
        """Bring everyone up to the database; with `missed` also what only streams have. Raises Transient."""
        followed = self._feeds.alive()
        seqs = await self._reader.seqs(followed)
        news = [job_id for job_id, feeds in followed.items() if missed or _are_behind(feeds, job_id, seqs.get(job_id))]
        for group in _groups(news):
            await self._tell(await self._snapshots.read(group, keep=False), followed)
        everyone = self._feeds.everyone()
        for users in _groups(everyone):
            await self._check_users(users)

    async def _check_users(self, users: Collection[str]) -> None:
        since_id = _first_id(clock.now_ms() - RECENT_MS)
        marks = await self._db.read(reads.marks, user_ids=list(users), since_id=since_id)
        behind: dict[str, list[Feed]] = {}
        for mark in marks:
            for feed in self._feeds.everyone().get(mark.user_id, ()):
                track = feed.tracks.get(mark.job_id)
                if track is None or track.seen < mark.seq:
                    behind.setdefault(mark.job_id, []).append(feed)
        for group in _groups(behind):
            await self._tell(await self._snapshots.read(group, keep=False), behind)
        balances = await self._db.read(reads.balances, user_ids=list(users))
        for user_id, balance in balances.items():
            for feed in self._feeds.everyone().get(user_id, ()):
                feed.offer(_credits(user_id, balance))
        await self._tell_of_notifications(users)

    async def _tell_of_notifications(self, users: Iterable[str]) -> None:
        feeds = {user_id: list(self._feeds.everyone().get(user_id, ())) for user_id in users}
        floors = {
            user_id: min(known)
            for user_id, found in feeds.items()
            if (known := [feed.told.floor for feed in found if feed.told is not None])
        }
        if not floors:
            return
        missed = await self._db.read(told.missed, floors=floors)
        for notice in missed.notices:
            for feed in feeds[notice.user_id]:
                feed.offer(notice)
        for found in feeds.values():
            for feed in found:
                if feed.told is not None:
                    feed.told.rise(missed.floor)

    async def _tell(self, jobs: Mapping[str, Entry], followed: Mapping[str, Collection[Feed]]) -> None:
        """Let the feeds of these jobs, which were just read, catch up."""
        held = [
            (entry, feed, feed.hold(job_id))
            for job_id, entry in jobs.items()
            for feed in followed[job_id]
            if feed.follows(job_id)
        ]
        seen: dict[str, int] = {}
        for entry, _, track in held:
            job = entry.job
            known = job.seq if track.seen == NOTHING else track.seen
            seen[job.id] = min(seen.get(job.id, known), known)
        found: dict[tuple[str, Locale], list[Notice]] = {}
        try:
            entries = await self._streams.after(seen, owners={job_id: jobs[job_id].job.user_id for job_id in seen})
            for entry, feed, _ in held:
                key = (entry.job.id, feed.locale)
                if key not in found:
                    past, since = entries.get(entry.job.id, []), seen[entry.job.id]
                    found[key] = await self._recalled(entry, past, feed.locale, after=since)
        finally:
            for entry, feed, track in held:
                feed.release(entry.job.id, track, found.get((entry.job.id, feed.locale), ()))

    async def _recalled(self, entry: Entry, past: list[Notice], locale: Locale, *, after: int) -> list[Notice]:
        """What who has seen this number is told: the past, and the whole job where its state or some text is lost."""
        job, lost = entry.job, losses.end(past, after=after)
        if lost is not None and job.finished:
            return [await self._whole(entry, locale, seq=job.seq)]
        recalled = past
        if lost is not None:
            recalled = [await self._whole(entry, locale, seq=past[lost].seq - 1), *past[lost:]]
        if any(one.seq == job.seq for one in past):
            return recalled
        return [*recalled, await self._whole(entry, locale, seq=job.seq)]

    async def _whole(self, entry: Entry, locale: Locale, *, seq: int) -> Notice:
        shown = await self._snapshots.document(entry, locale=locale)
        return views.snapshot_notice(entry.job, shown, seq=seq, now_ms=clock.now_ms())


def _are_behind(feeds: Iterable[Feed], job_id: str, seq: int | None) -> bool:
    tracks = [track for feed in feeds if (track := feed.tracks.get(job_id))]
    return seq is not None and any(track.seen < seq for track in tracks)


def saw_the_end(job: Snapshot, after: int | None) -> bool:
    """Whether nothing can follow this number."""
    return job.finished and after is not None and after >= job.seq and _is_plausible(after, job)


def _is_plausible(after: int, job: Snapshot) -> bool:
    """Whether the job can have had an event of this number: its fence is in the database before its first event is."""
    return after < (job.seq // states.SEQ_STEP + 1) * states.SEQ_STEP


def _credits(user_id: str, balance: Balance) -> Notice:
    data = {"balance": balance.balance, "held": balance.held, "available": balance.available}
    event = Event(type=CREDITS_CHANGED, job_id=None, seq=balance.version, at_ms=clock.now_ms(), data=data)
    return wire.noticed(user_id, event)


def _groups(ids: Iterable[str]) -> Iterable[list[str]]:
    rest = iter(list(ids))
    while group := list(islice(rest, GROUP_MAX)):
        yield group


def _first_id(ms: int) -> str:
    """The smallest id that could be made at this time: ids begin with their 48 bits of milliseconds."""
    digits = f"{ms:012x}"
    return f"{digits[:8]}-{digits[8:]}"
