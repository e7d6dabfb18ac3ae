"""Events of this process's own making: told to its own feeds and caches at once, and to all other processes soon."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from atelier.live import wire
from atelier.live.events import Event
from atelier.live.wire import Notice
from web import background

SEND_SECONDS = 0.25
WAITING_MAX = 4_000
GROUP_MAX = 128


class Outlet:
    """What can't be told now is not told: who watches elsewhere finds it in the database.

    These events are changes of state, so they are not recorded in streams: the database has them.
    """

    def __init__(self, redis: Redis, *, healthy: Callable[[], bool], receive: Callable[[Notice], None]) -> None:
        self._redis = redis
        self._healthy = healthy
        self._receive = receive
        self._waiting: deque[Notice] = deque(maxlen=WAITING_MAX)
        self._wake = asyncio.Event()

    def tell(self, told: Sequence[tuple[str, Event]]) -> None:
        """Tell of what was committed, each event with its user. Never waits, never fails."""
        for user_id, event in told:
            notice = wire.noticed(user_id, event)
            self._receive(notice)
            if self._healthy():
                self._waiting.append(notice)
                self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; what waits goes out together."""
        while True:
            background.heed_cancellation()
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]
                with suppress(RedisError, OSError, TimeoutError):
                    async with asyncio.timeout(SEND_SECONDS):
                        await self._redis.publish(wire.CHANNEL, wire.pack(group))
