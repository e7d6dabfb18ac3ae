"""Reviews: only of who knows the agent, one each, and an average that is always that of the reviews."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from atelier.catalog import drafts, reviews, seed_content
from atelier.catalog.authoring_models import REVIEWS
from atelier.catalog.models import AGENTS
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from tests.authoring.conftest import WRITING, Json, Studio
from tests.furnishing import furnish
from tests.live.harness import Person

REVIEW = {"id", "user", "rating", "comment", "createdAt", "updatedAt"}
ECHO = seed_content.ECHO.id


def path_of(agent_id: str) -> str:
    return f"/api/agents/{agent_id}/reviews"


async def test_who_has_used_or_bought_it_says_what_they_think(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator, priceType="one_time", basePrice=9, creditsPerUse=None, categoryId=WRITING)
    path = path_of(agent["id"])
    body = {"rating": 4, "comment": "画得很快，\n配色舒服。"}
    refused = await studio.ask("POST", path, body, who=reader)
    assert (refused.status, refused.body["code"]) == (403, "REVIEW_NOT_ALLOWED")
    assert refused.body["error"] == "使用或购买后才能评价该Agent"
    studio.used(reader, agent["id"])
    got = await studio.ask("POST", path, body, who=reader)
    assert (got.status, got.body["success"]) == (201, True)
    review = got.body["review"]
    assert review.keys() == REVIEW
    assert (review["rating"], review["comment"], review["user"]["id"]) == (4, body["comment"], reader.id)
    buyer, former = studio.world.person(), studio.world.person()
    studio.bought(buyer, agent["id"])
    studio.bought(former, agent["id"], expires_ms=now_ms() - DAY_MS)
    for person, rating in ((buyer, 5), (former, 1)):
        got = await studio.ask("POST", path, {"rating": rating}, who=person)
        assert (got.status, got.body["review"]["comment"]) == (201, None)
    detail = await studio.read(agent["id"])
    assert (detail["ratingAvg"], detail["reviewsCount"], detail["_count"]) == (3.33, 3, {"reviews": 3})
    assert [one["rating"] for one in detail["reviews"]] == [1, 5, 4]
    assert studio.told(creator)[1:] == [
        ("review_received", {"agentName": agent["name"], "rating": rating}) for rating in (4, 5, 1)
    ]


async def test_nobody_reviews_their_own_agent_or_one_that_is_not_shown(studio: Studio, creator: Person) -> None:
    hidden, public = await studio.create(creator), await studio.publish(creator)
    for agent, expected in ((hidden, (404, "AGENT_NOT_FOUND")), (public, (403, "REVIEW_NOT_ALLOWED"))):
        studio.used(creator, agent["id"])
        got = await studio.ask("POST", path_of(agent["id"]), {"rating": 5}, who=creator)
        assert (got.status, got.body["code"]) == expected
    assert (await studio.ask("POST", path_of(new_id()), {"rating": 5}, who=creator)).status == 404
    assert (await studio.ask("POST", path_of(public["id"]), {"rating": 5})).status == 401


async def test_a_job_that_failed_is_no_use(studio: Studio, reader: Person) -> None:
    job_id = studio.world.job(reader, agent_id=ECHO, held=0)
    studio.world.claim(job_id, silently=True)
    studio.world.finish(job_id, "failed", silently=True)
    assert (await studio.ask("POST", path_of(ECHO), {"rating": 5}, who=reader)).status == 403


async def test_a_second_review_takes_the_place_of_the_first(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator)
    path = path_of(agent["id"])
    studio.used(reader, agent["id"])
    first = await studio.ask("POST", path, {"rating": 1, "comment": "不好"}, who=reader, Idempotency_Key="one")
    again = await studio.ask("POST", path, {"rating": 1, "comment": "不好"}, who=reader, Idempotency_Key="one")
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    second = await studio.ask("POST", path, {"rating": 5}, who=reader)
    assert (second.status, second.body["review"]["id"]) == (200, first.body["review"]["id"])
    assert (second.body["review"]["rating"], second.body["review"]["comment"]) == (5, None)
    detail = await studio.read(agent["id"])
    assert (detail["ratingAvg"], detail["reviewsCount"]) == (5.0, 1)
    assert [kind for kind, _ in studio.told(creator)] == ["agent_approved", "review_received"], "told once"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_review_that_is_none_is_refused(studio: Studio, reader: Person) -> None:
    studio.used(reader, ECHO)
    wrong: tuple[tuple[Json, dict[str, str]], ...] = (
        ({}, {"rating": "missing"}),
        ({"rating": 0}, {"rating": "greater_than_equal"}),
        ({"rating": 6}, {"rating": "less_than_equal"}),
        ({"rating": 4.5}, {"rating": "int_type"}),
        ({"rating": "5"}, {"rating": "int_type"}),
        ({"rating": 5, "comment": "x" * 1_001}, {"comment": "string_too_long"}),
        ({"rating": 5, "comment": "a\x00b"}, {"comment": "control_character"}),
        ({"rating": 5, "status": "active"}, {"status": "extra_forbidden"}),
        ({"rating": 5, "userId": reader.id}, {"userId": "extra_forbidden"}),
    )
    for body, expected in wrong:
        assert (await studio.ask("POST", path_of(ECHO), body, who=reader)).wrong == expected
    assert (await studio.read(ECHO))["reviewsCount"] == 0


async def test_reviews_come_in_pages_the_newest_first(studio: Studio, creator: Person) -> None:
    agent = await studio.publish(creator)
    people = [studio.world.person() for _ in range(12)]
    for number, person in enumerate(people):
        studio.used(person, agent["id"])
        await studio.ask("POST", path_of(agent["id"]), {"rating": 1 + number % 5}, who=person)
    got = await studio.ask("GET", f"{path_of(agent['id'])}?limit=5&page=2")
    assert got.body["pagination"] == {"page": 2, "limit": 5, "total": 12, "pages": 3}
    assert [one["user"]["id"] for one in got.body["reviews"]] == [one.id for one in reversed(people[2:7])]
    detail = await studio.read(agent["id"])
    assert [one["user"]["id"] for one in detail["reviews"]] == [one.id for one in reversed(people[2:])]


async def test_a_hidden_review_is_neither_shown_nor_counted(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator)
    row = {"agent_id": agent["id"], "rating": 1, "comment": "垃圾", "created_ms": 1, "updated_ms": 1}
    studio.db.transact(_insert, id=new_id(), user_id=reader.id, status="hidden", **row)
    studio.used(reader, agent["id"])
    got = await studio.ask("POST", path_of(agent["id"]), {"rating": 2}, who=reader)
    assert got.status == 200
    detail = await studio.read(agent["id"])
    assert (detail["reviews"], detail["reviewsCount"], detail["ratingAvg"]) == ([], 0, 0.0)


def _insert(session: Session, /, **row: Any) -> None:
    session.execute(insert(REVIEWS).values(**row))


async def test_twenty_at_once_are_all_in_the_average(studio: Studio, creator: Person) -> None:
    agent = await studio.publish(creator)
    people = [studio.world.person() for _ in range(20)]
    for person in people:
        studio.used(person, agent["id"])
    asked = [
        studio.ask("POST", path_of(agent["id"]), {"rating": 1 + number % 5}, who=person)
        for number, person in enumerate(people)
    ]
    assert {one.status for one in await asyncio.gather(*asked)} == {201}
    detail = await studio.read(agent["id"])
    assert (detail["reviewsCount"], detail["ratingAvg"]) == (20, 3.0)
    assert studio.db.read(reviews.recounted, agent_ids=[agent["id"]]) == {agent["id"]: (20, 300)}


@pytest.fixture
def echo(db: Database) -> str:
    """A published agent in a database without a web role."""
    db.transact(furnish)
    return ECHO


Opinions = list[tuple[int, int]]


@given(opinions=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5)), min_size=1, max_size=30))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_average_is_always_that_of_the_reviews(db: Database, echo: str, opinions: Opinions) -> None:
    """Whoever says what in whichever order, again and again, also at the same moment."""

    def say(opinion: tuple[int, int]) -> None:
        number, rating = opinion
        user_id = f"01990000-0000-7000-8000-0000000{number:05d}"
        db.transact(_say, agent_id=echo, user_id=user_id, rating=rating, review_id=new_id())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(say, opinions))
    kept, stored = db.read(_kept, agent_id=echo), db.read(reviews.recounted, agent_ids=[echo])[echo]
    assert kept == stored


def _say(session: Session, *, agent_id: str, user_id: str, rating: int, review_id: str) -> None:
    agent = drafts.held(session, agent_id=agent_id)
    reviews.write(session, agent, review_id=review_id, user_id=user_id, rating=rating, comment=None, now_ms=1)


def _kept(session: Session, *, agent_id: str) -> tuple[int, int]:
    row = session.execute(select(AGENTS.c.reviews_count, AGENTS.c.rating_avg).where(AGENTS.c.id == agent_id)).one()
    return (row.reviews_count, row.rating_avg)


@pytest.mark.parametrize(
    ("stars", "count", "expected"), [(0, 0, 0), (5, 1, 500), (10, 3, 333), (11, 3, 367), (9, 2, 450), (14, 3, 467)]
)
def test_an_average_is_rounded_to_hundredths(stars: int, count: int, expected: int) -> None:
    assert reviews.average(stars, count) == expected
