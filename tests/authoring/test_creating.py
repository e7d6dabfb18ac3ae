"""An agent is created with the seed's body; what is left out is filled in so that it runs, what is wrong is named."""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.catalog import proposals, queries, runtime, slugs
from atelier.catalog.proposals import Proposal
from atelier.catalog.runtime import RunnableAgent
from atelier.kernel.ids import new_id
from atelier.providers import offers
from atelier.providers.contract import GenerationRequest
from atelier.providers.recording import RecordedRun
from atelier.providers.registry import ProviderOptions, build_registry
from tests.authoring.conftest import IMAGE, WRITING, Studio, agent_body
from tests.live.harness import Person

ANSWERED = {
    *("id", "slug", "name", "description", "detailedDescription", "category", "creator", "priceType", "basePrice"),
    *("creditsPerUse", "capabilities", "supportedLanguages", "inputTypes", "outputTypes", "inputSchema"),
    *("configSchema", "tags", "status", "ratingAvg", "reviewsCount", "downloadsCount", "viewCount", "createdAt"),
    *("updatedAt", "pricing", "resultDays", "iconUrl", "examples", "reviews", "_count", "defaultConfig", "runtime"),
    *("revision", "draft"),
}
one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


async def test_a_new_agent_waits_for_its_review(studio: Studio, creator: Person, reader: Person) -> None:
    got = await studio.ask("POST", "/api/agents", agent_body(), who=creator)
    assert got.status == 201
    made = got.body
    assert made.keys() == ANSWERED
    assert (made["status"], made["slug"], made["revision"]) == ("review", "ink", 1)
    assert got.headers["Location"] == f"/api/agents/{made['id']}"
    assert made["creator"]["id"] == creator.id
    assert made["category"]["slug"] == "image"
    assert [link["tag"]["name"] for link in made["tags"]] == ["水墨", "海报"]
    assert (made["creditsPerUse"], made["basePrice"], made["ratingAvg"]) == (6, None, 0.0)
    assert made["runtime"] == {
        "provider": "local-image",
        "model": "",
        "promptTemplate": "{{prompt}}",
        "parameterMapping": {},
    }
    assert made["draft"]["status"] == "review"
    assert made["draft"]["definition"]["tags"] == ["水墨", "海报"]
    for who in (None, reader):
        assert (await studio.ask("GET", f"/api/agents/{made['id']}", who=who)).status == 404
    assert await studio.read(made["id"], who=creator) == made
    assert studio.logged(made["id"]) == [("AGENT_CREATE", creator.id, {"status": "review"})]


async def test_nobody_creates_without_signing_in(studio: Studio) -> None:
    got = await studio.ask("POST", "/api/agents", agent_body())
    assert (got.status, got.body["error"]) == (401, "未授权")


async def test_the_same_key_makes_one_agent(studio: Studio, creator: Person) -> None:
    asked = [studio.ask("POST", "/api/agents", agent_body(), who=creator, Idempotency_Key="k") for _ in range(4)]
    got = await asyncio.gather(*asked)
    assert {one.status for one in got} == {201}
    assert len({one.body["id"] for one in got}) == 1
    assert sorted(one.headers.get("Idempotency-Replayed", "") for one in got) == ["", "true", "true", "true"]
    other = await studio.ask("POST", "/api/agents", agent_body(name="other"), who=creator, Idempotency_Key="k")
    assert (other.status, other.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_agents_of_one_name_made_at_once_have_different_addresses(studio: Studio, creator: Person) -> None:
    made = await asyncio.gather(*(studio.create(creator, name="AI 海报", tags=["新词"]) for _ in range(12)))
    found = {one["slug"] for one in made}
    assert len(found) == 12
    assert "ai" in found
    assert all(re.fullmatch(r"ai(-[0-9a-f]{8})?", slug) for slug in found)


async def test_a_chinese_name_has_an_address_too(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator, name="水墨海报")
    assert re.fullmatch(r"agent-[0-9a-f]{8}", made["slug"])


@given(name=st.text(min_size=1, max_size=200))
def test_an_address_is_plain_never_empty_and_never_too_long(name: str) -> None:
    agent_id = new_id()
    found = slugs.candidates(name, agent_id=agent_id)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) and len(slug) <= 80 for slug in found)
    assert found[-1] == f"agent-{agent_id.replace('-', '')}"


async def test_a_user_has_only_so_many_unpublished_agents(studio: Studio, creator: Person, reader: Person) -> None:
    limit = studio.world.settings.unpublished_agents_max
    made = await asyncio.gather(
        *(studio.ask("POST", "/api/agents", agent_body(), who=creator) for _ in range(limit + 5))
    )
    refused = [one for one in made if one.status != 201]
    assert {(one.status, one.body["code"], one.body["limit"]) for one in refused} == {
        (409, "TOO_MANY_UNPUBLISHED", limit)
    }
    assert len(refused) == 5
    await studio.create(reader)
    await studio.approve(next(one.body["id"] for one in made if one.status == 201))
    await studio.create(creator)


PRICES: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
    ({"priceType": "free"}, {}),
    ({"priceType": "free", "basePrice": 0}, {}),
    ({"priceType": "free", "basePrice": 5}, {"basePrice": "price_unused"}),
    ({"priceType": "free", "creditsPerUse": 5}, {"creditsPerUse": "price_unused"}),
    ({"priceType": "one_time", "basePrice": 1}, {}),
    ({"priceType": "one_time"}, {"basePrice": "price_required"}),
    ({"priceType": "one_time", "basePrice": 0}, {"basePrice": "price_required"}),
    (
        {"priceType": "one_time", "creditsPerUse": 3},
        {"basePrice": "price_required", "creditsPerUse": "price_unused"},
    ),
    ({"priceType": "subscription", "basePrice": 30}, {}),
    ({"priceType": "subscription"}, {"basePrice": "price_required"}),
    ({"priceType": "pay_per_use", "creditsPerUse": 1}, {}),
    ({"priceType": "pay_per_use"}, {"creditsPerUse": "price_required"}),
    ({"priceType": "pay_per_use", "creditsPerUse": 0}, {"creditsPerUse": "greater_than_equal"}),
    ({"priceType": "pay_per_use", "creditsPerUse": 1.5}, {"creditsPerUse": "int_type"}),
    ({"priceType": "pay_per_use", "creditsPerUse": "5"}, {"creditsPerUse": "int_type"}),
    ({"priceType": "pay_per_use", "creditsPerUse": 10**9}, {"creditsPerUse": "less_than_equal"}),
    ({"priceType": "pay_per_use", "creditsPerUse": 3, "basePrice": 9}, {"basePrice": "price_unused"}),
    ({"priceType": "free", "pricing": {"model": "fixed"}}, {}),
    ({"priceType": "free", "pricing": {"model": "per_second"}}, {"pricing.model": "pricing_unsupported"}),
    ({"priceType": "gift"}, {"priceType": "literal_error"}),
)


@one_engine
async def test_each_price_type_has_its_price_and_no_other(studio: Studio, creator: Person) -> None:
    for prices, expected in PRICES:
        body = agent_body(**{"creditsPerUse": None, **prices})
        got = await studio.ask("POST", "/api/agents", body, who=creator)
        found = {} if got.status == 201 else got.wrong
        assert found == expected, prices
        if got.status == 201:
            await studio.ask("DELETE", f"/api/agents/{got.body['id']}", who=creator)


@one_engine
async def test_how_long_results_are_kept_waits_for_its_review_like_any_change(studio: Studio, creator: Person) -> None:
    agent = await studio.publish(creator, resultDays=7)
    assert agent["resultDays"] == 7
    mine = await studio.read(agent["id"], who=creator)
    changed = await studio.change(creator, mine, resultDays=365)
    assert (changed.body["resultDays"], changed.body["draft"]["definition"]["resultDays"]) == (7, 365)
    await studio.approve(agent["id"])
    assert (await studio.read(agent["id"]))["resultDays"] == 365
    assert (await studio.publish(creator))["resultDays"] is None, "as long as the platform says"


WRONG: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
    ({"name": ""}, {"name": "string_too_short"}),
    ({"resultDays": 0}, {"resultDays": "greater_than_equal"}),
    ({"resultDays": 366}, {"resultDays": "less_than_equal"}),
    ({"name": "x" * 201}, {"name": "string_too_long"}),
    ({"name": "a\nb"}, {"name": "control_character"}),
    ({"description": "short"}, {"description": "string_too_short"}),
    ({"description": "x" * 2_001}, {"description": "string_too_long"}),
    ({"description": "long enough\x00 or so"}, {"description": "control_character"}),
    ({"detailedDescription": "x" * 20_001}, {"detailedDescription": "string_too_long"}),
    ({"categoryId": "x"}, {"categoryId": "uuid_parsing"}),
    ({"categoryId": "01990000-0000-7000-8000-0000000000ff"}, {"categoryId": "category_unknown"}),
    ({"capabilities": ["x"] * 21}, {"capabilities": "too_long"}),
    ({"capabilities": ["x" * 51]}, {"capabilities.0": "string_too_long"}),
    ({"supportedLanguages": ["not a language"]}, {"supportedLanguages.0": "string_pattern_mismatch"}),
    ({"outputTypes": []}, {"outputTypes": "too_short"}),
    ({"outputTypes": ["smell"]}, {"outputTypes.0": "literal_error"}),
    ({"tags": [f"t{n}" for n in range(11)]}, {"tags": "too_long"}),
    ({"tags": ["ﷺﷺﷺ"]}, {"tags.0": "string_too_long"}),
    ({"inputSchema": {"type": "nothing"}}, {"inputSchema": "schema_invalid"}),
    ({"inputSchema": {"$ref": "#"}}, {"inputSchema": "schema_reference"}),
    ({"configSchema": {"allOf": [{"$ref": "https://evil.test/x"}]}}, {"configSchema": "schema_reference"}),
    (
        {"configSchema": {"$schema": "http://json-schema.org/draft-04/schema#"}},
        {"configSchema.$schema": "schema_dialect"},
    ),
    ({"configSchema": {"anyOf": [{"const": n} for n in range(500)]}}, {"configSchema": "schema_too_complex"}),
    ({"inputSchema": {"description": "x" * 20_000}}, {"inputSchema": "json_too_large"}),
    (
        {"configSchema": {"properties": {"n": {"type": "integer"}}}, "defaultConfig": {"n": "x"}},
        {"defaultConfig.n": "int_type"},
    ),
    ({"defaultConfig": {"width": 1}}, {"defaultConfig.width": "greater_than_equal"}),
    ({"runtime": {"provider": "http://evil.test"}}, {"runtime.provider": "string_pattern_mismatch"}),
    ({"runtime": {"provider": "someone-elses"}}, {"runtime.provider": "provider_unknown"}),
    ({"runtime": {"provider": "openai-images"}}, {"runtime.provider": "provider_unknown"}),
    ({"runtime": {"provider": "local-text"}}, {"runtime.provider": "provider_mismatch"}),
    ({"runtime": {"provider": "local-image", "model": "gpt-5"}}, {"runtime.model": "model_unknown"}),
    ({"runtime": {"provider": "local-image", "apiKey": "sk-1"}}, {"runtime.apiKey": "extra_forbidden"}),
    ({"runtime": {"provider": "local-image", "baseUrl": "https://x"}}, {"runtime.baseUrl": "extra_forbidden"}),
    (
        {"runtime": {"provider": "local-image", "parameterMapping": {"apiKey": {"value": "sk-1"}}}},
        {"runtime.parameterMapping.apiKey": "parameter_unknown"},
    ),
    (
        {"runtime": {"provider": "local-image", "parameterMapping": {"width": {"value": 9}}}},
        {"runtime.parameterMapping.width": "parameter_invalid"},
    ),
    (
        {"runtime": {"provider": "local-image", "parameterMapping": {"width": "env.HOME"}}},
        {"runtime.parameterMapping.width": "mapping_invalid"},
    ),
    (
        {"runtime": {"provider": "local-image", "promptTemplate": "{{nothing}}"}},
        {"runtime.promptTemplate": "placeholder_unknown"},
    ),
    (
        {"examples": [{"title": "t", "inputData": {"prompt": ""}, "config": {"width": 1}}]},
        {"examples.0.inputData.prompt": "string_pattern_mismatch", "examples.0.config.width": "greater_than_equal"},
    ),
    ({"slug": "mine"}, {"slug": "extra_forbidden"}),
    ({"status": "published"}, {"status": "extra_forbidden"}),
    ({"creatorId": IMAGE}, {"creatorId": "extra_forbidden"}),
    ({"ratingAvg": 5}, {"ratingAvg": "extra_forbidden"}),
)


@one_engine
async def test_whatever_is_wrong_is_named_with_its_place(studio: Studio, creator: Person) -> None:
    for changes, expected in WRONG:
        got = await studio.ask("POST", "/api/agents", agent_body(**changes), who=creator)
        found = got.wrong
        assert found.items() >= expected.items(), (changes, found)
    assert (await studio.ask("GET", "/api/agents/mine", who=creator)).body["agents"] == []


async def test_what_belongs_together_is_told_at_once(studio: Studio, creator: Person) -> None:
    body = agent_body(priceType="one_time", creditsPerUse=None, inputSchema={"$ref": "#"})
    got = await studio.ask("POST", "/api/agents", body, who=creator)
    assert got.wrong == {"basePrice": "price_required", "inputSchema": "schema_reference"}
    english = await studio.ask("POST", "/api/agents", body, who=creator, Accept_Language="en")
    assert english.body["details"][0]["message"] == "This price type needs a price of at least 1"


@pytest.mark.parametrize("kind", ["text", "image", "audio", "video"])
@one_engine
async def test_without_a_runtime_a_provider_of_the_platform_really_makes_it(
    studio: Studio, creator: Person, kind: str
) -> None:
    made = await studio.create(creator, outputTypes=[kind], categoryId=WRITING)
    agent = studio.db.read(queries.runnable, agent_id=made["id"])
    assert agent is not None
    small: dict[str, Any] = {"image": {"width": 256, "height": 256}, "audio": {"durationSeconds": 2}}.get(kind, {})
    if kind == "video":
        small = {"durationSeconds": 2, "resolution": "640x360", "framesPerSecond": 12}
    made_types = await asyncio.to_thread(_run, agent, small)
    assert made_types == [kind]


def _run(agent: RunnableAgent, config: dict[str, Any]) -> list[str]:
    """What the agent's provider makes, as a worker would ask it."""
    wanted = runtime.validate(agent, input_data={"prompt": "江南水乡的清晨"}, config=config)
    request = GenerationRequest(
        provider_key="job:1",
        attempt=1,
        model=agent.model,
        prompt=runtime.render_prompt(agent, input_data={"prompt": "江南水乡的清晨"}),
        parameters=runtime.parameters(agent, input_data={"prompt": "江南水乡的清晨"}, config=wanted),
    )
    provider = build_registry(ProviderOptions())[agent.provider]
    return [output.type for output in provider.run(request, RecordedRun()).outputs]


def test_the_providers_on_offer_are_those_of_the_registry() -> None:
    for openai in (False, True):
        for development in (False, True):
            url = "https://example.org/v1" if openai else ""
            registered = build_registry(ProviderOptions(openai_base_url=url, development=development))
            offered = offers.offers(openai=openai, openai_models={}, development=development)
            assert offered.keys() == registered.keys()


def test_only_models_that_the_operator_names_may_be_asked_for() -> None:
    names = offers.model_names(["chat=gpt-small", "gpt-large", " fast = gpt-nano "])
    assert names == {"chat": "gpt-small", "gpt-large": "gpt-large", "fast": "gpt-nano"}
    offered = offers.offers(openai=True, openai_models=names, development=False)
    assert offered["openai"].models == {"", "gpt-large", "fast"}
    assert offered["openai-images"].models == {"gpt-large", "fast"}, "no model is the usual one of images"
    assert offered["local-text"].models == {""}
    assert offers.offers(openai=True, openai_models={}, development=False)["openai"].models == set()
    assert "echo" not in offered


def test_a_tag_is_kept_once_as_it_was_first_written() -> None:
    proposal = Proposal(
        name="n",
        description="d",
        category_id=IMAGE,
        price_type="free",
        output_types=["text"],
        tags=["AI", "画", "ai", "ＡＩ", "画 "],
    )
    offered = offers.offers(openai=False, openai_models={}, development=False)
    assert proposals.define(proposal, offers=offered).tags == ["AI", "画"]
