"""Whether live events arrive, and whether asking Redis is worth a wait."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import RedisError

T = TypeVar("T")

DEAF_SECONDS = 2.0
QUIET_SECONDS = 1.0
WAIT_SECONDS = 0.05


class Health:
    """True only while this process hears its own ticks through Redis.

    `recovered` is called at the first tick after a time in which events may have been missed.
    """

    def __init__(self) -> None:
        self.recovered: Callable[[], None] | None = None
        self._heard_at = -math.inf

    def __call__(self) -> bool:
        """Whether a tick came back within the last two seconds, on a connection that still holds."""
        return time.monotonic() - self._heard_at < DEAF_SECONDS

    def heard(self) -> None:
        """A tick came back."""
        missed = not self()
        self._heard_at = time.monotonic()
        if missed and self.recovered:
            self.recovered()

    def lost(self) -> None:
        """The connection that ticks come through is gone."""
        self._heard_at = -math.inf


class Patience:
    """Lets requests wait for Redis for 50 ms at most, or as named, and after a wait in vain not at all for a second."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._quiet_until = -math.inf

    async def ask(self, answer: Callable[[], Awaitable[T]]) -> T | None:
        """The answer, or None when it doesn't come at once."""
        if time.monotonic() < self._quiet_until:
            return None
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await answer()
        except (RedisError, OSError, TimeoutError):
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return None
