"""A job that is put together from others, as its owner sees it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from atelier.catalog import seed_content
from atelier.contracts import queues
from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.kernel.database import Database, matched
from atelier.kernel.settings import Settings
from atelier.providers import schemas
from tests.furnishing import furnish
from tests.live.harness import Person, Served, World, eventually, healthy, serving, socket
from tests.servers import ValkeyServer
from web.schemas.jobs import StepAnswer, WholeJobAnswer

STORY = next(one for one in seed_content.AGENTS if one.provider == queues.WORKFLOW)


@pytest.fixture
def world(db: Database, settings: Callable[..., Settings]) -> World:
    return World(db, settings(web_relay=False))


@pytest_asyncio.fixture
async def served(settings: Callable[..., Settings]) -> AsyncIterator[Served]:
    async with serving(settings(web_relay=False)) as running:
        await healthy(running)
        yield running


async def ask(served: Served, person: Person, path: str, **headers: str) -> tuple[int, Any, str]:
    async with served.client.get(path, headers={**person.headers, **headers}) as got:
        return got.status, await got.json() if got.status == 200 else None, got.headers.get("ETag", "")


async def shown(served: Served, person: Person, job_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await ask(served, person, f"/api/jobs/{job_id}"))[1]
    return body


def story(world: World, person: Person, **config: Any) -> tuple[str, str]:
    """A composite job of two scenes, and its first step."""
    job = world.job(
        person,
        provider=queues.WORKFLOW,
        queue=queues.GENERATION_COMPOSE,
        kind="video",
        agent_id=STORY.id,
        input={"prompt": "灯塔"},
        config={**schemas.STORY.defaults, "scenes": 2, **config},
    )
    return job, world.job(person, parent_id=job, step="captions", held=0)


def done(world: World, job_id: str) -> None:
    """A worker does it, and nobody hears of it."""
    world.claim(job_id, silently=True)
    world.finish(job_id, silently=True)


async def test_the_steps_of_a_job_are_shown_with_it(served: Served, world: World) -> None:
    me = world.person()
    job, step = story(world, me)
    status, body, etag = await ask(served, me, f"/api/jobs/{job}")
    assert status == 200
    assert set(body) == {field.alias for field in WholeJobAnswer.model_fields.values()}
    (shown,) = body["steps"]
    assert set(shown) == {field.alias for field in StepAnswer.model_fields.values()}
    assert (shown["name"], shown["jobId"], shown["status"]) == ("captions", step, "pending")
    assert (await ask(served, me, f"/api/jobs/{job}", **{"If-None-Match": etag}))[0] == 304

    world.claim(step)
    world.finish(step, states.FAILED, error_code="PROVIDER_REJECTED")
    status, body, changed = await ask(served, me, f"/api/jobs/{job}", **{"If-None-Match": etag})
    assert (status, changed != etag) == (200, True)
    assert (body["steps"][0]["status"], body["steps"][0]["errorCode"]) == ("failed", "PROVIDER_REJECTED")
    assert body["steps"][0]["errorMessage"]


async def test_waiting_with_a_version_ends_with_the_next_of_a_step_too(served: Served, world: World) -> None:
    me = world.person()
    job, step = story(world, me)
    world.claim(job)
    _, _, etag = await ask(served, me, f"/api/jobs/{job}")
    changes: list[Callable[[], Any]] = [
        *(partial(world.claim, step), partial(world.finish, step), partial(world.progress, job, 0.5))
    ]
    seen: list[tuple[str, float]] = []
    for change in changes:
        waiting = asyncio.create_task(ask(served, me, f"/api/jobs/{job}?wait=60", **{"If-None-Match": etag}))
        await eventually(lambda: len(served.live.waits), what="the request waits")
        change()
        async with asyncio.timeout(10):
            status, body, changed = await waiting
        assert (status, changed != etag) == (200, True)
        seen.append((body["steps"][0]["status"], body["progress"]))
        etag = changed
    assert seen == [("running", 0), ("completed", 0), ("completed", 0.5)]
    assert (await ask(served, me, f"/api/jobs/{job}?wait=1", **{"If-None-Match": etag}))[0] == 304


async def test_what_redis_has_lost_of_the_progress_is_in_the_steps(
    served: Served, world: World, shared_valkey: ValkeyServer
) -> None:
    world.db.transact(furnish)
    me = world.person()
    job, captions = story(world, me, audio="none")
    world.claim(job)
    before = await shown(served, me, job)
    assert (before["progress"], before["step"]) == (0, None)

    await asyncio.to_thread(done, world, captions)
    world.job(me, parent_id=job, step="image-1", held=0)
    world.job(me, parent_id=job, step="image-2", held=0)
    shared_valkey.wipe()
    await served.live.snapshots.look(older_seconds=0)
    after = await shown(served, me, job)
    assert (after["progress"], after["step"]) == (round(1 / 9, 3), "image-1, image-2")
    assert after["seq"] > before["seq"]
    async with serving(world.settings) as another:
        assert await shown(another, me, job) == after
    (listed,) = (await ask(served, me, "/api/jobs"))[1]["jobs"]
    assert listed["progress"] == after["progress"]

    world.send(job, "job.progress", {"progress": 0.9, "step": "cut"}, seq=after["seq"] + 1)
    _, told, _ = await ask(served, me, f"/api/jobs/{job}?wait=10&seq={after['seq']}")
    assert (told["progress"], told["step"]) == (0.9, "cut"), "what is newer counts as before"
    await served.live.snapshots.look(older_seconds=0)
    assert (await shown(served, me, job))["progress"] == 0.9, "it is in Redis now"


async def test_a_job_that_its_workflow_no_longer_fits_is_shown_beside_the_others(served: Served, world: World) -> None:
    world.db.transact(furnish)
    me = world.person()
    stranger, step = story(world, me)
    world.db.transact(matched, update(JOBS).where(JOBS.c.id == stranger).values(config={}))
    job, captions = story(world, me, audio="none")
    for parent, child in ((stranger, step), (job, captions)):
        world.claim(parent)
        await asyncio.to_thread(done, world, child)
    assert (await shown(served, me, stranger))["progress"] == 0
    (_, listed, _) = await ask(served, me, "/api/jobs")
    assert {one["id"]: one["progress"] for one in listed["jobs"]} == {stranger: 0, job: round(1 / 9, 3)}
    async with socket(served, me) as listener:
        await listener.say(type="subscribe", all=True)
        told = [await listener.next() for _ in range(3)]
    assert {one["jobId"] for one in told} == {None, stranger, job}


async def test_a_step_is_a_job_of_its_own_that_no_list_has(served: Served, world: World) -> None:
    me = world.person()
    job, step = story(world, me)
    status, body, _ = await ask(served, me, f"/api/jobs/{step}")
    assert (status, body["parentId"], body.get("steps")) == (200, job, None)
    _, listed, _ = await ask(served, me, "/api/jobs")
    assert [one["id"] for one in listed["jobs"]] == [job]
    assert (await ask(served, world.person(), f"/api/jobs/{step}"))[0] == 404


@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_a_step_is_canceled_and_tried_again_with_the_whole(served: Served, world: World, verb: str) -> None:
    me = world.person()
    job, step = story(world, me)
    if verb == "retry":
        world.claim(step)
        world.finish(step, states.FAILED)
    async with served.client.post(f"/api/jobs/{step}/{verb}", headers=me.headers) as got:
        body = await got.json()
    assert (got.status, body["code"], body["jobId"]) == (409, "JOB_IS_STEP", job)
