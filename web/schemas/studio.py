"""Agents as their creators and administrators list them."""

from typing import Annotated, Literal, Self

from pydantic import Field

from atelier.catalog.drafts import DraftStatus
from atelier.marketplace.studio import Item, Wanted
from web.messages import Locale
from web.schemas.agents import AgentAnswer
from web.schemas.model import Answer, Line, PageQuery, Pagination, Timestamp, Uuid

STATUS = "review: something of it waits for a decision, also while it is published; rejected: and was not changed since"
ListedStatus = Literal["draft", "review", "rejected", "published", "archived"]


class StudioQuery(PageQuery):
    """Which of the caller's agents."""

    status: ListedStatus | None = Field(None, description=STATUS)

    def of_creator(self, user_id: str) -> Wanted:
        """The filter that this asks for."""
        return Wanted(status=self.status, creator_id=user_id)


class AdminAgentsQuery(PageQuery):
    """Which agents. Those in review come in the order in which they were submitted, others the newest first."""

    status: ListedStatus | None = Field(None, description=STATUS)
    creator: Annotated[Uuid | None, Field(description="id of the user who made them")] = None
    search: Line = Field(
        "", max_length=100, description="a part of the name, the beginning of the slug, or the id of the agent"
    )

    @property
    def wanted(self) -> Wanted:
        """The filter that this asks for."""
        return Wanted(status=self.status, creator_id=self.creator, search=self.search or None)


class ProposedAnswer(Answer):
    """The state of a proposal."""

    status: DraftStatus
    reason: str | None = Field(description="why it was rejected")
    submitted_at: Timestamp | None
    updated_at: Timestamp


class StudioAgentAnswer(AgentAnswer):
    """An agent as it is now, and the state of what is proposed."""

    icon_url: str | None
    revision: int
    draft: ProposedAnswer | None

    @classmethod
    def listed(cls, item: Item, *, locale: Locale) -> Self:
        """The agent in this language."""
        proposed = item.proposed
        draft = proposed and ProposedAnswer(
            status=proposed.status,
            reason=proposed.reason,
            submitted_at=proposed.submitted_ms,
            updated_at=proposed.updated_ms,
        )
        return cls.of(item.listed, locale=locale, icon_url=item.icon_url, revision=item.revision, draft=draft)


class StudioAnswer(Answer):
    """A page of agents; counted up to ten thousand."""

    agents: list[StudioAgentAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, items: list[Item], *, total: int, query: PageQuery, locale: Locale) -> Self:
        """The page in this language."""
        return cls(
            agents=[StudioAgentAnswer.listed(one, locale=locale) for one in items],
            pagination=Pagination.of(query, total=total),
        )
