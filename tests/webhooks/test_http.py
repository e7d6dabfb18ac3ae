"""Webhooks over HTTP: endpoints, secrets that are shown once, the log, and the webhook of a single job."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
from jsonschema_rs import Draft202012Validator
from sqlalchemy import select, text

from atelier.catalog.seed_content import ECHO
from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from atelier.webhooks.models import JOB_WEBHOOKS, SECRETS
from tests.furnishing import furnish
from tests.live.harness import Person, Served, World, serving
from tests.webhooks.desk import Desk
from tests.webhooks.receiver import Receiver
from web import openapi, routes

URL = "https://example.com/hook"


class Town:
    """A web role and two people."""

    def __init__(self, served: Served, world: World, db: Database) -> None:
        self.served, self.db = served, db
        self.mei, self.wang = world.person(), world.person()

    async def ask(
        self, method: str, path: str, body: Any = None, *, who: Person | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Ask, as Mei unless somebody else is named."""
        sent = {**(who or self.mei).headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = await self.served.client.request(method, path, json=body, headers=sent)
        return answer.status, await answer.json()

    async def made(self, **body: Any) -> dict[str, Any]:
        """A new endpoint of Mei's."""
        status, made = await self.ask("POST", "/api/webhooks", {"url": URL, **body})
        assert status == 201, made
        webhook: dict[str, Any] = made
        return webhook


@pytest_asyncio.fixture
async def town(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Town]:
    """A running web role."""
    db.transact(furnish)
    chosen = settings(web_relay=False, webhooks_max=3)
    async with serving(chosen) as served:
        yield Town(served, World(db, chosen), db)


async def test_an_endpoint_lives_and_its_secret_is_shown_once(town: Town) -> None:
    made = await town.made(events=["job.failed", "job.completed"], description=" 生产 ")
    assert made["secret"].startswith("whsec_")
    assert (made["url"], made["events"]) == (URL, ["job.completed", "job.failed"])
    assert (made["description"], made["enabled"], made["disabledReason"]) == ("生产", True, None)
    path = f"/api/webhooks/{made['id']}"
    status, read = await town.ask("GET", path)
    assert (status, read) == (200, {name: value for name, value in made.items() if name != "secret"})
    status, changed = await town.ask("PATCH", path, {"url": f"{URL}/2", "description": "", "enabled": False})
    assert (status, changed["url"], changed["description"], changed["enabled"]) == (200, f"{URL}/2", None, False)
    assert changed["events"] == ["job.completed", "job.failed"]
    _, listed = await town.ask("GET", "/api/webhooks")
    assert ([one["id"] for one in listed["webhooks"]], listed["pagination"]["total"]) == ([made["id"]], 1)
    assert (await town.ask("DELETE", path))[0] == 200
    status, gone = await town.ask("GET", path)
    assert (status, gone["code"]) == (404, "WEBHOOK_NOT_FOUND")
    assert (await town.ask("GET", "/api/webhooks"))[1]["webhooks"] == []


async def test_a_key_makes_one_endpoint_and_gives_its_secret_again_until_it_changes(town: Town) -> None:
    body = {"url": URL}
    _, first = await town.ask("POST", "/api/webhooks", body, Idempotency_Key="k1")
    status, again = await town.ask("POST", "/api/webhooks", body, Idempotency_Key="k1")
    assert (status, again) == (201, first)
    path = f"/api/webhooks/{first['id']}/rotate"
    status, rotated = await town.ask("POST", path, Idempotency_Key="r1")
    assert status == 200
    assert rotated["secret"] != first["secret"]
    assert rotated["previousValidUntil"]
    assert await town.ask("POST", path, Idempotency_Key="r1") == (200, rotated)
    _, late = await town.ask("POST", "/api/webhooks", body, Idempotency_Key="k1")
    assert (late["id"], late["secret"]) == (first["id"], None)
    stored = town.db.read(lambda session: session.execute(text("SELECT answer FROM idempotency_keys")).scalars().all())
    kept = town.db.read(lambda session: session.execute(select(SECRETS)).all())
    for secret in (first["secret"], rotated["secret"]):
        assert secret not in f"{stored}{kept}"


async def test_the_secret_for_jobs_is_made_by_asking_for_it(town: Town) -> None:
    _, first = await town.ask("POST", "/api/webhooks/jobs/rotate")
    assert (first["secret"][:6], first["previousValidUntil"]) == ("whsec_", None)
    _, second = await town.ask("POST", "/api/webhooks/jobs/rotate")
    assert second["secret"] != first["secret"]
    assert second["previousValidUntil"]


async def test_what_was_promised_to_a_secret_is_kept_until_its_user_says_otherwise(town: Town) -> None:
    made = await town.made()
    for path in (f"/api/webhooks/{made['id']}/rotate", "/api/webhooks/jobs/rotate"):
        await town.ask("POST", path, Idempotency_Key="first")
        _, second = await town.ask("POST", f"{path}?drop=previous")
        status, problem = await town.ask("POST", path)
        assert (status, problem["code"]) == (409, "WEBHOOK_SECRETS_OVERLAP")
        assert problem["previousValidUntil"] == second["previousValidUntil"]
        # The new secret was lost on its way: who has the one before it goes on for as long as was said.
        status, third = await town.ask("POST", f"{path}?drop=current")
        assert (status, third["previousValidUntil"]) == (200, second["previousValidUntil"])
        status, leaked = await town.ask("POST", f"{path}?drop=all")
        assert (status, leaked["previousValidUntil"]) == (200, None)
        assert len({one["secret"] for one in (second, third, leaked)}) == 3
        status, problem = await town.ask("POST", f"{path}?drop=none")
        assert (status, problem["details"][0]["path"]) == (400, ["drop"])


async def test_what_is_wrong_is_named(town: Town) -> None:
    for url, code in {
        "http://example.com/": "url_scheme",
        "https://127.0.0.1/": "url_host",
        "https://2130706433/": "url_host",
        "https:x": "url_host",
        "https:": "url_host",
        "https://u:p@example.com/": "url_userinfo",
        "https://example.com:22/": "url_port",
        "https://example.com/#x": "url",
        f"https://example.com/{'a' * 2_000}": "string_too_long",
    }.items():
        status, problem = await town.ask("POST", "/api/webhooks", {"url": url})
        assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
        assert [(one["path"], one["code"]) for one in problem["details"]] == [(["url"], code)]
        assert problem["details"][0]["message"]
    for body, path in (
        ({"url": URL, "events": ["job.started"]}, ["events", 0]),
        ({"url": URL, "description": "x" * 201}, ["description"]),
        ({"url": URL, "secret": "x"}, ["secret"]),
        ({}, ["url"]),
    ):
        status, problem = await town.ask("POST", "/api/webhooks", body)
        assert (status, problem["details"][0]["path"]) == (400, path)


async def test_endpoints_have_a_bound(town: Town) -> None:
    for _ in range(3):
        await town.made()
    status, problem = await town.ask("POST", "/api/webhooks", {"url": URL})
    assert (status, problem["code"], problem["limit"]) == (409, "WEBHOOK_LIMIT", 3)


async def test_other_peoples_webhooks_are_not_there(town: Town) -> None:
    made = await town.made()
    _, event = await town.ask("POST", f"/api/webhooks/{made['id']}/ping")
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/ping"),
    ):
        body = {"enabled": False} if method == "PATCH" else None
        status, problem = await town.ask(method, f"/api/webhooks/{made['id']}{path}", body, who=town.wang)
        assert (status, problem["code"]) == (404, "WEBHOOK_NOT_FOUND")
    for method, path in (("GET", ""), ("POST", "/redeliver")):
        status, problem = await town.ask(method, f"/api/webhook-events/{event['id']}{path}", who=town.wang)
        assert (status, problem["code"]) == (404, "EVENT_NOT_FOUND")
    assert (await town.ask("GET", "/api/webhook-events", who=town.wang))[1]["events"] == []


async def test_the_log_shows_what_was_sent_and_how_it_went(
    town: Town, db: Database, redis_url: str, receiver: Receiver
) -> None:
    made = await town.made()
    db.transact(lambda session: session.execute(text("UPDATE webhook_endpoints SET url = :url"), {"url": receiver.url}))
    status, event = await town.ask("POST", f"/api/webhooks/{made['id']}/ping")
    assert (status, event["type"], event["status"], event["webhookId"]) == (202, "webhook.ping", "waiting", made["id"])
    assert await asyncio.to_thread(Desk(db, redis_url).deliver, made["id"]) == 1
    (got,) = receiver.received
    status, shown = await town.ask("GET", f"/api/webhook-events/{event['id']}")
    assert (status, shown["status"], shown["attempts"], shown["nextAttemptAt"]) == (200, "delivered", 1, None)
    (attempt,) = shown["attemptLog"]
    assert (attempt["number"], attempt["status"], attempt["response"], attempt["error"]) == (1, 200, "ok", None)
    assert got.event_id == event["id"]
    status, again = await town.ask("POST", f"/api/webhook-events/{event['id']}/redeliver")
    assert (status, again["status"]) == (202, "waiting")
    for query, count in ((f"webhookId={made['id']}", 1), ("status=delivered", 0), ("status=waiting&limit=1", 1)):
        _, listed = await town.ask("GET", f"/api/webhook-events?{query}")
        assert len(listed["events"]) == count
    await town.ask("PATCH", f"/api/webhooks/{made['id']}", {"enabled": False})
    for path in (f"/api/webhooks/{made['id']}/ping", f"/api/webhook-events/{event['id']}/redeliver"):
        status, problem = await town.ask("POST", path)
        assert (status, problem["code"]) == (409, "WEBHOOK_DISABLED")


async def test_a_job_may_bring_its_own_webhook_and_its_retry_has_it_too_and_is_as_urgent(town: Town) -> None:
    operator.create_user(town.db, email="rich@example.com", username="rich", password="correct horse battery")
    hook = {"url": URL, "events": ["job.canceled"]}
    body = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}, "webhook": hook, "priority": "high"}
    town.db.transact(
        lambda session: session.execute(text("UPDATE accounts SET credits_posted = 100 WHERE kind = 'user'"))
    )
    status, job = await town.ask("POST", "/api/workshop/generate", body)
    assert status == 202, job
    assert (await town.ask("POST", f"/api/jobs/{job['jobId']}/cancel"))[0] == 200
    status, again = await town.ask("POST", f"/api/jobs/{job['jobId']}/retry")
    assert status == 202, again
    ahead = select(JOBS.c.created_ms - JOBS.c.rank_ms).where(JOBS.c.id.in_((job["jobId"], again["jobId"])))
    assert town.db.read(lambda session: session.scalars(ahead).all()) == [states.HEAD_STARTS_MS["high"]] * 2
    rows = town.db.read(lambda session: session.execute(select(JOB_WEBHOOKS)).mappings().all())
    assert {row["job_id"]: (row["url"], row["events"]) for row in rows} == dict.fromkeys(
        (job["jobId"], again["jobId"]), (URL, "job.canceled")
    )
    _, listed = await town.ask("GET", f"/api/webhook-events?jobId={job['jobId']}")
    assert [(one["type"], one["webhookId"]) for one in listed["events"]] == [("job.canceled", None)]
    for url in ("https://localhost/", "https:x"):
        status, problem = await town.ask("POST", "/api/workshop/generate", {**body, "webhook": {"url": url}})
        assert (status, problem["details"][0]["path"]) == (400, ["webhook", "url"])


def test_what_is_sent_is_what_the_document_says(desk: Desk, receiver: Receiver) -> None:
    document = openapi.build((), tags=routes.TAGS, server="", webhooks=routes.WEBHOOKS)
    webhook = desk.webhook(receiver.url)
    desk.ping(webhook)
    desk.ended()
    done = desk.job()
    assert desk.shop.complete(desk.shop.claim_one(done))
    assert desk.deliver(webhook.id) == 3
    for got in receiver.received:
        name = "webhook.ping" if got.said["type"] == "webhook.ping" else "job"
        schema = document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"]
        whole = Draft202012Validator({**schema, "components": document["components"]})
        assert [str(error) for error in whole.iter_errors(got.said)] == []
