"""The list of agents, creating one, and its page: A36 to A56 (what is searched and counted is in test_search); A98."""

import asyncio
import time
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog import drafts, queries
from atelier.catalog.models import AGENTS
from atelier.contracts import oplog
from atelier.kernel.ids import new_id
from tests.seed_defects.conftest import Got, Shop
from web.views import VIEWS

Json = dict[str, Any]
WRITING = "01990000-0000-7000-8000-000000000101"
ECHO = "01990000-0000-7000-8000-0000000003ff"
BODY: Json = {
    "name": "诗歌助手",
    "description": "写一首小诗，题目由你来定，几秒完成。",
    "categoryId": WRITING,
    "priceType": "free",
    "capabilities": ["写诗"],
    "supportedLanguages": ["zh"],
    "inputTypes": ["text"],
    "outputTypes": ["text"],
    "tags": ["诗"],
}


async def create(shop: Shop, token: str, **changes: Any) -> Got:
    return await shop.ask("POST", "/api/agents", {**BODY, **changes}, token=token)


def wrong(got: Got) -> dict[str, str]:
    """Field → code of a refusal."""
    assert (got.status, got.body["code"], got.body["error"]) == (400, "VALIDATION_FAILED", "输入数据无效")
    return {".".join(map(str, one["path"])): one["code"] for one in got.body["details"]}


def rows(session: Session) -> int:
    return len(session.scalars(select(AGENTS.c.id)).all())


async def publish(shop: Shop, token: str, **changes: Any) -> str:
    """An approved agent; its id."""
    made = (await create(shop, token, **changes)).body["id"]
    boss = await shop.token(f"boss_{new_id()[-6:]}", role="admin")
    assert (await shop.ask("POST", f"/api/admin/agents/{made}/approve", token=boss)).status == 200
    return str(made)


# -- the list


async def test_A36_pages_are_whole_numbers_within_bounds(shop: Shop) -> None:
    for query in (
        "page=abc",
        "page=-1",
        "page=0",
        "page=1.5",
        "page=1e3",
        "limit=0",
        "limit=-5",
        "page=99999999999999",
    ):
        assert (await shop.ask("GET", f"/api/agents?{query}")).status == 400, query
    got = await shop.ask("GET", "/api/agents?limit=1000")
    assert got.body["pagination"]["limit"] == 50


async def test_A38_orders_and_price_types_are_those_that_there_are(shop: Shop) -> None:
    for query in ("order=sideways", "sortBy=password", "priceType=gift", "order=asc;drop table agents"):
        assert list(wrong(await shop.ask("GET", f"/api/agents?{query}"))) == [query.partition("=")[0]]


async def test_A40_a_list_shows_nothing_of_what_agents_run(shop: Shop) -> None:
    got = await shop.ask("GET", "/api/agents")
    for agent in got.body["agents"]:
        assert {"defaultConfig", "runtime", "promptTemplate", "creatorId", "version"} & agent.keys() == set()


# -- creating


async def test_A42_creating_takes_a_user_has_a_quota_and_happens_once(shop: Shop) -> None:
    assert (await shop.ask("POST", "/api/agents", BODY)).status == 401
    token = await shop.token()
    asked = [shop.ask("POST", "/api/agents", BODY, token=token, Idempotency_Key="k") for _ in range(3)]
    assert len({one.body["id"] for one in await asyncio.gather(*asked)}) == 1
    limit = shop.settings.unpublished_agents_max
    got = [await create(shop, token) for _ in range(limit)]
    assert [one.status for one in got] == [201] * (limit - 1) + [409]
    assert got[-1].body["code"] == "TOO_MANY_UNPUBLISHED"


async def test_A43_every_text_list_and_document_has_a_limit(shop: Shop) -> None:
    token, before = await shop.token(), shop.db.read(rows)
    deep: Json = {}
    for _ in range(30):
        deep = {"a": deep}
    too_much = {
        "name": "x" * 201,
        "description": "x" * 2_001,
        "detailedDescription": "x" * 20_001,
        "capabilities": ["x"] * 21,
        "supportedLanguages": ["zh"] * 21,
        "inputTypes": ["text"] * 21,
        "tags": [f"t{number}" for number in range(11)],
        "configSchema": {"description": "x" * 20_000},
        "defaultConfig": deep,
    }
    for name, value in too_much.items():
        assert next(iter(wrong(await create(shop, token, **{name: value})))).startswith(name), name
    huge = await create(shop, token, detailedDescription="x" * 300_000)
    assert (huge.status, huge.body["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert shop.db.read(rows) == before


async def test_A44_nothing_is_free_because_its_price_is_missing(shop: Shop) -> None:
    token, before = await shop.token(), shop.db.read(rows)
    for price_type, field in (
        ("one_time", "basePrice"),
        ("subscription", "basePrice"),
        ("pay_per_use", "creditsPerUse"),
    ):
        assert wrong(await create(shop, token, priceType=price_type)) == {field: "price_required"}
    assert wrong(await create(shop, token, priceType="one_time", basePrice=0)) == {"basePrice": "price_required"}
    assert shop.db.read(rows) == before


async def test_A45_credits_are_whole_numbers(shop: Shop) -> None:
    token = await shop.token()
    for value in (1.5, "5", True, -1, 10**12):
        assert list(wrong(await create(shop, token, priceType="one_time", basePrice=value))) == ["basePrice"], value
    for raw in (b"Infinity", b"NaN", b"1e400"):
        body = b'{"priceType":"one_time","basePrice":' + raw + b"}"
        assert (await shop.ask("POST", "/api/agents", body, token=token)).status == 400


async def test_A46_a_category_that_is_not_there_is_named(shop: Shop) -> None:
    got = await create(shop, await shop.token(), categoryId=new_id())
    assert wrong(got) == {"categoryId": "category_unknown"}


async def test_A47_agents_of_one_name_made_at_once_are_all_made(shop: Shop) -> None:
    token = await shop.token()
    made = await asyncio.gather(*(create(shop, token, name="Poem") for _ in range(10)))
    assert {one.status for one in made} == {201}
    assert len({one.body["slug"] for one in made}) == 10
    assert "poem" in {one.body["slug"] for one in made}


async def test_A48_no_field_decides_what_is_not_its_business(shop: Shop) -> None:
    token = await shop.token()
    smuggled = {
        "status": "published",
        "slug": "mine",
        "creatorId": ECHO,
        "ratingAvg": 5,
        "downloadsCount": 9,
        "id": ECHO,
        "viewCount": 9,
        "version": 1,
        "createdAt": "2020-01-01T00:00:00Z",
        "revision": 7,
    }
    for name, value in smuggled.items():
        assert wrong(await create(shop, token, **{name: value})) == {name: "extra_forbidden"}
    made = (await create(shop, token, tags=["诗", "词"])).body
    assert [link["tag"]["name"] for link in made["tags"]] == ["诗", "词"]


async def test_A49_an_agent_has_its_tags_from_the_first_moment(shop: Shop) -> None:
    """Tags that many agents bring at once are there for all of them, and a refused agent leaves none."""
    token = await shop.token()
    made = await asyncio.gather(*(create(shop, token, tags=["新词", f"词{number}"]) for number in range(8)))
    assert {one.status for one in made} == {201}
    assert {one.body["tags"][0]["tag"]["name"] for one in made} == {"新词"}
    assert len({link["tag"]["id"] for one in made for link in one.body["tags"]}) == 9


async def test_A50_the_log_is_written_with_the_agent_and_the_answer_is_no_row(shop: Shop) -> None:
    made = (await create(shop, await shop.token())).body
    assert {"creatorId", "categoryId", "rating_sum", "listPrice"} & made.keys() == set()
    logged = select(oplog.TABLE.c.action).where(oplog.TABLE.c.resource_id == made["id"])
    assert shop.db.read(lambda session: session.scalars(logged).all()) == ["AGENT_CREATE"]


async def test_A51_what_was_approved_changes_only_by_another_approval(shop: Shop) -> None:
    token = await shop.token()
    agent_id = await publish(shop, token)
    body = {**BODY, "revision": 2, "description": "完全不同的内容，谁也没有看过这一段。", "priceType": "free"}
    assert (await shop.ask("PUT", f"/api/agents/{agent_id}", body, token=token)).status == 200
    assert (await shop.ask("GET", f"/api/agents/{agent_id}")).body["description"] == BODY["description"]
    proposed = shop.db.read(drafts.draft, agent_id=agent_id)
    assert proposed is not None
    assert (proposed.status, proposed.definition.description) == ("review", body["description"])


# -- the page


async def test_A52_one_agent_is_read_by_its_key_and_then_judged(shop: Shop) -> None:
    hidden = (await create(shop, await shop.token())).body["id"]
    for agent_id in (hidden, new_id()):
        got = await shop.ask("GET", f"/api/agents/{agent_id}")
        assert (got.status, got.body["error"]) == (404, "Agent不存在")
    assert (await shop.ask("GET", f"/api/agents/{ECHO}")).status == 200


async def test_A53_the_page_shows_no_whole_rows(shop: Shop) -> None:
    token = await shop.token()
    agent_id = await publish(shop, token)
    got = (await shop.ask("GET", f"/api/agents/{agent_id}")).body
    assert {"runtime", "defaultConfig", "draft", "revision", "version"} & got.keys() == set()
    assert got["category"].keys() == {"id", "name", "slug", "color"}
    assert got["creator"].keys() == {"id", "username", "displayName", "avatarUrl"}
    assert got["tags"][0]["tag"].keys() == {"id", "name", "color"}
    assert "@example.com" not in str(got)


async def test_A54_reading_writes_nothing_and_counts_a_visitor_once(shop: Shop) -> None:
    for _ in range(5):
        assert (await shop.ask("GET", f"/api/agents/{ECHO}")).body["viewCount"] == 0
    views = shop.served.application[VIEWS]
    await views.flush()
    assert (await shop.ask("GET", f"/api/agents/{ECHO}")).body["viewCount"] == 1
    began = time.monotonic()
    await shop.ask("GET", f"/api/agents/{ECHO}")
    assert time.monotonic() - began < 5


async def test_A55_what_can_be_no_id_is_not_found(shop: Shop) -> None:
    for name in ("1", "abc", "undefined", "%27%20OR%201=1", ECHO.upper(), f"{ECHO}x"):
        for path in (f"/api/agents/{name}", f"/api/agents/{name}/reviews"):
            got = await shop.ask("GET", path)
            assert (got.status, got.body["code"]) == (404, "NOT_FOUND"), path


async def test_A56_creator_and_administrators_see_what_is_not_published(shop: Shop) -> None:
    token, boss = await shop.token(), await shop.token("boss", role="admin")
    made = (await create(shop, token)).body["id"]
    for who, status in ((token, 200), (boss, 200), (await shop.token("lin"), 404), ("", 404)):
        assert (await shop.ask("GET", f"/api/agents/{made}", token=who)).status == status
    mine = await shop.ask("GET", "/api/agents/mine?status=review", token=token)
    assert [one["id"] for one in mine.body["agents"]] == [made]


async def test_A98_creators_try_out_what_nobody_has_approved(shop: Shop) -> None:
    token = await shop.token()
    made = (await create(shop, token)).body["id"]
    body = {"agentId": made, "inputData": {"prompt": "春天"}}
    assert (await shop.ask("POST", "/api/workshop/generate", body, token=token)).status == 202
    stranger = await shop.ask("POST", "/api/workshop/generate", body, token=await shop.token("lin"))
    assert (stranger.status, stranger.body["error"]) == (404, "Agent不存在或不可用")
    runnable = shop.db.read(queries.runnable, agent_id=made)
    assert runnable is not None
    assert runnable.provider == "local-text"
