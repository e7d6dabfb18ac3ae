"""A small table of endpoints that shows every rule of the web tier once, and a server that serves it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import ConfigDict, Field
from yarl import URL

from atelier.kernel import clock, tokens
from atelier.kernel.errors import Conflict, Refusal, Transient
from atelier.kernel.settings import Settings
from web.app import composed, make_app
from web.routing import Call, Endpoint, Reply
from web.schemas.model import Answer, Body, JsonObject, Line, Moment, PageQuery, Pagination, QueryFlag, Timestamp, Uuid

THING_ID = "01999999-0000-7000-8000-000000000001"
ETAG = '"v1"'


class ThingBody(Body):
    """Something to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "a lamp", "howMany": 1}]})

    name: Line = Field(min_length=1, max_length=20)
    how_many: int = Field(1, ge=1, le=100)
    owner_id: Uuid | None = None
    details: JsonObject = Field(default_factory=dict[str, Any])


class ThingsQuery(PageQuery):
    """Which things."""

    kind: Literal["lamp", "chair"] | None = None
    fancy: QueryFlag = False
    since: Moment | None = None


class ThingAnswer(Answer):
    """What was asked, as it was understood."""

    name: str
    how_many: int
    owner_id: str | None
    made_at: Timestamp


class ThingsAnswer(Answer):
    """How the query was understood."""

    things: list[ThingAnswer]
    pagination: Pagination
    kind: str | None
    fancy: bool
    since: int | None


class WhoAnswer(Answer):
    """Who asked, from where."""

    user_id: str | None
    address: str
    key: str | None
    fingerprint: str | None


async def list_things(call: Call) -> ThingsAnswer:
    query: ThingsQuery = call.query
    pagination = Pagination.of(query, total=101)
    return ThingsAnswer(things=[], pagination=pagination, kind=query.kind, fancy=query.fancy, since=query.since)


async def make_thing(call: Call) -> Reply:
    body: ThingBody = call.body
    answer = ThingAnswer(name=body.name, how_many=body.how_many, owner_id=body.owner_id, made_at=0)
    return Reply(answer, headers={"Location": f"/api/things/{THING_ID}"})


async def read_thing(call: Call) -> Reply:
    if call.unchanged(ETAG):
        return Reply(status=304, headers={"ETag": ETAG})
    return Reply(raw=b'{"raw":true}', headers={"ETag": ETAG})


async def who(call: Call) -> WhoAnswer:
    keyed = call.keyed
    return WhoAnswer(
        user_id=call.identity.user_id if call.identity else None,
        address=call.address,
        key=keyed.key if keyed else None,
        fingerprint=keyed.fingerprint if keyed else None,
    )


async def nothing(_call: Call) -> None:
    return None


async def stream(call: Call) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(call.request)
    await response.write(b"data: 1\n\n")
    await response.write_eof()
    return response


async def socket(call: Call) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(call.request)
    await response.close()
    return response


async def upload(call: Call) -> Reply:
    return Reply(raw=str(len(await call.request.read())).encode(), content_type="text/plain")


class Poor(Refusal):
    """Like the ledger's, which needs no ledger here."""

    code = "INSUFFICIENT_CREDITS"


async def fail(call: Call) -> None:
    how = call.path["how"]
    if how == "poor":
        raise Poor(balance=2, required=5, related_job_id="j", status="not to be overwritten")
    if how == "conflict":
        raise Conflict
    if how == "transient":
        message = "db-7.internal refused"
        raise Transient(message)
    message = f"secret of {how}"
    raise RuntimeError(message)


def _row(method: Any, path: str, handler: Any, **more: Any) -> Endpoint:
    return Endpoint(method=method, path=path, handler=handler, summary=("例", "Sample"), tag="docs", **more)


TABLE = (
    _row("GET", "/api/things", list_things, auth="public", query=ThingsQuery, answer=ThingsAnswer),
    _row("POST", "/api/things", make_thing, body=ThingBody, answer=ThingAnswer, status=201, rate="submit"),
    _row("GET", "/api/things/{thingId}", read_thing, answer=dict[str, bool], also={304: None}),
    _row("POST", "/api/things/{thingId}/poke", nothing, status=204),
    _row("POST", "/api/open", make_thing, auth="public", body=ThingBody, answer=ThingAnswer, body_max=200_000),
    _row("POST", "/api/maybe", nothing, auth="public", body=Body, body_optional=True, rate="register"),
    _row("POST", "/api/keyed", who, body=ThingBody, answer=WhoAnswer, idempotent=True),
    _row("GET", "/api/who", who, auth="optional", answer=WhoAnswer, cache="no-store"),
    _row("GET", "/api/me", who, answer=WhoAnswer),
    _row("GET", "/api/admin/things", nothing, auth="admin"),
    _row("GET", "/api/fail/{how}", fail, auth="public", rate="none", statuses={"INSUFFICIENT_CREDITS": 402}),
    _row("GET", "/api/stream", stream, produces="text/event-stream"),
    _row("GET", "/api/socket", socket, auth="public", status=101),
    _row("POST", "/api/upload", upload, auth="public", accepts="application/octet-stream", body_max=1_000),
)


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON."""
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        """The stable word of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["status"] == self.status
        assert self.body["requestId"] == self.headers["X-Request-ID"]
        return str(self.body["code"])

    @property
    def wrong(self) -> list[tuple[list[str | int], str]]:
        """What a validation problem complains about: path and code."""
        assert (self.status, self.code) == (400, "VALIDATION_FAILED")
        return [(one["path"], one["code"]) for one in self.body["details"]]


async def until(condition: Callable[[], bool], *, seconds_max: float = 20) -> None:
    """Let the loop turn until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds_max):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in code that knows no event of ours
            await asyncio.sleep(0.005)


class Site:
    """A running web role."""

    def __init__(self, client: TestClient[Any, Any], settings: Settings) -> None:
        self.client = client
        self.settings = settings

    async def ask(
        self, method: str, path: str | URL, *, token: str = "", json_body: Any = None, data: Any = None, **headers: str
    ) -> Got:
        """Send a request; keywords are headers with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if json_body is not None:
            data = json.dumps(json_body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.client.request(method, path, data=data, headers=sent, allow_redirects=False) as response:
            return Got(response.status, response.headers.copy(), await response.read())

    def token(self, user_id: str, *, version: int = 0, token_id: str = "t", seconds: int = 3_600) -> str:
        """A token as the platform signs them."""
        now = clock.now_ms()
        return tokens.issue(
            self.settings.keyring,
            user_id=user_id,
            token_id=token_id,
            version=version,
            now_ms=now,
            expires_ms=now + seconds * 1_000,
        )

    async def raw(self, sent: bytes) -> bytes:
        """Send bytes as they are; everything that came back until the server closed or fell silent."""
        reader, writer = await asyncio.open_connection(self.client.host, self.client.port)
        writer.write(sent)
        await writer.drain()
        try:
            return await asyncio.wait_for(reader.read(100_000), 5)
        finally:
            writer.close()

    async def raw_and_leave(self, sent: bytes) -> None:
        """Send bytes and hang up at once."""
        _, writer = await asyncio.open_connection(self.client.host, self.client.port)
        writer.write(sent)
        await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def serving(settings: Settings, table: Sequence[Endpoint]) -> AsyncGenerator[Site]:
    """A table, served with the product's own services."""
    app = make_app(settings, endpoints=table, compose=composed)
    async with TestClient(TestServer(app)) as client:
        yield Site(client, settings)


def site(settings: Settings) -> AbstractAsyncContextManager[Site]:
    """The sample table."""
    return serving(settings, TABLE)
