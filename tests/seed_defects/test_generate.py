"""The main job: A81 to A98, on real roles. What was killed in between is in tests/crash."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog import seed_content
from atelier.catalog.models import AGENTS
from atelier.jobs.models import JOBS
from atelier.kernel.ids import new_id
from tests.databases import SqliteDatabases
from tests.servers import ValkeyServer
from tests.stack import Stack

Json = dict[str, Any]
GENERATE = "/api/workshop/generate"
SECONDS_MAX = 30


@pytest.fixture(scope="module")
def stack(
    sqlite_databases: SqliteDatabases, shared_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Every role, kept for all tests of this module."""
    folder = tmp_path_factory.mktemp("generate")
    with shared_valkey.client() as client:
        client.flushall()
    made = Stack(sqlite_databases.fresh(folder), shared_valkey.url, folder, env={"ATELIER_ATTEMPTS_MAX": "2"})
    made.start_all()
    yield made
    assert made.diagnosis() == []
    made.close()


class User:
    """Someone with credits."""

    def __init__(self, stack: Stack, amount: int) -> None:
        self.stack = stack
        self.headers = stack.user(f"u{new_id()[-12:]}", amount=amount)

    def ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> httpx.Response:
        """Ask; keywords are headers with `_` for `-`."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.stack.client.request(method, path, json=body, headers=sent)

    def echo(self, key: str | None = None, **config: Any) -> httpx.Response:
        """Submit a job of one credit."""
        return self.stack.echo(self.headers, key=key, **config)

    def ended(self, submitted: httpx.Response) -> Json:
        """The job, when it has ended."""
        assert submitted.status_code == 202, submitted.text
        path = submitted.json()["links"]["self"]
        job: Json = self.ask("GET", f"{path}?wait={SECONDS_MAX}").json()
        assert job["status"] not in {"pending", "running"}, job
        return job

    def balance(self) -> Json:
        """What they have."""
        found: Json = self.ask("GET", "/api/payments/credits/balance").json()
        return found


def test_A81_A84_parallel_requests_cannot_spend_more_than_there_is(stack: Stack) -> None:
    user = User(stack, amount=5)
    with ThreadPoolExecutor(20) as crowd:
        answers = [one.result() for one in [crowd.submit(user.echo, delayMs=200) for _ in range(20)]]
    assert Counter(answer.status_code for answer in answers) == {202: 5, 400: 15}
    assert user.balance()["available"] == 0
    for answer in answers:
        if answer.status_code == 202:
            user.ended(answer)
    assert user.balance() == {"balance": 0, "held": 0, "available": 0}


def test_A82_A89_a_completed_job_cost_what_was_captured(stack: Stack) -> None:
    user = User(stack, amount=5)
    job = user.ended(user.echo())
    assert (job["status"], job["credits"]) == ("completed", {"held": 1, "used": 1})
    line = user.ask("GET", "/api/payments/credits/history").json()["transactions"][0]
    assert (line["type"], line["amount"], line["balanceAfter"], line["relatedId"]) == ("usage", -1, 4, job["id"])


def test_A83_A91_A97_a_failed_job_costs_nothing_and_ends(stack: Stack) -> None:
    user = User(stack, amount=5)
    job = user.ended(user.echo(fail="permanent"))
    assert (job["status"], job["credits"]["used"]) == ("failed", 0)
    assert user.balance() == {"balance": 5, "held": 0, "available": 5}


def test_A85_a_client_that_tries_again_starts_no_second_job(stack: Stack) -> None:
    user = User(stack, amount=5)
    first, again = user.echo(key="once"), user.echo(key="once")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["jobId"] == again.json()["jobId"]
    assert user.ask("GET", "/api/jobs").json()["pagination"]["total"] == 1


def test_A86_what_a_dead_worker_left_is_taken_over(stack: Stack) -> None:
    user = User(stack, amount=5)
    submitted = user.echo(delayMs=60_000, steps=100)
    path = submitted.json()["links"]["self"]
    seq = submitted.json().get("seq", 1)
    while user.ask("GET", f"{path}?wait=10&seq={seq}").json()["status"] != "running":
        pass
    stack.processes["generation"].kill()
    stack.start("generation")
    assert user.ask("POST", f"{path}/cancel").status_code in {200, 202}
    assert user.ended(submitted)["status"] == "canceled"
    assert user.balance()["available"] == 5


@pytest.mark.parametrize(
    "config", [{"delayMs": 10**9}, {"delayMs": "1"}, {"model": "gpt-9"}, {"fail": "maybe"}, {"steps": 1.5}]
)
def test_A87_a_users_config_stays_inside_the_agents_schema(stack: Stack, config: Json) -> None:
    user = User(stack, amount=5)
    got = user.echo(**config)
    assert (got.status_code, got.json()["code"]) == (400, "VALIDATION_FAILED")
    assert user.balance()["available"] == 5


def _config(session: Session, *, job_id: str) -> Any:
    return session.connection().execute(select(JOBS.c.config).where(JOBS.c.id == job_id)).scalar_one()


def test_A88_the_default_config_is_used_and_what_was_used_is_kept(stack: Stack) -> None:
    user = User(stack, amount=5)
    job = user.ended(user.echo(steps=3))
    default = seed_content.ECHO.content.default_config
    assert stack.database.read(_config, job_id=job["id"]) == {**default, "steps": 3}


def test_A90_a_failure_has_a_code_and_tells_nothing_of_the_inside(stack: Stack) -> None:
    user = User(stack, amount=5)
    job = user.ended(user.echo(fail="permanent"))
    assert job["errorCode"].isupper()
    assert "Traceback" not in str(job)
    assert "Error(" not in str(job)


def test_A92_failures_of_providers_are_told_apart_from_ours(stack: Stack) -> None:
    user = User(stack, amount=5)
    body = {"agentId": seed_content.ECHO.id, "inputData": {"prompt": "x"}, "config": {"fail": "permanent"}}
    got = user.ask("POST", GENERATE, body, Prefer="wait=20")
    assert (got.status_code, got.json()["code"]) == (502, "GENERATION_FAILED")
    assert {"jobId", "errorCode"} <= got.json().keys()
    transient = user.ended(user.echo(fail="transient", failTimes=1))
    assert (transient["status"], transient["attempts"]) == ("completed", 2)


def test_A93_a_job_is_small_and_its_result_a_resource(stack: Stack) -> None:
    user = User(stack, amount=5)
    job = user.ended(user.echo())
    assert "result" not in job
    assert len(str(job)) < 2_000
    found = user.ask("GET", job["links"]["result"]).json()
    assert [output["type"] for output in found["outputs"]] == ["text"]


def test_A95_times_are_the_databases_and_go_forward(stack: Stack) -> None:
    job = (user := User(stack, amount=5)).ended(user.echo(delayMs=50))
    assert job["createdAt"] <= job["startedAt"] <= job["finishedAt"]
    assert job["processingTime"] >= 50


def test_A96_a_user_may_not_flood(stack: Stack) -> None:
    user = User(stack, amount=5)
    assert {"ratelimit", "ratelimit-policy"} <= user.echo().headers.keys()
    assert (stack.settings().waiting_jobs_max, stack.settings().submissions_per_minute) == (1_000, 600)


def _reprice(session: Session, *, credits_per_use: int | None) -> None:
    values = {"credits_per_use": credits_per_use}
    session.connection().execute(update(AGENTS).where(AGENTS.c.id == seed_content.ECHO.id).values(values))


def test_A94_an_agent_without_a_price_cannot_be_stored(stack: Stack) -> None:
    for price in (None, 0, -1):
        with pytest.raises(IntegrityError):
            stack.database.transact(_reprice, credits_per_use=price)
