"""Who is connected for longer than a request takes: how many at most, for how long they may, and goodbye to all."""

import asyncio
from collections.abc import Collection, Generator
from contextlib import contextmanager

from atelier.accounts.scopes import Scope
from atelier.kernel import clock
from atelier.kernel.errors import RateLimited, Transient, Unauthorized
from web.identity import Identities
from web.live.feed import Close, Feed

CHECK_SECONDS = 0.4
GROUP_MAX = 16
RETRY_SECONDS = 5


class Sessions:
    """The open sessions of one kind. Each lives as long as the token that opened it, and as it has the scope."""

    def __init__(self, identities: Identities, *, per_user_max: int, scope: Scope | None = None) -> None:
        self._identities = identities
        self._per_user_max = per_user_max
        self._scope: Scope | None = scope
        self._open: dict[Feed, str] = {}
        self._by_user: dict[str, int] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._open)

    @property
    def feeds(self) -> Collection[Feed]:
        """The feeds of all of them."""
        return self._open.keys()

    @contextmanager
    def attended(self, feed: Feed, *, authorization: str) -> Generator[None]:
        """`enter` and `leave` around a block."""
        self.enter(feed, authorization=authorization)
        try:
            yield
        finally:
            self.leave(feed)

    def enter(self, feed: Feed, *, authorization: str) -> None:
        """End the feed when its token ends or this process stops. Raises RateLimited when the user has too many."""
        count = self._by_user.get(feed.user_id, 0)
        if count >= self._per_user_max:
            raise RateLimited(retry_after=RETRY_SECONDS)
        self._by_user[feed.user_id] = count + 1
        self._open[feed] = authorization
        if self._closing:
            feed.end(Close.GOING_AWAY)

    def leave(self, feed: Feed) -> None:
        """This one has gone."""
        del self._open[feed]
        self._by_user[feed.user_id] -= 1
        if not self._by_user[feed.user_id]:
            del self._by_user[feed.user_id]

    def close(self) -> None:
        """Ask everyone to go, so that they come back elsewhere; who comes now is asked at once."""
        self._closing = True
        for feed in list(self._open):
            feed.end(Close.GOING_AWAY)

    async def run(self) -> None:
        """End those whose token has ended, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Look at every session once: mostly one lookup each, for nothing is believed longer than the cache does."""
        now_ms = clock.now_ms()
        unknown = [
            (feed, header)
            for feed, header in list(self._open.items())
            if self._identities.known(header, now_ms) is None
        ]
        for start in range(0, len(unknown), GROUP_MAX):
            group = unknown[start : start + GROUP_MAX]
            await asyncio.gather(*(self._ask(feed, header) for feed, header in group))

    async def _ask(self, feed: Feed, header: str) -> None:
        try:
            identity = await self._identities.identify(header, clock.now_ms())
        except Unauthorized:
            feed.end(Close.UNAUTHORIZED)
        except Transient:
            # Nobody can tell now. The session goes on, and is asked about again in a moment.
            return
        else:
            if self._scope is not None and not identity.may(self._scope):
                feed.end(Close.FORBIDDEN)
