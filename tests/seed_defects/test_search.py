"""Listing and finding agents: A37, A39, A41 and A135."""

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import event

from atelier.catalog.search_query import COUNTED_MAX
from benchmarks import catalogue
from tests.catalog import market
from tests.catalog.market import Made
from tests.seed_defects.conftest import Shop

ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
CREATORS = [f"01990000-0000-7000-8000-00000000c{number:03x}" for number in range(9)]


async def _slugs(shop: Shop, path: str) -> list[str]:
    got = await shop.ask("GET", path)
    assert got.status == 200, got.text
    return [agent["slug"] for agent in got.body["agents"]]


async def test_A37_words_are_looked_up_and_no_letter_is_a_wildcard(shop: Shop) -> None:
    agents = [Made(number=1, name="海报工坊"), Made(number=2, name="Poster", description="100% snake_case")]
    shop.db.transact(market.fill, agents=agents)
    for words in ("%", "_", "p%x", "海_天", "%' OR 1=1 --", "\\"):
        assert await _slugs(shop, f"/api/agents?search={quote(words)}") == [], words
        assert await _slugs(shop, f"/api/agents/search?q={quote(words)}") == [], words
    assert await _slugs(shop, f"/api/agents?search={quote('报工')}") == ["agent-1"]
    assert await _slugs(shop, "/api/agents?search=POST") == ["agent-2"]
    for path in ("/api/agents?search=", "/api/agents/search?q="):
        got = await shop.ask("GET", path + "x" * 101)
        assert (got.status, got.body["code"]) == (400, "VALIDATION_FAILED")
        assert (await shop.ask("GET", f"{path}{quote('海' * 100)}")).status == 200


async def test_A39_equal_agents_stay_in_one_order_over_all_pages(shop: Shop) -> None:
    shop.db.transact(market.fill, agents=[Made(number=number) for number in range(17)])
    for query in ("", "&priceType=free", "&sortBy=rating&order=asc", "&sortBy=price&category=writing", "&search=agent"):
        pages = [await _slugs(shop, f"/api/agents?limit=5&page={page}{query}") for page in range(1, 6)]
        assert len({slug for page in pages for slug in page}) == sum(map(len, pages)) == 17, query
    pages = [await _slugs(shop, f"/api/agents/search?q=agent&limit=5&page={page}") for page in range(1, 6)]
    assert len({slug for page in pages for slug in page}) == sum(map(len, pages)) == 17


@ONE_DATABASE
async def test_A41_nobody_makes_the_database_count_everything(shop: Shop) -> None:
    catalogue.fill(shop.db, CREATORS, count=COUNTED_MAX + 300)
    capped = {"total": COUNTED_MAX, "totalIsCapped": True}
    for path in ("/api/agents", "/api/agents?sortBy=price"):
        got = await shop.ask("GET", path)
        assert got.body["pagination"] == {"page": 1, "limit": 20, "pages": COUNTED_MAX // 20, **capped}
    last = await shop.ask("GET", f"/api/agents?limit=50&page={COUNTED_MAX // 50}")
    assert len(last.body["agents"]) == 50
    beyond = await shop.ask("GET", "/api/agents?limit=50&page=100000")
    assert (beyond.status, beyond.body["agents"]) == (200, [])
    few = await shop.ask("GET", "/api/agents?category=tools&priceType=one_time")
    assert few.body["pagination"].keys() == {"page", "limit", "total", "pages"}
    assert 0 < few.body["pagination"]["total"] < COUNTED_MAX


async def test_A41_counting_has_an_end(shop: Shop) -> None:
    shop.db.transact(market.fill, agents=[Made(number=1)])
    counted: list[tuple[str, Any]] = []

    def keep(*seen: Any) -> None:
        if "count(" in seen[2]:
            counted.append((seen[2], seen[3]))

    event.listen(shop.db.reader, "before_cursor_execute", keep)
    try:
        for query in ("", "?search=agent", "?category=writing&priceType=free"):
            await _slugs(shop, f"/api/agents{query}")
    finally:
        event.remove(shop.db.reader, "before_cursor_execute", keep)
    for statement, values in counted:
        assert "LIMIT" in statement, statement
        assert COUNTED_MAX + 1 in (values.values() if isinstance(values, dict) else values)


async def test_A135_the_list_and_the_search_find_the_same_agents(shop: Shop) -> None:
    agents = [
        Made(number=1, name="海报工坊", category="image", price_type="one_time", base_price=30),
        Made(number=2, name="文案", description="也写海报文案", tags=("Poster",)),
        Made(number=3, name="Poster", category="image"),
        Made(number=4, name="海"),
    ]
    shop.db.transact(market.fill, agents=agents)
    filters = ("", "&category=image", "&priceType=free", "&tag=poster", f"&creator={market.CREATOR}")
    for words in ("海报", "海", "post", "海报 文案", "nothing"):
        for more in filters:
            listed = await _slugs(shop, f"/api/agents?search={quote(words)}{more}")
            found = await _slugs(shop, f"/api/agents/search?q={quote(words)}{more}")
            assert sorted(listed) == sorted(found), (words, more)
            sorted_alike = f"{quote(words)}{more}&sortBy=price&order=asc"
            listed = await _slugs(shop, f"/api/agents?search={sorted_alike}")
            assert listed == await _slugs(shop, f"/api/agents/search?q={sorted_alike}")
