"""What an agent does with a request: pure functions, no database."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.catalog import runtime, validation
from atelier.catalog.runtime import RunnableAgent
from atelier.catalog.seed_content import AGENTS, ECHO, SeedAgent
from atelier.kernel.errors import Invalid


def runnable(seed: SeedAgent, **changes: Any) -> RunnableAgent:
    content = seed.content
    agent = RunnableAgent(
        agent_id=seed.id,
        version=1,
        slug=seed.slug,
        name=seed.name,
        creator_id="someone",
        status="published",
        kind=content.kind,
        price_type=content.price_type,
        credits_per_use=content.credits_per_use,
        provider=content.runtime["provider"],
        model=content.runtime["model"],
        prompt_template=content.runtime["promptTemplate"],
        parameter_mapping=content.runtime["parameterMapping"],
        input_schema=content.input_schema,
        config_schema=content.config_schema,
        default_config=content.default_config,
    )
    return replace(agent, **changes)


def refused(agent: RunnableAgent, input_data: dict[str, Any], config: dict[str, Any] | None) -> list[tuple[Any, ...]]:
    with pytest.raises(Invalid) as caught:
        runtime.validate(agent, input_data=input_data, config=config)
    return [(*field["path"], field["code"]) for field in caught.value.fields]


ECHO_AGENT = runnable(ECHO)
HI = {"prompt": "hi"}


def test_the_agents_defaults_lie_under_what_was_sent() -> None:
    config = runtime.validate(ECHO_AGENT, input_data=HI, config={"steps": 3})
    assert config == {"delayMs": 0, "steps": 3}
    assert runtime.validate(ECHO_AGENT, input_data=HI, config=None) == {"delayMs": 0, "steps": 1}


@pytest.mark.parametrize("seed", [*AGENTS, ECHO], ids=lambda seed: seed.slug)
def test_every_seeded_agent_takes_a_prompt_alone(seed: SeedAgent) -> None:
    seed.content.check()
    assert runtime.validate(runnable(seed), input_data=HI, config={}) == seed.schemas.defaults


@pytest.mark.parametrize(
    ("input_data", "config", "expected"),
    [
        ({}, {}, ("inputData", "prompt", "missing")),
        ({"prompt": 5}, {}, ("inputData", "prompt", "string_type")),
        ({"prompt": " \n "}, {}, ("inputData", "prompt", "string_pattern_mismatch")),
        ({"prompt": "x" * 4_001}, {}, ("inputData", "prompt", "string_too_long")),
        ({"prompt": "x", "negative": "y"}, {}, ("inputData", "negative", "extra_forbidden")),
        ({"prompt": "\ud800"}, {}, ("inputData", "string_unicode")),
        ({"prompt": "x" * 70_000}, {}, ("inputData", "json_too_large")),
        (HI, {"note": "x" * 17_000}, ("config", "json_too_large")),
        (HI, {"steps": 0}, ("config", "steps", "greater_than_equal")),
        (HI, {"steps": 101}, ("config", "steps", "less_than_equal")),
        (HI, {"steps": "5"}, ("config", "steps", "int_type")),
        (HI, {"steps": True}, ("config", "steps", "int_type")),
        (HI, {"steps": 1.5}, ("config", "steps", "int_type")),
        (HI, {"steps": None}, ("config", "steps", "int_type")),
        (HI, {"steps": float("nan")}, ("config", "steps", "int_type")),
        (HI, {"steps": float("inf")}, ("config", "steps", "int_type")),
        (HI, {"delayMs": 600_001}, ("config", "delayMs", "less_than_equal")),
        (HI, {"delayMs": 10**40}, ("config", "delayMs", "less_than_equal")),
        (HI, {"fail": "sometimes"}, ("config", "fail", "enum")),
        (HI, {"apiKey": "x"}, ("config", "apiKey", "extra_forbidden")),
    ],
)
def test_every_breach_is_named_by_path_and_code(
    input_data: dict[str, Any], config: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert refused(ECHO_AGENT, input_data, config) == [expected]


def test_the_bounds_of_the_echo_agent_are_inside() -> None:
    for config in ({"delayMs": 600_000, "steps": 100}, {"fail": "transient", "failTimes": 2}, {"fail": "permanent"}):
        assert config.items() <= runtime.validate(ECHO_AGENT, input_data=HI, config=config).items()


def test_all_breaches_are_listed_but_not_without_end() -> None:
    assert len(refused(ECHO_AGENT, {}, {"steps": 0, "delayMs": -1})) == 3
    many = {f"x{number}": number for number in range(500)}
    assert len(refused(ECHO_AGENT, HI, many)) == validation.FOUND_MAX


def test_messages_never_quote_what_was_sent() -> None:
    with pytest.raises(Invalid) as caught:
        runtime.validate(ECHO_AGENT, input_data={"prompt": ["my secret"]}, config={"fail": "my secret"})
    assert "my secret" not in str(caught.value.fields)


def test_a_whole_number_written_as_a_float_is_an_integer() -> None:
    config = runtime.validate(ECHO_AGENT, input_data=HI, config={"steps": 2.0})
    assert config["steps"] == 2
    assert type(config["steps"]) is int


def test_too_deep_a_document_is_refused_and_not_a_crash() -> None:
    deep: dict[str, Any] = {}
    for _ in range(1_000):
        deep = {"a": deep}
    codes = {field[-1] for field in refused(runnable(ECHO, input_schema={"type": "object"}), deep, {})}
    assert codes <= {"json_too_deep", "string_unicode"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/nowhere"},
        {"type": "nonsense"},
        {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}},
        {"type": "object", "properties": {"a": {"pattern": "(((a{900}){900}){900})"}}},
    ],
)
def test_a_schema_that_reaches_outside_or_cannot_be_bounded_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        validation.compiled(schema, at="configSchema")
    assert caught.value.fields[0]["path"] == ["configSchema"]


def test_patterns_take_linear_time() -> None:
    validator = validation.compiled({"pattern": "^(a+)+$"}, at="inputSchema")
    assert not validator.is_valid("a" * 50_000 + "!")


def test_compiled_rules_are_kept_within_bounds_and_never_confused() -> None:
    cache = validation.RulesCache(size_max=2)
    open_schema: dict[str, Any] = {"type": "object"}
    closed: dict[str, Any] = {"type": "object", "maxProperties": 0}
    first = cache.get("a", 1, input_schema=open_schema, config_schema=open_schema)
    assert cache.get("a", 1, input_schema=dict(open_schema), config_schema=open_schema) is first
    assert not cache.get("a", 1, input_schema=closed, config_schema=open_schema).allow({"x": 1}, {})
    for name in "bcdef":
        cache.get(name, 1, input_schema=open_schema, config_schema=open_schema)
    assert len(cache) == 2


def test_only_bought_kinds_need_a_purchase_and_never_of_ones_own_agent() -> None:
    needed = {
        price_type: runtime.needs_purchase(runnable(ECHO, price_type=price_type), user_id="reader")
        for price_type in ("free", "one_time", "subscription", "pay_per_use")
    }
    assert needed == {"free": False, "one_time": True, "subscription": True, "pay_per_use": False}
    assert not runtime.needs_purchase(runnable(ECHO, price_type="one_time"), user_id="someone")


def test_prompt_placeholders_are_filled_once() -> None:
    agent = runnable(
        ECHO, prompt_template="A {{ style }} poem of {{lines}} lines about {{topic}}, {{missing}}{{ bad name }}!"
    )
    data = {"style": "short", "lines": 3, "topic": "{{style}} \\1 {{prompt}}"}
    expected = "A short poem of 3 lines about {{style}} \\1 {{prompt}}, {{ bad name }}!"
    assert runtime.render_prompt(agent, input_data=data) == expected


def test_structures_in_prompts_are_json() -> None:
    agent = runnable(ECHO, prompt_template="{{flag}} {{list}}")
    assert runtime.render_prompt(agent, input_data={"flag": True, "list": ["中", 1]}) == 'true ["中",1]'


@given(st.text())
def test_a_plain_template_gives_the_prompt_back(prompt: str) -> None:
    assert runtime.render_prompt(ECHO_AGENT, input_data={"prompt": prompt}) == prompt


def test_without_a_mapping_the_config_is_the_parameters() -> None:
    config = {"steps": 2}
    parameters = runtime.parameters(ECHO_AGENT, input_data=HI, config=config)
    assert parameters == config
    assert parameters is not config


def test_a_mapping_renames_adds_and_fixes() -> None:
    mapping = {
        "n": "config.count",
        "voice": "inputData.voice",
        "quality": {"value": "high"},
        "absent": "config.absent",
    }
    agent = runnable(ECHO, parameter_mapping=mapping)
    runtime.check_mapping(mapping)
    parameters = runtime.parameters(agent, input_data={"voice": "zh"}, config={"count": 2, "size": 5, "quality": "low"})
    assert parameters == {"n": 2, "voice": "zh", "quality": "high", "size": 5}


@pytest.mark.parametrize("source", ["count", "env.SECRET", "config.", "config.a.b", 5, None, {"values": 1}, {}])
def test_a_mapping_with_another_source_is_refused(source: Any) -> None:
    with pytest.raises(Invalid) as caught:
        runtime.check_mapping({"good": "config.a", "bad": source})
    assert [field["path"] for field in caught.value.fields] == [["runtime", "parameterMapping", "bad"]]
