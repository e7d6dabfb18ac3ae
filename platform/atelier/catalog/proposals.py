"""From what an author sends to a definition that really runs: what is left out is filled in, what can't be is named."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from atelier.catalog import prices, published_schemas, search, validation
from atelier.catalog.definition import Definition
from atelier.catalog.runtime import CONFIG_BYTES_MAX, check_mapping
from atelier.kernel.errors import Invalid
from atelier.providers.offers import DEFAULTS, Offer

TAG_MAX: Final = 50
MAPPED_MAX: Final = 50
EXAMPLE_BYTES_MAX: Final = 16_384
TEMPLATE: Final = "{{prompt}}"
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")

Breaches = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """As `Definition`, where what runs may be left to the platform."""

    name: str
    description: str
    detailed_description: str | None = None
    category_id: str
    price_type: str
    base_price: int | None = None
    credits_per_use: int | None = None
    pricing: Mapping[str, Any] | None = None
    result_days: int | None = None
    capabilities: Sequence[str] = ()
    supported_languages: Sequence[str] = ()
    input_types: Sequence[str] = ()
    output_types: Sequence[str]
    input_schema: Mapping[str, Any] | None = None
    config_schema: Mapping[str, Any] | None = None
    default_config: Mapping[str, Any] | None = None
    runtime: Mapping[str, Any] | None = None
    tags: Sequence[str] = ()
    icon_url: str | None = None
    examples: Sequence[Mapping[str, Any]] = ()


def define(proposal: Proposal, *, offers: Mapping[str, Offer]) -> Definition:
    """The definition. Raises Invalid, which names everything that is wrong as far as it can be told at once."""
    runtime, offer = _runtime(proposal, offers=offers)
    found = prices.breaches(
        price_type=proposal.price_type,
        base_price=proposal.base_price,
        credits_per_use=proposal.credits_per_use,
        metered=proposal.pricing,
    )
    metered = None if found else prices.settled(proposal.pricing)
    found += _tags(proposal.tags)
    made = Definition(
        **{field.name: getattr(proposal, field.name) for field in fields(Proposal) if field.name not in _MADE},
        base_price=proposal.base_price or None,
        credits_per_use=metered["maximum"] if metered else proposal.credits_per_use or None,
        pricing=metered,
        tags=_distinct(proposal.tags),
        input_schema=offer.schemas.input if proposal.input_schema is None else proposal.input_schema,
        config_schema=offer.schemas.config if proposal.config_schema is None else proposal.config_schema,
        default_config=_defaults(proposal, offer),
        runtime=runtime,
        examples=proposal.examples,
    )
    found += published_schemas.breaches(made.input_schema, at="inputSchema")
    found += published_schemas.breaches(made.config_schema, at="configSchema")
    found += validation.too_large(made.default_config, bytes_max=CONFIG_BYTES_MAX, at="defaultConfig")
    if not found:
        made.content.check()
        found = [*_placeholders(made), *_misfits(made), *_examples(made)]
    if found:
        raise Invalid(found)
    return made


_MADE: Final = frozenset(
    {
        *("base_price", "credits_per_use", "pricing", "tags", "input_schema", "config_schema", "default_config"),
        *("runtime", "examples"),
    }
)


def _runtime(proposal: Proposal, *, offers: Mapping[str, Offer]) -> tuple[dict[str, Any], Offer]:
    """What runs it, and by whom. Raises Invalid: without a provider nothing else can be judged."""
    kind = proposal.output_types[0]
    if proposal.runtime is None:
        provider = DEFAULTS[kind]
        return {"provider": provider, "model": "", "promptTemplate": TEMPLATE, "parameterMapping": {}}, offers[provider]
    chosen = dict(proposal.runtime)
    offer = offers.get(chosen["provider"])
    if offer is None:
        raise Invalid([_entry(["runtime", "provider"], "provider_unknown", "Not a provider of this platform.")])
    found: Breaches = []
    if offer.kind != kind:
        found.append(_entry(["runtime", "provider"], "provider_mismatch", f"Makes {offer.kind}.", kind=offer.kind))
    if chosen["model"] not in offer.models:
        found.append(_entry(["runtime", "model"], "model_unknown", "Not a model of this provider."))
    found += _mapping(chosen["parameterMapping"], offer)
    if found:
        raise Invalid(found)
    return chosen, offer


def _mapping(mapping: Mapping[str, Any], offer: Offer) -> Breaches:
    try:
        check_mapping(mapping)
    except Invalid as invalid:
        return invalid.fields
    known: Mapping[str, Any] = offer.schemas.config["properties"]
    if len(mapping) > MAPPED_MAX:
        return [_entry(["runtime", "parameterMapping"], "too_long", "Too many.", max_length=MAPPED_MAX)]
    found = validation.too_large(mapping, bytes_max=CONFIG_BYTES_MAX, at="runtime")
    for name, source in mapping.items():
        path = ["runtime", "parameterMapping", name]
        if name not in known:
            found.append(_entry(path, "parameter_unknown", "The provider has no such parameter."))
        elif isinstance(source, Mapping) and not validation.compiled(known[name], at=name).is_valid(source["value"]):
            found.append(_entry(path, "parameter_invalid", "Not a value that the provider takes."))
    return found


def _defaults(proposal: Proposal, offer: Offer) -> Mapping[str, Any]:
    if proposal.default_config is not None:
        return proposal.default_config
    # The provider's own defaults belong to its own schema; another schema may not even know their names.
    return offer.schemas.defaults if proposal.config_schema is None else {}


def _tags(tags: Sequence[str]) -> Breaches:
    # Some single characters are words once they are folded: what is compared is longer than what was sent.
    return [
        _entry(["tags", place], "string_too_long", "Too long.", max_length=TAG_MAX)
        for place, tag in enumerate(tags)
        if len(search.fold(tag)) > TAG_MAX
    ]


def _distinct(tags: Sequence[str]) -> list[str]:
    """Each tag once, as it was first written."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(search.fold(tag), tag)
    return list(found.values())


def _placeholders(made: Definition) -> Iterator[dict[str, Any]]:
    """Placeholders that no input can fill: its schema allows no field of that name."""
    if made.input_schema.get("additionalProperties") is False and "patternProperties" not in made.input_schema:
        known = made.input_schema.get("properties", {})
        for name in dict.fromkeys(_PLACEHOLDER.findall(made.runtime["promptTemplate"])):
            if name not in known:
                yield _entry(["runtime", "promptTemplate"], "placeholder_unknown", f"inputData has no {name}.")


def _misfits(made: Definition) -> Iterator[dict[str, Any]]:
    kind = made.output_types[0]
    return prices.misfits(made.pricing, kind=kind, input_schema=made.input_schema, config_schema=made.config_schema)


def _examples(made: Definition) -> Iterator[dict[str, Any]]:
    rules = validation.Rules(made.input_schema, made.config_schema)
    for place, one in enumerate(made.examples):
        for breach in validation.too_large(one, bytes_max=EXAMPLE_BYTES_MAX, at="examples"):
            yield {**breach, "path": ["examples", place]}
        config = {**made.default_config, **one["config"]}
        for breach in rules.breaches(one["inputData"], config):
            yield {**breach, "path": ["examples", place, *breach["path"]]}


def _entry(path: list[Any], code: str, message: str, **context: Any) -> dict[str, Any]:
    return {"path": path, "message": message, "code": code, "context": context}
