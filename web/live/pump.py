"""Writing to many sockets from one task: an event for thousands of them costs no task each.

A socket whose client takes what it is sent is written to here, where nothing waits; one whose buffer fills up gets a
task of its own, which may.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

TURN = 64
"""So many are written to before others get their turn on the event loop."""

Write = Callable[[], Awaitable[None]]


class Pump:
    """Awaits what was added, soon and in order. What is added must neither wait nor fail."""

    def __init__(self) -> None:
        self._due: deque[Write] = deque()
        self._task: asyncio.Task[None] | None = None

    def add(self, write: Write) -> None:
        """Await this soon."""
        self._due.append(write)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._due:
                for _ in range(min(TURN, len(self._due))):
                    await self._due.popleft()()
                await asyncio.sleep(0)
        finally:
            self._task = None
