"""Requests that wait: what happens while one looks at its job."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.live.harness import Served, World, eventually, healthy, serving
from web.live.feed import Feed
from web.live.waiting import LOOK_SECONDS
from web.snapshots import Rendered


@pytest.fixture
def world(db: Database, settings: Callable[..., Settings]) -> World:
    return World(db, settings(web_relay=False))


@pytest_asyncio.fixture
async def served(settings: Callable[..., Settings]) -> AsyncIterator[Served]:
    async with serving(settings(web_relay=False)) as running:
        await healthy(running)
        yield running


@pytest.mark.parametrize("look", ["first", "later"])
async def test_an_end_during_a_look_is_told_at_once(served: Served, world: World, look: str) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    first_seq = world.seqs[job]
    witness = Feed(me.id)
    witness.follow(job)
    served.live.feeds.watch(witness, job)
    ended: list[float] = []

    async def is_enough(shown: Rendered) -> bool:
        if not ended and (look == "first" or shown.seq > first_seq):
            await asyncio.to_thread(world.finish, job)
            await eventually(lambda: not witness.alive(), what="the end is told here")
            ended.append(time.monotonic())
        return shown.finished

    waiting = asyncio.create_task(
        served.live.waiting.until(
            is_enough,
            job,
            user_id=me.id,
            locale="zh",
            authorization=me.headers["Authorization"],
            seconds=60,
            is_gone=lambda: False,
        )
    )
    if look == "later":
        await eventually(lambda: len(served.live.waits), what="the request waits")
        world.progress(job, 0.5)
    assert (await waiting).finished
    assert time.monotonic() - ended[0] < LOOK_SECONDS
    served.live.feeds.remove(witness)
    assert not len(served.live.feeds)
