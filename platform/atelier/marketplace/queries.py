"""Reading the marketplace as its visitors see it: agents with the people who made them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.catalog import listing
from atelier.catalog.listing import AgentView, Filter, Matches
from atelier.catalog.seed_content import HOUSE_ID, HOUSE_NAME, HOUSE_USERNAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """Who made an agent, as everyone may see them."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An agent with its creator. `inside`: the reader may see what it runs too, as owner or admin."""

    agent: AgentView
    creator: Creator
    inside: bool = False


_PEOPLE = select(User.id, User.username, User.display_name, User.avatar_url).where(
    User.id.in_(bindparam("people", expanding=True))
)
HOUSE = Creator(id=HOUSE_ID, username=HOUSE_USERNAME, display_name=HOUSE_NAME, avatar_url=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """As `catalog.listing.Matches`, with the creators."""

    agents: list[Listed]
    total: int
    suggestions: tuple[str, ...]


def page(session: Session, *, wanted: Filter, sort: str, descending: bool, offset: int, limit: int) -> Shelf:
    """As `catalog.listing.page`."""
    matches = listing.page(session, wanted=wanted, sort=sort, descending=descending, offset=offset, limit=limit)
    return _shelf(session, matches)


def search_page(
    session: Session, *, wanted: Filter, sort: str | None, descending: bool, offset: int, limit: int
) -> Shelf:
    """As `catalog.listing.search_page`."""
    matches = listing.search_page(session, wanted=wanted, sort=sort, descending=descending, offset=offset, limit=limit)
    return _shelf(session, matches)


def listed(session: Session, *, agents: Sequence[AgentView]) -> list[Listed]:
    """The agents with the people who made them."""
    made_by = _creators(session, {view.creator_id for view in agents})
    return [Listed(agent=view, creator=made_by[view.creator_id]) for view in agents]


def people(session: Session, *, user_ids: Iterable[str]) -> dict[str, Creator]:
    """The people with these ids; one whose account is gone keeps the id and has no name."""
    return _creators(session, user_ids)


def _shelf(session: Session, matches: Matches) -> Shelf:
    agents = listed(session, agents=matches.agents)
    return Shelf(agents=agents, total=matches.total, suggestions=matches.suggestions)


def _creators(session: Session, user_ids: Iterable[str]) -> dict[str, Creator]:
    """The creators with these ids; one whose account is gone keeps the id and has no name."""
    wanted = set(user_ids)
    found = {user_id: Creator(id=user_id, username="", display_name="", avatar_url=None) for user_id in wanted}
    if HOUSE_ID in wanted:
        found[HOUSE_ID] = HOUSE
    people = sorted(wanted - {HOUSE_ID})
    if people:
        rows = session.connection().execute(_PEOPLE, {"people": people})
        found |= {
            row.id: Creator(id=row.id, username=row.username, display_name=row.display_name, avatar_url=row.avatar_url)
            for row in rows
        }
    return found
