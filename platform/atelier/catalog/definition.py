"""Everything that an author decides about an agent, as one value: stored as a draft, compared, and carried out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from pydantic_core import from_json, to_json

from atelier.catalog import search
from atelier.catalog.service import Content, Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What an agent is. `runtime` is {"provider", "model", "promptTemplate", "parameterMapping"}.

    `pricing` is the document of a metered `pricing.Rule`, None for a fixed price; `result_days` is how long what its
    jobs make is kept, None as long as the platform says.
    `examples` are {"title", "inputData", "config", "output"}; `icon_url` is one of our own files.
    """

    name: str
    description: str
    detailed_description: str | None
    category_id: str
    price_type: str
    base_price: int | None
    credits_per_use: int | None
    pricing: Mapping[str, Any] | None = None
    result_days: int | None = None
    capabilities: Sequence[str]
    supported_languages: Sequence[str]
    input_types: Sequence[str]
    output_types: Sequence[str]
    input_schema: Mapping[str, Any]
    config_schema: Mapping[str, Any]
    default_config: Mapping[str, Any]
    runtime: Mapping[str, Any]
    tags: Sequence[str]
    icon_url: str | None
    examples: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """As `document` stored it; what it doesn't know, because it is older, is empty."""
        values: dict[str, Any] = {name: document.get(name) for name in _NAMES}
        return cls(**values)

    @property
    def document(self) -> dict[str, Any]:
        """This as JSON values."""
        document: dict[str, Any] = from_json(to_json(asdict(self)))
        return document

    @property
    def content(self) -> Content:
        """What its version runs."""
        return Content(
            kind=self.output_types[0],
            input_schema=self.input_schema,
            config_schema=self.config_schema,
            default_config=self.default_config,
            runtime=self.runtime,
            price_type=self.price_type,
            credits_per_use=self.credits_per_use,
            pricing=self.pricing,
            result_days=self.result_days,
        )

    def shown(self, *, slug: str, creator_id: str) -> Shown:
        """What the marketplace shows of it."""
        return Shown(
            slug=slug,
            creator_id=creator_id,
            category_id=self.category_id,
            name=self.name,
            description=self.description,
            detailed_description=self.detailed_description,
            price_type=self.price_type,
            base_price=self.base_price,
            credits_per_use=self.credits_per_use,
            capabilities=self.capabilities,
            supported_languages=self.supported_languages,
            input_types=self.input_types,
            output_types=self.output_types,
        )

    def changes(self, before: "Definition") -> list[tuple[str, Any, Any]]:
        """The fields that differ, with their values before and now. A tag in another case is the same tag."""
        now, then = self.document, before.document
        if [search.fold(tag) for tag in self.tags] == [search.fold(tag) for tag in before.tags]:
            then["tags"] = now["tags"]
        return [(name, then[name], now[name]) for name in _NAMES if then[name] != now[name]]


_NAMES = tuple(field.name for field in fields(Definition))
