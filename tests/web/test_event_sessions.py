"""Who may open sockets and streams, with tokens and tickets, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientWebSocketResponse, WSServerHandshakeError

from atelier.accounts import sessions as accounts
from atelier.kernel import clock, tokens
from atelier.kernel.database import Database
from atelier.kernel.errors import Unauthorized
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
from tests.servers import ValkeyServer
from web.live import tickets
from web.live.feed import Close

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


# -- who may open a socket


async def test_the_first_message_names_the_session(served: Served, world: World) -> None:
    me = world.person()
    async with served.client.ws_connect("/api/events") as ws:
        answer = await greeted(ws, type="auth", token=me.token)
    assert isinstance(answer, dict)
    assert (answer["type"], answer["jobId"], answer["data"]["userId"]) == ("authenticated", None, me.id)


@pytest.mark.parametrize(
    "first",
    [
        {"type": "auth", "token": "forged"},
        {"type": "auth", "ticket": "forged"},
        {"type": "auth", "ticket": "a.b.c.1.2.3.é"},
        {"type": "auth"},
        {"type": "auth", "token": 5},
        {"type": "subscribe", "all": True},
        {"type": "ping"},
        {"kind": "auth"},
    ],
)
async def test_anything_else_first_closes_the_socket(served: Served, first: dict[str, Any]) -> None:
    async with served.client.ws_connect("/api/events") as ws:
        assert await greeted(ws, **first) == Close.UNAUTHORIZED
    await eventually(lambda: not served.live.lobby, what="nobody waits in the lobby")


async def test_a_ticket_opens_one_socket(served: Served, world: World) -> None:
    me = world.person()
    made = await ticket_of(served, me)
    async with served.client.ws_connect("/api/events") as ws:
        answer = await greeted(ws, type="auth", ticket=made["ticket"])
        assert isinstance(answer, dict)
        assert answer["data"]["userId"] == me.id
    async with served.client.ws_connect("/api/events") as ws:
        assert await greeted(ws, type="auth", ticket=made["ticket"]) == Close.UNAUTHORIZED


async def test_a_ticket_is_used_once_by_many_at_once_and_with_redis_empty(
    served: Served, chosen: Settings, world: World, shared_valkey: ValkeyServer
) -> None:
    made = await ticket_of(served, world.person())
    shared_valkey.wipe()

    async def attempt(server: Served) -> Any:
        async with server.client.ws_connect("/api/events") as ws:
            return await greeted(ws, type="auth", ticket=made["ticket"])

    async with serving(chosen) as another:
        answers = await asyncio.gather(*(attempt(server) for server in (served, another) for _ in range(4)))
    assert sorted(isinstance(answer, dict) for answer in answers) == [False] * 7 + [True]


async def test_a_ticket_holds_for_a_minute_and_never_longer_than_its_session(chosen: Settings, world: World) -> None:
    me, keyring, now = world.person(), chosen.keyring, clock.now_ms()
    claims = tokens.verify(keyring, me.token)
    ticket = tickets.Ticket(
        ticket_id=new_id(),
        user_id=me.id,
        token_id=claims.token_id,
        version=claims.version,
        token_expires_ms=claims.expires_ms,
        expires_ms=now + tickets.TICKET_MS,
    )
    text = ticket.encode(keyring)
    assert tickets.decode(keyring, text, now_ms=now + tickets.TICKET_MS - 1) == ticket
    for forged, at_ms in ((text, now + tickets.TICKET_MS), (text.replace(me.id, new_id()), now), (text[:-1], now)):
        with pytest.raises(Unauthorized):
            tickets.decode(keyring, forged, now_ms=at_ms)


async def test_a_ticket_of_an_ended_session_opens_nothing(served: Served, world: World) -> None:
    me = world.person()
    made = await ticket_of(served, me)
    revoke(world, me)
    async with served.client.ws_connect("/api/events") as ws:
        assert await greeted(ws, type="auth", ticket=made["ticket"]) == Close.UNAUTHORIZED


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "http://shop.test", "https://shop.test.evil.test", "http://["]
)
async def test_a_page_of_another_origin_is_refused_before_the_upgrade(served: Served, origin: str) -> None:
    with pytest.raises(WSServerHandshakeError) as refusal:
        await served.client.ws_connect("/api/events", origin=origin)
    assert refusal.value.status == 403


async def test_our_own_pages_and_the_front_ends_are_welcome(served: Served) -> None:
    for origin in (FRONT_END, f"http://127.0.0.1:{served.port}", None):
        async with served.client.ws_connect("/api/events", origin=origin) as ws:
            assert not ws.closed


async def test_a_request_that_is_no_upgrade_is_refused(served: Served) -> None:
    async with served.client.get("/api/events") as response:
        assert response.status == 400


async def test_a_user_may_have_twenty_sockets(served: Served, world: World) -> None:
    me, other = world.person(), world.person()
    opened = [socket(served, me) for _ in range(20)]
    for one in opened:
        await one.__aenter__()
    async with served.client.ws_connect("/api/events") as ws:
        assert await greeted(ws, type="auth", token=me.token) == Close.TOO_MANY
    async with socket(served, other):
        pass
    for one in opened:
        await one.__aexit__(None, None, None)
    await eventually(lambda: not served.live.sockets, what="all are gone")
    async with socket(served, me):
        pass


# -- how long a session lasts


def revoke(world: World, person: Person) -> None:
    world.db.transact(
        accounts.revoke_token,
        token_id=person.token_id,
        expires_ms=clock.now_ms() + clock.HOUR_MS,
        revocation_id=new_id(),
    )


async def test_logging_out_ends_sockets_and_streams_and_waits(served: Served, world: World) -> None:
    me, other = world.person(), world.person()
    job = world.job(me)
    async with socket(served, me) as ws, socket(served, other) as theirs, stream(served, me, job) as events:
        await events.next()
        waiting = asyncio.create_task(_status(served, me, f"/api/jobs/{job}?wait=60"))
        await eventually(lambda: len(served.live.waits), what="the request waits")
        revoke(world, me)
        assert await ws.closed() == Close.UNAUTHORIZED
        assert await events.next() is None
        assert await waiting == 401
        await theirs.say(type="ping")
        assert (await theirs.next())["type"] == "pong"


async def test_a_disabled_user_is_put_out(served: Served, world: World) -> None:
    me = world.person()
    async with socket(served, me) as ws:
        world.db.transact(
            accounts.set_status, user_id=me.id, active=False, revocation_id=new_id(), now_ms=clock.now_ms()
        )
        assert await ws.closed() == Close.UNAUTHORIZED


async def test_a_token_that_expires_closes_its_socket(served: Served, world: World, chosen: Settings) -> None:
    me, now = world.person(), clock.now_ms()
    # Tokens are good for five seconds more than they say, for clocks that differ.
    short = tokens.issue(
        chosen.keyring,
        user_id=me.id,
        token_id=new_id(),
        version=0,
        now_ms=now - 10_000,
        expires_ms=now - 3_000,
    )
    async with socket(served, Person(me.id, short, "")) as ws:
        assert await ws.closed() == Close.UNAUTHORIZED


async def test_a_process_that_stops_asks_everyone_to_come_again(chosen: Settings, world: World) -> None:
    me = world.person()
    job = world.job(me)
    async with serving(chosen) as served:
        await healthy(served)
        async with (
            served.client.ws_connect("/api/events") as lobby,
            socket(served, me) as ws,
            stream(served, me, job) as events,
        ):
            await events.next()
            await eventually(lambda: len(served.live.lobby), what="someone is in the lobby")
            stopping = asyncio.create_task(served.runner.cleanup())
            assert await ws.closed() == Close.GOING_AWAY
            assert await Listener(lobby).closed() == Close.GOING_AWAY
            assert await events.next() is None
            async with asyncio.timeout(10):
                await stopping


async def _status(served: Served, person: Person, path: str, **headers: str) -> int:
    async with served.client.get(path, headers=person.headers | headers) as response:
        return response.status
