"""Rate limits that cost a request no round trip.

Each process decides from its own counters; a background task adds what it counted to Redis five times a second and
learns what the others counted. While Redis is slow, frozen or gone the process goes on with what it knows, so a limit
is then per process. Between two exchanges a process can let through at most what arrives in that fifth of a second.

The window slides: what the last minute used up counts, rounded up, for the part of it that is still within sixty
seconds.
"""

import asyncio
import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from atelier.kernel import logs
from web import background

log = logs.get(__name__)

WINDOW_MS = 60_000
WINDOW_SECONDS = 60
EXCHANGE_SECONDS = 0.2
KEYS_MAX = 100_000
BATCH_MAX = 500
SILENCE_SECONDS = 2.0  # How long a store that failed is left alone.


class Count:
    """What one key used in one window. `pending` is ours and not yet told to the store; `known` is all the rest."""

    __slots__ = ("before", "key", "known", "pending", "queued")

    def __init__(self, key: str, before: int) -> None:
        self.key = key
        self.before = before  # the whole window before this one
        self.known = 0
        self.pending = 0
        self.queued = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the store answers for one key: the total of this window with what was just added, and the one before."""

    total: int
    before: int


class CounterStore(Protocol):
    """Where processes add up their counts."""

    async def add(self, name: str, window: int, added: Sequence[tuple[str, int]]) -> Sequence[Told]:
        """Add to the counts of one policy in one window; the totals come back in the same order."""
        ...


class RedisCounters:
    """One hash per policy and window, which expires by itself."""

    ADD = """
    local told = {}
    for i = 1, #ARGV, 2 do
      told[i] = redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
      told[i + 1] = tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or 0)
    end
    redis.call('EXPIRE', KEYS[1], 180)
    return told
    """

    def __init__(self, redis: Redis, *, prefix: str = "atelier:limit") -> None:
        self._redis = redis
        self._prefix = prefix

    async def add(self, name: str, window: int, added: Sequence[tuple[str, int]]) -> Sequence[Told]:
        """Raises RedisError or OSError."""
        arguments = [str(part) for pair in added for part in pair]
        # The braces keep both keys in one slot of a cluster.
        keys = [f"{self._prefix}:{{{name}}}:{window}", f"{self._prefix}:{{{name}}}:{window - 1}"]
        told = await cast("Awaitable[list[int]]", self._redis.eval(self.ADD, 2, *keys, *arguments))
        return [Told(total=told[i], before=told[i + 1]) for i in range(0, len(told), 2)]


class Policy:
    """One named limit, and the counts of the present and the past window."""

    __slots__ = ("counts", "header", "limit", "name", "past", "prefix", "window")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.header = f'"{name}";q={limit};w={WINDOW_SECONDS}'
        self.prefix = f'"{name}";r='
        self.window = 0
        self.counts: dict[str, Count] = {}
        self.past: dict[str, Count] = {}

    def roll(self, window: int) -> None:
        """Begin another window; what is two windows old is forgotten.

        The window before this one is asked for by requests that took their time to arrive, which must not begin it
        again. One that is older says that the clock was set back: what was counted ahead of it would hold for as long.
        """
        if window == self.window - 1:
            return
        self.past = self.counts if window == self.window + 1 else {}
        self.counts = {}
        self.window = window

    def start(self, key: str) -> Count:
        """The first count of a key in this window. Past KEYS_MAX keys the oldest is left to the store's memory."""
        if len(self.counts) >= KEYS_MAX:
            del self.counts[next(iter(self.counts))]
        past = self.past.get(key)
        count = Count(key, past.known + past.pending if past else 0)
        self.counts[key] = count
        return count


@dataclass(slots=True)
class Quota:
    """The decision on one request. `retry_after` is 0 when it was let through, else whole seconds."""

    policy: Policy
    remaining: int
    reset: int
    retry_after: int
    limit: int

    @property
    def header(self) -> str:
        """The value of the `RateLimit` header."""
        return f"{self.policy.prefix}{self.remaining};t={self.reset}"

    @property
    def policy_header(self) -> str:
        """The value of the `RateLimit-Policy` header."""
        policy = self.policy
        return policy.header if self.limit == policy.limit else f'"{policy.name}";q={self.limit};w={WINDOW_SECONDS}'


class Share(NamedTuple):
    """What one key may use of a policy: as much as `limit`, which may be the key's own."""

    policy: Policy
    key: str
    limit: int


class Limits:
    """All policies of one process. `take` never waits; `exchange` is for the background."""

    def __init__(
        self, policies: Mapping[str, int], *, store: CounterStore, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        self._policies = {name: Policy(name, limit) for name, limit in policies.items()}
        self._store = store
        self._silence_seconds = silence_seconds
        self._waiting: dict[tuple[Policy, int], list[Count]] = {}
        self.failures = 0

    def policy(self, name: str) -> Policy:
        """Raises KeyError for a name that no setting knows: routes are checked at start."""
        return self._policies[name]

    def take(self, policy: Policy, key: str, now_ms: int, amount: int = 1) -> Quota:
        """Count `amount` requests of `key`, unless that would be more than the policy's limit."""
        count, quota = self._look(policy, key, now_ms, amount=amount, limit=policy.limit)
        if not quota.retry_after:
            self._add(policy, count, amount)
        return quota

    def take_all(self, shares: Sequence[Share], now_ms: int, amount: int = 1) -> Quota:
        """Count `amount` requests against each of these or, when one is used up, against none: what one refuses must
        not use up the others. The quota is of whichever has least left, or must be waited for longest.
        """
        looks = [self._look(policy, key, now_ms, amount=amount, limit=limit) for policy, key, limit in shares]
        longest = max((quota for _, quota in looks), key=lambda quota: quota.retry_after)
        if longest.retry_after:
            return longest
        for share, (count, _) in zip(shares, looks, strict=True):
            self._add(share.policy, count, amount)
        return min((quota for _, quota in looks), key=lambda quota: quota.remaining)

    async def exchange(self) -> None:
        """Tell the store what was counted since the last time, and learn the totals. Raises RedisError or OSError."""
        waiting, self._waiting = self._waiting, {}
        try:
            for (policy, window), counts in waiting.items():
                await self._tell(policy, window, counts)
        finally:
            # What could not be told, and what was counted meanwhile, waits for the next time.
            for (policy, window), counts in waiting.items():
                for count in counts:
                    count.queued = False
                    if count.pending and window >= policy.window - 1:
                        self._queue(policy, window, count)

    async def run(self) -> None:
        """Exchange for ever; a store that fails is left alone for a moment."""
        while True:
            background.heed_cancellation()
            try:
                await self.exchange()
            except (RedisError, OSError) as error:
                if not self.failures:
                    log.warning("limits.store_lost", error=type(error).__name__)
                self.failures += 1
                await asyncio.sleep(self._silence_seconds)
            else:
                if self.failures:
                    log.info("limits.store_back", failures=self.failures)
                self.failures = 0
            await asyncio.sleep(EXCHANGE_SECONDS)

    async def _tell(self, policy: Policy, window: int, counts: Sequence[Count]) -> None:
        for start in range(0, len(counts), BATCH_MAX):
            batch = counts[start : start + BATCH_MAX]
            added = [(count.key, count.pending) for count in batch]
            told = await self._store.add(policy.name, window, added)
            for count, (_, amount), one in zip(batch, added, told, strict=True):
                count.pending -= amount
                # A store that was emptied says less than we know ourselves.
                count.known = max(count.known + amount, one.total)
                count.before = max(count.before, one.before)

    def _look(self, policy: Policy, key: str, now_ms: int, *, amount: int, limit: int) -> tuple[Count, Quota]:
        """What taking this would leave, before it is counted."""
        window, elapsed = divmod(now_ms, WINDOW_MS)
        if window != policy.window:
            policy.roll(window)
        count = policy.counts.get(key) or policy.start(key)
        left = WINDOW_MS - elapsed
        reset = -(-left // 1000)
        free = limit - count.known - count.pending - -(-count.before * left // WINDOW_MS)
        if free < amount:
            return count, Quota(policy, max(0, free), reset, _wait_seconds(limit, count, left, amount), limit)
        return count, Quota(policy, free - amount, reset, 0, limit)

    def _add(self, policy: Policy, count: Count, amount: int) -> None:
        count.pending += amount
        if not count.queued:
            self._queue(policy, policy.window, count)

    def _queue(self, policy: Policy, window: int, count: Count) -> None:
        count.queued = True
        self._waiting.setdefault((policy, window), []).append(count)


def _wait_seconds(limit: int, count: Count, left: int, amount: int) -> int:
    """Whole seconds until `amount` would be let through, if nothing else is asked meanwhile."""
    used = count.known + count.pending
    room = limit - used - amount
    if room >= 0:  # The past window is in the way: wait until enough of it has slid out.
        wait_ms = left - WINDOW_MS * room / count.before
    else:  # This window is in the way: wait for its end, and then until enough of it has slid out.
        wait_ms = left + WINDOW_MS * (1 - max(0, limit - amount) / max(1, used))
    return math.floor(wait_ms / 1000) + 1


def open_redis(url: str) -> Redis:
    """A client whose every call ends within a second, for `redis://`, `rediss://` or `unix://`."""
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        socket_timeout=1.0,
        socket_connect_timeout=1.0,
        max_connections=4,
        retry=Retry(NoBackoff(), 0),  # A count that may have arrived must not be told twice at once.
    )
