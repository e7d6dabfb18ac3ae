"""How often API keys and their users may ask: all limits hold, and what one of them refuses uses up none."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from atelier.accounts.scopes import SCOPES
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.furnishing import furnish
from tests.jobs import keys
from tests.live.harness import Served, World, serving
from tests.web.asking import ask, by_key

GENERATE = "/api/workshop/generate"


@pytest.fixture
def world(db: Database, settings: Callable[..., Settings]) -> World:
    db.transact(furnish)
    return World(db, settings(web_relay=False))


@pytest_asyncio.fixture
async def served(settings: Callable[..., Settings], world: World) -> AsyncIterator[Served]:
    del world  # It is furnished before anybody looks.
    async with serving(settings(web_relay=False)) as running:
        yield running


async def test_a_keys_own_limits_hold_beside_its_users(served: Served, world: World) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, requests_per_minute=4, submissions_per_minute=2)
    other = keys.make(world.db, me.id)
    got = [await ask(served, "POST", GENERATE, by_key(key), {}) for _ in range(3)]
    assert [one.status for one in got] == [400, 400, 429]
    assert int(got[2].headers["Retry-After"]) > 0
    assert got[0].headers["RateLimit-Policy"] == '"key_submit";q=2;w=60'
    read = [await ask(served, "GET", "/api/jobs", by_key(key)) for _ in range(3)]
    assert [one.status for one in read] == [200, 200, 429], "what was refused was no request"
    assert read[1].headers["RateLimit"].startswith('"key";r=0;')
    assert (await ask(served, "GET", "/api/jobs", by_key(other))).status == 200
    assert (await ask(served, "GET", "/api/jobs", me.headers)).status == 200


@pytest.mark.parametrize("why", ["limit", "scope", "route"])
async def test_what_a_key_is_refused_leaves_its_user_the_whole_rate(
    settings: Callable[..., Settings], world: World, why: str
) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, scopes=["jobs:read"] if why == "scope" else SCOPES, submissions_per_minute=1)
    path, limits = (GENERATE, {}) if why != "route" else ("/api/keys", {"key_changes_per_minute": 3})
    async with serving(settings(web_relay=False, submissions_per_minute=3, **limits)) as served:
        told = [(await ask(served, "POST", path, by_key(key), {})).status for _ in range(8)]
        assert told == ([400] + [429] * 7 if why == "limit" else [403] * 8)
        mine = await ask(served, "POST", path, me.headers, {})
    assert mine.status == 400
    assert mine.headers["RateLimit"].split(";")[1] == ("r=1" if why == "limit" else "r=2")


async def test_what_its_user_is_refused_leaves_the_key_its_own_rate(
    settings: Callable[..., Settings], world: World
) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, requests_per_minute=2)
    async with serving(settings(web_relay=False, submissions_per_minute=1)) as served:
        told = [(await ask(served, "POST", GENERATE, who, {})).status for who in [me.headers] + [by_key(key)] * 5]
        assert told == [400] + [429] * 5
        assert (await ask(served, "GET", "/api/jobs", by_key(key))).headers["RateLimit"].startswith('"key";r=1;')


async def test_a_key_that_is_refused_without_end_is_counted_like_a_bad_token(
    settings: Callable[..., Settings], world: World
) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, scopes=["jobs:read"])
    async with serving(settings(web_relay=False, requests_per_minute=3)) as served:
        told = [await ask(served, "GET", "/api/files", by_key(key)) for _ in range(4)]
        assert [one.status for one in told] == [403, 403, 403, 429]
        assert (await ask(served, "GET", "/api/jobs", by_key(key))).status == 200
        assert (await ask(served, "GET", "/api/files", me.headers)).status == 200
