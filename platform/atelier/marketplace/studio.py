"""Agents as their creators and administrators list them: in every status, with what is proposed."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from atelier.catalog import listing
from atelier.catalog.authoring_models import DRAFTS
from atelier.catalog.drafts import DraftStatus
from atelier.catalog.models import AGENTS
from atelier.marketplace import queries
from atelier.marketplace.queries import Listed

COUNTED_MAX = 10_000
A = AGENTS.c
D = DRAFTS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which agents.

    status  draft: not submitted; review: something of it waits for a decision, also while it is published; rejected;
            published; archived
    search  a part of the name, the beginning of the slug, or the id
    """

    status: str | None = None
    creator_id: str | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """The state of a proposal."""

    status: DraftStatus
    reason: str | None
    submitted_ms: int | None
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An agent as it is now, and what is proposed."""

    listed: Listed
    revision: int
    icon_url: str | None
    proposed: Proposed | None


def page(session: Session, *, wanted: Wanted, offset: int, limit: int) -> tuple[list[Item], int]:
    """A page and how many there are (counted up to COUNTED_MAX): the longest waiting first of those in review, else
    the newest first.
    """
    matching = _matching(wanted)
    counted = select(func.count()).select_from(matching.limit(COUNTED_MAX).subquery())
    total = session.connection().scalar(counted) or 0
    if offset >= total:
        return [], total
    in_order = (D.submitted_ms, A.id) if wanted.status == "review" else (A.id.desc(),)
    ids = list(session.connection().scalars(matching.order_by(*in_order).offset(offset).limit(limit)))
    return _items(session, ids), total


def _matching(wanted: Wanted) -> Select[str]:
    matching = select(A.id).outerjoin(DRAFTS, D.agent_id == A.id).where(*_with_status(wanted.status))
    if wanted.creator_id is not None:
        matching = matching.where(A.creator_id == wanted.creator_id)
    if wanted.search is not None:
        matching = matching.where(or_(*_named(wanted.search.lower())))
    return matching


def _named(folded: str) -> list[ColumnElement[bool]]:
    found = [func.instr(func.lower(A.name), folded) > 0]
    # MariaDB refuses to compare columns of ASCII with a pattern of other letters.
    return [*found, A.slug.startswith(folded, autoescape=True), A.id == folded] if folded.isascii() else found


def _with_status(status: str | None) -> list[ColumnElement[bool]]:
    if status is None:
        return []
    if status in {"review", "rejected"}:
        return [D.status == status]
    if status == "draft":
        return [A.status == "draft", or_(D.status == "draft", D.status.is_(None))]
    return [A.status == status]


def _items(session: Session, agent_ids: list[str]) -> list[Item]:
    views = listing.views(session, agent_ids=agent_ids)
    listed = {one.agent.id: one for one in queries.listed(session, agents=views)}
    rows = session.connection().execute(
        select(A.id, A.revision, A.icon_url, D.status, D.reason, D.submitted_ms, D.updated_ms)
        .outerjoin_from(AGENTS, DRAFTS, and_(D.agent_id == A.id))
        .where(A.id.in_(agent_ids))
    )
    found = {
        row.id: Item(
            listed=listed[row.id],
            revision=row.revision,
            icon_url=row.icon_url,
            proposed=Proposed(
                status=row.status, reason=row.reason, submitted_ms=row.submitted_ms, updated_ms=row.updated_ms
            )
            if row.status is not None
            else None,
        )
        for row in rows
        if row.id in listed
    }
    return [found[agent_id] for agent_id in agent_ids if agent_id in found]
