"""Finding agents among a hundred thousand: searches, filtered lists and an agent's page, in the same minutes.

What is asked is distributed as words are: few of them often, many of them seldom. The figure is the p95 of the answers
to a search, the floor that of an agent's own page. Then every statement of the worst questions is explained: none may
read a table from end to end.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from atelier.catalog import listing, seed_content
from atelier.catalog.listing import Filter
from atelier.marketplace import queries
from benchmarks import catalogue, load, people, plans
from benchmarks.catalogue_words import Language
from benchmarks.load import Load, Request
from benchmarks.plan import Plan
from benchmarks.plans import UseCase
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand

QUESTIONS = 5_000
CONNECTIONS = 8
PAGES = (1, 1, 1, 1, 2, 3)
ROWS_READ_MAX = 12_000
# Read from end to end without harm: a handful of rows.
SMALL_TABLES = ("categories",)


def run(plan: Plan) -> list[Line]:
    """One line for each kind of request, then the plans of the statements."""
    language, chance = Language(catalogue.SEED), random.Random(catalogue.SEED + 1)
    searched = Line(name="search, p95", unit="ms", aim="≤ 5 × an agent's page")
    listed = Line(name="filtered list, p95", unit="ms", aim="≤ 5 × an agent's page")
    with Stand(plan.servers, name="search") as stand:
        crowd = people.invite(stand.database, secret=SECRET)
        plan.say(f"search: publishing {plan.agents:,} agents")
        creators = [person.user_id for person in crowd]
        agent_ids = catalogue.fill(stand.database, creators, count=plan.agents)
        asked = {
            "page": [Request(path=f"/api/agents/{chance.choice(agent_ids)}") for _ in range(QUESTIONS)],
            "search": [_search(language, chance) for _ in range(QUESTIONS)],
            "list": [_list(language, chance, creators) for _ in range(QUESTIONS)],
        }
        for pair in range(plan.pairs):
            plan.say(f"search: pair {pair + 1} of {plan.pairs}")
            loads = {name: _measured(plan, stand, name, requests) for name, requests in asked.items()}
            for line, name in ((searched, "search"), (listed, "list")):
                _add(line, loads["page"], loads[name])
        return [searched, listed, _explained(stand)]


def _search(language: Language, chance: random.Random) -> Request:
    return Request(path="/api/agents/search?" + urlencode({"q": language.asked(chance)[:100]}))


def _list(language: Language, chance: random.Random, creators: Sequence[str]) -> Request:
    asked: dict[str, object] = {"page": chance.choice(PAGES)}
    asked["sortBy"] = chance.choice(("createdAt", "rating", "downloads", "price"))
    asked["order"] = chance.choice(("asc", "desc"))
    filters: dict[str, Callable[[], str]] = {
        "category": lambda: chance.choice(seed_content.CATEGORIES).slug,
        "priceType": lambda: chance.choice(list(catalogue.PRICES)),
        "tag": lambda: language.tags.some(chance, 1)[0],
        "creator": lambda: chance.choice(creators),
        "search": lambda: language.asked(chance)[:100],
    }
    for name in chance.sample(list(filters), chance.choice((1, 1, 2, 3))):
        asked[name] = filters[name]()
    return Request(path="/api/agents?" + urlencode(asked))


def _measured(plan: Plan, stand: Stand, name: str, requests: Sequence[Request]) -> Load:
    prepared = load.prepared(requests, folder=stand.folder, name=name)
    stand.start("web", ATELIER_WEB_RELAY="false")
    try:
        watched = plan.beside(**stand.roles)
        return load.run(stand.port, prepared, seconds=plan.seconds, watched=watched, connections=CONNECTIONS)
    finally:
        stand.stop("web")


def _add(line: Line, page: Load, mine: Load) -> None:
    line.floor.append(page.p95_ms)
    line.ours.append(mine.p95_ms)
    line.notes |= {
        "p50 ms": mine.p50_ms,
        "p99 ms": mine.p99_ms,
        "requests/s": mine.per_second,
        "of an agent's page": page.per_second,
        "bytes": round(mine.bytes_each),
        "cpu µs": {name: round(used) for name, used in mine.cpu_us.items()},
    }


def _explained(stand: Stand) -> Line:
    first: dict[str, Any] = {"descending": True, "offset": 0, "limit": 20}
    last = first | {"offset": 980}

    def search(words: str, place: dict[str, Any], **more: Any) -> Callable[[Session], object]:
        wanted = Filter(search=words, **more)
        return lambda session: queries.search_page(session, wanted=wanted, sort=more.get("sort"), **place)

    def listed(sort: str, **wanted: Any) -> Callable[[Session], object]:
        return lambda session: queries.page(session, wanted=Filter(**wanted), sort=sort, **first)

    cases: dict[str, Callable[[Session], object]] = {
        "a frequent word": search("设计", first),
        "its last page": search("设计", last),
        "a letter": search("a", first),
        "a run of four": search("机器学习", first),
        "several words": search("ai 设计 海报 写作", first),
        "a seldom word": search("zuorse", first),
        "nothing": search("qqqq", first),
        "everything": listed("createdAt"),
        "a category by price": listed("price", category="video"),
        "free ones of a category": listed("rating", category="image", price_type="free"),
        "a tag": listed("downloads", tag="海报"),
        "categories": listing.categories,
    }
    found = [stand.database.transact(plans.examine, name, case) for name, case in cases.items()]
    return _judged(found)


def _judged(cases: Sequence[UseCase]) -> Line:
    line = Line(name="search, most rows read by one question", unit="rows", aim=f"≤ {ROWS_READ_MAX:,}, no scan")
    line.ours = [float(max(case.rows_read for case in cases))]
    line.notes = {case.name: f"{case.rows_read} rows in {case.statements} statements" for case in cases}
    scans = [f"{case.name}: {scan}" for case in cases for scan in case.scans]
    harmful = [scan for scan in scans if not any(f" of {table} " in scan for table in SMALL_TABLES)]
    assert not harmful, harmful
    assert line.ours[0] <= ROWS_READ_MAX, line.notes
    return line
