"""Notifications over a real WebSocket: told once, to whom they are for, also when nobody told of them."""

from collections.abc import Callable

import pytest

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.events import Event
from tests.live.harness import Listener, Person, Served, World, healthy, serving, socket
from tests.notifications.town import SAMPLES, Town
from tests.servers import ValkeyServer
from web.live.told import REMEMBERED_MAX, Told

MakeSettings = Callable[..., Settings]
MakeServer = Callable[..., ValkeyServer]
CREATED = "notification.created"
EVENT = {"type", "jobId", "seq", "at", "data"}


@pytest.fixture
def chosen(settings: MakeSettings) -> Settings:
    return settings(web_relay=False)


@pytest.fixture
def town(db: Database, chosen: Settings) -> Town:
    return Town(db, chosen)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    return World(db, chosen)


async def follow(ws: Listener) -> None:
    """Follow everything, and take what there is."""
    await ws.say(type="subscribe", all=True)
    await ws.until("credits.changed")


async def quiet(ws: Listener, served: Served) -> None:
    """Nothing comes any more: the answer to a ping is next, after everyone was looked after."""
    await served.live.catch_up.check(missed=True)
    await ws.say(type="ping")
    assert (await ws.next())["type"] == "pong"


async def test_its_user_is_told_once_on_every_socket(world: World, town: Town, chosen: Settings) -> None:
    me, other = world.person(), world.person()
    old = town.told(me.id)
    async with (
        serving(chosen) as served,
        socket(served, me) as ws,
        socket(served, me) as second,
        socket(served, other) as theirs,
    ):
        await healthy(served)
        for one in (ws, second, theirs):
            await follow(one)
        told = town.told(me.id, "agent_sold", ref_type="agent", ref_id=old)
        assert town.deliver(told) is None
        events = [await one.next() for one in (ws, second)]
        assert events[0] == events[1]
        assert events[0].keys() == EVENT
        assert (events[0]["type"], events[0]["jobId"], events[0]["data"]["id"]) == (CREATED, None, told)
        assert events[0]["data"]["message"] == "您的 Agent「海报」被购买，您获得 80 积分。"
        for one in (ws, second, theirs):
            await quiet(one, served)
        async with served.client.get("/api/notifications", headers=me.headers) as response:
            listed = (await response.json())["notifications"]
        assert listed[0] == events[0]["data"]
        await told_of_credits(ws, world, me)


async def told_of_credits(ws: Listener, world: World, me: Person) -> None:
    """Credits have numbers of their own, however high those of notifications are."""
    event = Event(type="credits.changed", job_id=None, seq=7, at_ms=0, data={})
    world.publisher.publish(me.id, [event])
    assert (await ws.next())["seq"] == 7


async def test_a_notification_is_told_in_the_language_of_its_user_unless_they_want_none(
    world: World, town: Town, chosen: Settings
) -> None:
    me = world.person()
    town.set(me.id, settings={"locale": "en", "notifications": {"reviews": {"live": False}}})
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await follow(ws)
        town.told(me.id, "review_received")
        told = town.told(me.id, "role_changed")
        event = await ws.next()
        assert (event["data"]["id"], event["data"]["title"]) == (told, "Your role was changed")
        await quiet(ws, served)


async def test_what_redis_lost_is_found_in_the_database(
    db: Database, settings: MakeSettings, valkey_server: MakeServer
) -> None:
    server = valkey_server()
    chosen = settings(redis_url=server.url, web_relay=False)
    world, town = World(db, chosen), Town(db, chosen)
    me = world.person()
    town.set(me.id, settings={"locale": "en"})
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await follow(ws)
        server.kill()
        told = [town.told(me.id, kind) for kind in sorted(SAMPLES)]
        seen = [await ws.next() for _ in told]
        assert [event["data"]["id"] for event in seen] == told
        assert seen[0]["data"]["title"] == "Your agent was approved"
        server.run()
        await healthy(served)
        last = town.told(me.id)
        assert (await ws.next())["data"]["id"] == last


async def test_who_no_longer_follows_everything_is_told_nothing(world: World, town: Town, chosen: Settings) -> None:
    me = world.person()
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await follow(ws)
        await ws.say(type="unsubscribe", all=True)
        assert (await ws.next())["type"] == "unsubscribed"
        town.told(me.id)
        await ws.say(type="subscribe", all=True)
        assert [(await ws.next())["type"] for _ in range(2)] == ["subscribed", "credits.changed"]
        await quiet(ws, served)


def test_numbers_are_news_once_in_any_order() -> None:
    told = Told(10)
    assert [told.is_news(seq) for seq in (10, 12, 11, 12, 11, 13)] == [False, True, True, False, False, True]
    told.rise(12)
    assert (told.floor, told.seen) == (12, {13})
    told.rise(11)
    assert [told.is_news(seq) for seq in (12, 13, 14)] == [False, False, True]
    assert all(told.is_news(100 + seq) for seq in range(2 * REMEMBERED_MAX))
    assert len(told.seen) <= REMEMBERED_MAX
    assert not told.is_news(told.floor)
