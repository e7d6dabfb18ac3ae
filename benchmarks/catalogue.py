"""A marketplace of a hundred thousand published agents with its index, the same one for the same seed.

python -m benchmarks.catalogue [--agents 100000] [--seed 20260]

fills the database that DATABASE_URL names, which has to be migrated; twice in one database it can't.
"""

import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import click
from sqlalchemy import Table, insert, select, text
from sqlalchemy.orm import Session

from atelier.catalog import search_upkeep, seed_content, seeds
from atelier.catalog.models import AGENT_TAGS, AGENTS, TAGS, VERSIONS
from atelier.catalog.seed_content import SeedAgent
from atelier.kernel import settings
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from benchmarks import people
from benchmarks.catalogue_words import Language

COUNT = 100_000
SEED = 20_260
CHUNK = 1_000
APART_MS = 300_000
PRICES = {"free": 0.3, "pay_per_use": 0.4, "one_time": 0.2, "subscription": 0.1}
SHELVES = (5, 4, 2, 1, 1)  # how agents are spread over the seeded categories
TABLES = ("agents", "agent_versions", "agent_tags", "tags", "search_documents", "search_postings")


def fill(database: Database, creators: Sequence[str], *, count: int = COUNT, seed: int = SEED) -> list[str]:
    """Publish so many agents of these creators, the oldest first, and index them; their ids."""
    language, chance = Language(seed), random.Random(seed)
    database.transact(seeds.seed, now_ms=now_ms(), development=True)
    epoch = now_ms() - count * APART_MS
    tag_ids = _tag_ids(database, language.tags.words, epoch)
    agent_ids: list[str] = []
    for first in range(0, count, CHUNK):
        numbers = range(first, min(first + CHUNK, count))
        agents = [_agent(language, chance, creators, epoch=epoch, number=number) for number in numbers]
        links = [link for agent in agents for link in _links(language, chance, agent["id"], tag_ids)]
        _insert(database, {AGENTS: agents, VERSIONS: [_version(agent) for agent in agents], AGENT_TAGS: links})
        agent_ids += [agent["id"] for agent in agents]
    search_upkeep.rebuild(database)
    _analyze(database)
    return agent_ids


def _tag_ids(database: Database, words: Sequence[str], epoch: int) -> Mapping[str, str]:
    def known(session: Session) -> dict[str, str]:
        return {row[0]: row[1] for row in session.connection().execute(select(TAGS.c.folded, TAGS.c.id))}

    there = database.read(known)
    new = {word: _id(epoch, 0xA00, number) for number, word in enumerate(words) if word not in there}
    rows = [{"id": tag_id, "name": word, "folded": word, "color": None} for word, tag_id in new.items()]
    _insert(database, {TAGS: rows})
    return there | new


def _agent(
    language: Language, chance: random.Random, creators: Sequence[str], *, epoch: int, number: int
) -> dict[str, Any]:
    place = chance.choices(range(len(SHELVES)), weights=SHELVES)[0]
    price_type = chance.choices(list(PRICES), weights=list(PRICES.values()))[0]
    per_use = chance.randint(1, 30) if price_type == "pay_per_use" else None
    once = chance.randint(10, 3_000) if price_type in {"one_time", "subscription"} else None
    reviews = int(chance.paretovariate(0.9)) - 1
    at = epoch + number * APART_MS
    shown = _like(place).shown
    return {
        "id": _id(at, 0, number),
        "slug": f"bench-{number}",
        "creator_id": creators[int(len(creators) * chance.random() ** 3)],
        "category_id": seed_content.CATEGORIES[place].id,
        "name": language.name(chance)[:200],
        "description": language.description(chance)[:2_000],
        "detailed_description": shown.detailed_description,
        "price_type": price_type,
        "base_price": once,
        "credits_per_use": per_use,
        "list_price": per_use or once or 0,
        "capabilities": list(shown.capabilities),
        "supported_languages": ["zh", "en"],
        "input_types": ["text"],
        "output_types": [_like(place).kind],
        "status": "published",
        "version": 1,
        "rating_avg": chance.randint(200, 500) if reviews else 0,
        "reviews_count": min(reviews, 100_000),
        "downloads_count": min(int(chance.paretovariate(0.7)) - 1, 10_000_000),
        "view_count": 0,
        "created_ms": at,
        "updated_ms": at,
    }


def _version(agent: Mapping[str, Any]) -> dict[str, Any]:
    like = next(one for one in (*seed_content.AGENTS, seed_content.ECHO) if one.category.id == agent["category_id"])
    content = like.content
    return {
        "agent_id": agent["id"],
        "version": 1,
        "kind": content.kind,
        "input_schema": content.input_schema,
        "config_schema": content.config_schema,
        "default_config": content.default_config,
        "runtime": content.runtime,
        "price_type": agent["price_type"],
        "credits_per_use": agent["credits_per_use"],
        "created_ms": agent["created_ms"],
    }


def _links(
    language: Language, chance: random.Random, agent_id: str, tag_ids: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    words = dict.fromkeys(language.tags.some(chance, chance.randint(1, 5)))
    for position, word in enumerate(words):
        yield {"agent_id": agent_id, "tag_id": tag_ids[word], "position": position}


def _like(place: int) -> SeedAgent:
    return (*seed_content.AGENTS, seed_content.ECHO)[place]


def _insert(database: Database, tables: Mapping[Table, Sequence[Mapping[str, Any]]]) -> None:
    def write(session: Session) -> None:
        for table, rows in tables.items():
            left = iter(rows)
            while some := list(islice(left, CHUNK)):
                session.connection().execute(insert(table), some)

    database.transact(write)


def _analyze(database: Database) -> None:
    # As the server's own statistics would be after a while.
    with database.writer.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("ANALYZE"))
        else:
            connection.execute(text(f"ANALYZE TABLE {', '.join(TABLES)}")).all()
        connection.commit()


def _id(at_ms: int, kind: int, number: int) -> str:
    at = f"{at_ms:012x}"
    return f"{at[:8]}-{at[8:]}-7{kind:03x}-8000-{number:012x}"


@click.command(help=__doc__)
@click.option("--agents", "count", default=COUNT, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--seed", default=SEED, show_default=True, help="Another number, another marketplace.")
def main(*, count: int, seed: int) -> None:
    """Fill the database, and say how long it took."""
    chosen = settings.load()
    database = Database(chosen.database_url)
    began = time.monotonic()
    crowd = people.invite(database, secret=chosen.jwt_secret.get_secret_value())
    fill(database, [person.user_id for person in crowd], count=count, seed=seed)
    click.echo(f"{count:,} agents with their index in {time.monotonic() - began:.0f} s")
    database.close()


if __name__ == "__main__":
    sys.exit(main())
