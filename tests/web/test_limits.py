"""Rate limits: exact in one process, nearly exact over several, and never slower than the process itself."""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import RedisError

from atelier.kernel.clock import now_ms
from atelier.kernel.settings import Settings
from tests.servers import ValkeyServer
from tests.web import sample
from tests.web.sample import until
from web.limits import KEYS_MAX, WINDOW_MS, Limits, RedisCounters, Share, Told, open_redis

START = 1_000 * WINDOW_MS


class Alone:
    """A store that nobody else uses: it says what it is told."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int, str], int] = {}
        self.gone = False

    async def add(self, name: str, window: int, added: Sequence[tuple[str, int]]) -> Sequence[Told]:
        """Add up."""
        if self.gone:
            raise RedisError
        for key, amount in added:
            self.counts[name, window, key] = self.counts.get((name, window, key), 0) + amount
        return [
            Told(total=self.counts[name, window, key], before=self.counts.get((name, window - 1, key), 0))
            for key, _ in added
        ]


def _taken(limits: Limits, key: str, at_ms: int, *, tries: int) -> int:
    policy = limits.policy("default")
    return sum(limits.take(policy, key, at_ms).retry_after == 0 for _ in range(tries))


# -- one process


def test_exactly_the_limit_is_let_through_per_key() -> None:
    made = Limits({"default": 5}, store=Alone())
    assert _taken(made, "a", START, tries=9) == 5
    assert _taken(made, "b", START, tries=3) == 3


def test_the_headers_count_down() -> None:
    made = Limits({"default": 3}, store=Alone())
    policy = made.policy("default")
    assert made.take(policy, "a", START + 1_500).header == '"default";r=2;t=59'
    assert policy.header == '"default";q=3;w=60'


def test_several_may_be_taken_at_once_or_none() -> None:
    made = Limits({"default": 5}, store=Alone())
    policy = made.policy("default")
    assert made.take(policy, "a", START, amount=4).retry_after == 0
    assert made.take(policy, "a", START, amount=2).retry_after > 0
    assert made.take(policy, "a", START, amount=1).retry_after == 0


def test_the_window_slides_so_that_its_edge_gives_nothing_away() -> None:
    made = Limits({"default": 60}, store=Alone())
    end = START + WINDOW_MS - 1
    assert _taken(made, "a", end, tries=99) == 60
    assert _taken(made, "a", end + 1, tries=99) == 0
    assert _taken(made, "a", end + 2, tries=99) == 0, "a thousandth of a request is no request"
    assert _taken(made, "a", end + 1 + WINDOW_MS // 2, tries=99) == 30
    assert _taken(made, "a", end + 3 * WINDOW_MS, tries=99) == 60


@given(
    limit=st.integers(1, 50),
    events=st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_no_minute_has_more_than_twice_the_limit_and_retry_after_is_true(
    limit: int, events: list[tuple[int, int]]
) -> None:
    made = Limits({"default": limit}, store=Alone())
    policy, now, passed = made.policy("default"), START, list[int]()
    for pause, tries in events:
        now += pause
        for _ in range(tries):
            quota = made.take(policy, "a", now)
            if quota.retry_after:
                assert 1 <= quota.retry_after <= 121, "two windows, and always a little more than is needed"
                now += quota.retry_after * 1_000
                assert made.take(policy, "a", now).retry_after == 0, "who waits as told is let through"
            passed.append(now)
    for index, begin in enumerate(passed):
        assert sum(begin <= one < begin + WINDOW_MS for one in passed[index:]) <= 2 * limit


@given(
    limit=st.integers(3, 50),
    own=st.integers(3, 50),
    events=st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 3)), min_size=1, max_size=60),
)
def test_of_several_limits_all_are_taken_or_none_and_retry_after_is_true(
    limit: int, own: int, events: list[tuple[int, int]]
) -> None:
    made = Limits({"default": limit, "key": limit}, store=Alone())
    shares = [Share(made.policy("default"), "a", limit), Share(made.policy("key"), "k", own)]
    now = START
    for pause, amount in events:
        now += pause
        before = [made.take(*share[:2], now, amount=0).remaining for share in shares]
        quota = made.take_all(shares, now, amount)
        after = [made.take(*share[:2], now, amount=0).remaining for share in shares]
        if quota.retry_after:
            assert after == before
            now += quota.retry_after * 1_000
            assert made.take_all(shares, now, amount).retry_after == 0, "who waits as told is let through"
        else:
            assert after == [one - amount for one in before]


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    made = Limits({"default": 5}, store=Alone())
    assert _taken(made, "a", START + WINDOW_MS, tries=5) == 5
    assert _taken(made, "a", START, tries=5) == 0


def test_a_clock_that_was_set_back_far_begins_anew() -> None:
    made = Limits({"default": 100}, store=Alone())
    _taken(made, "a", START + 60 * WINDOW_MS, tries=100)
    policy = made.policy("default")
    once_a_second = range(START, START + 50 * WINDOW_MS, 1_000)
    assert [now for now in once_a_second if made.take(policy, "a", now).retry_after] == []
    assert _taken(made, "a", START + 50 * WINDOW_MS, tries=100) == 40, "what was used since then still counts"


def test_the_number_of_keys_is_bounded() -> None:
    made = Limits({"default": 5}, store=Alone())
    policy = made.policy("default")
    for number in range(KEYS_MAX + 10):
        made.take(policy, str(number), START)
    assert len(policy.counts) == KEYS_MAX


async def test_what_could_not_be_told_is_told_later_and_only_once() -> None:
    store = Alone()
    store.gone = True
    made = Limits({"default": 9}, store=store)
    _taken(made, "a", START, tries=3)
    with pytest.raises(RedisError):
        await made.exchange()
    assert _taken(made, "a", START, tries=9) == 6, "a lost store forgets nothing"
    store.gone = False
    await made.exchange()
    await made.exchange()
    assert list(store.counts.values()) == [9]


# -- several processes and one store


async def test_two_processes_share_a_limit_but_for_what_comes_between_two_exchanges(redis_url: str) -> None:
    redis = open_redis(redis_url)
    store = RedisCounters(redis)
    first, second = (Limits({"default": 100}, store=store) for _ in range(2))
    passed = 0
    for _ in range(40):
        for one in (first, second):
            passed += _taken(one, "a", START, tries=5)
            await one.exchange()
    assert 100 <= passed <= 105
    late = Limits({"default": 100}, store=store)
    assert _taken(late, "a", START + WINDOW_MS, tries=1) == 1
    await late.exchange()
    assert _taken(late, "a", START + WINDOW_MS, tries=9) == 0, "the past minute is learnt as well"
    await redis.aclose()


async def test_an_emptied_store_does_not_give_the_limit_anew(valkey_server: Callable[..., ValkeyServer]) -> None:
    server = valkey_server()
    redis = open_redis(server.url)
    made = Limits({"default": 10}, store=RedisCounters(redis))
    assert _taken(made, "a", START, tries=8) == 8
    await made.exchange()
    server.wipe()
    assert _taken(made, "a", START, tries=1) == 1
    await made.exchange()
    assert _taken(made, "a", START, tries=9) == 1
    await redis.aclose()


async def test_counts_expire_with_their_window(redis_url: str) -> None:
    redis = open_redis(redis_url)
    made = Limits({"default": 10}, store=RedisCounters(redis))
    for number in range(1_200):
        made.take(made.policy("default"), str(number), START)
    await made.exchange()
    keys = cast("list[bytes]", await redis.keys("*"))
    assert len(keys) == 1
    assert await redis.hlen(keys[0].decode()) == 1_200
    assert 0 < await redis.ttl(keys[0]) <= 180
    await redis.aclose()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_frozen_redis_slows_no_request(
    settings: Callable[..., Settings], valkey_server: Callable[..., ValkeyServer]
) -> None:
    server = valkey_server()
    async with sample.site(settings(redis_url=server.url, requests_per_minute=200)) as site:
        assert (await site.ask("GET", "/api/things")).status == 200
        server.freeze()
        try:
            began, told = perf_counter(), list[int]()
            while perf_counter() - began < 3:  # longer than the exchange's patience and its pause
                told.append((await site.ask("GET", "/api/things")).status)
        finally:
            server.thaw()
    assert len(told) > 200, "were each to wait 50 ms for Redis, no more than 60 would fit"
    assert set(told) == {200, 429}
    # Where a minute turns meanwhile, three seconds' part of what was counted in the last one is forgotten.
    assert 199 <= told.count(200) <= 199 + 200 * 3 // 60 + 1


async def test_the_exchange_goes_on_after_the_store_comes_back(valkey_server: Callable[..., ValkeyServer]) -> None:
    server = valkey_server()
    redis = open_redis(server.url)
    made = Limits({"default": 10}, store=RedisCounters(redis), silence_seconds=0.05)
    task = asyncio.create_task(made.run())
    try:
        server.freeze()
        made.take(made.policy("default"), "a", now_ms())
        await until(lambda: made.failures > 0)
        server.thaw()
        await until(lambda: made.failures == 0)
        assert await redis.dbsize() == 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await redis.aclose()
