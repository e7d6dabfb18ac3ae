"""Thousands of agents: what is counted, how pages end, and how the databases reach their rows."""

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from atelier.catalog import listing
from atelier.catalog.listing import Filter, Matches
from atelier.catalog.models import AGENTS
from atelier.catalog.search_models import DOCUMENTS
from atelier.catalog.search_order import SORTED_BY
from atelier.catalog.search_query import COUNTED_MAX
from atelier.kernel.database import Base, Database
from benchmarks import catalogue
from benchmarks.catalogue_words import Language
from tests.catalog.finding import matches

COUNT, SEED = 3_000, 44
LANGUAGE = Language(SEED)
CREATORS = [f"01990000-0000-7000-8000-00000000c{number:03x}" for number in range(20)]
FREQUENT = next(word for word in LANGUAGE.chinese.words if len(word) == 2)
RUN = next(word for word in LANGUAGE.chinese.words[12:] if len(word) > 2)
LARGE_TABLES = Base.metadata.tables.keys() - {"categories"}
A = AGENTS.c
D = DOCUMENTS.c


@pytest.fixture
def market(db: Database) -> Database:
    """A marketplace of the size that makes a scan visible."""
    catalogue.fill(db, CREATORS, count=COUNT, seed=SEED)
    return db


def page(db: Database, *, sort: str = "createdAt", descending: bool = True, **more: Any) -> Matches:
    place = {"offset": more.pop("offset", 0), "limit": more.pop("limit", 50)}
    return db.read(listing.page, wanted=Filter(**more), sort=sort, descending=descending, **place)


def ids(db: Database, **wanted: Any) -> list[str]:
    """Those of all pages."""
    return [agent.id for offset in range(0, COUNTED_MAX, 50) for agent in page(db, offset=offset, **wanted).agents]


def in_order(session: Session, *, sort: str, descending: bool) -> list[str]:
    """The agents that are paid per use, by reading all."""
    column = SORTED_BY[sort][0]
    order = (column.desc(), D.number.desc()) if descending else (column.asc(), D.number.asc())
    rows = select(A.id).join(DOCUMENTS, D.agent_id == A.id).where(A.price_type == "pay_per_use")
    return list(session.scalars(rows.order_by(*order).limit(COUNTED_MAX)))


def with_run(db: Database, run: str) -> int:
    """How many agents have these letters in a row, by reading all."""
    texts = (D.name, D.tags, D.description)
    condition = func.instr(texts[0], run) + func.instr(texts[1], run) + func.instr(texts[2], run) > 0
    return db.read(lambda session: session.scalar(select(func.count()).select_from(DOCUMENTS).where(condition))) or 0


def counts_are_exact_up_to_a_thousand_and_pages_end_there(market: Database) -> None:
    most, second, third, *_ = LANGUAGE.chinese.words
    for run in (most, second, third, most[1:] + second, second + third[:1], most[:1] + most[:1], most + most + most):
        assert matches(market, run).total == min(with_run(market, run), COUNTED_MAX + 1), run
    assert matches(market, most).total == page(market).total == COUNTED_MAX + 1
    assert 0 < page(market, category="tools").total == len(ids(market, category="tools")) < COUNTED_MAX
    for found in (page(market, offset=COUNTED_MAX), matches(market, most, offset=COUNTED_MAX)):
        assert (found.agents, found.total) == ([], COUNTED_MAX + 1)
    assert len(matches(market, most, offset=COUNTED_MAX - 10, limit=10).agents) == 10


@pytest.mark.proof
def test_pages_follow_each_other_in_order_and_never_overlap(market: Database) -> None:
    for sort, descending in product(SORTED_BY, (True, False)):
        seen = ids(market, sort=sort, descending=descending, price_type="pay_per_use")
        assert seen == market.read(in_order, sort=sort, descending=descending), (sort, descending)
    for words in (LANGUAGE.chinese.words[0], "a", f"{LANGUAGE.english.words[0]} {LANGUAGE.chinese.words[1]}"):
        total = min(matches(market, words).total, COUNTED_MAX)
        seen = [agent.id for offset in range(0, total, 50) for agent in matches(market, words, offset=offset).agents]
        assert len(seen) == len(set(seen)) >= total, words


def test_the_same_seed_makes_the_same_marketplace() -> None:
    one, other = Language(3), Language(3)
    assert [one.name(random.Random(n)) for n in range(50)] == [other.name(random.Random(n)) for n in range(50)]


@contextmanager
def sent(db: Database) -> Generator[list[tuple[str, Any]]]:
    """What is asked of the database meanwhile."""
    statements: list[tuple[str, Any]] = []

    def keep(*seen: Any) -> None:
        statements.append((seen[2], seen[3]))

    event.listen(db.reader, "before_cursor_execute", keep)
    yield statements
    event.remove(db.reader, "before_cursor_execute", keep)


def scans(db: Database, statement: str, values: Any) -> list[str]:
    """The large tables that a statement reads from end to end."""
    with db.reader.connect() as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            plans = [str(row[3]) for row in rows]
            return [plan for plan in plans if plan.startswith("SCAN") and plan.split()[1] in LARGE_TABLES]
        plans_of_tables = connection.exec_driver_sql(f"EXPLAIN {statement}", values).mappings().all()
        return [
            f"{row['type']} of {row['table']}"
            for row in plans_of_tables
            if row["type"] in {"ALL", "index"} and row["table"] in LARGE_TABLES
        ]


QUESTIONS: dict[str, Callable[[Database], Matches]] = {
    "a frequent word": lambda db: matches(db, FREQUENT),
    "a letter": lambda db: matches(db, LANGUAGE.english.words[0][0]),
    "a run": lambda db: matches(db, RUN),
    "several words": lambda db: matches(db, f"{FREQUENT} {LANGUAGE.english.words[0]}"),
    "the last page": lambda db: matches(db, FREQUENT, offset=200, limit=20),
    "nothing": lambda db: matches(db, "qqqq"),
    "sorted": lambda db: matches(db, FREQUENT, sort="price", category="image"),
    "everything": page,
    "a tag": lambda db: page(db, tag="写作", sort="rating"),
    "a category by price": lambda db: page(db, category="video", price_type="free", sort="price", descending=False),
    "a creator": lambda db: page(db, creator_id=CREATORS[0]),
}


def no_question_reads_a_table_from_end_to_end(market: Database) -> None:
    for name, question in QUESTIONS.items():
        with sent(market) as statements:
            question(market)
        found = {scan for statement, values in statements for scan in scans(market, statement, values)}
        assert not found, (name, found)
        assert len(statements) <= 14, name
    with sent(market) as statements:
        market.read(listing.categories)
    assert not {scan for statement, values in statements for scan in scans(market, statement, values)}
    assert not [statement for statement, _ in statements if " agents" in statement], "nobody is counted one by one"


def test_what_is_asked_of_thousands(market: Database, subtests: pytest.Subtests) -> None:
    for check in (
        counts_are_exact_up_to_a_thousand_and_pages_end_there,
        no_question_reads_a_table_from_end_to_end,
    ):
        with subtests.test(check.__name__):
            check(market)
