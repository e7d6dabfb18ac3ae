"""What runs beside the requests: started with the application, stopped with it, started again if it breaks."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from atelier.kernel import logs

log = logs.get(__name__)

AGAIN_SECONDS_MAX = 30.0
AGAIN_CANCELLED_SECONDS = 0.1


@asynccontextmanager
async def running(**duties: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Run all duties until the block ends. A duty that raises is logged as a bug and begun again."""
    tasks = [asyncio.create_task(_forever(name, duty), name=name) for name, duty in duties.items()]
    try:
        yield
    finally:
        pending = set(tasks)
        while pending:
            # More than once: on Python 3.11 a library's `wait_for` swallows a cancellation that comes as it ends.
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=AGAIN_CANCELLED_SECONDS)


def heed_cancellation() -> None:
    """Raise CancelledError in a task that was cancelled while a library turned that into an error of its own.

    The Redis client does so when it is cancelled while it connects; a loop that passes over its errors would then go on
    for ever. Call it once a round.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _forever(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    wait = 1.0
    while True:
        heed_cancellation()
        try:
            await duty()
        except Exception:
            log.exception("background.failed", duty=name, wait_seconds=wait)
        await asyncio.sleep(wait)
        wait = min(2 * wait, AGAIN_SECONDS_MAX)
