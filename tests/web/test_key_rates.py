"""How often API keys and their users may ask: all limits hold, and what one of them refuses uses up none."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from atelier.accounts.scopes import SCOPES
from atelier.catalog.seed_content import ECHO
from atelier.jobs.batches import ITEMS_MAX
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.furnishing import furnish
from tests.jobs import keys
from tests.jobs.lifecycle import Workshop
from tests.live.harness import Served, World, serving
from tests.web.asking import ask, by_key

GENERATE = "/api/workshop/generate"
BATCH = "/api/jobs/batch"


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


# -- batches


def batch(items: int, *, prompt: str = "回声") -> dict[str, Any]:
    return {"items": [{"agentId": ECHO.id, "inputData": {"prompt": prompt}}] * items}


async def test_each_item_of_a_batch_is_a_submission(settings: Callable[..., Settings], world: World) -> None:
    me = world.person()
    Workshop(world.db).topup(me.id, 1_000)
    key = keys.make(world.db, me.id, submissions_per_minute=5)
    async with serving(settings(web_relay=False, submissions_per_minute=9)) as served:
        got = [await ask(served, "POST", BATCH, by_key(key), batch(items)) for items in (3, 3, 2, 1)]
        assert [one.status for one in got] == [202, 429, 202, 429]
        assert got[0].headers["RateLimit"].startswith('"key_submit";r=2;')
        assert int(got[1].headers["Retry-After"]) > 0
        mine = [await ask(served, "POST", BATCH, me.headers, batch(items)) for items in (5, 3)]
        assert [one.status for one in mine] == [429, 202], "five of the nine were the key's"
        assert mine[1].headers["RateLimit"].startswith('"submit";r=1;')
        one = [await ask(served, "POST", GENERATE, me.headers, batch(1)["items"][0]) for _ in range(2)]
        assert [got.status for got in one] == [202, 429]


async def test_a_batch_that_no_minute_has_room_for_is_told_so(settings: Callable[..., Settings], world: World) -> None:
    me = world.person()
    Workshop(world.db).topup(me.id, 1_000)
    key = keys.make(world.db, me.id, submissions_per_minute=2)
    async with serving(settings(web_relay=False, submissions_per_minute=4)) as served:
        for who, most in ((by_key(key), 2), (me.headers, 4)):
            got = await ask(served, "POST", BATCH, {**who, "Accept-Language": "en"}, batch(most + 1))
            assert got.code == (400, "VALIDATION_FAILED")
            assert [(one["path"], one["code"]) for one in got.body["details"]] == [
                (["items"], "submissions_per_minute")
            ]
            assert f" {most} " in got.body["details"][0]["message"]
        assert (await ask(served, "POST", BATCH, me.headers, batch(4))).status == 202, (
            "what was refused used up nothing"
        )


async def test_the_largest_batch_passes_as_it_is_and_again_for_its_key(served: Served, world: World) -> None:
    me = world.person()
    Workshop(world.db).topup(me.id, 1_000)
    once = me.headers | {"Idempotency-Key": "one"}
    got = [await ask(served, "POST", BATCH, once, batch(ITEMS_MAX)) for _ in range(8)]
    assert [one.status for one in got] == [202] * 8, "six of a hundred would be all, but what is told again is none"
    assert {one.body["batchId"] for one in got} == {got[0].body["batchId"]}
    assert (await ask(served, "POST", BATCH, me.headers, batch(ITEMS_MAX, prompt="again"))).status == 202
