"""One consumer of events: a socket, a stream, or a request that waits.

A feed follows single jobs, or everything of its user. Of each job it remembers the last number that it let through,
and lets nothing through twice or backwards; of notifications it remembers which it let through. While something is
read again from Redis or the database, what comes live for it is held, and goes out after what was read, in order. What
its consumer does not take in time is not kept: the feed ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from atelier.live.events import FINAL, NOTIFICATION_CREATED
from atelier.live.wire import Notice
from web.live.told import Told
from web.messages import Locale

WAITING_MAX = 1_280
"""More than a whole stream with its snapshot: Redis trims a stream of a thousand entries to eleven hundred at most."""
TRACKS_MAX = 2_000
NOTHING = -1
"""Below every number: an account that nothing has happened to has version 0."""
CREDITS = ""
"""The track of the user's credits, which belong to no job."""


class Close(IntEnum):
    """Why a feed ended, as the close code of a WebSocket."""

    GOING_AWAY = 1001
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    TOO_MANY = 4429


@dataclass(slots=True)
class Track:
    """What a feed remembers of one job."""

    seen: int = NOTHING
    over: bool = False
    holds: int = 0
    held: list[Notice] | None = None


class Feed:
    """See above. Everything is synchronous, for the event loop only, except waiting.

    There are thousands of them, and nearly all have nothing to say: what only a busy one needs is made when it is.
    """

    __slots__ = (
        *("_paused", "_waiter", "_waiting", "_waiting_max"),
        *("ended", "everything", "jobs_only", "locale", "on_end", "on_forget", "on_news", "told", "tracks", "user_id"),
    )

    def __init__(self, user_id: str, *, locale: Locale = "zh", waiting_max: int = WAITING_MAX) -> None:
        self.user_id = user_id
        self.locale: Locale = locale
        self.everything = False
        self.jobs_only = False  # What happens to its user's account is not for an API key.
        self.ended: Close | None = None
        self.on_end: Callable[[Close], None] | None = None
        self.on_forget: Callable[[Feed, str], None] | None = None
        self.on_news: Callable[[Feed], None] | None = None
        self.tracks: dict[str, Track] = {}
        self.told: Told | None = None
        self._waiting: deque[Notice | bytes] | None = None
        self._waiting_max = waiting_max
        self._waiter: asyncio.Future[None] | None = None
        self._paused: list[Notice] | None = None

    # -- following

    def follow(self, job_id: str, *, after: int = NOTHING) -> Track:
        """Let through what happens to the job after this number."""
        track = self.tracks.get(job_id)
        if track is None:
            self._make_room()
            track = self.tracks[job_id] = Track(after)
        return track

    def leave(self, job_id: str) -> None:
        """Let nothing of the job through any longer, unless everything is followed."""
        self.tracks.pop(job_id, None)

    def follows(self, job_id: str) -> bool:
        """Whether something of this job would be let through."""
        return self.ended is None and (self.everything or job_id in self.tracks)

    def alive(self) -> list[str]:
        """The jobs that may have further events."""
        return [job_id for job_id, track in self.tracks.items() if not track.over and job_id != CREDITS]

    # -- catching up

    def pause(self) -> None:
        """Hold everything until `resume`."""
        self._paused = []

    def resume(self, first: Iterable[Notice]) -> None:
        """Let through what was read, then what came meanwhile."""
        held, self._paused = self._paused or [], None
        for notice in [*first, *sorted(held, key=lambda one: one.seq)]:
            self.offer(notice)

    def hold(self, job_id: str) -> Track:
        """Hold what comes for this job until the track is released; holds may overlap."""
        track = self.follow(job_id)
        track.holds += 1
        return track

    def release(self, job_id: str, track: Track, recalled: Iterable[Notice] = ()) -> None:
        """Let through what was read and what was held, in order, once nothing holds the job any longer.

        Who has left the job since then and follows it again has another track, which this hold is none of.
        """
        if self.tracks.get(job_id) is not track:
            return
        held = [*(track.held or ()), *recalled]
        track.holds -= 1
        if track.holds > 0:
            track.held = held
            return
        track.held = None
        for notice in sorted(held, key=lambda one: one.seq):
            self._accept(track, notice)

    # -- receiving

    def offer(self, notice: Notice) -> None:
        """Take an event if it is for this feed and new."""
        if not self._concerns(notice):
            return
        if self._paused is not None:
            self._keep(self._paused, notice)
            return
        if notice.type == NOTIFICATION_CREATED:
            if self.everything and self.told is not None and self.told.is_news(notice.seq):
                self._enqueue(notice)
            return
        track = self.tracks.get(notice.job_id or CREDITS)
        if track is None:
            if not self.everything:
                return
            track = self.follow(notice.job_id or CREDITS)
        if track.holds:
            track.held = [] if track.held is None else track.held
            self._keep(track.held, notice)
        else:
            self._accept(track, notice)

    def say(self, message: bytes) -> None:
        """Add an answer to the consumer itself."""
        self._enqueue(message)

    def end(self, why: Close) -> None:
        """Let nothing through any longer, and wake the consumer; the first reason counts."""
        if self.ended is None:
            self.ended = why
            self._waiting = None
            self._wake()
            if self.on_end:
                self.on_end(why)

    # -- consuming

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take now."""
        return not self._waiting

    def take(self) -> Notice | bytes | None:
        """The next event or answer, or None when there is none now."""
        if not self._waiting:
            self._waiting = None
            return None
        return self._waiting.popleft()

    async def ready(self, *, seconds: float) -> None:
        """Wait until there is something to take, the feed has ended, or this time is over. For one consumer."""
        if self._waiting or self.ended is not None:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        except TimeoutError:
            return
        finally:
            self._waiter = None

    # -- inside

    def _concerns(self, notice: Notice) -> bool:
        mine = self.ended is None and notice.user_id == self.user_id
        return mine and not (self.jobs_only and notice.job_id is None)

    def _accept(self, track: Track, notice: Notice) -> None:
        if track.over or notice.seq <= track.seen:
            return
        track.seen = notice.seq
        track.over = notice.type in FINAL
        self._enqueue(notice)

    def _keep(self, held: list[Notice], notice: Notice) -> None:
        if len(held) >= self._waiting_max:
            self.end(Close.TOO_SLOW)
        else:
            held.append(notice)

    def _enqueue(self, item: Notice | bytes) -> None:
        if self.ended is not None:
            return
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) >= self._waiting_max:
            self.end(Close.TOO_SLOW)
            return
        self._waiting.append(item)
        self._wake()
        if self.on_news:
            self.on_news(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _make_room(self) -> None:
        # Only a feed that follows everything gets here: its oldest finished job is the one to forget.
        if len(self.tracks) >= TRACKS_MAX:
            over = next((job_id for job_id, track in self.tracks.items() if track.over), next(iter(self.tracks)))
            del self.tracks[over]
            if self.on_forget:
                self.on_forget(self, over)
