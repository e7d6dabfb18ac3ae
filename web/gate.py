"""One endpoint, compiled: everything that happens between the router and its handler, and on the way back.

Who asks (401), whether their API key may (403), how often (429), whether they may (403), whether the path can exist
(404), then query and body (400, 413, 415), then the handler; then the answer as bytes with its headers, or the fault as
a problem. It is the path of every request, so it is one function and no chain of middlewares, asks nothing twice and
builds nothing unasked.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr
from structlog.contextvars import STRUCTLOG_KEY_PREFIX

from atelier.accounts.errors import KeyNotAccepted, ScopeMissing
from atelier.contracts import idempotency
from atelier.contracts.idempotency import IdempotencyKeyReused, Keyed
from atelier.kernel.clock import now_ms
from atelier.kernel.errors import Forbidden, NotFound, Refusal, Unauthorized
from atelier.kernel.ids import new_id
from web import faults, reading
from web.border import Border, counted_as
from web.identity import Identity, KeyRights
from web.limits import Policy
from web.metrics import Requests
from web.routing import REQUEST_ID, Call, Endpoint, Frame, Reply
from web.schemas.model import Answer, Query
from web.services import Services
from web.turns import Turns

USER_ID = istr("X-User-Id")
REQUEST_ID_CHARS_MAX = 128
REQUEST_ID_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
MAY_HAVE_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CALL: ContextVar[Call] = ContextVar("call")
LOGGED_ID: ContextVar[str] = ContextVar(f"{STRUCTLOG_KEY_PREFIX}request_id")  # as bind_contextvars does, at a fifth
_is_uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


class Dressed(web.Response):
    """A response that has all its headers."""


class Gate:
    """Serves one endpoint. `open` gives it the services when the application starts."""

    def __init__(self, endpoint: Endpoint, *, border: Border, requests: Requests) -> None:
        self.endpoint = endpoint
        self._border = border
        self._requests = requests
        self._ids = tuple(name for name in endpoint.parameters if name.endswith("Id"))
        self._query_model = endpoint.query or Query
        self._takes_token = endpoint.auth != "public"
        self._read_body = self._body_reader()
        self._policy: Policy | None = None
        self._turns = Turns()

    def open(self, services: Services) -> None:
        """Ready to serve. Raises KeyError for a rate class without a policy."""
        endpoint, border = self.endpoint, self._border
        base = CIMultiDict({**border.standing, hdrs.CACHE_CONTROL: endpoint.cache})
        self._frame = Frame(endpoint, services=services, proxies=border.proxies, origins=border.origins, base=base)
        self._identities, self._limits = services.identities, services.limits
        self._policy = services.limits.policy(endpoint.rate) if endpoint.rate != "none" else None
        self._default = services.limits.policy("default")
        self._rates, self._key_uses = services.rates, services.key_uses

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """The aiohttp handler."""
        started = perf_counter()
        request_id = _request_id(request)
        call = Call(request, self._frame, request_id=request_id, now_ms=now_ms())
        CALL.set(call)
        LOGGED_ID.set(request_id)
        try:
            response = await self._serve(call, request)
        except Exception as error:  # noqa: BLE001 - the last resort, which logs what nobody anticipated
            response = faults.answer(error, call)
            if call.begun and request.transport is not None:
                # A second answer would be read as a part of the first.
                request.transport.abort()
        self._requests.observe(self.endpoint, response.status, perf_counter() - started)
        return response

    async def _serve(self, call: Call, request: web.Request) -> web.StreamResponse:
        endpoint = self.endpoint
        if self._takes_token:
            header = request.headers.get(hdrs.AUTHORIZATION)
            known = self._identities.known(header, call.now_ms) if header else None
            call.identity = known or await self._identify(call, header)
        self._let_in(call)
        if endpoint.query is not None or request.rel_url.raw_query_string:
            call.query = reading.query(request, self._query_model)
        if endpoint.idempotent:
            reading.idempotency_key(request)
        if self._read_body is not None:
            call.body = await self._read_body(request)
        if endpoint.idempotent and (keyed := call.keyed):
            return _response(await self._in_turn(call, keyed), call)
        return _response(await endpoint.handler(call), call)

    def _let_in(self, call: Call) -> None:
        key = call.identity.key if call.identity is not None else None
        if key is not None:
            self._admit(key, call)
        if self._policy is not None:
            self._count(self._policy, call)
        if self._takes_token and USER_ID in call.request.headers:
            _require_own(call, call.request.headers[USER_ID])
        if key is not None and self.endpoint.scope is None:
            call.identity = None  # Where nobody may come, a key stands for nobody.
        self._check(call)

    async def _in_turn(self, call: Call, keyed: Keyed) -> Any:
        call.turn = turn = await self._turns.take(keyed.key)
        try:
            return await self.endpoint.handler(call)
        except IdempotencyKeyReused:
            raise
        except Refusal:
            # It may be refused for what the same request has just done in another process: then there is an answer now.
            # A body that the handler has read is gone, and a request that was decided is refused for something else.
            if self.endpoint.accepts or turn.ended or not await call.services.db.read(idempotency.look, keyed):
                raise
            return await self.endpoint.handler(call)
        finally:
            turn.end()

    async def _identify(self, call: Call, header: str | None) -> Identity | None:
        try:
            return await self._identities.identify(header or "", call.now_ms)
        except Unauthorized:
            return self._anonymous(call)

    def _anonymous(self, call: Call) -> Identity | None:
        """Nobody, where nobody may come; else the attempt is counted to its address and refused."""
        if self.endpoint.auth == "optional":
            return None
        self._count_address(self._default, call)
        raise Unauthorized

    def _count(self, policy: Policy, call: Call) -> None:
        if call.identity is None:
            self._count_address(policy, call)
        else:
            call.charge(self._rates.request(call.identity, policy, call.now_ms))

    def _count_address(self, policy: Policy, call: Call) -> None:
        call.charge(self._limits.take(policy, counted_as(call.address), call.now_ms))

    def _admit(self, key: KeyRights, call: Call) -> None:
        """Let the key in. What it may not do is counted to its address, as a bad token is, and not to its user."""
        self._key_uses.note(key.key_id, call.now_ms)
        scope = self.endpoint.scope
        if scope in key.scopes or (scope is None and self.endpoint.auth == "optional"):
            return
        self._count_address(self._default, call)
        raise ScopeMissing(scope=scope) if scope is not None else KeyNotAccepted

    def _check(self, call: Call) -> None:
        if self.endpoint.auth == "admin" and call.user.role != "admin":
            raise Forbidden
        path = call.request.match_info
        for name in self._ids:
            if not _is_uuid(path[name]):
                raise NotFound

    def _body_reader(self) -> Callable[[web.Request], Awaitable[Any]] | None:
        endpoint = self.endpoint
        model, accepts, limit = endpoint.body, endpoint.accepts, endpoint.body_max
        if model is not None:
            optional = endpoint.body_optional
            return lambda request: reading.json_body(request, model, limit=limit, optional=optional)
        if accepts is not None:
            return lambda request: reading.announced(request, accepts, limit=limit)
        return reading.no_body if endpoint.method in MAY_HAVE_BODY else None


async def dress(_request: web.Request, response: web.StreamResponse) -> None:
    """The on_response_prepare signal: streams, sockets and files get the headers that plain answers are made with."""
    if response.__class__ is Dressed:
        return
    call = CALL.get(None)
    if call is not None:
        call.begun = True
        for name, value in call.headers().items():
            if name not in response.headers or name == hdrs.SERVER:
                response.headers[name] = value


def _require_own(call: Call, named: str) -> None:
    identity = call.identity
    if identity and named != identity.user_id and named.casefold() != identity.email.casefold():
        raise Forbidden


def _request_id(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID)
    if given and len(given) <= REQUEST_ID_CHARS_MAX and REQUEST_ID_CHARS.issuperset(given):
        return given
    return new_id()


def _response(result: Any, call: Call) -> web.StreamResponse:
    kind = result.__class__
    if kind is Reply:
        return _reply(result, call)
    if isinstance(result, Answer):
        endpoint = call.frame.endpoint
        raw = result.__pydantic_serializer__.to_json(result)
        return _plain(call, raw, status=endpoint.status, content_type=endpoint.produces)
    if isinstance(result, web.StreamResponse):
        return result
    if result is None:
        return _plain(call, b"", status=call.frame.endpoint.status, content_type="")
    message = f"{call.frame.endpoint.operation_id} answered {kind.__name__}"
    raise TypeError(message)


def _reply(reply: Reply, call: Call) -> web.Response:
    raw = reply.raw
    if raw is None:
        raw = reply.answer.__pydantic_serializer__.to_json(reply.answer) if reply.answer is not None else b""
    status = reply.status or call.frame.endpoint.status
    return _plain(call, raw, status=status, content_type=reply.content_type, more=reply.headers)


def _plain(
    call: Call, raw: bytes, *, status: int, content_type: str, more: Mapping[str, str] | None = None
) -> web.Response:
    headers = call.headers()
    if raw:
        headers[hdrs.CONTENT_TYPE] = content_type
    if more:
        headers.update(more)
    return Dressed(body=raw, status=status, headers=headers)
