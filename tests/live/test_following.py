"""What those who watch see while Redis, the web process or the connection fails: every final state, nothing twice."""

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from redis import Redis

from atelier.jobs import states
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live import wire
from tests.live.harness import (
    World,
    eventually,
    healthy,
    polled,
    seqs,
    serving,
    socket,
    stream,
)
from tests.servers import ValkeyServer, free_port, until

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

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


async def test_a_socket_sees_a_job_from_its_beginning_to_its_end(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=job)
        assert types([await ws.next(), await ws.next()]) == ["subscribed", "job.pending"]
        world.claim(job)
        world.progress(job, 0.25)
        world.output(job, "Hello")
        world.finish(job, result={"outputs": []})
        assert types(await ws.until("job.completed")) == ["job.running", "job.progress", "job.output", "job.completed"]


async def test_reconnecting_with_after_misses_nothing_and_repeats_nothing(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    async with serving(chosen) as served:
        await healthy(served)
        async with socket(served, me) as ws:
            await ws.say(type="subscribe", jobId=job)
            await ws.until("job.running")
            world.output(job, "a")
            last = (await ws.next())["seq"]
        for letter in "bcd":
            world.output(job, letter)
        async with socket(served, me) as ws:
            await ws.say(type="subscribe", jobId=job, after=last)
            assert (await ws.next())["type"] == "subscribed"
            world.output(job, "e")
            world.finish(job)
            events = await ws.until("job.completed")
    assert text_of(events) == "bcde"
    assert seqs(events) == list(range(last + 1, last + 6))


async def test_a_late_comer_gets_the_state_and_the_whole_text_of_the_attempt(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    for letter in "abc":
        world.output(job, letter)
    async with serving(chosen) as served:
        await healthy(served)
        async with stream(served, me, job) as events:
            first = await events.next()
            assert first is not None
            assert (first["type"], first["data"]["status"]) == ("job.running", "running")
            world.output(job, "d")
            world.finish(job)
            assert text_of(await events.rest()) == "abcd"


async def test_a_stream_survives_a_restart_of_the_web_process(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    port = free_port()
    async with serving(chosen, port=port) as served, stream(served, me, job) as events:
        assert types([await events.next() or {}]) == ["job.pending"]
        world.claim(job)
        world.progress(job, 0.5)
        assert [(await events.next() or {})["type"] for _ in range(2)] == ["job.running", "job.progress"]
        last = events.last_id
        # The process says goodbye, and the stream ends without a final event: come again.
        served.live.close()
        assert await events.rest() == []
    world.output(job, "meanwhile")
    world.finish(job)
    async with serving(chosen, port=port) as served, stream(served, me, job, last_id=last) as events:
        assert types(await events.rest()) == ["job.output", "job.completed"]


async def test_a_restarted_web_process_knows_the_progress_of_running_jobs(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.progress(job, 0.75, "encoding")
    async with serving(chosen) as served:
        await healthy(served)
        found = await polled(served, me, job)
        assert (found["progress"], found["step"], found["seq"]) == (0.75, "encoding", world.seqs[job])


async def test_progress_without_a_fraction_keeps_the_one_before(world: World, chosen: Settings) -> None:
    me = world.person()
    job, told = world.job(me), world.job(me)
    for one in (job, told):
        world.claim(one)
    world.progress(told, 0.5)
    for one in (job, told):
        world.send(one, "job.progress", {"step": "processing"})
    async with serving(chosen) as served:
        await healthy(served)
        found = await polled(served, me, job)
        assert (found["progress"], found["step"], found["seq"]) == (0, "processing", world.seqs[job])
        assert (await polled(served, me, told))["step"] == "processing"
        world.progress(told, 0.75)
        world.send(told, "job.progress", {"step": "storing"})
        async with asyncio.timeout(15):
            while (found := await polled(served, me, told))["step"] != "storing":
                pass
        assert found["progress"] == 0.75


@pytest.mark.parametrize("entry", [b"job.progress {", b"job.progress []", b'job.progress {"data":7}', b"?"])
async def test_an_entry_that_nobody_understands_is_passed_over(
    world: World, chosen: Settings, shared_valkey: ValkeyServer, entry: bytes
) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    with shared_valkey.client() as redis:
        redis.xadd(wire.stream(job), {b"e": entry}, id=f"{world.seqs[job] + 1}-0")
        redis.xadd(wire.stream(job), {b"other": b""}, id=f"{world.seqs[job] + 2}-0")
    async with serving(chosen) as served:
        await healthy(served)
        found = await polled(served, me, job)
        assert (found["status"], found["progress"], found["seq"]) == ("running", 0, world.seqs[job])


async def test_an_emptied_redis_leaves_nobody_waiting(
    world: World, chosen: Settings, shared_valkey: ValkeyServer
) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=job)
        await ws.until("job.running")
        world.output(job, "a")
        last = (await ws.next())["seq"]
        shared_valkey.wipe()
        world.output(job, "b")
        assert (await ws.next())["data"] == {"delta": "b"}
        shared_valkey.wipe()
        world.finish(job, silently=True)
        # Its worker died before it could tell: who follows live is told by the database within seconds …
        assert types(await ws.until("job.completed")) == ["job.completed"]
        # … and who comes again is told at once, although nothing of the stream is left.
        async with stream(served, me, job, last_id=last) as events:
            (only,) = await events.rest()
            assert (only["type"], only["data"]["id"]) == ("job.completed", job)


async def test_a_killed_and_restarted_redis_leaves_nobody_waiting(
    db: Database, settings: MakeSettings, valkey_server: MakeServer
) -> None:
    server = valkey_server(persist=True)
    chosen = settings(redis_url=server.url, web_relay=False)
    world = World(db, chosen)
    me = world.person()
    ends_during, ends_after = world.job(me), world.job(me)
    world.claim(ends_during)
    world.claim(ends_after)
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", all=True)
        await ws.until("job.running")
        await ws.until("job.running")
        server.kill()
        world.finish(ends_during)
        (completed,) = [one for one in await ws.until("job.completed") if one["type"] == "job.completed"]
        assert completed["jobId"] == ends_during
        server.run()
        await healthy(served)
        world.output(ends_after, "live again")
        world.finish(ends_after)
        events = await ws.until("job.completed")
        assert types(events) == ["job.output", "job.completed"]
        assert {event["jobId"] for event in events} == {ends_after}


async def test_a_frozen_redis_slows_no_poll_and_hides_no_change(
    db: Database, settings: MakeSettings, valkey_server: MakeServer
) -> None:
    server = valkey_server()
    chosen = settings(redis_url=server.url, web_relay=False)
    world = World(db, chosen)
    me = world.person()
    jobs = [world.job(me) for _ in range(40)]
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=jobs[0])
        await ws.until("job.pending")
        server.freeze()
        waits: list[float] = []
        for number, job in enumerate(jobs):
            if number % 2:
                world.claim(job, silently=True)
            began = monotonic()
            assert (await polled(served, me, job))["status"] == ("running" if number % 2 else "pending")
            waits.append(monotonic() - began)
        # Far below any timeout of a connection: at most a wait of 50 ms, on a machine that is busy with other tests.
        assert sorted(waits)[len(waits) // 2] < 0.5, waits
        world.claim(jobs[0], silently=True)
        world.finish(jobs[0], silently=True)
        assert types(await ws.until("job.completed")) == ["job.completed"]
        assert (await polled(served, me, jobs[0]))["status"] == "completed"
        await eventually(lambda: not served.live.health(), what="the freeze is noticed")
        server.thaw()
        await healthy(served)


async def test_a_long_poll_is_answered_while_redis_is_frozen(
    db: Database, settings: MakeSettings, valkey_server: MakeServer
) -> None:
    server = valkey_server()
    chosen = settings(redis_url=server.url, web_relay=False)
    world = World(db, chosen)
    me = world.person()
    job = world.job(me)
    async with serving(chosen) as served:
        await healthy(served)
        server.freeze()
        waiting = asyncio.create_task(polled(served, me, job, wait=60, seq=1))
        await eventually(lambda: len(served.live.waits), what="the request waits")
        world.claim(job, silently=True)
        async with asyncio.timeout(20):
            assert (await waiting)["status"] == "running"
        server.thaw()


def listeners(redis: Redis) -> int:
    counted: Any = redis.pubsub_numsub(wire.CHANNEL)  # pyright: ignore[reportUnknownMemberType]
    return int(counted[0][1])


async def test_missing_events_are_fetched_when_the_subscription_is_back(
    db: Database, settings: MakeSettings, valkey_server: MakeServer
) -> None:
    server = valkey_server(persist=True)
    chosen = settings(redis_url=server.url, web_relay=False)
    world = World(db, chosen)
    me = world.person()
    job = world.job(me)
    world.claim(job)

    def interrupt(redis: Redis) -> None:
        redis.client_kill_filter(_type="pubsub")
        for letter in "abc":
            world.output(job, letter)
        # What is the first to come through a new connection must not hide what came before it.
        until(lambda: listeners(redis), what="somebody listens again")
        world.output(job, "d")

    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=job)
        await ws.until("job.running")
        with server.client() as redis:
            await asyncio.to_thread(interrupt, redis)
        world.finish(job)
        events = await ws.until("job.completed")
    assert text_of(events) == "abcd"
    assert seqs(events) == sorted(set(seqs(events)))


async def test_concurrent_publishers_never_disorder_or_repeat(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=job)
        await ws.until("job.running")
        superseded = world.seqs[job]

        def zombie() -> None:
            for number in range(1, 300):
                world.send(job, "job.output", {"delta": "z"}, seq=superseded + number)

        def successor() -> None:
            world.send(job, "job.running", {})
            for _ in range(300):
                world.output(job, "s")
            world.finish(job)

        threading.Thread(target=zombie).start()
        world.seqs[job] = world.fences[job] * states.SEQ_STEP + 500_000
        threading.Thread(target=successor).start()
        async with stream(served, me, job, last_id=superseded) as late:
            events, again = await asyncio.gather(ws.until("job.completed"), late.rest())
    for found in (events, again):
        assert seqs(found) == sorted(set(seqs(found)))
        assert text_of(found).count("s") == 300
        assert found[-1]["type"] == "job.completed"


async def test_two_processes_tell_the_same(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    async with serving(chosen) as here, serving(chosen) as there, socket(here, me) as ws, socket(there, me) as other:
        await healthy(here)
        await healthy(there)
        for listener in (ws, other):
            await listener.say(type="subscribe", jobId=job)
            await listener.until("job.pending")
        world.claim(job)
        world.finish(job)
        assert seqs(await ws.until("job.completed")) == seqs(await other.until("job.completed"))


async def test_what_this_process_did_is_seen_by_the_next_poll(world: World, chosen: Settings) -> None:
    me = world.person()
    async with serving(chosen) as served:
        await healthy(served)
        job = world.job(me, held=0)
        assert (await polled(served, me, job))["status"] == "pending"
        async with served.client.post(f"/api/jobs/{job}/cancel", json={}, headers=me.headers) as response:
            assert response.status == 200
        assert (await polled(served, me, job))["status"] == "canceled"
