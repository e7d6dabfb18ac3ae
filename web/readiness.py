"""The checks behind /api/health/ready: bounded in time, asked at most once a second, never piled up.

What is only wished for must not slow a request: when its check takes longer than a moment, what the last one found is
told, until this one has taken too long.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from time import monotonic
from typing import NamedTuple

from atelier.kernel import logs
from web.services import Readiness

log = logs.get(__name__)

CHECK_SECONDS = 0.8  # Probes usually give up after a second.
WISHED_SECONDS = 0.05
FRESH_SECONDS = 1.0

Check = Callable[[], Awaitable[None]]
"""Returns when the part works; raises when it does not."""


class Checks:
    """Asks every part at once. `needed` parts make the process unready, `wished` ones only degrade it."""

    def __init__(
        self, *, needed: Mapping[str, Check], wished: Mapping[str, Check], fresh_seconds: float = FRESH_SECONDS
    ) -> None:
        self._needed = needed
        self._wished = wished
        self._running: dict[str, _Running] = {}
        self._works: dict[str, bool] = {}
        self._answer = Readiness()
        self._fresh_seconds = fresh_seconds
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> Readiness:
        """What fails now, or failed less than a second ago."""
        async with self._lock:
            if monotonic() >= self._fresh_until:
                self._answer = await self._ask()
                self._fresh_until = monotonic() + self._fresh_seconds
            return self._answer

    async def prepare(self) -> None:
        """Ask everything once, so that no request is the first to ask and has no earlier answer to fall back on."""
        async with self._lock:
            await self._ask()

    async def _ask(self) -> Readiness:
        for name, check in {**self._needed, **self._wished}.items():
            # A check that hangs can't be cancelled inside its thread: it is left to end, and asked again only then.
            if name not in self._running:
                self._running[name] = _Running(asyncio.ensure_future(check()), monotonic())
        hasty = self._wished.keys() & self._works.keys()
        asked = monotonic()
        await self._wait(self._running.keys() - hasty, until=asked + CHECK_SECONDS)
        await self._wait(hasty, until=asked + WISHED_SECONDS)
        failing = {name for name in list(self._running) if not self._passed(name)}
        return Readiness(
            failed=tuple(name for name in self._needed if name in failing),
            degraded=tuple(name for name in self._wished if name in failing),
        )

    async def _wait(self, names: Collection[str], *, until: float) -> None:
        if names:
            await asyncio.wait([self._running[name].check for name in names], timeout=max(0.0, until - monotonic()))

    def _passed(self, name: str) -> bool:
        running = self._running[name]
        if not running.check.done():
            if name in self._wished and monotonic() - running.began < CHECK_SECONDS:
                return self._works.get(name, False)
            log.warning("readiness.slow", part=name)
            return False
        del self._running[name]
        error = running.check.exception()
        self._works[name] = error is None
        if error is not None:
            log.warning("readiness.failed", part=name, error=type(error).__name__)
        return error is None


class _Running(NamedTuple):
    """A check that has begun, and when."""

    check: asyncio.Future[None]
    began: float
