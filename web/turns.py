"""One request at a time per Idempotency-Key: a duplicate waits briefly for the first, and then finds its answer stored.

This holds within one process and one route, whose keys no other route shares. Between processes the database decides:
see `contracts/idempotency.py`.
"""

import asyncio
from weakref import WeakValueDictionary

from atelier.contracts.idempotency import IdempotencyInProgress

WAIT_SECONDS = 5.0


class Turn:
    """One request's turn; it lasts until it is ended."""

    __slots__ = ("_lock",)

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock: asyncio.Lock | None = lock

    @property
    def ended(self) -> bool:
        """Whether the next one may have come."""
        return self._lock is None

    def end(self) -> None:
        """Let the next request with this key come. Ending twice is ending once."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


class Turns:
    """The keys that are at work now."""

    def __init__(self, *, seconds: float = WAIT_SECONDS) -> None:
        self._seconds = seconds
        # A lock lives as long as somebody has it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, key: str) -> Turn:
        """Wait for those with this key that came before. Raises IdempotencyInProgress when that takes too long."""
        lock = self._locks.get(key)
        if lock is None:
            self._locks[key] = lock = asyncio.Lock()
            await lock.acquire()  # Nobody else has seen it: this doesn't wait.
            return Turn(lock)
        try:
            async with asyncio.timeout(self._seconds):
                await lock.acquire()
        except TimeoutError:
            raise IdempotencyInProgress from None
        return Turn(lock)
