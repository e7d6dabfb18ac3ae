"""How long an agent's jobs take, from the newest runs that workers have recorded in Redis."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import cast

from redis.asyncio import Redis

from atelier.live import wire
from web.live.fresh import Fresh, Known
from web.live.health import Patience

FRESH_SECONDS = 2
ENOUGH = 9
"""From so many runs on, one of them is the ninth decile of what comes: one in n + 1 exceeds the longest of n."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Half of the runs took less than `p50_seconds`, nine in ten less than `p90_seconds`."""

    p50_seconds: float
    p90_seconds: float


class Estimates:
    """Estimates by agent, each at most two seconds old."""

    def __init__(self, redis: Redis, *, patience: Patience) -> None:
        self._redis = redis
        self._patience = patience
        self._fresh: Fresh[Estimate | None] = Fresh(self._read, seconds=FRESH_SECONDS)

    async def of(self, agent_id: str) -> Estimate | None:
        """None without samples, or when Redis doesn't give them at once."""
        return await self._fresh.get(agent_id)

    def peek(self, agent_id: str) -> Known[Estimate | None] | None:
        """The same without waiting; None when that isn't known."""
        return self._fresh.peek(agent_id)

    async def _read(self, agent_id: str) -> Estimate | None:
        async def samples() -> list[bytes]:
            return await cast("Awaitable[list[bytes]]", self._redis.lrange(wire.durations(agent_id), 0, -1))

        return estimate([int(one) for one in await self._patience.ask(samples) or ()])


def estimate(samples_ms: Sequence[int]) -> Estimate | None:
    """What the next run takes if it is like these: half of all and nine in ten are no longer. None without any.

    Of fewer than nine runs even the longest is exceeded too often, so it is lengthened, by as much as they are too few.
    """
    if not samples_ms:
        return None
    ordered = sorted(samples_ms)
    count = len(ordered)
    p50 = ordered[(count - 1) // 2]
    p90 = ordered[-(-(count + 1) * 9 // 10) - 1] if count >= ENOUGH else ordered[-1] * sqrt((ENOUGH + 1) / (count + 1))
    return Estimate(p50_seconds=p50 / 1_000, p90_seconds=round(p90) / 1_000)
