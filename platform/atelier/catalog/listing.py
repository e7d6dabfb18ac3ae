"""Reading what the marketplace shows: pages of published agents, one agent, the categories."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Row, bindparam, func, select
from sqlalchemy.orm import Session

from atelier.catalog import search_documents as documents
from atelier.catalog import search_postings as postings
from atelier.catalog import search_query, search_suggestions
from atelier.catalog.models import AGENT_TAGS, AGENTS, CATEGORIES, TAGS, VERSIONS
from atelier.catalog.search_order import SORTED_BY, ByColumn, ByRelevance, Scale
from atelier.catalog.search_postings import NOWHERE, START
from atelier.catalog.search_query import COUNTED_MAX, Found

A = AGENTS.c
C = CATEGORIES.c
V = VERSIONS.c

Order = ByColumn | ByRelevance


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryView:
    """A category in both languages. `color` is #rrggbb."""

    id: str
    slug: str
    name_zh: str
    name_en: str
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagView:
    """A tag; `color` is #rrggbb or None."""

    id: str
    name: str
    color: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent as shown. `default_config` and `runtime` are for its owner and for administrators only.

    Schemas, config, runtime, pricing and result_days are the live version's, or the newest one's while none is live.
    """

    id: str
    slug: str
    creator_id: str
    name: str
    description: str
    detailed_description: str | None
    price_type: str
    base_price: int | None
    credits_per_use: int | None
    pricing: dict[str, Any] | None
    result_days: int | None
    capabilities: list[str]
    supported_languages: list[str]
    input_types: list[str]
    output_types: list[str]
    status: str
    rating_avg: int
    reviews_count: int
    downloads_count: int
    view_count: int
    created_ms: int
    updated_ms: int
    input_schema: dict[str, Any]
    config_schema: dict[str, Any]
    default_config: dict[str, Any]
    runtime: dict[str, Any]
    category: CategoryView
    tags: tuple[TagView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which published agents. `category` is a slug, `tag` a name in any case, `creator_id` a user."""

    category: str | None = None
    search: str | None = None
    price_type: str | None = None
    tag: str | None = None
    creator_id: str | None = None


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """A page of agents, how many there are, and what somebody may have been about to type.

    `total` is exact up to COUNTED_MAX, and COUNTED_MAX + 1 when there are more: pages end there.
    """

    agents: list[AgentView]
    total: int
    suggestions: tuple[str, ...] = ()


def page(session: Session, *, wanted: Filter, sort: str, descending: bool, offset: int, limit: int) -> Matches:
    """A page of published agents.

    `sort` is a key of SORTED_BY. Equal ones are ordered as they were published, by id where nothing is filtered, in the
    same direction, so that pages never overlap.
    """
    if wanted == EVERYTHING:
        return _everything(session, sort=sort, descending=descending, offset=offset, limit=limit)
    order = ByColumn(session, sort=sort, descending=descending)
    return _matching(session, _found(session, wanted), order=order, offset=offset, limit=limit)


def search_page(
    session: Session, *, wanted: Filter, sort: str | None, descending: bool, offset: int, limit: int
) -> Matches:
    """A page of the published agents that match `wanted.search`, with suggestions; best match first without `sort`."""
    found, popularity = _found(session, wanted), Scale(session, documents.DOWNLOADS)
    suggestions = search_suggestions.suggestions(session, found, text=wanted.search or "", popularity=popularity)
    order = ByColumn(session, sort=sort, descending=descending) if sort else ByRelevance(session, popularity=popularity)
    matches = _matching(session, found, order=order, offset=offset, limit=limit)
    return replace(matches, suggestions=tuple(suggestions))


def agent(session: Session, *, agent_id: str) -> AgentView | None:
    """One agent, whatever its status: the caller decides who may see it."""
    found = _views(session, agent_ids=[agent_id])
    return found[0] if found else None


def views(session: Session, *, agent_ids: Sequence[str]) -> list[AgentView]:
    """These agents in this order, whatever their status: the caller decides who may see them."""
    return _views(session, agent_ids=agent_ids)


def categories(session: Session) -> list[tuple[CategoryView, int]]:
    """Every category in its order, with the number of its published agents."""
    rows = session.connection().execute(select(*_CATEGORY).order_by(C.position, C.id))
    found = [_category(row) for row in rows]
    # The index knows who is in a category; counting rows would read an entry of each published agent.
    keys = {one.id: documents.in_category(one.id) for one in found}
    known = postings.read(session, keys.values())
    return [(one, known.get(keys[one.id], NOWHERE)[START].bit_count()) for one in found]


def _everything(session: Session, *, sort: str, descending: bool, offset: int, limit: int) -> Matches:
    column, published = SORTED_BY[sort][0], select(A.id).where(A.status == "published")
    total = session.connection().scalar(select(func.count()).select_from(published.limit(COUNTED_MAX + 1).subquery()))
    assert total is not None, "a count is a number"
    if offset >= min(total, COUNTED_MAX):
        return Matches(agents=[], total=total)
    order = (column.desc(), A.id.desc()) if descending else (column.asc(), A.id.asc())
    ids = session.connection().scalars(published.order_by(*order).offset(offset).limit(limit))
    return Matches(agents=_views(session, agent_ids=list(ids)), total=total)


def _matching(session: Session, found: Found, *, order: Order, offset: int, limit: int) -> Matches:
    found = search_query.confirmed(session, found, best=order.best)
    total = min(found.bits.bit_count(), COUNTED_MAX + 1)
    if offset >= min(total, COUNTED_MAX):
        return Matches(agents=[], total=total)
    ids = order.page(found, offset=offset, limit=limit)
    return Matches(agents=_views(session, agent_ids=ids), total=total)


def _found(session: Session, wanted: Filter) -> Found:
    facts = _facts(session, wanted)
    return search_query.find(session, text=wanted.search, facts=facts) if facts is not None else Found(bits=0)


def _facts(session: Session, wanted: Filter) -> list[str] | None:
    """The keys that agents must have by what they are; None when there is no such category."""
    facts: list[str] = []
    if wanted.category is not None:
        category_id = session.connection().scalar(select(C.id).where(C.slug == wanted.category))
        if category_id is None:
            return None
        facts.append(documents.in_category(category_id))
    if wanted.price_type is not None:
        facts.append(documents.of_type(wanted.price_type))
    if wanted.creator_id is not None:
        facts.append(documents.by_creator(wanted.creator_id))
    if wanted.tag is not None:
        facts.append(documents.tagged(wanted.tag))
    return facts


def _views(session: Session, *, agent_ids: Sequence[str]) -> list[AgentView]:
    """The agents in the order of `agent_ids`."""
    rows = session.connection().execute(_SHOWN, {"agent_ids": list(agent_ids)})
    tags = _tags(session, agent_ids=agent_ids)
    views = {row.id: _view(row, tags=tags.get(row.id, ())) for row in rows}
    return [views[agent_id] for agent_id in agent_ids if agent_id in views]


def _tags(session: Session, *, agent_ids: Sequence[str]) -> dict[str, tuple[TagView, ...]]:
    found: dict[str, tuple[TagView, ...]] = {}
    for agent_id, tag_id, name, color in session.connection().execute(_TAGGED, {"agent_ids": list(agent_ids)}):
        found[agent_id] = (*found.get(agent_id, ()), TagView(id=tag_id, name=name, color=color))
    return found


# The views' fields are columns of the same names; what an agent and its version both have is the agent's.
_NAMES = [field.name for field in fields(AgentView) if field.name not in {"category", "tags"}]
_CATEGORY_NAMES = [field.name for field in fields(CategoryView)]
_CATEGORY: list[ColumnElement[Any]] = [C[name].label(f"category_{name}") for name in _CATEGORY_NAMES]
_AGENT: list[ColumnElement[Any]] = [A[name] if name in A else V[name] for name in _NAMES]


# Pages are asked for often: these statements are put together once.
_IDS: BindParameter[list[str]] = bindparam("agent_ids", expanding=True)
_NEWEST = select(func.max(V.version)).where(V.agent_id == A.id).correlate(AGENTS).scalar_subquery()
_SHOWN = (
    select(*_AGENT, *_CATEGORY)
    .select_from(AGENTS)
    .join(CATEGORIES, C.id == A.category_id)
    .join(VERSIONS, (V.agent_id == A.id) & (V.version == func.coalesce(func.nullif(A.version, 0), _NEWEST)))
    .where(A.id.in_(_IDS))
)
_TAGGED = (
    select(AGENT_TAGS.c.agent_id, TAGS.c.id, TAGS.c.name, TAGS.c.color)
    .join(TAGS, TAGS.c.id == AGENT_TAGS.c.tag_id)
    .where(AGENT_TAGS.c.agent_id.in_(_IDS))
    .order_by(AGENT_TAGS.c.agent_id, AGENT_TAGS.c.position, TAGS.c.id)
)


def _view(row: Row[*tuple[Any, ...]], *, tags: tuple[TagView, ...]) -> AgentView:
    values = dict(zip(_NAMES, row, strict=False))
    return AgentView(**values, category=_category(row[len(_NAMES) :]), tags=tags)


def _category(values: Sequence[Any]) -> CategoryView:
    return CategoryView(**dict(zip(_CATEGORY_NAMES, values, strict=True)))
