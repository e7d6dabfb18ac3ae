"""The marketplace over HTTP."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from atelier.catalog import seed_content, seeds, service
from atelier.kernel import clock, tokens
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from tests.catalog import market
from tests.catalog.market import NOW, Made, ident
from web.app import make_app
from web.handlers import agents, authoring

FIELDS = {
    *("id", "slug", "name", "description", "detailedDescription", "category", "creator", "priceType", "basePrice"),
    *("creditsPerUse", "capabilities", "supportedLanguages", "inputTypes", "outputTypes", "inputSchema"),
    *("configSchema", "tags", "status", "ratingAvg", "reviewsCount", "downloadsCount", "viewCount", "createdAt"),
    "updatedAt",
}
SHOWN = FIELDS | {"pricing", "resultDays", "iconUrl", "examples", "reviews", "_count"}
ECHO = seed_content.ECHO.id


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

    status: int
    body: Any
    headers: Any


@dataclass(frozen=True)
class Site:
    """A running web role with an empty marketplace, and a browser for it."""

    client: TestClient[Any, Any]
    db: Database
    settings: Settings

    async def get(self, path: str, *, user_id: str = "", **headers: str) -> Got:
        """Read a path, as this user if there is one."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user_id:
            sent["Authorization"] = f"Bearer {self._token(user_id)}"
        async with self.client.get(path, headers=sent) as response:
            raw = await response.read()
            return Got(response.status, json.loads(raw) if raw else None, response.headers)

    async def slugs(self, query: str = "") -> list[str]:
        """What a list shows, in its order."""
        got = await self.get(f"/api/agents{query}")
        assert got.status == 200, got.body
        return [agent["slug"] for agent in got.body["agents"]]

    def user(self, name: str, *, role: str = "user") -> str:
        """Create a user."""
        return operator.create_user(
            self.db, email=f"{name}@example.com", username=name, password="correct horse battery", role=role
        )

    def _token(self, user_id: str) -> str:
        now = clock.now_ms()
        token_id = new_id()
        return tokens.issue(
            self.settings.keyring,
            user_id=user_id,
            token_id=token_id,
            version=0,
            now_ms=now,
            expires_ms=now + clock.HOUR_MS,
        )


@pytest_asyncio.fixture
async def site(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Site]:
    """A web role that serves the marketplace only."""
    chosen = settings(frontend_urls="https://shop.test")
    async with TestClient(TestServer(make_app(chosen, endpoints=(*agents.ENDPOINTS, *authoring.ENDPOINTS)))) as client:
        yield Site(client, db, chosen)


async def test_a_fresh_marketplace_lists_the_houses_agents(site: Site) -> None:
    site.db.transact(seeds.seed, now_ms=NOW, development=True)
    got = await site.get("/api/agents")
    assert got.status == 200
    assert got.body["pagination"] == {"page": 1, "limit": 20, "total": 6, "pages": 1}
    assert {agent["slug"] for agent in got.body["agents"]} == {
        *("outline-writer", "poster-maker", "soundscape", "clip-maker", "story-video", "echo")
    }
    echo = next(agent for agent in got.body["agents"] if agent["slug"] == "echo")
    assert echo.keys() == FIELDS
    assert echo["creator"] == {
        "id": seed_content.HOUSE_ID,
        "username": "atelier",
        "displayName": "创意工作坊 · Atelier",
        "avatarUrl": None,
    }
    assert echo["category"] == {
        "id": seed_content.ECHO.category.id,
        "name": "开发工具",
        "slug": "tools",
        "color": "#64748b",
    }
    assert [link["tag"]["name"] for link in echo["tags"]] == ["测试", "test", "本地运行", "local"]
    assert echo["tags"][0]["tag"].keys() == {"id", "name", "color"}
    assert (echo["priceType"], echo["basePrice"], echo["creditsPerUse"]) == ("pay_per_use", None, 1)
    assert echo["inputSchema"]["required"] == ["prompt"]
    assert echo["createdAt"] == "2025-10-09T08:53:20.000Z"
    assert echo["ratingAvg"] == 0.0


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        *(("outline", "outline-writer"), ("提纲", "outline-writer"), ("outl", "outline-writer")),
        *(("poster", "poster-maker"), ("海报", "poster-maker"), ("POST", "poster-maker")),
        *(("sound", "soundscape"), ("music", "soundscape"), ("音乐", "soundscape"), ("mus", "soundscape")),
        *(("clip", "clip-maker"), ("短片", "clip-maker"), ("moving", "clip-maker"), ("mov", "clip-maker")),
        *(("story", "story-video"), ("故事", "story-video"), ("stor", "story-video")),
    ],
)
async def test_the_houses_agents_are_found_in_either_language(site: Site, words: str, slug: str) -> None:
    site.db.transact(seeds.seed, now_ms=NOW, development=False)
    assert await site.slugs(f"?search={words}") == [slug]
    got = await site.get(f"/api/agents/search?q={words}")
    assert [agent["slug"] for agent in got.body["agents"]] == [slug]


async def test_filters_orders_and_pages_come_from_the_query(site: Site) -> None:
    agents_made = [
        Made(number=1, name="Oil lamp", price_type="one_time", base_price=30, tags=("Light",), created_ms=NOW + 1),
        Made(number=2, category="image", price_type="pay_per_use", credits_per_use=3, created_ms=NOW + 2),
        Made(number=3, category="image", counters={"rating_avg": 433, "downloads_count": 9}, created_ms=NOW + 3),
    ]
    site.db.transact(market.fill, agents=agents_made)
    assert await site.slugs() == ["agent-3", "agent-2", "agent-1"]
    assert await site.slugs("?order=asc") == ["agent-1", "agent-2", "agent-3"]
    assert await site.slugs("?sortBy=price&order=desc") == ["agent-1", "agent-2", "agent-3"]
    assert await site.slugs("?sortBy=rating&limit=1") == ["agent-3"]
    assert await site.slugs("?sortBy=downloads&limit=1") == ["agent-3"]
    assert await site.slugs("?category=image&priceType=free") == ["agent-3"]
    assert await site.slugs("?search=oil&category=&tag=") == ["agent-1"]
    assert await site.slugs("?tag=LIGHT") == ["agent-1"]
    assert await site.slugs(f"?creator={market.CREATOR}&page=2&limit=2") == ["agent-1"]
    assert await site.slugs(f"?creator={ident(9)}") == []
    got = await site.get("/api/agents?page=100000&limit=1000")
    assert got.body == {"agents": [], "pagination": {"page": 100_000, "limit": 50, "total": 3, "pages": 1}}


BAD_QUERIES = (
    *("page=0", "page=-1", "page=x", "page=1.5", "page=", "page=1&page=2", "limit=0", "limit=abc"),
    *("sortBy=name", "sortBy=", "order=up", "priceType=gift", "creator=me", "unknown=1"),
    *("search=" + "x" * 101, "search=%00", "category=" + "x" * 65, "tag=" + "x" * 51),
)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_bad_query_is_400_and_names_the_field(site: Site) -> None:
    for query in BAD_QUERIES:
        got = await site.get(f"/api/agents?{query}")
        assert (got.status, got.body["code"]) == (400, "VALIDATION_FAILED"), query
        assert got.body["details"][0]["path"] == [query.partition("=")[0]]


async def test_one_agent_is_shown_with_its_reviews_and_never_with_what_it_runs(site: Site) -> None:
    site.db.transact(seeds.seed, now_ms=NOW, development=True)
    got = await site.get(f"/api/agents/{ECHO}")
    assert got.status == 200
    assert got.body.keys() == SHOWN
    assert (got.body["reviews"], got.body["_count"]) == ([], {"reviews": 0})
    assert "promptTemplate" not in json.dumps(got.body)
    for listed in ("/api/agents", "/api/agents/search?q=回声"):
        text = json.dumps((await site.get(listed)).body)
        assert "promptTemplate" not in text
        assert "defaultConfig" not in text


async def test_an_unchanged_agent_is_304(site: Site) -> None:
    site.db.transact(seeds.seed, now_ms=NOW, development=True)
    path = f"/api/agents/{ECHO}"
    first = await site.get(path)
    again = await site.get(path, If_None_Match=first.headers["ETag"])
    assert (again.status, again.body, again.headers["ETag"]) == (304, None, first.headers["ETag"])
    english = await site.get(path, If_None_Match=first.headers["ETag"], Accept_Language="en")
    assert english.status == 200
    assert "Accept-Language" in english.headers["Vary"]
    assert "Origin" in english.headers["Vary"]
    site.db.transact(service.archive, agent_id=ECHO, now_ms=NOW)
    assert (await site.get(path, If_None_Match=first.headers["ETag"])).status == 404


async def test_only_its_owner_and_administrators_see_an_unpublished_agent(site: Site) -> None:
    owner, admin, stranger = site.user("owner"), site.user("admin", role="admin"), site.user("stranger")
    unseen = [Made(number=n, status=s, creator_id=owner) for n, s in enumerate(("draft", "review", "archived"))]
    site.db.transact(market.fill, agents=[*unseen, Made(number=9, creator_id=owner)])
    for number in range(3):
        path = f"/api/agents/{ident(number)}"
        for reader in ("", stranger):
            got = await site.get(path, user_id=reader)
            assert (got.status, got.body["code"], got.body["error"]) == (404, "AGENT_NOT_FOUND", "Agent不存在")
        for reader in (owner, admin):
            got = await site.get(path, user_id=reader)
            assert got.body.keys() == SHOWN | {"runtime", "defaultConfig", "revision", "draft"}
            assert got.body["runtime"]["promptTemplate"] == "{{prompt}}"
    public = await site.get(f"/api/agents/{ident(9)}", user_id=stranger)
    assert public.body.keys() == SHOWN
    assert public.body["creator"] == {"id": owner, "username": "owner", "displayName": "owner", "avatarUrl": None}
    got = await site.get(f"/api/agents/{ident(9)}", user_id=owner, If_None_Match=public.headers["ETag"])
    assert got.body["runtime"]["provider"] == "echo"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_an_agent_that_is_not_there_is_404(site: Site) -> None:
    for name in (ident(1), "nonsense", "1", "%27", "categories%20", "CATEGORIES"):
        got = await site.get(f"/api/agents/{name}")
        assert got.status == 404, name
        assert got.headers["Content-Type"] == "application/problem+json"


async def test_categories_are_named_in_the_readers_language(site: Site) -> None:
    site.db.transact(seeds.seed, now_ms=NOW, development=True)
    got = await site.get("/api/agents/categories")
    first = {**got.body["categories"][0]}
    assert first.pop("id")
    assert first == {"name": "文案写作", "slug": "writing", "color": "#2563eb", "count": 1}
    english = await site.get("/api/agents/categories", Accept_Language="en-GB,zh;q=0.5")
    names = ["Writing", "Images", "Audio", "Video", "Developer tools"]
    assert [category["name"] for category in english.body["categories"]] == names


async def test_search_ranks_and_suggests(site: Site) -> None:
    agents_made = [
        Made(number=1, name="Lamp", description="oil and posters"),
        Made(number=2, name="Poster maker"),
        Made(number=3, name="Lamp", tags=("poster",)),
    ]
    site.db.transact(market.fill, agents=agents_made)
    got = await site.get("/api/agents/search?q=POSTER&limit=2")
    assert got.body.keys() == {"agents", "pagination", "suggestions"}
    assert [agent["slug"] for agent in got.body["agents"]] == ["agent-2", "agent-3"]
    assert got.body["pagination"] == {"page": 1, "limit": 2, "total": 3, "pages": 2}
    assert got.body["suggestions"] == ["poster", "Poster maker"]
    second = await site.get("/api/agents/search?q=poster&limit=2&page=2")
    assert [agent["slug"] for agent in second.body["agents"]] == ["agent-1"]
    filtered = await site.get("/api/agents/search?q=poster&tag=Poster&sortBy=rating&order=asc&category=writing")
    assert [agent["slug"] for agent in filtered.body["agents"]] == ["agent-3"]
    for query in ("", "?q=", "?q=%20", "?q=" + "x" * 101, "?q=a&sortBy=relevance", "?q=a&tag=" + "x" * 51, "?q=a&x=1"):
        assert (await site.get(f"/api/agents/search{query}")).status == 400
