"""What an endpoint is: one declarative record, from which routes, validation, errors and the document are made."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from atelier.accounts.errors import ScopeMissing
from atelier.accounts.scopes import Scope
from atelier.contracts.idempotency import Keyed, keyed
from atelier.kernel.errors import RateLimited, Unauthorized
from web import messages
from web.border import Origins, Proxies
from web.identity import Identity
from web.limits import Quota
from web.messages import Locale
from web.schemas.model import Answer, Body, Query
from web.services import Services
from web.turns import Turn

BODY_MAX = 64 * 1024
IDEMPOTENCY_KEY = istr("Idempotency-Key")
REQUEST_ID = istr("X-Request-ID")
RATE_LIMIT = istr("RateLimit")
RATE_LIMIT_POLICY = istr("RateLimit-Policy")
REPLAYED = {"Idempotency-Replayed": "true"}
PARAMETER = re.compile(r"\{(\w+)\}")


class Reply:
    """An answer with more to say than its body: `Reply(answer, status=202, headers={"Location": …})`.

    `raw` is a body that is already bytes, with its `content_type`; it goes out as it is.
    """

    __slots__ = ("answer", "content_type", "headers", "raw", "status")

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        content_type: str = "application/json",
    ) -> None:
        self.answer = answer
        self.status = status
        self.headers = headers
        self.raw = raw
        self.content_type = content_type


class Frame:
    """What all calls of one endpoint share; made when the application starts."""

    __slots__ = ("base", "endpoint", "origins", "proxies", "secrets", "services")

    def __init__(
        self, endpoint: "Endpoint", *, services: Services, proxies: Proxies, origins: Origins, base: CIMultiDict[str]
    ) -> None:
        self.endpoint = endpoint
        self.services = services
        self.proxies = proxies
        self.origins = origins
        self.base = base
        fields = endpoint.body.model_fields if endpoint.body else {}
        self.secrets = {name for name, one in fields.items() if not one.repr} or None


class Call:
    """One validated request, as a handler sees it.

    body, query  instances of the endpoint's models (None where it has none): annotate, `body: LoginBody = call.body`
    path         the path's parameters as text; those named `…Id` are UUIDs
    identity     who asks, or None; `user` where there must be someone
    request_id   the id that the answer and every log line of this request carry
    now_ms       when the request came, by this process's clock
    quota        how much of the rate limit is left, or None
    begun        whether an answer that the handler sends by itself has begun
    """

    begun = False
    identity: Identity | None = None
    body: Any = None
    query: Any = None
    quota: Quota | None = None
    turn: Turn | None = None

    def __init__(self, request: web.Request, frame: Frame, *, request_id: str, now_ms: int) -> None:
        self.request = request
        self.frame = frame
        self.services = frame.services
        self.request_id = request_id
        self.now_ms = now_ms

    @property
    def path(self) -> Mapping[str, str]:
        """The path's parameters."""
        return self.request.match_info

    @property
    def user(self) -> Identity:
        """Who asks. Raises Unauthorized."""
        if self.identity is None:
            raise Unauthorized
        return self.identity

    def require(self, scope: Scope) -> None:
        """For what a request needs beside the scope of its endpoint. Raises ScopeMissing."""
        if not self.user.may(scope):
            raise ScopeMissing(scope=scope)

    def charge(self, quota: Quota) -> None:
        """Tell of this quota, unless another of the request has less left. Raises RateLimited if it was refused."""
        if self.quota is None or quota.retry_after or quota.remaining < self.quota.remaining:
            self.quota = quota
        if quota.retry_after:
            raise RateLimited(retry_after=quota.retry_after)

    @property
    def address(self) -> str:
        """The client's address, as far as it can be believed."""
        return self.frame.proxies.address(self.request)

    @property
    def locale(self) -> Locale:
        """The reader's language."""
        return messages.locale_of(self.request.headers.get(hdrs.ACCEPT_LANGUAGE))

    @cached_property
    def keyed(self) -> Keyed | None:
        """The request's Idempotency-Key, scoped to its owner and the route, with the fingerprint of what was asked.

        Fields that are never shown (`repr=False`) are not in the fingerprint: a fast digest of a password is as good as
        the password to whoever reads the table and can guess.
        """
        endpoint = self.frame.endpoint
        key = self.request.headers.get(IDEMPOTENCY_KEY) if endpoint.idempotent else None
        if key is None:
            return None
        asked = self.request.rel_url.raw_path_qs.encode() + b"\n"
        if self.body is not None:
            asked += self.body.__pydantic_serializer__.to_json(self.body, exclude=self.frame.secrets)
        if endpoint.key_owner and self.identity is None:
            owner = f"anonymous\n{endpoint.key_owner(self.body)}"
        else:
            owner = self.user.user_id
        return keyed(user_id=owner, route=f"{endpoint.method} {endpoint.path}", key=key, body=asked)

    def decided(self) -> None:
        """What the key is for is done and stored: a duplicate need not wait for the rest of this request."""
        if self.turn is not None:
            self.turn.end()

    def unchanged(self, etag: str) -> bool:
        """Whether the client has this very version (`etag` with its quotes): answer `Reply(status=304, …)`."""
        header = self.request.headers.get(hdrs.IF_NONE_MATCH)
        if header is None:
            return False
        return header in (etag, "*") or etag in (one.strip().removeprefix("W/") for one in header.split(","))

    def headers(self) -> CIMultiDict[str]:
        """What every answer to this request carries; streams and sockets get it by themselves."""
        headers = self.frame.base.copy()
        headers[REQUEST_ID] = self.request_id
        quota = self.quota
        if quota is not None:
            headers[RATE_LIMIT] = quota.header
            headers[RATE_LIMIT_POLICY] = quota.policy_header
        origin = self.request.headers.get(hdrs.ORIGIN)
        if origin is not None:
            self.frame.origins.dress(origin, headers)
        return headers


Handler = Callable[[Call], Awaitable[Any]]
Auth = Literal["public", "optional", "user", "admin"]
Taken = Literal["If-Match", "If-None-Match", "Prefer"]
Given = Literal["ETag", "Location", "Retry-After"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """One row of the table. The defaults refuse: an endpoint that says nothing is for signed-in users, without input.

    handler        answers an `Answer`, a `Reply`, an aiohttp response, or None for an empty body
    auth           public never looks at the Authorization header; optional takes a good token, ignores a bad one
    scope          what an API key needs for it; with None no key opens it, and an optional one takes keys for nobody
    body           model of the JSON body; with `body_optional` an empty body counts as {}
    accepts        media type of a body that the handler reads itself from `call.request`; excludes `body`; with `*/*`
                   there may be any body or none
    answer         model of the answer, or a union; `produces` is its media type; `also` are other good answers
    errors         stable codes beside the usual ones; `statuses` overrides their status on this route
    media          further media types of the answer, chosen by the Accept header
    takes, gives   headers of the request, and of the answer with `status`, that no other field tells of
    rate           name of a policy, or "none"
    idempotent     takes an Idempotency-Key; `key_owner` tells from the body whose it is when nobody is signed in
    cache          Cache-Control of the answer
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: tuple[str, str]
    tag: str
    auth: Auth = "user"
    scope: Scope | None = None
    body: type[Body] | None = None
    body_optional: bool = False
    body_max: int = BODY_MAX
    accepts: str | None = None
    query: type[Query] | None = None
    answer: Any = None
    produces: str = "application/json"
    status: int = 200
    also: Mapping[int, Any] = field(default_factory=dict[int, Any])
    errors: tuple[str, ...] = ()
    statuses: Mapping[str, int] = field(default_factory=dict[str, int])
    media: tuple[str, ...] = ()
    takes: tuple[Taken, ...] = ()
    gives: tuple[Given, ...] = ()
    rate: str = "default"
    idempotent: bool = False
    key_owner: Callable[[Any], str] | None = None
    cache: str = "no-cache"

    def __post_init__(self) -> None:
        """Raises ValueError where strangers would share keys, and where an API key would open an administrator's."""
        if self.idempotent and self.auth in {"public", "optional"} and self.key_owner is None:
            message = f"{self.method} {self.path}: whose is the key of someone who is not signed in?"
            raise ValueError(message)
        if self.scope is not None and self.auth in {"public", "admin"}:
            message = f"{self.method} {self.path}: no API key is asked for here, or none is enough"
            raise ValueError(message)

    @property
    def operation_id(self) -> str:
        """Stable and unique: `getJobsByJobId` for GET /api/jobs/{jobId}, with `Root` for paths outside /api."""
        segments = self.path.strip("/").split("/")
        inside = segments[0] == "api" and len(segments) > 1
        words = [] if inside else ["root"]
        for segment in segments[inside:]:
            parameter = PARAMETER.fullmatch(segment)
            words += ["by", parameter[1]] if parameter else re.split(r"\W+", segment)
        return self.method.lower() + "".join(word[:1].upper() + word[1:] for word in words)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters."""
        return tuple(PARAMETER.findall(self.path))

    def at(self, path: str) -> Self:
        """The same endpoint under another path."""
        return replace(self, path=path)
