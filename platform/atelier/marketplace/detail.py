"""One agent with everything that this reader may see of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog import drafts, enacting, listing, reviews
from atelier.catalog import queries as catalog
from atelier.catalog.drafts import Draft
from atelier.catalog.errors import AgentNotFound
from atelier.catalog.listing import AgentView
from atelier.catalog.models import AGENTS
from atelier.marketplace import queries, reviewing
from atelier.marketplace.queries import Listed
from atelier.marketplace.reviewing import Signed

REVIEWS_SHOWN = 10
A = AGENTS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads; None as the id is anybody."""

    user_id: str | None = None
    admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """An agent. `draft` and `changes` (field, before, now) are there for those inside only."""

    listed: Listed
    reviews: Sequence[Signed]
    icon_url: str | None
    examples: Sequence[Mapping[str, Any]]
    revision: int
    draft: Draft | None = None
    changes: Sequence[tuple[str, Any, Any]] = ()


def detail(session: Session, *, agent_id: str, reader: Reader, now_ms: int) -> Detail:
    """One agent: everyone sees a published one, who has bought it an archived one, creator and administrators any.

    Raises AgentNotFound.
    """
    view = listing.agent(session, agent_id=agent_id)
    if view is None:
        raise AgentNotFound(agent_id)
    inside = reader.admin or (reader.user_id is not None and view.creator_id == reader.user_id)
    if not inside and not _is_shown(session, view, reader, now_ms=now_ms):
        raise AgentNotFound(agent_id)
    listed = queries.listed(session, agents=[view])[0]
    more = session.connection().execute(select(A.icon_url, A.examples, A.revision).where(A.id == agent_id)).one()
    newest = reviews.newest(session, agent_id=agent_id, limit=REVIEWS_SHOWN) if view.reviews_count else []
    draft = drafts.draft(session, agent_id=agent_id) if inside else None
    is_new_version = draft is not None and view.status == "published"
    return Detail(
        listed=Listed(agent=view, creator=listed.creator, inside=inside),
        reviews=reviewing.signed(session, newest),
        icon_url=more.icon_url,
        examples=more.examples or [],
        revision=more.revision,
        draft=draft,
        changes=draft.definition.changes(enacting.definition(session, agent_id=agent_id))
        if draft and is_new_version
        else (),
    )


def visible(session: Session, *, agent_id: str, reader: Reader, now_ms: int) -> None:
    """Raise AgentNotFound unless this reader may see the agent."""
    row = session.connection().execute(select(A.status, A.creator_id).where(A.id == agent_id)).one_or_none()
    if row is None:
        raise AgentNotFound(agent_id)
    if row.status == "published" or reader.admin or (reader.user_id is not None and row.creator_id == reader.user_id):
        return
    if row.status != "archived" or not _has_bought(session, agent_id, reader, now_ms=now_ms):
        raise AgentNotFound(agent_id)


def _is_shown(session: Session, view: AgentView, reader: Reader, *, now_ms: int) -> bool:
    if view.status == "published":
        return True
    return view.status == "archived" and _has_bought(session, view.id, reader, now_ms=now_ms)


def _has_bought(session: Session, agent_id: str, reader: Reader, *, now_ms: int) -> bool:
    if reader.user_id is None:
        return False
    return catalog.purchased(session, user_id=reader.user_id, agent_id=agent_id, now_ms=now_ms)
