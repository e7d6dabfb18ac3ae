"""Who may run what: authors what nobody has approved yet, buyers what is archived, everyone what is published."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.jobs.models import JOBS
from atelier.kernel.clock import DAY_MS, now_ms
from tests.authoring.conftest import WRITING, Got, Json, Studio
from tests.live.harness import Person

TEXT = {"outputTypes": ["text"], "categoryId": WRITING, "priceType": "free", "creditsPerUse": None}


async def run(studio: Studio, agent: Json, who: Person) -> Got:
    body = {"agentId": agent["id"], "inputData": {"prompt": "江南水乡的清晨"}}
    return await studio.ask("POST", "/api/workshop/generate", body, who=who)


async def test_its_author_tries_out_what_nobody_has_approved(studio: Studio, creator: Person, reader: Person) -> None:
    made = await studio.create(creator, **TEXT)
    assert (await run(studio, made, creator)).status == 202
    assert (await run(studio, made, studio.admin)).status == 202
    refused = await run(studio, made, reader)
    assert (refused.status, refused.body["error"]) == (404, "Agent不存在或不可用")
    await studio.reject(made["id"])
    assert (await run(studio, made, creator)).status == 202


async def test_its_author_tries_out_the_newest_of_it(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator, **TEXT)
    runtime = {"provider": "outline", "promptTemplate": "更短：{{prompt}}"}
    await studio.change(creator, made, **TEXT, runtime=runtime)
    job = await run(studio, made, creator)
    detail = await studio.read(made["id"], who=creator)
    assert detail["runtime"]["provider"] == "outline"
    assert studio.db.read(_version_of, job_id=job.body["jobId"]) == 2


def _version_of(session: Session, *, job_id: str) -> int:
    return int(session.execute(select(JOBS.c.agent_version).where(JOBS.c.id == job_id)).scalar_one())


async def test_buyers_go_on_with_what_is_archived(studio: Studio, creator: Person, reader: Person) -> None:
    sold = {**TEXT, "priceType": "subscription", "basePrice": 30}
    agent = await studio.publish(creator, **sold)
    former, stranger = studio.world.person(), studio.world.person()
    studio.bought(reader, agent["id"], expires_ms=now_ms() + DAY_MS)
    studio.bought(former, agent["id"], expires_ms=now_ms() - 1)
    assert (await run(studio, agent, stranger)).body["code"] == "NOT_PURCHASED"
    running = await run(studio, agent, reader)
    assert (await studio.ask("DELETE", f"/api/agents/{agent['id']}", who=creator)).status == 200
    assert (await run(studio, agent, reader)).status == 202
    for who in (former, stranger):
        refused = await run(studio, agent, who)
        assert (refused.status, refused.body["code"]) == (404, "AGENT_UNAVAILABLE")
    job = await studio.ask("GET", f"/api/jobs/{running.body['jobId']}", who=reader)
    assert job.body["status"] == "pending", "what was submitted before runs on"
