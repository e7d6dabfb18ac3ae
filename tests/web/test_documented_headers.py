"""Headers are documented as they are: what the document shows is sent, and what is sent is in the document."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import jsonschema_rs
import pytest
import pytest_asyncio
from aiohttp import hdrs

from atelier.catalog.seed_content import ECHO
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from tests.furnishing import furnish
from tests.live.harness import Served, serving
from tests.web import sample
from web import border, openapi, openapi_headers, routes
from web.routing import Endpoint

one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
Json = dict[str, Any]
PASSWORD = "correct horse battery"
MEI = {"email": "mei@example.com", "username": "mei", "password": PASSWORD}
GENERATE, REGISTER = "/api/workshop/generate", "/api/auth/register"
HISTORY, JOB = "/api/payments/credits/history", "/api/jobs/{jobId}"
ALWAYS = {"X-Request-ID", "RateLimit", "RateLimit-Policy"}
SUBMISSION = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}}


class Document:
    """What the document says of the headers of a table."""

    def __init__(self, table: Sequence[Endpoint]) -> None:
        self.whole = openapi.build(table, tags=routes.TAGS, server="")

    def operation(self, method: str, path: str) -> Json:
        """One operation."""
        found: Json = self.whole["paths"][path][method.lower()]
        return found

    def taken(self, method: str, path: str) -> set[str]:
        """The names of the headers that a request may carry."""
        references = [one["$ref"] for one in self.operation(method, path)["parameters"] if "$ref" in one]
        return {str(self._named(one)["name"]) for one in references}

    def given(self, method: str, path: str, status: int) -> Json:
        """The headers of an answer, by name."""
        shown: Json = self.operation(method, path)["responses"][str(status)]["headers"]
        return {name: self._named(one["$ref"]) for name, one in shown.items()}

    def _named(self, reference: str) -> Json:
        _, _, kind, name = reference.split("/")
        found: Json = self.whole["components"][kind][name]
        return found

    def agrees(self, method: str, path: str, status: int, headers: Mapping[str, str], *, carries: set[str]) -> None:
        """The answer has these headers, all that it has are documented, and each has the form that is documented."""
        given = self.given(method, path, status)
        sent = {name: headers[name] for name in openapi_headers.RESPONSE if name in headers}
        assert sent.keys() >= carries, (method, path, status)
        assert given.keys() >= sent.keys(), (method, path, status)
        for name, value in sent.items():
            schema = given[name]["schema"]
            assert jsonschema_rs.is_valid(schema, int(value) if schema["type"] == "integer" else value), name


PRODUCT, SAMPLE = Document(routes.ENDPOINTS), Document(sample.TABLE)


class Visitor:
    """Someone who looks at every answer with the document in hand."""

    def __init__(self, served: Served, token: str = "") -> None:
        self.served = served
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(
        self, method: str, path: str, *, status: int, carries: set[str], body: Any = None, at: str = "", **headers: str
    ) -> tuple[Mapping[str, str], Any]:
        """Ask at `path` of the document, or at the address that it stands for here; keywords are headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        assert named.keys() - {"Accept"} <= PRODUCT.taken(method, path)
        request = self.served.client.request(method, at or path, json=body, headers=self.headers | named)
        async with request as got:
            assert got.status == status, await got.text()
            PRODUCT.agrees(method, path, status, got.headers, carries=carries | ALWAYS)
            return got.headers, await got.json() if got.content_type.endswith("json") else await got.read()


@pytest_asyncio.fixture
async def served(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Served]:
    """A web role with the house's agents, and no worker."""
    db.transact(furnish)
    async with serving(settings(web_relay=False, registrations_per_minute=3, submissions_per_minute=3)) as running:
        yield running


@pytest_asyncio.fixture
async def visitor(served: Served, db: Database) -> Visitor:
    """Signed in, with credits."""
    operator.create_user(db, email="mei@example.com", username="mei", password=PASSWORD, amount=9)
    login = {"loginId": "mei", "password": PASSWORD}
    _, answer = await Visitor(served).ask("POST", "/api/auth/login", status=200, carries=set(), body=login)
    return Visitor(served, answer["token"])


@one_engine
async def test_a_submission_and_what_follows_it(visitor: Visitor) -> None:
    created = {"Location", "Retry-After"}
    headers, job = await visitor.ask(
        "POST", GENERATE, status=202, carries=created, body=SUBMISSION, Idempotency_Key="k", Prefer="wait=1"
    )
    again = {*created, "Idempotency-Replayed"}
    await visitor.ask("POST", GENERATE, status=202, carries=again, body=SUBMISSION, Idempotency_Key="k")
    other = {**SUBMISSION, "deadlineSeconds": 9}
    await visitor.ask("POST", GENERATE, status=422, carries=set(), body=other, Idempotency_Key="k")
    await visitor.ask("POST", GENERATE, status=429, carries={"Retry-After"}, body=other, Idempotency_Key="k")

    at = headers["Location"]
    headers, _ = await visitor.ask("GET", JOB, at=at, status=200, carries={"ETag"})
    await visitor.ask("GET", JOB, at=at, status=304, carries={"ETag"}, If_None_Match=headers["ETag"])
    canceled = f"{JOB}/cancel"
    await visitor.ask("POST", canceled, at=job["links"]["cancel"], status=200, carries=set())
    await visitor.ask("POST", canceled, at=job["links"]["cancel"], status=409, carries=set())


@one_engine
async def test_a_stream_that_is_gone_on_with(visitor: Visitor) -> None:
    _, job = await visitor.ask("POST", GENERATE, status=202, carries=set(), body=SUBMISSION)
    path, at = f"{JOB}/events", job["links"]["events"]
    stream = asyncio.create_task(visitor.ask("GET", path, at=at, status=200, carries=set(), Last_Event_ID="0"))
    await visitor.ask("POST", f"{JOB}/cancel", at=job["links"]["cancel"], status=200, carries=set())
    headers, events = await stream
    assert headers["Content-Type"] in PRODUCT.operation("GET", path)["responses"]["200"]["content"]
    assert b"event: job.canceled" in events
    last = events.decode().rpartition("\nid: ")[2].split()[0]
    await visitor.ask("GET", path, at=at, status=204, carries=set(), Last_Event_ID=last)


@one_engine
async def test_a_statement_as_a_table(visitor: Visitor) -> None:
    shown = PRODUCT.operation("GET", HISTORY)["responses"]["200"]["content"]
    assert shown.keys() == {"application/json", "text/csv"}
    for media_type in shown:
        headers, _ = await visitor.ask("GET", HISTORY, status=200, carries=set(), Accept=media_type)
        assert headers["Content-Type"].partition(";")[0] == media_type


@one_engine
async def test_registering_once_again_and_too_often(served: Served) -> None:
    stranger = Visitor(served)
    await stranger.ask("POST", REGISTER, status=200, carries=set(), body=MEI, Idempotency_Key="k")
    again = {"Idempotency-Replayed"}
    await stranger.ask("POST", REGISTER, status=200, carries=again, body=MEI, Idempotency_Key="k")
    english = await stranger.ask("POST", REGISTER, status=400, carries=set(), body=MEI, Accept_Language="en")
    assert english[1]["error"] == "This user exists already"
    await stranger.ask("POST", REGISTER, status=429, carries={"Retry-After"}, body=MEI)


@one_engine
async def test_versions_are_told_wherever_there_are_some(visitor: Visitor) -> None:
    profile = "/api/auth/profile"
    headers, _ = await visitor.ask("GET", profile, status=200, carries={"ETag"})
    body, tag = {"bio": "插画师"}, headers["ETag"]
    await visitor.ask("PUT", profile, status=200, carries={"ETag"}, body=body, If_Match=tag)
    await visitor.ask("PUT", profile, status=412, carries=set(), body=body, If_Match=tag)
    versioned = [one for one in routes.ENDPOINTS if one.method == "GET" and openapi_headers.has_etag(one)]
    for one in versioned:
        if not one.parameters:
            headers, _ = await visitor.ask("GET", one.path, status=200, carries={"ETag"})
            if 304 in one.also:
                await visitor.ask("GET", one.path, status=304, carries={"ETag"}, If_None_Match=headers["ETag"])
    assert len(versioned) > 5


@one_engine
async def test_a_name_of_the_request_and_of_the_caller(served: Served, visitor: Visitor) -> None:
    path = "/api/payments/credits/balance"
    headers, _ = await visitor.ask("GET", path, status=200, carries=set(), X_Request_ID="mine", X_User_Id=MEI["email"])
    assert headers["X-Request-ID"] == "mine"
    await visitor.ask("GET", path, status=403, carries=set(), X_User_Id="lin@example.com")
    await Visitor(served).ask("GET", path, status=401, carries=set())


@one_engine
async def test_a_failure_that_passes_says_when(settings: Callable[..., Settings]) -> None:
    async with sample.site(settings()) as site:
        for how, status, carries in (("transient", 503, {"Retry-After"}), ("bug", 500, set[str]())):
            got = await site.ask("GET", f"/api/fail/{how}")
            assert got.status == status
            SAMPLE.agrees("GET", "/api/fail/{how}", status, got.headers, carries=carries | {"X-Request-ID"})
            assert ("Retry-After" in SAMPLE.given("GET", "/api/fail/{how}", status)) == bool(carries)


def test_a_duplicate_that_comes_too_early_is_told_when_to_come() -> None:
    keyed = [one for one in routes.ENDPOINTS if one.idempotent]
    assert all("Retry-After" in PRODUCT.given(one.method, one.path, 409) for one in keyed)


def test_a_front_end_may_send_and_read_whatever_is_documented() -> None:
    assert set(border.ALLOWED.split(", ")) >= openapi_headers.REQUEST.keys()
    assert set(border.EXPOSED.split(", ")) == openapi_headers.RESPONSE.keys()


def test_every_header_of_the_catalogue_is_used() -> None:
    rows = [(one.method, one.path) for one in routes.ENDPOINTS]
    assert {name for row in rows for name in PRODUCT.taken(*row)} == openapi_headers.REQUEST.keys()
    given = {
        name
        for method, path in rows
        for status in PRODUCT.operation(method, path)["responses"]
        for name in PRODUCT.given(method, path, int(status))
    }
    assert given == openapi_headers.RESPONSE.keys()
    assert hdrs.ALLOW not in given  # Only requests that no operation is for are answered with it.
