"""Many jobs in one request: each judged by itself, what is accepted written together, looked at and ended as one."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from pydantic_core import to_json
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.catalog import seed_content
from atelier.contracts import idempotency
from atelier.generation import batch as bundling
from atelier.generation.batch import Bundle
from atelier.generation.cancel import cancel_batch
from atelier.generation.settle import settle
from atelier.generation.submit import Limits, Submission
from atelier.jobs.models import BATCHES, JOBS
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Invalid, Refusal
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.furnishing import furnish
from tests.jobs.lifecycle import Workshop
from tests.live.harness import Person, Served, World, serving
from web.handlers.batches import BODY_MAX
from web.schemas.batches import BatchAnswer, BatchState

ECHO = seed_content.ECHO
PATH = "/api/jobs/batch"
LIMITS = Limits(waiting_max=99, attempts_max=3, republish_ms=60_000)


@pytest.fixture
def world(db: Database, settings: Callable[..., Settings]) -> World:
    db.transact(furnish)
    return World(db, settings(web_relay=False))


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db, agent_id=ECHO.id)


@pytest_asyncio.fixture
async def served(world: World, settings: Callable[..., Settings]) -> AsyncIterator[Served]:
    assert world.owners == {}, "there are agents, and no jobs, before anybody is served"
    async with serving(settings(web_relay=False, waiting_jobs_max=5)) as running:
        yield running


def rich(world: World, shop: Workshop, *, credits: int) -> Person:  # noqa: A002 - the product's word
    """Someone with so many credits; a job costs one."""
    person = world.person()
    shop.topup(person.id, credits)
    return person


def wish(prompt: str = "回声", **more: Any) -> dict[str, Any]:
    return {"agentId": ECHO.id, "inputData": {"prompt": prompt}, **more}


async def send(
    served: Served, person: Person, items: list[Any], *, key: str | None = None, language: str = "en"
) -> tuple[int, Any, dict[str, str]]:
    headers = {**person.headers, "Accept-Language": language, **({"Idempotency-Key": key} if key else {})}
    async with served.client.post(PATH, json={"items": items}, headers=headers) as got:
        return got.status, await got.json(), dict(got.headers)


async def ask(served: Served, person: Person, path: str, method: str = "GET") -> tuple[int, Any]:
    async with served.client.request(method, path, headers=person.headers) as got:
        return got.status, await got.json()


def count(session: Session, table: Any) -> int:
    return session.connection().execute(select(func.count()).select_from(table)).scalar_one()


async def test_every_item_is_answered_in_its_place(served: Served, world: World, shop: Workshop) -> None:
    person = rich(world, shop, credits=10)
    items = [
        wish("一"),
        wish(unknown=True),
        wish("二", priority="high"),
        {"agentId": new_id(), "inputData": {"prompt": "x"}},
        wish(config={"steps": 0}),
        wish(webhook={"url": "https://example.org/"}),
        {"agentId": 7},
        {**wish(), "inputData": {"prompt": "x", "size": 1 << 64}},
    ]
    status, body, headers = await send(served, person, items)
    assert (status, body["accepted"], body["refused"]) == (202, 2, 6)
    assert headers["Location"] == f"{PATH}/{body['batchId']}" == body["links"]["self"]
    assert [item["index"] for item in body["items"]] == list(range(8))
    assert [item["success"] for item in body["items"]] == [True, False, True, *[False] * 5]
    assert [item["error"]["code"] for item in body["items"] if not item["success"]] == [
        *("VALIDATION_FAILED", "AGENT_UNAVAILABLE", *["VALIDATION_FAILED"] * 4)
    ]
    assert body["items"][1]["error"]["details"][0]["path"] == ["unknown"]
    assert body["items"][4]["error"]["details"][0]["path"] == ["config", "steps"]
    assert body["items"][7]["error"]["details"][0]["code"] == "number_too_large"
    assert set(body) == {field.alias for field in BatchAnswer.model_fields.values()}
    assert shop.balance(person.id).held == 2
    assert {shop.job(item["jobId"])["batch_id"] for item in body["items"] if item["success"]} == {body["batchId"]}
    assert shop.examine().totals == {}


async def test_credits_and_the_waiting_limit_stop_some_of_them(served: Served, world: World, shop: Workshop) -> None:
    poor, busy = rich(world, shop, credits=2), rich(world, shop, credits=9)
    _, body, _ = await send(served, poor, [wish()] * 3)
    assert [item["success"] for item in body["items"]] == [True, True, False]
    assert body["items"][2]["error"]["code"] == "INSUFFICIENT_CREDITS"
    _, body, _ = await send(served, busy, [wish()] * 7)
    assert [item["success"] for item in body["items"]] == [True] * 5 + [False] * 2
    assert {item["error"]["code"] for item in body["items"] if not item["success"]} == {"TOO_MANY_WAITING"}
    assert shop.balance(busy.id).held == 5


async def test_when_nothing_is_accepted_nothing_is_kept(
    served: Served, world: World, shop: Workshop, db: Database
) -> None:
    person = rich(world, shop, credits=0)
    status, body, _ = await send(served, person, [wish(), wish(unknown=1)], key="k")
    assert (status, body["code"]) == (400, "BATCH_REFUSED")
    assert [item["error"]["code"] for item in body["items"]] == ["INSUFFICIENT_CREDITS", "VALIDATION_FAILED"]
    assert [db.read(count, table) for table in (BATCHES, JOBS, idempotency.TABLE)] == [0, 0, 0]
    shop.topup(person.id, 1)
    status, body, _ = await send(served, person, [wish(), wish(unknown=1)], key="k")
    assert (status, body["accepted"]) == (202, 1)


async def test_a_key_gives_the_same_batch_again_in_the_readers_language(
    served: Served, world: World, shop: Workshop, db: Database
) -> None:
    person = rich(world, shop, credits=10)
    items = [wish(), wish(unknown=True)]
    answers = await asyncio.gather(*(send(served, person, items, key="k") for _ in range(4)))
    assert {status for status, _, _ in answers} <= {202, 409}
    first = next(body for status, body, _ in answers if status == 202)
    status, again, headers = await send(served, person, items, key="k", language="zh")
    assert (status, headers["Idempotency-Replayed"], again["batchId"]) == (202, "true", first["batchId"])
    assert again["items"][0] == first["items"][0]
    assert again["items"][1]["error"]["message"] == "输入数据无效"
    assert (db.read(count, BATCHES), db.read(count, JOBS)) == (1, 1)
    status, body, _ = await send(served, person, [wish("other")], key="k")
    assert (status, body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("items", [[], [wish()] * 101, "nothing", None], ids=["none", "too many", "text", "null"])
async def test_what_is_no_list_of_one_to_a_hundred_is_refused(
    served: Served, world: World, shop: Workshop, items: Any
) -> None:
    status, body, _ = await send(served, rich(world, shop, credits=1), items)
    assert (status, body["code"], body["details"][0]["path"][0]) == (400, "VALIDATION_FAILED", "items")


async def test_an_item_that_is_no_object_is_named(served: Served, world: World, shop: Workshop) -> None:
    status, body, _ = await send(served, rich(world, shop, credits=1), [wish(), "nothing"])
    assert status == 400
    assert [(one["path"], one["code"]) for one in body["details"]] == [(["items", 1], "dict_type")]


async def test_a_body_that_is_too_large_is_refused(served: Served, world: World, shop: Workshop) -> None:
    person = rich(world, shop, credits=1)
    headers = {**person.headers, "Content-Type": "application/json"}
    large = io.BytesIO(to_json({"items": [wish("x" * BODY_MAX)]}))
    async with served.client.post(PATH, data=large, headers=headers) as got:
        assert (got.status, (await got.json())["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_batch_is_looked_at_as_one(served: Served, world: World, shop: Workshop) -> None:
    person = rich(world, shop, credits=10)
    _, made, _ = await send(served, person, [wish(), wish(unknown=1), wish(), wish(), wish()])
    done, lost, running, waiting = (item["jobId"] for item in made["items"] if item["success"])
    claimed = {one.id: one for one in shop.claim(done, lost, running)}
    assert shop.complete(claimed[done])
    assert shop.fail(claimed[lost])
    status, body = await ask(served, person, f"{PATH}/{made['batchId']}")
    assert status == 200
    assert body["counts"] == {"pending": 1, "running": 1, "completed": 1, "failed": 1, "canceled": 0, "refused": 1}
    assert body["credits"] == {"held": 2, "used": 1}
    assert (body["finished"], body["progress"]) == (False, 0.5)
    assert [item["job"] and item["job"]["id"] for item in body["items"]] == [done, None, lost, running, waiting]
    assert body["items"][1]["error"]["code"] == "VALIDATION_FAILED"
    assert set(body) == {field.alias for field in BatchState.model_fields.values()}
    assert body["pagination"]["total"] == 5
    status, page = await ask(served, person, f"{PATH}/{made['batchId']}?page=2&limit=2")
    assert [item["index"] for item in page["items"]] == [2, 3]
    status, listed = await ask(served, person, f"/api/jobs?batchId={made['batchId']}")
    assert [job["id"] for job in listed["jobs"]] == [waiting, running, lost, done]
    assert {job["batchId"] for job in listed["jobs"]} == {made["batchId"]}


async def test_canceling_ends_what_waits_and_asks_what_runs(served: Served, world: World, shop: Workshop) -> None:
    person = rich(world, shop, credits=10)
    _, made, _ = await send(served, person, [wish()] * 4)
    done, running, *waiting = (item["jobId"] for item in made["items"])
    claimed = {one.id: one for one in shop.claim(done, running)}
    shop.complete(claimed[done])
    status, body = await ask(served, person, f"{PATH}/{made['batchId']}/cancel", "POST")
    assert (status, body["canceled"], body["requested"]) == (202, 2, 1)
    assert {shop.job(job_id)["state"] for job_id in waiting} == {"canceled"}
    assert shop.job(running)["cancel_requested"] == 1
    assert shop.balance(person.id).held == 1
    shop.fail(claimed[running])
    status, body = await ask(served, person, f"{PATH}/{made['batchId']}/cancel", "POST")
    assert (status, body["canceled"], body["requested"]) == (200, 0, 0)
    assert shop.balance(person.id).held == 0
    assert shop.examine().totals == {}


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_canceling_locks_jobs_before_the_account_like_whoever_ends_one(
    world: World, shop: Workshop, db: Database
) -> None:
    person = rich(world, shop, credits=2)
    batch_id = new_id()
    items: list[Submission | Refusal] = [replace(shop.submission(person.id, 1), batch_id=batch_id) for _ in range(2)]
    bundle = Bundle(batch_id=batch_id, user_id=person.id, items=items)
    running, waiting = (one.job_id for one in bundle.submissions)
    db.transact(bundling.submit_batch, bundle, limits=LIMITS, now_ms=now_ms())
    completion = shop.completion(shop.claim_one(running))
    is_held, canceled = threading.Event(), threading.Event()
    times = 0

    def end(session: Session) -> None:
        nonlocal times
        times += 1
        session.connection().execute(select(JOBS.c.id).where(JOBS.c.id == running).with_for_update())
        is_held.set()
        canceled.wait(0.5)
        settle(session, [completion], now_ms=now_ms())

    def cancel() -> None:
        is_held.wait(10)
        ids = [new_id() for _ in items]
        db.transact(cancel_batch, batch_id=batch_id, user_id=person.id, transfer_ids=ids, now_ms=now_ms())
        canceled.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    db.transact(end)
    thread.join(10)
    assert (times, shop.job(running)["state"], shop.job(waiting)["state"]) == (1, "completed", "canceled")
    assert shop.balance(person.id).held == 0


async def test_other_peoples_batches_are_not_there(served: Served, world: World, shop: Workshop) -> None:
    _, made, _ = await send(served, rich(world, shop, credits=1), [wish()])
    stranger = world.person()
    for method, path in (("GET", ""), ("POST", "/cancel")):
        status, body = await ask(served, stranger, f"{PATH}/{made['batchId']}{path}", method)
        assert (status, body["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("keyed", [True, False])
def test_a_commit_in_doubt_is_answered_once_more(world: World, shop: Workshop, db: Database, *, keyed: bool) -> None:
    person = rich(world, shop, credits=1)
    key = idempotency.keyed(user_id=person.id, route="POST /", key="k", body=b"") if keyed else None
    items: list[Submission | Refusal] = [shop.submission(person.id, 1), shop.submission(person.id, 1), Invalid([])]
    bundle = Bundle(batch_id=new_id(), user_id=person.id, items=items, keyed=key)
    first, again = (db.transact(bundling.submit_batch, bundle, limits=LIMITS, now_ms=now_ms()) for _ in range(2))
    # The second could pay nothing more; and had credits come meanwhile, what was refused would stay refused.
    assert [item.get("code", "") for item in first.answer["items"]] == ["", "INSUFFICIENT_CREDITS", "VALIDATION_FAILED"]
    assert [item.get("code", "") for item in again.answer["items"]] == ["", "INSUFFICIENT_CREDITS", "VALIDATION_FAILED"]
    assert (first.accepted, again.accepted, again.replayed) == (1, 1, False)
    assert (db.read(count, BATCHES), db.read(count, JOBS)) == (1, 1)
