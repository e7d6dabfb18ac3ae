"""The document at /openapi.json is what the running server does, whatever is sent to it and whoever sends it.

Every check that schemathesis has runs on every answer, but for one: `positive_data_acceptance` wants 2xx for whatever
the document allows, and doesn't know that a mailed token is used up, a password wrong or a name taken. In its place
stands `what_the_document_allows_is_understood`, which reads the answer: such a request may be refused for what it
asks, and never for how it is written.
"""

import itertools
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import BaseSchema, Case, CheckContext, Config, HookContext, Response
from schemathesis.generation.hypothesis import builder
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.catalog.seed_content import ECHO
from atelier.kernel import clock, tokens
from atelier.kernel.ids import new_id
from atelier.onboarding import operator
from tests.contract import belongings, links
from tests.contract.conftest import Place
from tests.published import DOCUMENT
from tests.stack import KEYRING, Stack
from web import openapi_headers, outputs, routes
from web.routing import Auth, Endpoint

Json = dict[str, Any]
Sent = Case[Any]
Test = Callable[..., None]
# Not the one of the examples in the document, or the example of a new password would be a right one.
PASSWORD = "nothing that a document shows"
AMOUNT = 1_000_000
# Rules that JSON Schema can't say: the field and the code of the detail that names it.
MOMENTS = ("from", "to", "filter", "timestamp", "expiresAt")
PARTS_OF_URLS = ("_scheme", "_userinfo", "_port", "_host")
PRICES = ("basePrice", "creditsPerUse")
TEXTS = ("name", "description", "capabilities", "tags", "reason", "note", "nameZh", "nameEn")
BEYOND_THE_DOCUMENT = {
    ("email", "email"): "an address is narrower than what `format: email` allows",
    ("avatarUrl", "url"): "an avatar is an https address or an own file",
    ("displayName", "string_too_short"): "control characters are dropped before it is measured",
    ("q", "string_too_short"): "blanks around it are dropped before it is measured",
    ("inputData", "schema_mismatch"): "checked against the agent's own schema",
    ("config", "schema_mismatch"): "checked against the agent's own schema",
    ("inputData", "number_too_large"): "numbers have at most 64 bits",
    ("config", "number_too_large"): "numbers have at most 64 bits",
    ("inputData", "json_too_deep"): "JSON has at most 20 levels",
    ("config", "json_too_deep"): "JSON has at most 20 levels",
    ("saveVersion", "needs_project"): "a version of what?",
    ("expiresAt", "datetime_future"): "what is over already can't be an end",
    ("expiresAt", "said_twice"): "the end of a key is said once",
    ("credits", "credits_of_case"): "for one of the resolutions, and only there",
    ("amountFen", "amount_of_case"): "for one of the resolutions, and only there",
    ("from", "not_before"): "a time begins before it ends",
    ("from", "too_many_steps"): "how much is asked for depends on two ends and a step",
    ("Idempotency-Key", "missing"): "needed to pay for more days, and else a choice",
    ("title", "string_too_short"): "blanks around it are dropped before it is measured",
    ("config", "json_too_large"): "bytes are not what JSON Schema counts",
    ("content", "json_too_large"): "bytes are not what JSON Schema counts",
    ("content", "number_too_large"): "numbers have at most 64 bits",
    ("content", "too_many_results"): "what a version speaks of is counted in its text",
    ("content", "json_too_deep"): "JSON has at most 20 levels",
    ("", "email_or_username"): "one of the two, either of which may be null",
    ("categoryId", "category_unknown"): "categories come and go",
    ("tags", "string_too_long"): "measured as it is compared: some characters stand for several",
    ("creditsPerUse", "pricing_is_metered"): "a metered price has a maximum of its own",
    **{(moment, "datetime_parsing"): "years are those from 1000 to 9998" for moment in MOMENTS},
    **{("url", f"url{what}"): "an https address out in the world" for what in ("", *PARTS_OF_URLS)},
    **{(price, f"price_{what}"): "each price type has its own" for price in PRICES for what in ("required", "unused")},
    **{(text, "string_too_short"): "blanks around it are dropped before it is measured" for text in TEXTS},
}
# Documents of an agent: checked against the provider that runs it, against each other, and for what they would cost.
OF_AGENTS = {"inputSchema", "configSchema", "defaultConfig", "runtime", "examples", "pricing"}
# The handshake of a WebSocket is no request that a document of HTTP can describe, and of a package it says only that
# there is a file: what is wrong with one is told by the names of the files in it.
UNTOLD = {"GET /api/events", "POST /api/agents/upload"}
# A notice without its gateway's signature is understood and refused, in the words that the gateway reads.
WORDS_OF_GATEWAYS = {
    "POST /api/payments/webhooks/alipay": [["text/plain"]],
    "POST /api/payments/webhooks/wechat": [["application/json"]],
}


def _schema(*, coverage: bool) -> BaseSchema:
    """The document, to be tested with its examples, at random, and with `coverage` at every limit that it names."""
    chosen = {
        "phases": {"coverage": {"enabled": coverage}},
        "checks": {"positive_data_acceptance": {"enabled": False}},
        # Whose token is sent is the caller's business.
        "generation": {"with-security-parameters": False},
    }
    return schemathesis.openapi.from_dict(DOCUMENT, config=Config.from_dict(chosen))


@schemathesis.deserializer("text/plain")
def _words(_context: Any, response: Response) -> str:
    """Plain text is judged by its schema too: gateways are answered with one word, and it has to be the right one."""
    return response.text


def bounded(examples: int, **more: Any) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        **more,
    )


@dataclass(frozen=True)
class Caller:
    """Someone with jobs in every final state, or nobody."""

    stack: Stack
    user_id: str | None = None
    jobs: Mapping[str, str] = field(default_factory=dict[str, str])
    session: requests.Session = field(default_factory=requests.Session)

    def headers(self) -> dict[str, str]:
        """A fresh token each time: one of the operations ends tokens."""
        if self.user_id is None:
            return {}
        version = self.stack.database.read(_version, user_id=self.user_id)
        now = clock.now_ms()
        token = tokens.issue(
            KEYRING, user_id=self.user_id, token_id=new_id(), version=version, now_ms=now, expires_ms=now + 3_600_000
        )
        return {"Authorization": f"Bearer {token}"}


def _version(session: Session, *, user_id: str) -> int:
    return session.execute(select(User.token_version).where(User.id == user_id)).scalar_one()


@pytest.fixture(scope="module")
def stack(place_on_sqlite: Place) -> Iterator[Stack]:
    made = Stack(place_on_sqlite.database_url, place_on_sqlite.redis_url, place_on_sqlite.folder)
    made.start("generation", "web")
    yield made
    made.close()


@pytest.fixture(scope="module")
def callers(stack: Stack) -> Iterator[dict[str, Caller]]:
    """Everyone, after a worker has run their jobs and gone: nothing changes any longer but by what is sent."""
    found = {"anonymous": Caller(stack)}
    for role in ("user", "admin"):
        made = operator.create_user(
            stack.database,
            email=f"{role}@example.com",
            username=f"{role}_1",
            password=PASSWORD,
            role=role,
            amount=AMOUNT,
        )
        found[role] = Caller(stack, made, _jobs(Caller(stack, made)))
    stack.until_finished()
    stack.processes["generation"].kill()
    _furnish(stack, found)
    yield found
    for caller in found.values():
        caller.session.close()


def _furnish(stack: Stack, callers: Mapping[str, Caller]) -> None:
    """Something of everything, so that the lists lead on to what is in them."""
    operator.create_user(stack.database, email="subject@example.com", username="subject", password=PASSWORD)
    subject = stack.client.post("/api/auth/login", json={"loginId": "subject", "password": PASSWORD}).json()
    for caller in callers.values():
        if caller.user_id is not None:
            belongings.notification(stack, caller.user_id)
            belongings.files(stack, caller.user_id, new_id())
            belongings.agent(stack, caller.headers())
            belongings.order(stack, caller.user_id)
            signed_in = {"Authorization": f"Bearer {subject['token']}"}
            belongings.projects(stack, owner=caller.headers(), subject=signed_in)


def _jobs(caller: Caller) -> dict[str, str]:
    """One job of each final state, by state."""
    configs: dict[str, dict[str, Any]] = {
        "completed": {},
        "failed": {"fail": "permanent"},
        "canceled": {"delayMs": 60_000},
    }
    headers = caller.headers()
    jobs = {name: str(caller.stack.echo(headers, **config).json()["jobId"]) for name, config in configs.items()}
    caller.stack.client.post(f"/api/jobs/{jobs['canceled']}/cancel", headers=headers).raise_for_status()
    return jobs


@pytest.fixture(scope="module", params=["anonymous", "user", "admin"])
def caller(request: pytest.FixtureRequest, callers: dict[str, Caller]) -> Caller:
    """Who sends it."""
    return callers[request.param]


def aim(case: Sent, caller: Caller) -> None:
    """Make about half of what the document allows meet something that exists."""
    assert case.meta is not None
    chance = zlib.crc32(json.dumps([case.path_parameters, case.body], default=str).encode())
    if not case.meta.generation.mode.is_positive or chance % 2:
        return
    case.headers.pop("X-User-Id", None)
    if "jobId" in case.path_parameters and caller.jobs:
        case.path_parameters["jobId"] = sorted(caller.jobs.values())[chance // 2 % 3]
    if "agentId" in case.path_parameters:
        case.path_parameters["agentId"] = ECHO.id
    if "signature" in case.query and caller.jobs:
        _sign(case, caller.jobs["completed"])
    if isinstance(case.body, dict) and "agentId" in case.body:
        case.body = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}}


def _sign(case: Sent, job_id: str) -> None:
    expires_ms = clock.now_ms() + 60_000
    case.path_parameters.update(jobId=job_id, number="0")
    signature = tokens.derived(KEYRING.current, outputs.PURPOSE, f"{job_id}/0/{expires_ms}")
    case.query.update(expires=expires_ms, signature=signature)


def what_the_document_allows_is_understood(_context: CheckContext, response: Response, case: Sent) -> None:
    """A request that the document allows is never called invalid, but for the rules that it can't say."""
    assert case.meta is not None
    if not case.meta.generation.mode.is_positive or response.status_code != 400 or case.operation.label in UNTOLD:
        return
    if response.headers["content-type"] in WORDS_OF_GATEWAYS.get(case.operation.label, []):
        return
    problem = response.json()
    if problem["code"] == "VALIDATION_FAILED":
        found = [detail for detail in problem["details"] if not _is_beyond(detail, case.body)]
        assert found == [], f"valid, but refused: {found}"


def _is_beyond(detail: Any, body: Any) -> bool:
    name = str(next(iter(detail["path"]), ""))
    # JSON Schema takes 5.0 for an integer.
    written_with_a_point = detail["code"] == "int_type" and isinstance(_at(body, detail["path"]), float)
    return written_with_a_point or name in OF_AGENTS or (name, detail["code"]) in BEYOND_THE_DOCUMENT


def _at(body: Any, path: list[Any]) -> Any:
    found: Any = body
    for step in path:
        found = found[step] if found.__class__ in {dict, list} else None
    return found


def every_answer_names_itself(_context: CheckContext, response: Response, case: Sent) -> None:
    """What front ends rely on in every answer, which no single operation's schema says."""
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == ["nosniff"]
    if promised := _promised(case, response.status_code):
        assert {name for name in openapi_headers.RESPONSE if name.lower() in response.headers} <= promised.keys()
    if "RateLimit" in promised:
        assert response.headers["ratelimit"]
        assert response.headers["ratelimit-policy"]
    if response.status_code in {429, 503}:
        assert int(response.headers["retry-after"][0]) > 0
    if response.status_code >= 400 and response.headers.get("content-type") == ["application/problem+json"]:
        assert response.json()["requestId"] == response.headers["x-request-id"][0]


def _promised(case: Sent, status: int) -> Json:
    """The headers that the document shows for this answer; none for a method that the operation doesn't have.

    What answers such a method is no operation: OPTIONS is a 204 with a rate, and so is no promise of an operation that
    has a 204 without one.
    """
    if case.method != case.operation.method.upper():
        return {}
    responses = DOCUMENT["paths"][case.operation.path][case.operation.method.lower()]["responses"]
    shown: Json = responses.get(str(status), {}).get("headers", {})
    return shown


CHECKS: Any = [what_the_document_allows_is_understood, every_answer_names_itself]


def examine(case: Sent, caller: Caller) -> None:
    """Send it and judge the answer."""
    aim(case, caller)
    case.call_and_validate(
        base_url=str(caller.stack.client.base_url),
        session=caller.session,
        headers=caller.headers(),
        additional_checks=CHECKS,
    )


# One in so many of the cases at the limits of an operation is sent by default, and all by `make proof`.
ONE_IN = 8
SCHEMA = _schema(coverage=False)
# Not the same for all: each operation begins somewhere else.
NUMBERS = {f"{one.method} {one.path}": itertools.count(zlib.crc32(one.path.encode())) for one in routes.ENDPOINTS}


def on_operations(*auths: Auth) -> pytest.MarkDecorator:
    """Each, or those that are open to these."""
    chosen = [one for one in routes.ENDPOINTS if not auths or one.auth in auths]
    return pytest.mark.parametrize("endpoint", chosen, ids=[f"{one.method} {one.path}" for one in chosen])


def one_in_some(_context: HookContext, case: Sent) -> bool:
    """Whether it is sent by default."""
    assert case.meta is not None
    return case.meta.phase.name != "coverage" or next(NUMBERS[case.operation.label]) % ONE_IN == 0


def try_out(endpoint: Endpoint, caller: Caller, *, limits: bool = False) -> None:
    """Test an operation with its examples and at random; at `limits`, too.

    What is sent is thought of here: when tests are collected, each process that collects would do it for all.
    """

    @SCHEMA.hooks.apply(one_in_some, name="filter_case")
    @bounded(4, derandomize=True)
    def examined(case: Sent) -> None:
        examine(case, caller)

    untyped: Any = builder
    mode = builder.HypothesisTestMode
    modes = [mode.EXAMPLES, mode.FUZZING, *([mode.COVERAGE] if limits else [])]
    config = builder.HypothesisTestConfig(project=SCHEMA.config, modes=modes)
    untyped.create_test(operation=SCHEMA[endpoint.path][endpoint.method], test_func=examined, config=config)()


@on_operations()
def test_the_document_is_the_truth_for_a_user(endpoint: Endpoint, callers: dict[str, Caller]) -> None:
    try_out(endpoint, callers["user"], limits=True)


@on_operations("admin")
def test_the_document_is_the_truth_for_an_administrator(endpoint: Endpoint, callers: dict[str, Caller]) -> None:
    try_out(endpoint, callers["admin"])


@on_operations("public", "optional")
def test_the_document_is_the_truth_for_nobody_in_particular(endpoint: Endpoint, callers: dict[str, Caller]) -> None:
    try_out(endpoint, callers["anonymous"])


def on_whole_document() -> Callable[[Test], Test]:
    """Make a test of each operation, with all its limits."""
    untyped: Any = _schema(coverage=True)
    decorator: Callable[[Test], Test] = untyped.parametrize()
    return decorator


@pytest.mark.proof
@on_whole_document()
@bounded(150)
def test_the_document_is_the_truth_for_long(case: Sent, caller: Caller) -> None:
    examine(case, caller)


@pytest.mark.proof
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("role", ["user", "admin"])
def test_following_what_is_found_from_answer_to_answer(
    stack: Stack, callers: dict[str, Caller], tmp_path: Path, *, role: str, seed: int
) -> None:
    """By the program, which knows that a server remembers; a plain property would be called flaky for it."""
    stack.start("generation")
    (tmp_path / "linked.json").write_text(json.dumps(links.linked(DOCUMENT)))
    (tmp_path / "schemathesis.toml").write_text(links.SETTINGS)
    (token,) = callers[role].headers().values()
    options = {
        "url": str(stack.client.base_url),
        "header": f"Authorization: {token}",
        "phases": "stateful",
        "exclude-checks": "positive_data_acceptance",
        "exclude-path-regex": links.NOT_FOLLOWED,
        "max-examples": "300",
        "seed": f"{seed}",
        "suppress-health-check": "all",
    }
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", "linked.json", "--no-color"]
    command += [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    covered = re.search(r"API Links: +(\d+) covered", done.stdout)
    assert covered, done.stdout
    assert int(covered[1]) >= links.FOLLOWED_MIN, done.stdout
