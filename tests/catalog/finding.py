"""Asking the search as the marketplace does."""

from typing import Any

from atelier.catalog import listing
from atelier.catalog.listing import Filter, Matches
from atelier.kernel.database import Database


def matches(db: Database, words: str, *, sort: str | None = None, descending: bool = True, **more: Any) -> Matches:
    """The first page of a search, or another: `offset`, `limit`, and filters."""
    place = {"offset": more.pop("offset", 0), "limit": more.pop("limit", 50)}
    wanted = Filter(search=words, **more)
    return db.read(listing.search_page, wanted=wanted, sort=sort, descending=descending, **place)


def searched(db: Database, words: str, **more: Any) -> list[str]:
    """The slugs of the agents that are found; all of them fit on the first page."""
    found = matches(db, words, **more)
    assert found.total == len(found.agents)
    return [agent.slug for agent in found.agents]


def suggested(db: Database, words: str) -> list[str]:
    """What is suggested."""
    return list(matches(db, words, limit=1).suggestions)
