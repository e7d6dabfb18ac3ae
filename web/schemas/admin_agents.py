"""Agents as administrators judge them, and the shelves that they arrange."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from atelier.marketplace.detail import Detail
from web.messages import Locale
from web.schemas.agent_body import REVISION_MAX
from web.schemas.agent_detail import AgentInside, private, public
from web.schemas.model import Answer, Body, Line

Revision = Annotated[int, Field(ge=1, le=REVISION_MAX)]
SEEN = "the revision that was looked at; another one since is 409"


class ChangeAnswer(Answer):
    """One field that would change."""

    field: str
    before: Any
    after: Any


class JudgedAgentAnswer(AgentInside):
    """An agent, what is proposed, and how that differs from what is published, once something is."""

    changes: list[ChangeAnswer]

    @classmethod
    def judged(cls, detail: Detail, *, locale: Locale) -> Self:
        """The agent in this language."""
        changes = [
            ChangeAnswer(field=to_camel(name), before=before, after=after) for name, before, after in detail.changes
        ]
        return cls.of(detail.listed, locale=locale, **public(detail), **private(detail), changes=changes)


class ApproveBody(Body):
    """What is approved."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"revision": 1}]})

    revision: Revision | None = Field(None, description=SEEN)


class RejectBody(Body):
    """What is rejected, and why: its author is told."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "描述与实际生成内容不符", "revision": 1}]})

    reason: Line = Field(min_length=1, max_length=500)
    revision: Revision | None = Field(None, description=SEEN)


class DecidedAnswer(Answer):
    """The decision is taken."""

    success: Literal[True] = True
    agent_id: str
    status: Literal["draft", "published"] = Field(description="of the agent now")
