"""Sockets, streams and tickets of API keys: of jobs only, with the scope only, and as long as the key only."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from atelier.accounts.api_keys import NewKey
from atelier.accounts.scopes import Scope
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.jobs import keys
from tests.live.harness import Listener, Served, World, eventually, healthy, serving
from tests.web.asking import ask, by_key
from web.live.feed import Close
from web.services import SERVICES

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    return settings(web_relay=False)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    return World(db, chosen)


@pytest_asyncio.fixture
async def served(chosen: Settings) -> AsyncIterator[Served]:
    async with serving(chosen) as running:
        await healthy(running)
        yield running


async def opened(served: Served, **first: Any) -> tuple[Any, Listener]:
    """What a socket is answered to its first message, or its close code."""
    ws = await served.client.ws_connect("/api/events")
    listener = Listener(ws)
    await listener.say(type="auth", **first)
    message = await ws.receive(timeout=10)
    return (message.json() if message.type.name == "TEXT" else await listener.closed()), listener


async def ticket(served: Served, key: NewKey) -> str:
    got = await ask(served, "POST", "/api/events/ticket", by_key(key))
    return str(got.body["ticket"])


@pytest.mark.parametrize("way", ["token", "ticket"])
async def test_a_socket_of_a_key_tells_of_jobs_and_of_nothing_else(served: Served, world: World, way: str) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, scopes=["jobs:read"])
    first = {"token": key.token.text} if way == "token" else {"ticket": await ticket(served, key)}
    answer, listener = await opened(served, **first)
    assert (answer["type"], answer["data"]) == ("authenticated", {"userId": me.id, "expiresAt": None})
    await listener.say(type="subscribe", all=True)
    assert (await listener.next())["type"] == "subscribed", "no balance before it, and none after"
    world.publisher.publish(me.id, [world.event(new_id())])
    job_id = world.job(me)
    world.claim(job_id)
    seen = await listener.until("job.running")
    assert {one["type"].partition(".")[0] for one in seen} == {"job"}
    await ask(served, "DELETE", f"/api/keys/{key.id}", me.headers)
    assert await listener.closed() == Close.UNAUTHORIZED


async def test_a_socket_needs_the_scope_and_ends_with_it(served: Served, world: World) -> None:
    me = world.person()
    blind, seeing = keys.make(world.db, me.id, scopes=["generate"]), keys.make(world.db, me.id, scopes=["jobs:read"])
    assert (await opened(served, token=blind.token.text))[0] == Close.FORBIDDEN
    assert (await ask(served, "POST", "/api/events/ticket", by_key(blind))).code == (403, "SCOPE_MISSING")
    _, listener = await opened(served, token=seeing.token.text)
    got = await ask(served, "PUT", f"/api/keys/{seeing.id}", me.headers, {"scopes": ["generate"]})
    assert got.status == 200
    assert await listener.closed() == Close.FORBIDDEN


async def asked(listener: Listener, job_id: str, *, times: int) -> list[str]:
    """What so many subscriptions in a row are answered."""
    told: list[str] = []
    for _ in range(times):
        await listener.say(type="subscribe", jobId=job_id)
        while (answer := (await listener.next())["type"]).startswith("job."):
            pass
        told.append(answer)
    return told


@pytest.mark.parametrize("way", ["token", "ticket"])
async def test_what_is_said_on_a_socket_counts_as_requests_of_its_key(served: Served, world: World, way: str) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, requests_per_minute=3)
    job_id = world.job(me)
    first = {"token": key.token.text} if way == "token" else {"ticket": await ticket(served, key)}
    _, listener = await opened(served, **first)
    room = 3 if way == "token" else 2  # To ask for a ticket was a request.
    told = await asked(listener, job_id, times=5)
    assert told == ["subscribed"] * room + ["error"] * (5 - room)
    assert (await ask(served, "GET", "/api/jobs", by_key(key))).code == (429, "RATE_LIMITED")
    assert (await ask(served, "GET", "/api/jobs", me.headers)).status == 200
    await ask(served, "PUT", f"/api/keys/{key.id}", me.headers, {"requestsPerMinute": None})
    await served.live.sockets.check()  # As it does by itself, twice a second.
    assert await asked(listener, job_id, times=2) == ["subscribed"] * 2, "what is changed counts for open sockets"


@pytest.mark.parametrize("scope", ["jobs:read", "generate"])
async def test_to_open_a_socket_is_to_use_a_key(served: Served, world: World, scope: Scope) -> None:
    key = keys.make(world.db, world.person().id, scopes=[scope])
    await opened(served, token=key.token.text)
    await served.application[SERVICES].key_uses.write()
    assert keys.read(world.db, key).last_used_ms is not None


async def test_a_ticket_of_a_key_is_no_way_to_more_than_the_key(served: Served, world: World) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, scopes=["jobs:read"])
    made = await ticket(served, key)
    keys.revoke(world.db, key)
    assert (await opened(served, ticket=made))[0] == Close.UNAUTHORIZED


async def test_a_stream_of_a_key_ends_with_it(served: Served, world: World) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, scopes=["jobs:read"])
    job_id = world.job(me)
    async with served.client.get(f"/api/jobs/{job_id}/events", headers=by_key(key)) as response:
        assert response.status == 200
        await eventually(lambda: len(served.live.event_streams) == 1, what="the stream is open")
        await ask(served, "DELETE", f"/api/keys/{key.id}", me.headers)
        async with asyncio.timeout(10):
            while await response.content.readline():
                pass
