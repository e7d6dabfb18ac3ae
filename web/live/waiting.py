"""Long polling: a request that waits for news of one job."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from atelier.kernel.errors import RateLimited, Unauthorized
from web.live.feed import Close, Feed
from web.live.feeds import Feeds
from web.live.sessions import Sessions
from web.messages import Locale
from web.snapshots import Rendered, Snapshots

LOOK_SECONDS = 2.0
"""How often a waiting request looks whether its client is still there."""


class Waiting:
    """Waits for jobs on behalf of requests."""

    def __init__(self, *, feeds: Feeds, snapshots: Snapshots, sessions: Sessions) -> None:
        self._feeds = feeds
        self._snapshots = snapshots
        self._sessions = sessions

    async def until(
        self,
        enough: Callable[[Rendered], Awaitable[bool]],
        job_id: str,
        *,
        user_id: str,
        locale: Locale,
        authorization: str,
        seconds: float,
        is_gone: Callable[[], bool],
    ) -> Rendered:
        """The job as soon as it is enough, or as it is when the time is over, the client gone or the process stopping.

        A user with very many waiting requests is answered at once. Raises JobNotFound, Unauthorized or Transient, and
        whatever `enough` does.
        """
        look = partial(self._snapshots.shown, job_id, user_id=user_id, locale=locale)
        feed = Feed(user_id)
        track = feed.follow(job_id)
        # A look takes time, and so may `enough`: what happens meanwhile is news already, and asks for another look.
        self._feeds.watch(feed, job_id)
        try:
            shown = await look()
            if seconds <= 0 or await enough(shown):
                return shown
            track.seen = max(track.seen, shown.seq)
            deadline = time.monotonic() + seconds
            try:
                with self._sessions.attended(feed, authorization=authorization):
                    while not feed.ended and not is_gone() and (left := deadline - time.monotonic()) > 0:
                        await feed.ready(seconds=min(left, LOOK_SECONDS))
                        _drain(feed)
                        shown = await look()
                        if await enough(shown):
                            break
            except RateLimited:
                return shown
        finally:
            self._feeds.remove(feed)
        if feed.ended is Close.UNAUTHORIZED:
            raise Unauthorized
        return shown


def _drain(feed: Feed) -> None:
    while feed.take() is not None:
        pass
