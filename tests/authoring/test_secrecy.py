"""What an agent runs is its author's: no answer to anybody else has it, by its schema or in fact."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from atelier.kernel.ids import new_id
from tests.authoring.conftest import Studio
from tests.live.harness import Person
from tests.published import DOCUMENT
from web import routes
from web.routing import PARAMETER

SECRET = {"runtime", "defaultConfig", "promptTemplate", "parameterMapping"}
CANARY = "canary-template-5f1c"
# Whoever asks these is the author or an administrator, or gets the first of two models.
INSIDE = {
    *("getAgentsByAgentId", "postAgents", "postAgentsUpload", "putAgentsByAgentId", "postAgentsByAgentIdSubmit"),
    *("postAgentsByAgentIdIcon", "getAdminAgentsByAgentId"),
}


def named(schema: Any, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every property that an answer of this schema may have."""
    kind = schema.__class__
    if kind is dict:
        reference = str(schema.get("$ref", "")).rpartition("/")[2]
        if reference and reference not in seen:
            yield from named(DOCUMENT["components"]["schemas"][reference], seen | {reference})
        yield from schema.get("properties", {})
    if kind is dict or kind is list:
        for part in schema.values() if kind is dict else schema:
            yield from named(part, seen)


def test_no_answer_has_room_for_it_but_those_of_its_author_and_of_administrators() -> None:
    found = {
        operation["operationId"]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        if SECRET & set(named(content.get("schema", {})))
    }
    assert found - INSIDE == set()
    assert "getAgentsByAgentId" in found, "the walk sees what there is"


def test_the_public_model_of_an_agent_has_no_room_for_it() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for model in ("AgentAnswer", "AgentDetail", "StudioAgentAnswer"):
        assert SECRET & set(named(schemas[model])) == set(), model
    assert set(named(schemas["AgentInside"])) >= SECRET - {"promptTemplate", "parameterMapping"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_no_answer_to_anybody_else_has_it(studio: Studio, creator: Person, reader: Person) -> None:
    runtime = {
        "provider": "local-image",
        "promptTemplate": f"{CANARY} {{{{prompt}}}}",
        "parameterMapping": {"title": {"value": CANARY}},
    }
    config = {"configSchema": {"properties": {"note": {"type": "string"}}}, "defaultConfig": {"note": CANARY}}
    public = await studio.publish(creator, runtime=runtime, priceType="free", creditsPerUse=None, **config)
    mine = await studio.read(public["id"], who=creator)
    await studio.change(creator, mine, name="改名", runtime=runtime, **config)
    assert CANARY in json.dumps(await studio.read(public["id"], who=creator))
    studio.bought(reader, public["id"])
    body = {"agentId": public["id"], "inputData": {"prompt": "画"}}
    job = await studio.ask("POST", "/api/workshop/generate", body, who=reader)
    assert job.status == 202
    texts = [json.dumps(job.body)]
    places = {"agentId": public["id"], "jobId": job.body["jobId"], "userId": creator.id}
    for who in (None, reader):
        for endpoint in routes.ENDPOINTS:
            if endpoint.method == "GET" and endpoint.produces == "application/json":
                path = PARAMETER.sub(lambda found: places.get(found[1]) or new_id(), endpoint.path)
                query = "?q=水墨" if endpoint.path.endswith("search") else ""
                async with studio.served.client.get(path + query, headers=who.headers if who else {}) as answer:
                    texts.append(await answer.text())
    assert any(public["name"] in text for text in texts), "the agent is in what was read"
    assert [text[:300] for text in texts if CANARY in text] == []


async def test_who_may_not_see_an_agent_learns_nothing_of_it(studio: Studio, creator: Person, reader: Person) -> None:
    hidden = await studio.create(creator, name="秘密计划")
    for who in (None, reader):
        for path in ("", "/reviews"):
            got = await studio.ask("GET", f"/api/agents/{hidden['id']}{path}", who=who)
            unknown = await studio.ask("GET", f"/api/agents/{new_id()}{path}", who=who)
            assert got.status == 404
            assert {**got.body, "requestId": ""} == {**unknown.body, "requestId": ""}
    listed = await studio.ask("GET", f"/api/agents?creator={creator.id}")
    assert listed.body["agents"] == []
    assert (await studio.ask("GET", "/api/agents/search?q=秘密计划")).body["agents"] == []
