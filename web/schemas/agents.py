"""Agents on the wire."""

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import Field
from typing_extensions import override

from atelier.catalog.listing import AgentView, CategoryView, Filter, TagView
from atelier.catalog.search_query import COUNTED_MAX, QUERY_MAX
from atelier.marketplace.queries import Creator, Listed, Shelf
from web.messages import Locale
from web.schemas.model import Answer, Line, PageQuery, Pagination, Timestamp, Uuid

WORDS = (
    "Words that all have to occur in the name, the tags or the description: Chinese, Japanese, Korean and Thai as any"
    " part of them, others as the beginning of a word. Only letters and digits count."
)
PriceType = Literal["free", "one_time", "subscription", "pay_per_use"]
Status = Literal["draft", "review", "published", "archived"]


SortBy = Literal["createdAt", "rating", "downloads", "price"]


class AgentFilters(PageQuery):
    """Which published agents. Empty words are no filter: forms send `?tag=` for an empty field."""

    category: Line = Field("", max_length=64, description="slug of a category")
    price_type: PriceType | None = None
    tag: Line = Field("", max_length=50, description="name of a tag, in any case")
    creator: Annotated[Uuid | None, Field(description="id of the user who made them")] = None
    order: Literal["asc", "desc"] = "desc"

    def wanted(self, words: str) -> Filter:
        """The filter that this asks for."""
        return Filter(
            category=self.category or None,
            search=words or None,
            price_type=self.price_type,
            tag=self.tag or None,
            creator_id=self.creator,
        )


class AgentsQuery(AgentFilters):
    """Which published agents, in which order."""

    search: Line = Field("", max_length=QUERY_MAX, description=f"{WORDS} An empty one is no filter.")
    sort_by: SortBy = "createdAt"


class SearchQuery(AgentFilters):
    """What to look for, and among which agents."""

    q: Line = Field(min_length=1, max_length=QUERY_MAX, description=WORDS)
    sort_by: SortBy | None = Field(None, description="best match first without it")


class CreatorAnswer(Answer):
    """Who made an agent."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None

    @classmethod
    def of(cls, creator: Creator) -> Self:
        """The creator as everyone sees them."""
        return cls(
            id=creator.id,
            username=creator.username,
            display_name=creator.display_name,
            avatar_url=creator.avatar_url,
        )


class CategoryAnswer(Answer):
    """A category, named in the reader's language."""

    id: str
    name: str
    slug: str
    color: str

    @classmethod
    def of(cls, category: CategoryView, *, locale: Locale) -> Self:
        """The category in this language."""
        return cls(id=category.id, name=_name(category, locale), slug=category.slug, color=category.color)


class CountedCategory(CategoryAnswer):
    """A category and how many published agents it has."""

    count: int


class CategoriesAnswer(Answer):
    """Every category, in its order."""

    categories: list[CountedCategory]

    @classmethod
    def of(cls, counted: list[tuple[CategoryView, int]], *, locale: Locale) -> Self:
        """The categories in this language."""
        return cls(
            categories=[
                CountedCategory(id=one.id, name=_name(one, locale), slug=one.slug, color=one.color, count=count)
                for one, count in counted
            ]
        )


class TagAnswer(Answer):
    """A tag."""

    id: str
    name: str
    color: str | None


class TagLink(Answer):
    """That an agent has a tag."""

    tag: TagAnswer

    @classmethod
    def of(cls, tag: TagView) -> Self:
        """The link to this tag."""
        return cls(tag=TagAnswer(id=tag.id, name=tag.name, color=tag.color))


_MADE = {"category", "tags", "rating_avg"}


class AgentAnswer(Answer):
    """An agent as everyone sees it. Prices are credits."""

    id: str
    slug: str
    name: str
    description: str
    detailed_description: str | None
    category: CategoryAnswer
    creator: CreatorAnswer
    price_type: PriceType
    base_price: int | None
    credits_per_use: int | None
    capabilities: list[str]
    supported_languages: list[str]
    input_types: list[str]
    output_types: list[str]
    input_schema: dict[str, Any] = Field(description="JSON Schema of a job's inputData")
    config_schema: dict[str, Any] = Field(description="JSON Schema of a job's config")
    tags: list[TagLink]
    status: Status
    rating_avg: float
    reviews_count: int
    downloads_count: int
    view_count: int
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, listed: Listed, *, locale: Locale, **more: Any) -> Self:
        """The agent in this language; `more` are the fields of a subclass."""
        agent = listed.agent
        return cls(
            **{name: getattr(agent, name) for name in _SAME},
            category=CategoryAnswer.of(agent.category, locale=locale),
            creator=CreatorAnswer.of(listed.creator),
            tags=[TagLink.of(tag) for tag in agent.tags],
            rating_avg=agent.rating_avg / 100,
            created_at=agent.created_ms,
            updated_at=agent.updated_ms,
            **more,
        )


_SAME = [one.name for one in fields(AgentView) if one.name in AgentAnswer.model_fields.keys() - _MADE]


class AgentsPagination(Pagination):
    """The pagination of agents, who are not counted to the end."""

    total: int = Field(description=f"exact up to {COUNTED_MAX}; when there are more, that and `totalIsCapped`")
    pages: int = Field(description="those that can be asked for")
    total_is_capped: bool = Field(
        False, exclude_if=lambda capped: not capped, description="there are more than `total`; left out when not"
    )

    @classmethod
    @override
    def of(cls, query: PageQuery, *, total: int) -> Self:
        """The pagination that answers `query` when there are `total` rows, COUNTED_MAX + 1 meaning more."""
        plain = Pagination.of(query, total=min(total, COUNTED_MAX))
        return cls(**plain.model_dump(by_alias=False), total_is_capped=total > COUNTED_MAX)


class AgentsAnswer(Answer):
    """A page of agents."""

    agents: list[AgentAnswer]
    pagination: AgentsPagination

    @classmethod
    def of(cls, shelf: Shelf, *, query: PageQuery, locale: Locale) -> Self:
        """The page in this language."""
        return cls(
            agents=[AgentAnswer.of(one, locale=locale) for one in shelf.agents],
            pagination=AgentsPagination.of(query, total=shelf.total),
        )


class FoundAnswer(AgentsAnswer):
    """A page of agents, best match first, and tags and names that begin like what was typed."""

    suggestions: list[str]

    @classmethod
    @override
    def of(cls, shelf: Shelf, *, query: PageQuery, locale: Locale) -> Self:
        """The page in this language."""
        page = AgentsAnswer.of(shelf, query=query, locale=locale)
        return cls(agents=page.agents, pagination=page.pagination, suggestions=list(shelf.suggestions))


def _name(category: CategoryView, locale: Locale) -> str:
    return category.name_en if locale == "en" else category.name_zh
