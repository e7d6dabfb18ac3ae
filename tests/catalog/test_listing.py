"""Pages of the marketplace: filters, orders, categories, purchases."""

import random
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from atelier.catalog import listing, queries, seed_content
from atelier.catalog.listing import Filter, Matches
from atelier.catalog.search_order import SORTED_BY
from atelier.kernel.database import Database
from tests.catalog import market
from tests.catalog.market import CREATOR, NOW, Made, ident

FIRST = {"offset": 0, "limit": 50}


def slugs(db: Database, *, sort: str = "createdAt", descending: bool = True, **wanted: Any) -> list[str]:
    found = db.read(listing.page, wanted=Filter(**wanted), sort=sort, descending=descending, **FIRST)
    assert found.total == len(found.agents)
    return [agent.slug for agent in found.agents]


def test_only_published_agents_are_listed(db: Database) -> None:
    states = ("published", "draft", "review", "archived")
    agents = [Made(number=number, status=status) for number, status in enumerate(states)]
    db.transact(market.fill, agents=agents)
    assert slugs(db) == slugs(db, search="agent") == slugs(db, category="writing") == ["agent-0"]


def test_every_filter_narrows(db: Database) -> None:
    agents = [
        Made(number=1, category="image", price_type="pay_per_use", credits_per_use=3, tags=("海报", "Design")),
        Made(number=2, category="image", price_type="one_time", base_price=30, tags=("设计",)),
        Made(number=3, creator_id="another", description="A 100% discount_code machine"),
    ]
    db.transact(market.fill, agents=agents)
    assert slugs(db) == ["agent-3", "agent-2", "agent-1"]
    assert slugs(db, category="image") == ["agent-2", "agent-1"]
    assert slugs(db, category="image", price_type="one_time") == ["agent-2"]
    assert slugs(db, category="nowhere") == []
    assert slugs(db, price_type="subscription") == []
    assert slugs(db, tag="海报") == slugs(db, tag="ＤＥＳＩＧＮ") == ["agent-1"]
    assert slugs(db, tag="desig") == []
    assert slugs(db, creator_id="another") == ["agent-3"]
    assert slugs(db, creator_id=CREATOR) == ["agent-2", "agent-1"]
    assert slugs(db, search="DISCOUNT") == ["agent-3"]
    assert slugs(db, search="设计") == ["agent-2"]
    assert slugs(db, search="agent", category="image", tag="设计") == ["agent-2"]


def test_each_order_is_by_its_column_and_then_by_id(db: Database) -> None:
    agents = [
        Made(number=1, created_ms=NOW + 2, counters={"rating_avg": 450, "downloads_count": 7}),
        Made(number=2, created_ms=NOW + 1, price_type="one_time", base_price=5, counters={"rating_avg": 500}),
        Made(
            number=3, created_ms=NOW + 3, price_type="pay_per_use", credits_per_use=9, counters={"downloads_count": 9}
        ),
        Made(number=4, created_ms=NOW + 3, price_type="subscription", base_price=5, counters={"downloads_count": 7}),
    ]
    db.transact(market.fill, agents=agents)
    expected = {
        "createdAt": ["agent-4", "agent-3", "agent-1", "agent-2"],
        "rating": ["agent-2", "agent-1", "agent-4", "agent-3"],
        "downloads": ["agent-3", "agent-4", "agent-1", "agent-2"],
        "price": ["agent-3", "agent-4", "agent-2", "agent-1"],
    }
    assert set(expected) == set(SORTED_BY)
    for sort, order in expected.items():
        assert slugs(db, sort=sort) == order
        assert slugs(db, sort=sort, descending=False) == order[::-1]


def test_pages_cover_everything_once_however_equal_the_agents_are(db: Database) -> None:
    chance = random.Random(7)
    agents = [Made(number=number, counters={"rating_avg": chance.choice([0, 400])}) for number in range(23)]
    db.transact(market.fill, agents=agents)
    seen: list[str] = []
    for offset in range(0, 30, 5):
        found = db.read(listing.page, wanted=Filter(), sort="rating", descending=True, offset=offset, limit=5)
        assert found.total == 23
        seen += [agent.id for agent in found.agents]
    assert len(seen) == 23
    assert set(seen) == {ident(number) for number in range(23)}


def test_a_page_far_beyond_the_end_is_empty_and_costs_nothing(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=1)])
    wanted: dict[str, Any] = {"wanted": Filter(), "sort": "createdAt", "descending": True}
    assert db.read(listing.page, **wanted, offset=10**30, limit=50) == Matches(agents=[], total=1)


def test_an_agent_is_shown_whole(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=1, name="名字", tags=("乙", "甲"), counters={"rating_avg": 433})])
    agent = db.read(listing.agent, agent_id=ident(1))
    assert agent is not None
    assert (agent.name, agent.rating_avg, agent.created_ms, agent.output_types) == ("名字", 433, NOW, ["text"])
    assert [tag.name for tag in agent.tags] == ["乙", "甲"]
    assert agent.category.slug == "writing"
    assert agent.input_schema == seed_content.ECHO.schemas.input
    assert agent.runtime["provider"] == "echo"
    assert db.read(listing.agent, agent_id=ident(2)) is None


def test_an_agent_that_was_never_published_is_shown_with_its_newest_version(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=1, status="review")])
    agent = db.read(listing.agent, agent_id=ident(1))
    assert agent is not None
    assert (agent.status, agent.runtime["provider"]) == ("review", "echo")
    runnable = db.read(queries.runnable, agent_id=ident(1))
    assert runnable is not None, "its author tries it out"
    assert (runnable.status, runnable.version) == ("review", 1)


def test_several_agents_are_read_at_once(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=1), Made(number=2), Made(number=3, status="review")])
    found = db.read(queries.runnable_many, agent_ids=[ident(1), ident(2), ident(2), ident(3), "nobody"])
    assert set(found) == {ident(1), ident(2), ident(3)}
    assert found[ident(1)].slug == "agent-1"
    assert db.read(queries.runnable_many, agent_ids=[]) == {}


def test_categories_count_published_agents_in_their_order(db: Database) -> None:
    agents = [
        Made(number=1, category="image"),
        Made(number=2, category="image"),
        Made(number=3, category="image", status="review"),
        Made(number=4, category="video"),
    ]
    db.transact(market.fill, agents=agents)
    found = [(category.slug, count) for category, count in db.read(listing.categories)]
    assert found == [("writing", 0), ("image", 2), ("audio", 0), ("video", 1), ("tools", 0)]


def test_a_purchase_counts_while_it_is_active_and_not_expired(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=number) for number in range(4)])
    db.transact(market.buy, number=1, agent_id=ident(0), purchase_type="one_time")
    db.transact(market.buy, number=2, agent_id=ident(1), expires_ms=NOW + 1)
    db.transact(market.buy, number=3, agent_id=ident(2), active_slot=None)

    def owns(number: int, now_ms: int, user_id: str = "reader") -> bool:
        return db.read(queries.purchased, user_id=user_id, agent_id=ident(number), now_ms=now_ms)

    assert owns(0, NOW + 10**12)
    assert owns(1, NOW)
    assert not owns(1, NOW + 1)
    assert not owns(2, NOW)
    assert not owns(3, NOW)
    assert not owns(0, NOW, user_id="another")


def test_a_user_has_one_active_purchase_of_an_agent_and_any_number_of_ended_ones(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=0)])
    for number in (1, 2):
        db.transact(market.buy, number=number, agent_id=ident(0), active_slot=None)
    db.transact(market.buy, number=3, agent_id=ident(0))
    with pytest.raises(IntegrityError):
        db.transact(market.buy, number=4, agent_id=ident(0))


@pytest.mark.parametrize(
    "broken",
    [
        {"price_type": "one_time"},
        {"price_type": "subscription", "base_price": 0},
        {"price_type": "pay_per_use"},
        {"price_type": "pay_per_use", "credits_per_use": 0},
        {"price_type": "gift"},
    ],
)
def test_the_database_refuses_an_agent_without_its_price(db: Database, broken: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"(?i)check|constraint"):
        db.transact(market.fill, agents=[replace(Made(number=1), **broken)])


def plans(db: Database, **page: Any) -> list[str]:
    """How the database answers every statement of one page."""
    statements: list[tuple[str, Any]] = []

    @event.listens_for(db.reader, "before_cursor_execute")
    def keep(*seen: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        if seen[2].startswith("SELECT"):
            statements.append((seen[2], seen[3]))

    db.read(listing.page, wanted=Filter(), offset=0, limit=20, **page)
    event.remove(db.reader, "before_cursor_execute", keep)
    explain = "EXPLAIN QUERY PLAN" if db.reader.dialect.name == "sqlite" else "EXPLAIN"
    with db.reader.connect() as connection:
        return [str(connection.exec_driver_sql(f"{explain} {sql}", values).all()) for sql, values in statements.copy()]


def test_every_order_is_an_index(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=number) for number in range(60)])
    indexes = {"createdAt": "created", "rating": "rating", "downloads": "downloads", "price": "price"}
    assert indexes.keys() == SORTED_BY.keys()
    for sort, descending in product(indexes, (True, False)):
        counted, ordered, *_ = plans(db, sort=sort, descending=descending)
        assert f"ix_agents_{indexes[sort]}" in ordered
        for plan in (counted, ordered):
            assert "filesort" not in plan
            assert "TEMP B-TREE" not in plan
            assert "COVERING INDEX" in plan or "Using index" in plan
