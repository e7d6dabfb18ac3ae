"""One agent on the wire, as everyone sees it and as those inside do."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from atelier.catalog.definition import Definition
from atelier.catalog.drafts import Draft, DraftStatus
from atelier.catalog.pricing import Unit
from atelier.marketplace.detail import Detail
from web.messages import Locale
from web.schemas.agents import AgentAnswer, PriceType
from web.schemas.model import Answer, Timestamp
from web.schemas.reviews import ReviewAnswer


class Counts(Answer):
    """How many there are of what is listed in part."""

    reviews: int


class ExampleAnswer(Answer):
    """Something that one may try."""

    title: str
    input_data: dict[str, Any]
    config: dict[str, Any]
    output: str | None


class PricingAnswer(Answer):
    """A metered price: credits per unit, within bounds."""

    unit: Unit
    credits: int
    minimum: int
    maximum: int
    quantity: str = Field(description="what tells beforehand how much there will be; `output`: nothing does")


class AgentDetail(AgentAnswer):
    """One agent as everyone sees it, with its latest ten reviews."""

    pricing: PricingAnswer | None = Field(description="null where creditsPerUse or basePrice is the price")
    result_days: int | None = Field(description="how many days results are kept; null: as many as the platform says")
    icon_url: str | None
    examples: list[ExampleAnswer]
    reviews: list[ReviewAnswer]
    counts: Counts = Field(alias="_count")


class DefinitionAnswer(Answer):
    """Everything that an author decides, in the form in which it is sent."""

    name: str
    description: str
    detailed_description: str | None
    category_id: str
    price_type: PriceType
    base_price: int | None
    credits_per_use: int | None
    pricing: PricingAnswer | None
    result_days: int | None
    capabilities: list[str]
    supported_languages: list[str]
    input_types: list[str]
    output_types: list[str]
    input_schema: dict[str, Any]
    config_schema: dict[str, Any]
    default_config: dict[str, Any]
    runtime: dict[str, Any]
    tags: list[str]
    icon_url: str | None
    examples: list[ExampleAnswer]

    @classmethod
    def of(cls, definition: Definition) -> Self:
        """The definition as JSON."""
        values = {name: getattr(definition, name) for name in cls.model_fields if name not in {"examples", "pricing"}}
        return cls(**values, pricing=_pricing(definition.pricing), examples=_examples(definition.examples))


class DraftAnswer(Answer):
    """What is proposed, and what became of it. A published agent stays as it is until this is approved."""

    status: DraftStatus
    reason: str | None = Field(description="why it was rejected")
    submitted_at: Timestamp | None
    updated_at: Timestamp
    definition: DefinitionAnswer

    @classmethod
    def of(cls, draft: Draft) -> Self:
        """The draft as its author sees it."""
        return cls(
            status=draft.status,
            reason=draft.reason,
            submitted_at=draft.submitted_ms,
            updated_at=draft.updated_ms,
            definition=DefinitionAnswer.of(draft.definition),
        )


class AgentInside(AgentDetail):
    """One agent as its creator and administrators see it. `revision` goes back with a change or a decision."""

    default_config: dict[str, Any]
    runtime: dict[str, Any]
    revision: int
    draft: DraftAnswer | None


def answer(detail: Detail, *, locale: Locale) -> AgentDetail:
    """What this reader may see of one agent."""
    more = public(detail)
    if not detail.listed.inside:
        return AgentDetail.of(detail.listed, locale=locale, **more)
    return AgentInside.of(detail.listed, locale=locale, **more, **private(detail))


def public(detail: Detail) -> dict[str, Any]:
    """What everyone sees beside what is listed."""
    return {
        "pricing": _pricing(detail.listed.agent.pricing),
        "result_days": detail.listed.agent.result_days,
        "icon_url": detail.icon_url,
        "examples": _examples(detail.examples),
        "reviews": [ReviewAnswer.of(one) for one in detail.reviews],
        "counts": Counts(reviews=detail.listed.agent.reviews_count),
    }


def private(detail: Detail) -> dict[str, Any]:
    """What only those inside see."""
    agent = detail.listed.agent
    return {
        "default_config": agent.default_config,
        "runtime": agent.runtime,
        "revision": detail.revision,
        "draft": DraftAnswer.of(detail.draft) if detail.draft else None,
    }


def _pricing(stored: Mapping[str, Any] | None) -> PricingAnswer | None:
    return PricingAnswer(**stored) if stored else None


def _examples(stored: Any) -> list[ExampleAnswer]:
    return [
        ExampleAnswer(title=one["title"], input_data=one["inputData"], config=one["config"], output=one.get("output"))
        for one in stored
    ]
