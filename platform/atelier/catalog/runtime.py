"""What an agent does with a request: check it, render the prompt, name the provider's parameters, say the price.

Pure functions on the path of every submission; nothing here reads a database.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_core import to_json

from atelier.catalog import pricing, validation
from atelier.catalog.pricing import Price
from atelier.kernel.errors import Invalid

INPUT_BYTES_MAX: Final = 65_536
CONFIG_BYTES_MAX: Final = 16_384
PURCHASED = frozenset({"one_time", "subscription"})

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_SOURCE: Final = re.compile(r"(config|inputData)\.[A-Za-z_][A-Za-z0-9_]*")
_RULES: Final = validation.RulesCache()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableAgent:
    """One version of an agent, with everything that a job needs of it.

    status            of the agent now: only "published" may be used by everyone
    kind              text, image, audio or video: which queue its jobs take
    prompt_template   `{{name}}` stands for the field `name` of inputData
    parameter_mapping provider parameter → "config.<name>", "inputData.<name>" or {"value": a constant}
    pricing           the document of a metered `pricing.Rule`; None for a fixed price
    result_days       how long what its jobs make is kept at least; None is as long as the platform says
    """

    agent_id: str
    version: int
    slug: str
    name: str
    creator_id: str
    status: str
    kind: str
    price_type: str
    credits_per_use: int | None
    provider: str
    model: str
    prompt_template: str
    parameter_mapping: Mapping[str, Any]
    input_schema: Mapping[str, Any]
    config_schema: Mapping[str, Any]
    default_config: Mapping[str, Any]
    pricing: Mapping[str, Any] | None = None
    result_days: int | None = None


def validate(
    agent: RunnableAgent, *, input_data: Mapping[str, Any], config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The config that the job runs with: the agent's defaults under what was sent, name by name.

    Raises Invalid with paths that start with "inputData" or "config".
    """
    merged = {**agent.default_config, **_whole(config or {})}
    found = validation.too_large(input_data, bytes_max=INPUT_BYTES_MAX, at="inputData")
    found += validation.too_large(merged, bytes_max=CONFIG_BYTES_MAX, at="config")
    if found:
        raise Invalid(found)
    rules = _RULES.get(
        agent.agent_id, agent.version, input_schema=agent.input_schema, config_schema=agent.config_schema
    )
    try:
        if rules.allow(input_data, merged):
            return merged
    except ValueError:
        pass  # What can't even be looked at is named below, field by field.
    raise Invalid(rules.breaches(input_data, merged))


def price(agent: RunnableAgent, *, input_data: Mapping[str, Any], config: Mapping[str, Any]) -> Price:
    """What a job with this input and this whole config costs at most."""
    rule = pricing.rule_of(price_type=agent.price_type, credits_per_use=agent.credits_per_use, pricing=agent.pricing)
    return pricing.estimate(rule, input_data=input_data, config=config)


def needs_purchase(agent: RunnableAgent, *, user_id: str) -> bool:
    """Whether this user must have bought the agent first."""
    return agent.price_type in PURCHASED and agent.creator_id != user_id


def render_prompt(agent: RunnableAgent, *, input_data: Mapping[str, Any]) -> str:
    """The prompt template with its placeholders filled in once: braces inside a value stay as they are."""

    def filled(found: re.Match[str]) -> str:
        return _as_text(input_data.get(found[1]))

    return _PLACEHOLDER.sub(filled, agent.prompt_template)


def parameters(agent: RunnableAgent, *, input_data: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The provider's parameters: `config` as it is, except what the mapping renames, adds or fixes.

    A source that has no value gives no parameter, so that the provider's own default holds.
    """
    if not agent.parameter_mapping:
        return dict(config)
    sources = {"config": config, "inputData": input_data}
    mapped: dict[str, Any] = {}
    taken: set[str] = set()
    for name, source in agent.parameter_mapping.items():
        if isinstance(source, Mapping):
            mapped[name] = source["value"]
            continue
        place, _, field = str(source).partition(".")
        if place == "config":
            taken.add(field)
        if field in sources[place]:
            mapped[name] = sources[place][field]
    return {name: value for name, value in config.items() if name not in taken} | mapped


def check_mapping(mapping: Mapping[str, Any]) -> None:
    """Raise Invalid unless every entry has one of the three forms that `parameters` knows."""
    message = 'Expected "config.<name>", "inputData.<name>" or {"value": …}.'
    wrong = [
        {"path": ["runtime", "parameterMapping", name], "message": message, "code": "mapping_invalid"}
        for name, source in mapping.items()
        if not _is_source(source)
    ]
    if wrong:
        raise Invalid(wrong)


def _is_source(source: object) -> bool:
    if isinstance(source, Mapping):
        return list(cast("Mapping[str, Any]", source)) == ["value"]
    return isinstance(source, str) and _SOURCE.fullmatch(source) is not None


def _whole(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema calls 2.0 an integer, as JSON has only one kind of number; providers want it to be one."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in config.items()
    }


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()
