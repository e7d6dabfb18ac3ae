"""What is said on sockets and streams."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientWebSocketResponse

from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.live.harness import (
    Listener,
    Person,
    Served,
    World,
    eventually,
    healthy,
    serving,
    socket,
    stream,
)

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
FRONT_END = "https://shop.test"


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    return settings(web_relay=False, frontend_urls=FRONT_END)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    return World(db, chosen)


@pytest_asyncio.fixture
async def served(chosen: Settings) -> AsyncIterator[Served]:
    async with serving(chosen) as running:
        await healthy(running)
        yield running


async def ticket_of(served: Served, person: Person) -> dict[str, Any]:
    async with served.client.post("/api/events/ticket", json={}, headers=person.headers) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        made: dict[str, Any] = await response.json()
        return made


async def greeted(ws: ClientWebSocketResponse, **first: Any) -> dict[str, Any] | int | None:
    """What the server answers to a first message: its own message, or its close code."""
    listener = Listener(ws)
    await listener.say(**first)
    message = await ws.receive(timeout=10)
    return message.json() if message.type.name == "TEXT" else await listener.closed()


# -- what is said on a socket


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"type": "subscribe"}, "VALIDATION_FAILED"),
        ({"type": "subscribe", "jobId": "x"}, "VALIDATION_FAILED"),
        ({"type": "subscribe", "jobId": 5}, "VALIDATION_FAILED"),
        ({"type": "subscribe", "all": "yes"}, "VALIDATION_FAILED"),
        ({"type": "subscribe", "all": True, "after": -1}, "VALIDATION_FAILED"),
        ({"type": "subscribe", "all": True, "more": 1}, "VALIDATION_FAILED"),
        ({"type": "unsubscribe"}, "VALIDATION_FAILED"),
        ({"type": "auth", "token": "again"}, "VALIDATION_FAILED"),
        ({"type": "publish"}, "VALIDATION_FAILED"),
        ({"type": "subscribe", "jobId": "0198f1d2-7c1a-7000-8000-000000000001"}, "NOT_FOUND"),
        ([], "VALIDATION_FAILED"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_the_socket_stays(
    served: Served, world: World, said: Any, code: str
) -> None:
    async with socket(served, world.person()) as ws:
        await ws.ws.send_json(said)
        answer = await ws.next()
        assert (answer["type"], answer["data"]["code"]) == ("error", code)
        assert set(answer) == {"type", "jobId", "seq", "at", "data"}
        await ws.say(type="ping")
        assert (await ws.next())["type"] == "pong"


@pytest.mark.parametrize("said", ["{", "", "null", '{"type":"ping"', "\u0000"])
async def test_what_is_no_json_is_refused_and_the_socket_stays(served: Served, world: World, said: str) -> None:
    async with socket(served, world.person()) as ws:
        await ws.ws.send_str(said)
        assert (await ws.next())["data"]["code"] == "VALIDATION_FAILED"
        await ws.ws.send_bytes(b"{}")
        assert (await ws.next())["data"]["code"] == "VALIDATION_FAILED"


async def test_a_refusal_is_told_in_the_readers_language(served: Served, world: World) -> None:
    me = world.person()
    async with served.client.ws_connect("/api/events", headers={"Accept-Language": "en"}) as ws:
        await greeted(ws, type="auth", token=me.token)
        await ws.send_json({"type": "subscribe", "jobId": new_id()})
        assert (await ws.receive_json())["data"]["message"] == "There is no such thing"


async def test_a_message_that_is_too_large_closes_the_socket(served: Served, world: World) -> None:
    async with socket(served, world.person()) as ws:
        await ws.ws.send_str("x" * (64 * 1024 + 1))
        assert await ws.closed() == 1009


async def test_messages_are_counted_against_the_users_rate(settings: Callable[..., Settings], db: Database) -> None:
    chosen = settings(web_relay=False, requests_per_minute=50)
    me = World(db, chosen).person()
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        for _ in range(60):
            await ws.say(type="ping")
        answers = [await ws.next() for _ in range(60)]
        assert {answer["type"] for answer in answers} == {"pong", "error"}
        assert answers[-1]["data"]["code"] == "RATE_LIMITED"


async def test_after_unsubscribing_nothing_more_comes(served: Served, world: World) -> None:
    me = world.person()
    left, kept = world.job(me), world.job(me)
    async with socket(served, me) as ws:
        for job in (left, kept):
            await ws.say(type="subscribe", jobId=job)
            await ws.until("job.pending")
        await ws.say(type="unsubscribe", jobId=left)
        assert (await ws.next())["type"] == "unsubscribed"
        world.claim(left)
        world.claim(kept)
        assert (await ws.next())["jobId"] == kept
        await ws.say(type="subscribe", all=True)
        await ws.until("credits.changed")
        await ws.say(type="unsubscribe", all=True)
        await ws.until("unsubscribed")
        world.finish(kept)
        assert (await ws.next())["jobId"] == kept
        world.finish(left)
        await served.live.catch_up.check(missed=True)
        await ws.say(type="ping")
        assert (await ws.next())["type"] == "pong"


async def test_who_follows_everything_once_more_is_told_the_present_state_again(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    async with socket(served, me) as ws:
        for _ in range(2):
            await ws.say(type="subscribe", all=True)
            told = await ws.until("credits.changed")
            assert [event["type"] for event in told[-3:]] == ["subscribed", "job.pending", "credits.changed"]
            assert told[-2]["jobId"] == job
            await ws.say(type="unsubscribe", all=True)
            await ws.until("unsubscribed")


async def test_a_number_that_was_never_given_is_not_believed(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    async with socket(served, me) as ws:
        await ws.say(type="subscribe", jobId=job, after=10**15)
        assert [(await ws.next())["type"] for _ in range(2)] == ["subscribed", "job.pending"]


async def test_subscribing_twice_tells_nothing_twice(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    async with socket(served, me) as ws:
        await ws.say(type="subscribe", jobId=job)
        await ws.until("job.pending")
        await ws.say(type="subscribe", jobId=job, after=1)
        await ws.say(type="subscribe", all=True)
        await ws.until("credits.changed")
        world.claim(job)
        world.finish(job)
        assert [event["type"] for event in await ws.until("job.completed")] == ["job.running", "job.completed"]
        await ws.say(type="ping")
        assert (await ws.next())["type"] == "pong"


async def test_a_socket_follows_a_bounded_number_of_jobs(served: Served, world: World) -> None:
    me = world.person()
    async with socket(served, me) as ws:
        for _ in range(200):
            await ws.say(type="subscribe", jobId=world.job(me))
            await ws.until("job.pending")
        await ws.say(type="subscribe", jobId=world.job(me))
        assert (await ws.next())["data"]["code"] == "VALIDATION_FAILED"


# -- streams


async def _status(served: Served, person: Person, path: str, **headers: str) -> int:
    async with served.client.get(path, headers=person.headers | headers) as response:
        return response.status


async def test_a_stream_is_what_browsers_expect(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.finish(job)
    async with served.client.get(f"/api/jobs/{job}/events", headers=me.headers) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-cache"
        text = await response.text()
    assert text.startswith("retry: 1000\r\n\r\n")
    assert f"id: {world.seqs[job]}\r\nevent: job.completed\r\ndata: {{" in text


async def test_a_stream_whose_end_was_seen_tells_browsers_to_stop(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.finish(job)
    path = f"/api/jobs/{job}/events"
    assert await _status(served, me, path, **{"Last-Event-ID": str(world.seqs[job])}) == 204
    assert await _status(served, me, f"{path}?after={world.seqs[job]}") == 204
    assert await _status(served, me, f"{path}?after={world.seqs[job] - 1}") == 200


async def test_the_header_wins_over_the_parameter_and_garbage_means_nothing(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.output(job, "a")
    world.output(job, "b")
    world.finish(job)
    async with stream(served, me, job, last_id=world.seqs[job] - 1) as events:
        assert [event["type"] for event in await events.rest()] == ["job.completed"]
    for garbage in ("x", "-5", "1e9", "9" * 40, "²"):
        async with stream(served, me, job, last_id=garbage.encode().decode("latin-1")) as events:
            assert [event["type"] for event in await events.rest()] == ["job.completed"]
    async with stream(served, me, job, last_id=0) as events:
        kinds = [event["type"] for event in await events.rest()]
    assert kinds == ["job.running", "job.output", "job.output", "job.completed"]


async def test_a_user_may_have_a_bounded_number_of_streams(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    opened = [stream(served, me, job) for _ in range(100)]
    for one in opened:
        await one.__aenter__()
    assert await _status(served, me, f"/api/jobs/{job}/events") == 429
    for one in opened:
        await one.__aexit__(None, None, None)
    await eventually(lambda: not served.live.event_streams, what="all are gone")
    assert not served.live.feeds


@pytest.mark.parametrize("query", ["after=-1", "after=x", "since=1"])
async def test_bad_parameters_of_a_stream_are_refused(served: Served, world: World, query: str) -> None:
    me = world.person()
    assert await _status(served, me, f"/api/jobs/{world.job(me)}/events?{query}") == 400
