"""Everything of a user, and nothing of others; who leaves and comes back; and who does not read is not waited for."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from typing_extensions import override

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.wire import Notice
from tests.live.harness import (
    Person,
    Served,
    World,
    eventually,
    healthy,
    serving,
    socket,
)
from tests.servers import ValkeyServer
from web.live.catchup import CatchUp
from web.live.feed import Close
from web.live.streams import Owners, Streams
from web.services import SERVICES

MakeSettings = Callable[..., Settings]
MakeServer = Callable[..., ValkeyServer]


@pytest.fixture
def chosen(settings: MakeSettings) -> Settings:
    return settings(web_relay=False)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    return World(db, chosen)


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["data"]["delta"] for event in events if event["type"] == "job.output")


async def test_everything_of_a_user_includes_jobs_of_the_future_and_credits(world: World, chosen: Settings) -> None:
    me, other = world.person(), world.person()
    finished, waiting = world.job(me), world.job(me)
    world.claim(finished)
    world.finish(finished)
    async with serving(chosen) as served, socket(served, me) as ws, socket(served, me) as returned:
        await healthy(served)
        await ws.say(type="subscribe", all=True)
        first = await ws.until("credits.changed")
        assert [event["jobId"] for event in first if event["type"].startswith("job.")] == [waiting]
        await returned.say(type="subscribe", all=True, after=0)
        first = await returned.until("credits.changed")
        assert {event["jobId"] for event in first if event["type"].startswith("job.")} == {waiting, finished}
        theirs, mine = world.job(other), world.job(me)
        world.claim(theirs)
        world.claim(mine)
        event = await ws.next()
        assert (event["type"], event["jobId"]) == ("job.running", mine)


async def test_jobs_that_nobody_told_of_reach_those_who_follow_everything(
    db: Database, settings: MakeSettings, valkey_server: MakeServer
) -> None:
    server = valkey_server()
    chosen = settings(redis_url=server.url, web_relay=False)
    world = World(db, chosen)
    me = world.person()
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", all=True)
        await ws.until("credits.changed")
        server.kill()
        job = world.job(me)
        assert (await ws.next())["jobId"] == job
        world.claim(job)
        world.finish(job)
        assert types(await ws.until("job.completed"))[-1] == "job.completed"


async def test_a_job_of_someone_else_is_refused(world: World, chosen: Settings) -> None:
    me, other = world.person(), world.person()
    theirs = world.job(other)
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=theirs)
        refusal = await ws.next()
        assert (refusal["type"], refusal["jobId"], refusal["data"]["code"]) == ("error", theirs, "NOT_FOUND")
        world.claim(theirs)
        mine = world.job(me)
        await ws.say(type="subscribe", jobId=mine)
        assert types([await ws.next(), await ws.next()]) == ["subscribed", "job.pending"]


async def test_a_socket_that_does_not_read_is_dropped_and_comes_back(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    async with (
        serving(chosen) as served,
        socket(served, me) as slow,
        socket(served, me) as stuck,
        socket(served, me) as quick,
    ):
        await healthy(served)
        for listener in (slow, stuck, quick):
            await listener.say(type="subscribe", jobId=job)
            await listener.until("job.running")
        reading = asyncio.create_task(quick.until("job.completed", seconds=60))
        await asyncio.to_thread(_flood, world, job, served)
        assert await slow.closed() == Close.TOO_SLOW
        await eventually(lambda: len(served.live.sockets) == 1, what="who takes nothing at all is not waited for")
        world.finish(job)
        assert types(await reading)[-1] == "job.completed"
        async with socket(served, me) as again:
            await again.say(type="subscribe", jobId=job, after=1)
            assert types(await again.until("job.completed"))[-1] == "job.completed"


def _flood(world: World, job: str, served: Served) -> None:
    """Much text, until the two sockets that don't read are dropped: no machine buffers all of it."""
    for _ in range(20_000):
        world.output(job, "x" * 16_384)
        if sum(feed.ended is Close.TOO_SLOW for feed in list(served.live.sockets.feeds)) == 2:
            return
    raise AssertionError


async def test_a_user_sees_nothing_of_others_in_a_storm(world: World, chosen: Settings) -> None:
    people = [world.person() for _ in range(5)]
    jobs: dict[str, Person] = {world.job(person): person for person in people for _ in range(4)}
    async with serving(chosen) as served:
        await healthy(served)
        sockets = [socket(served, person) for person in people]
        listeners = [await one.__aenter__() for one in sockets]
        for listener in listeners:
            await listener.say(type="subscribe", all=True)
            await listener.until("credits.changed")
        for job in jobs:
            world.claim(job)
            world.finish(job)
        for person, listener in zip(people, listeners, strict=True):
            done: set[str] = set()
            while len(done) < 4:
                event = await listener.next()
                assert jobs[event["jobId"]] is person
                done |= {event["jobId"]} if event["type"] == "job.completed" else set()
        for one in sockets:
            await one.__aexit__(None, None, None)


class Slow(Streams):
    """Streams that answer when they are told to, with nothing."""

    def __init__(self) -> None:
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    @override
    async def after(self, wanted: Mapping[str, int], *, owners: Owners) -> dict[str, list[Notice]]:
        self.asked.set()
        await self.told.wait()
        return {}


async def test_who_leaves_and_comes_back_while_events_are_fetched_goes_on_hearing(
    world: World, chosen: Settings
) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=job)
        await ws.until("job.running")
        live, streams = served.live, Slow()
        catch_up = CatchUp(
            served.application[SERVICES].db,
            feeds=live.feeds,
            reader=live.reader,
            snapshots=live.snapshots,
            streams=streams,
            healthy=live.health,
        )
        fetching = asyncio.create_task(catch_up.check(missed=True))
        await streams.asked.wait()
        await ws.say(type="unsubscribe", jobId=job)
        await ws.say(type="subscribe", jobId=job)
        await ws.until("job.running")
        streams.told.set()
        await fetching
        world.progress(job, 0.5)
        assert (await ws.next())["type"] == "job.progress"
