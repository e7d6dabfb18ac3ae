"""Reading jobs over HTTP: polling, waiting, lists, results and their files."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from multidict import CIMultiDictProxy

from atelier.jobs import explain
from atelier.kernel import clock
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.live import wire
from tests.live.harness import Served, World, eventually, healthy, polled, serving
from web.schemas.jobs import JobAnswer, JobListAnswer


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    return settings(web_relay=False)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    return World(db, chosen)


@pytest_asyncio.fixture
async def served(chosen: Settings) -> AsyncIterator[Served]:
    async with serving(chosen) as running:
        await healthy(running)
        yield running


async def get(
    served: Served, path: str, headers: dict[str, str], **query: Any
) -> tuple[int, Any, CIMultiDictProxy[str]]:
    async with served.client.get(path, headers=headers, params=query) as response:
        raw = await response.read()
        body = await response.json() if raw and "json" in response.content_type else raw
        return response.status, body, response.headers


# -- one job


async def test_a_job_has_exactly_the_documented_shape(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me, project_id=None)
    status, body, headers = await get(served, f"/api/jobs/{job}", me.headers)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert set(body) == {field.alias for field in JobAnswer.model_fields.values()}
    assert body | {"agentId": "", "createdAt": ""} == {
        "id": job,
        "status": "pending",
        "seq": 1,
        "kind": "text",
        "agentId": "",
        "projectId": None,
        "batchId": None,
        "parentId": None,
        "progress": 0,
        "step": None,
        "queuePosition": 0,
        "blockedBy": "waiting_for_worker",
        "blockedMessage": "正在等待空闲的工作进程",
        "estimate": None,
        "credits": {"held": 5, "used": 0},
        "attempts": 0,
        "errorCode": None,
        "errorMessage": None,
        "createdAt": "",
        "startedAt": None,
        "finishedAt": None,
        "processingTime": None,
        "links": {
            "self": f"/api/jobs/{job}",
            "events": f"/api/jobs/{job}/events",
            "cancel": f"/api/jobs/{job}/cancel",
            "result": f"/api/jobs/{job}/result",
        },
    }


async def test_a_job_is_followed_through_its_life(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    assert (await polled(served, me, job))["status"] == "pending"
    world.claim(job)
    await eventually(lambda: served.live.snapshots.known(job, user_id=me.id, locale="zh") is None, what="told")
    running = await polled(served, me, job)
    assert (running["status"], running["attempts"], running["queuePosition"]) == ("running", 1, None)
    world.progress(job, 0.4, "drawing")
    found = await polled(served, me, job, wait=10, seq=running["seq"])
    assert (found["progress"], found["step"], found["seq"]) == (0.4, "drawing", running["seq"] + 1)
    world.finish(job, used=3, result={"outputs": []})
    done = await polled(served, me, job, wait=10)
    assert (done["status"], done["progress"], done["step"]) == ("completed", 1, None)
    assert done["credits"] == {"held": 5, "used": 3}
    assert done["processingTime"] >= 0
    assert done["seq"] == world.seqs[job]


async def test_an_error_is_told_in_the_readers_language(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.finish(job, "failed", error_code="PROVIDER_TIMEOUT", error_message="upstream said: 504 at 10.0.0.7")
    _, zh, zh_headers = await get(served, f"/api/jobs/{job}", me.headers)
    _, en, en_headers = await get(served, f"/api/jobs/{job}", me.headers | {"Accept-Language": "en"})
    assert (zh["errorCode"], zh["errorMessage"]) == ("PROVIDER_TIMEOUT", "生成服务超时")
    assert en["errorMessage"] == "The provider did not finish in time"
    assert zh_headers["ETag"] != en_headers["ETag"]


async def test_a_job_that_waits_for_its_next_attempt_says_so(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.put_back(job, wait_ms=60_000)
    found = await polled(served, me, job)
    assert (found["status"], found["blockedBy"], found["attempts"]) == ("pending", "retry_backoff", 1)
    assert found["errorCode"] == "PROVIDER_TIMEOUT"


async def test_positions_count_the_older_jobs_of_the_same_queue(served: Served, world: World) -> None:
    me = world.person()
    first, second = world.job(me), world.job(me)
    picture = world.job(me, kind="image", queue="generation.image")
    third = world.job(me)
    found = [(await polled(served, me, job))["queuePosition"] for job in (first, second, third, picture)]
    assert found == [0, 1, 2, 0]


async def test_positions_are_counted_to_a_thousand(served: Served, world: World) -> None:
    me = world.person()
    world.line(1_000, owner=me)
    last, beyond, far_beyond = world.job(me), world.job(me), world.job(me)
    found = [(await polled(served, me, job))["queuePosition"] for job in (last, beyond, far_beyond)]
    assert found == [1_000, None, None]


async def test_a_long_line_of_another_is_passed_in_turns(served: Served, world: World) -> None:
    me = world.person()
    world.line(1_000)
    mine = [world.job(me) for _ in range(3)]
    assert [(await polled(served, me, job))["queuePosition"] for job in mine] == [1, 3, 5]


async def test_a_line_that_is_too_long_to_be_read_is_told_in_turns_too(served: Served, world: World) -> None:
    me = world.person()
    world.line(explain.FRONT_MAX + 1)
    mine = [world.job(me) for _ in range(2)]
    assert [(await polled(served, me, job))["queuePosition"] for job in mine] == [1, 3]


@pytest.mark.parametrize("path", ["", "/result", "/events"])
async def test_a_job_of_someone_else_does_not_exist(served: Served, world: World, path: str) -> None:
    me, other = world.person(), world.person()
    theirs = world.job(other)
    assert (await polled(served, other, theirs))["id"] == theirs
    foreign, _, _ = await get(served, f"/api/jobs/{theirs}{path}", me.headers)
    status, body, _ = await get(served, f"/api/jobs/{new_id()}{path}", me.headers)
    assert foreign == status == 404
    assert body["code"] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["/api/jobs/{}", "/api/jobs/{}/result", "/api/jobs/{}/events", "/api/jobs"])
async def test_nobody_reads_anything(served: Served, world: World, path: str) -> None:
    status, body, _ = await get(served, path.format(world.job(world.person())), {})
    assert (status, body["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("query", ["wait=61", "wait=-1", "wait=x", "wait=1.5", "seq=-1", "page=1", "wait=1&wait=2"])
async def test_bad_parameters_are_refused(served: Served, world: World, query: str) -> None:
    me = world.person()
    status, body, _ = await get(served, f"/api/jobs/{world.job(me)}?{query}", me.headers)
    assert (status, body["code"]) == (400, "VALIDATION_FAILED")


# -- what is unchanged


async def test_an_unchanged_job_is_not_sent_again(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    _, _, headers = await get(served, f"/api/jobs/{job}", me.headers)
    etag = headers["ETag"]
    for sent in (etag, f'"another", {etag}', f"W/{etag}", "*"):
        status, body, again = await get(served, f"/api/jobs/{job}", me.headers | {"If-None-Match": sent})
        assert (status, body, again["ETag"]) == (304, b"", etag)
    world.progress(job, 0.5)
    await polled(served, me, job, wait=10, seq=world.seqs[job] - 1)
    status, body, headers = await get(served, f"/api/jobs/{job}", me.headers | {"If-None-Match": etag})
    assert (status, body["progress"]) == (200, 0.5)
    assert headers["ETag"] != etag


async def test_two_processes_agree_on_the_etag(served: Served, chosen: Settings, world: World) -> None:
    me = world.person()
    job = world.job(me)
    async with serving(chosen) as another:
        await healthy(another)
        here = await get(served, f"/api/jobs/{job}", me.headers)
        there = await get(another, f"/api/jobs/{job}", me.headers)
    assert here[1] == there[1]
    assert here[2]["ETag"] == there[2]["ETag"]


# -- waiting


async def test_waiting_ends_with_the_next_change(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    waiting = asyncio.create_task(polled(served, me, job, wait=60, seq=1))
    await eventually(lambda: len(served.live.waits), what="the request waits")
    world.claim(job)
    async with asyncio.timeout(10):
        assert (await waiting)["status"] == "running"
    assert not served.live.waits
    assert not served.live.feeds


async def test_waiting_without_a_number_ends_with_the_job(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    waiting = asyncio.create_task(polled(served, me, job, wait=60))
    await eventually(lambda: len(served.live.waits), what="the request waits")
    world.claim(job)
    world.output(job, "text")
    world.progress(job, 0.5)
    world.finish(job)
    async with asyncio.timeout(10):
        assert (await waiting)["status"] == "completed"


async def test_waiting_with_a_version_ends_with_the_first_difference(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    _, _, headers = await get(served, f"/api/jobs/{job}", me.headers)
    has = me.headers | {"If-None-Match": headers["ETag"]}
    waiting = asyncio.create_task(get(served, f"/api/jobs/{job}?wait=60", has))
    await eventually(lambda: len(served.live.waits), what="the request waits")
    world.progress(job, 0.5)
    async with asyncio.timeout(10):
        status, body, now = await waiting
        assert (status, body["status"], body["progress"]) == (200, "running", 0.5)
        assert (await get(served, f"/api/jobs/{job}?wait=60", has))[0] == 200, "it differs already"
        has["If-None-Match"] = now["ETag"]
        assert (await get(served, f"/api/jobs/{job}?wait=1", has))[0] == 304, "nothing came in its time"
        world.finish(job)
        status, body, now = await get(served, f"/api/jobs/{job}?wait=60", has)
        assert (status, body["status"]) == (200, "completed")
        has["If-None-Match"] = now["ETag"]
        assert (await get(served, f"/api/jobs/{job}?wait=60", has))[0] == 304, "what has ended doesn't change"


async def test_waiting_is_over_after_its_time(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    assert (await polled(served, me, job, wait=1))["status"] == "pending"


async def test_nobody_waits_for_what_is_there(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.finish(job)
    for query in ({"wait": 60}, {"wait": 60, "seq": world.seqs[job]}, {"wait": 60, "seq": 0}):
        async with asyncio.timeout(10):
            assert (await polled(served, me, job, **query))["status"] == "completed"


async def test_waiting_ends_when_the_process_stops(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    waiting = asyncio.create_task(polled(served, me, job, wait=60))
    await eventually(lambda: len(served.live.waits), what="the request waits")
    served.live.close()
    async with asyncio.timeout(10):
        assert (await waiting)["status"] == "pending"


async def test_a_client_that_goes_away_does_not_go_on_waiting(served: Served, world: World) -> None:
    me = world.person()
    job = world.job(me)
    waiting = asyncio.create_task(polled(served, me, job, wait=60))
    await eventually(lambda: len(served.live.waits), what="the request waits")
    waiting.cancel()
    await eventually(lambda: not served.live.waits, what="nobody waits")


# -- the cache


async def test_many_polls_cost_few_reads(served: Served, world: World) -> None:
    me = world.person()
    jobs = [world.job(me) for _ in range(50)]
    before = served.live.reader.reads
    for _ in range(3):
        await asyncio.gather(*(polled(served, me, job) for job in jobs))
    assert served.live.reader.reads - before < 20


async def test_what_is_polled_is_looked_after_in_the_background(served: Served, world: World) -> None:
    me = world.person()
    unchanged, changed = world.job(me), world.job(me)
    await polled(served, me, unchanged)
    await polled(served, me, changed)
    world.claim(changed, silently=True)
    kept = served.live.snapshots
    for job in (unchanged, changed):
        assert kept.known(job, user_id=me.id, locale="zh")
    await kept.look(older_seconds=0)
    assert kept.known(unchanged, user_id=me.id, locale="zh")
    assert kept.known(changed, user_id=me.id, locale="zh") is None
    assert (await polled(served, me, changed))["status"] == "running"


async def test_an_estimate_comes_from_the_newest_runs(served: Served, world: World) -> None:
    me, agent = world.person(), new_id()
    for run_ms in range(100, 2_100, 100):
        world.publisher.publish(me.id, [world.event(world.job(me))], also=wire.sampled(agent, run_ms))
    found = await polled(served, me, world.job(me, agent_id=agent))
    assert found["estimate"] == {"p50Seconds": 1.0, "p90Seconds": 1.9}


# -- lists


async def test_a_list_has_the_newest_first_and_only_ones_own(served: Served, world: World) -> None:
    me, other = world.person(), world.person()
    mine = [world.job(me) for _ in range(3)]
    world.job(other)
    status, body, _ = await get(served, "/api/jobs", me.headers)
    assert status == 200
    assert [job["id"] for job in body["jobs"]] == mine[::-1]
    assert body["pagination"] == {"page": 1, "limit": 20, "total": 3, "pages": 1}
    assert set(body) == set(JobListAnswer.model_fields)
    _, body, _ = await get(served, "/api/jobs", me.headers, page=2, limit=2)
    assert [job["id"] for job in body["jobs"]] == mine[:1]
    assert body["pagination"] == {"page": 2, "limit": 2, "total": 3, "pages": 2}


async def test_a_list_is_filtered(served: Served, world: World) -> None:
    me, agent = world.person(), new_id()
    old = world.job(me, agent_id=agent)
    picture = world.job(me, kind="image", queue="generation.image")
    world.claim(picture)
    await eventually(lambda: clock.now_ms() > _born_ms(picture), what="the next millisecond")
    since = clock.rfc3339(clock.now_ms())
    young = world.job(me, project_id=(project := new_id()))

    async def found(**query: Any) -> list[str]:
        status, body, _ = await get(served, "/api/jobs", me.headers, **query)
        assert status == 200
        return [job["id"] for job in body["jobs"]]

    assert await found(status="running") == [picture]
    assert await found(agentId=agent) == [old]
    assert await found(kind="image") == [picture]
    assert await found(projectId=project) == [young]
    assert await found(**{"from": since}) == [young]
    assert await found(to=since) == [picture, old]
    assert await found(status="canceled") == []


def _born_ms(job_id: str) -> int:
    return int(job_id.replace("-", "")[:12], 16)


@pytest.mark.parametrize(
    "query", ["status=done", "agentId=x", "from=yesterday", "kind=3d", "page=0", "limit=0", "limit=x", "owner=me"]
)
async def test_bad_filters_are_refused(served: Served, world: World, query: str) -> None:
    status, body, _ = await get(served, f"/api/jobs?{query}", world.person().headers)
    assert (status, body["code"]) == (400, "VALIDATION_FAILED")
