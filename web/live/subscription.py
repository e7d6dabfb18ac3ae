"""The one subscription to Redis that a web process has.

It is trusted only while it hears itself: twice a second a tick is published on a channel of its own. A connection that
brings not even ticks for a while is given up, and made again until that works.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError

from atelier.kernel import logs
from atelier.kernel.ids import new_id
from atelier.live import wire
from atelier.live.wire import Notice
from web import background
from web.live.health import Health

log = logs.get(__name__)

TICK_SECONDS = 0.5
SUBSCRIBE_SECONDS = 1.0
SILENCE_SECONDS = 5.0
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5)
TURN_MESSAGES = 32
"""So many messages are handled before others get their turn on the event loop."""


class Subscription:
    """Hands every event of the platform to `receive`, and tells `health` about its ticks.

    `begin` is called before the first event of each new connection, `lose` when one is lost.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        health: Health,
        receive: Callable[[Notice], None],
        begin: Callable[[], None],
        lose: Callable[[], None],
    ) -> None:
        self._redis = redis
        self._health = health
        self._receive = receive
        self._begin = begin
        self._lose = lose
        self._ticks = f"atelier:tick:{new_id()}"
        self._tick_now = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._tick())

    async def _listen(self) -> None:
        tried = 0
        while True:
            background.heed_cancellation()
            began = time.monotonic()
            try:
                await self._attend()
            except (RedisError, OSError, TimeoutError) as error:
                self._health.lost()
                self._lose()
                tried = 0 if time.monotonic() - began > SILENCE_SECONDS else tried + 1
                if tried <= 1:
                    log.warning("live.subscription_lost", error=type(error).__name__)
            await asyncio.sleep(PAUSES[min(tried, len(PAUSES) - 1)])

    async def _attend(self) -> None:
        pubsub: PubSub = self._redis.pubsub()
        try:
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await pubsub.subscribe(wire.CHANNEL, self._ticks)
            self._tick_now.set()
            await self._hear(pubsub)
        finally:
            # A connection that is broken already has nothing to say about being closed.
            with suppress(RedisError, OSError):
                await pubsub.aclose()

    async def _hear(self, pubsub: PubSub) -> None:
        ticks = self._ticks.encode()
        heard_at, turn, begun = time.monotonic(), 0, False
        while True:
            message = cast(
                "dict[str, Any] | None",
                await pubsub.get_message(ignore_subscribe_messages=True, timeout=SILENCE_SECONDS),  # pyright: ignore[reportUnknownMemberType]
            )
            if message is None:
                if time.monotonic() - heard_at >= SILENCE_SECONDS:
                    raise RedisGone("silent")
                continue
            heard_at = time.monotonic()
            if not begun:
                self._begin()
                begun = True
            if message["channel"] == ticks:
                self._health.heard()
            else:
                self._unpack(message["data"])
            turn += 1
            if turn % TURN_MESSAGES == 0:
                await asyncio.sleep(0)

    def _unpack(self, message: bytes) -> None:
        try:
            for notice in wire.unpack(message):
                self._receive(notice)
        except ValueError:
            log.warning("live.message_unreadable", bytes=len(message))

    async def _tick(self) -> None:
        while True:
            background.heed_cancellation()
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._redis.publish(self._ticks, b"")
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._tick_now.wait()
            self._tick_now.clear()
