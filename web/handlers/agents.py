"""The marketplace: its agents, its categories, its search. All of it public, none of it shows what an agent runs."""

from typing import Any

from atelier.catalog import listing
from atelier.marketplace import queries
from web.routing import Call, Endpoint, Reply
from web.schemas.agents import AgentFilters, AgentsAnswer, AgentsQuery, CategoriesAnswer, FoundAnswer, SearchQuery

# Names of categories depend on the reader's language, and the front ends' origin is echoed.
_VARY = {"Vary": "Accept-Language, Origin"}


async def list_agents(call: Call) -> Reply:
    """A page of published agents."""
    query: AgentsQuery = call.query
    shelf = await call.services.db.read(
        queries.page, wanted=query.wanted(query.search), sort=query.sort_by, **_place(query)
    )
    return Reply(AgentsAnswer.of(shelf, query=query, locale=call.locale), headers=_VARY)


async def search_agents(call: Call) -> Reply:
    """A page of the agents that match, and suggestions."""
    query: SearchQuery = call.query
    shelf = await call.services.db.read(
        queries.search_page, wanted=query.wanted(query.q), sort=query.sort_by, **_place(query)
    )
    return Reply(FoundAnswer.of(shelf, query=query, locale=call.locale), headers=_VARY)


async def list_categories(call: Call) -> Reply:
    """Every category."""
    counted = await call.services.db.read(listing.categories)
    return Reply(CategoriesAnswer.of(counted, locale=call.locale), headers=_VARY)


def _place(query: AgentFilters) -> dict[str, Any]:
    return {"descending": query.order == "desc", "offset": query.offset, "limit": query.limit}


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/agents",
        handler=list_agents,
        summary=("浏览智能体", "List agents"),
        tag="agents",
        auth="public",
        query=AgentsQuery,
        answer=AgentsAnswer,
    ),
    Endpoint(
        method="GET",
        path="/api/agents/categories",
        handler=list_categories,
        summary=("智能体分类", "List categories"),
        tag="agents",
        auth="public",
        answer=CategoriesAnswer,
    ),
    Endpoint(
        method="GET",
        path="/api/agents/search",
        handler=search_agents,
        summary=("搜索智能体", "Search agents"),
        tag="agents",
        auth="public",
        query=SearchQuery,
        answer=FoundAnswer,
    ),
)
