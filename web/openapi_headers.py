"""The headers of the document: which a request may carry, and which its answer has, told from the endpoint's row."""

from collections.abc import Iterable
from typing import Any

from web.reading import KEY_CHARS_MAX
from web.routing import Endpoint

Json = dict[str, Any]

STREAM = "text/event-stream"
TEXT: Json = {"type": "string"}
SECONDS: Json = {"type": "integer", "minimum": 0}


def _taken(name: str, text: str, schema: Json = TEXT) -> Json:
    return {"name": name, "in": "header", "description": text, "schema": schema}


def _given(text: str, schema: Json = TEXT, **more: Any) -> Json:
    return {"description": text, "schema": schema, **more}


# Text of any form is a good value where a value that can't be understood counts as none.
REQUEST: dict[str, Json] = {
    one["name"]: one
    for one in (
        _taken(
            "X-Request-ID", "请求标识，随响应原样返回 · Names this request; the answer carries it back, or a new one"
        ),
        _taken("Accept-Language", "`en` 为英文，否则中文 · English if it is preferred, else Chinese"),
        _taken(
            "X-User-Id", "可选，须为令牌本人的 ID 或邮箱 · If sent, it must name the token's own user by id or e-mail"
        ),
        _taken(
            "Idempotency-Key",
            "同一键与同一内容 24 小时内返回同一结果 · Same key and same body give the same answer for 24 hours",
            {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": r"^[\x20-\x7e]+$"},
        ),
        _taken("If-None-Match", "内容未变则返回 304 · 304 if the answer's `ETag` is still one of these"),
        _taken("If-Match", "内容已变则返回 412 · 412 unless the `ETag` is still one of these"),
        _taken("Last-Event-ID", "从该事件之后继续 · Go on after the event with this number"),
        _taken("Prefer", "`wait=N`：最多等待 N 秒（≤60）· `wait=N`: wait up to N seconds (60 at most) for the result"),
    )
}
# Of what we send ourselves.
SIGNED: list[Json] = [
    _taken("webhook-id", "事件标识，重发时不变 · The event's id, the same in every attempt: an event is taken once"),
    _taken("webhook-timestamp", "本次发送的 Unix 秒 · When this attempt was sent, in seconds since the epoch"),
    _taken(
        "webhook-signature",
        "`v1,` + Base64(HMAC-SHA256(密钥, `id.timestamp.body`))，可有多个 · One or more of these, separated by blanks",
    ),
]
RESPONSE: dict[str, Json] = {
    "X-Request-ID": _given("请求标识 · Names this request in the logs", required=True),
    "RateLimit": _given(
        '剩余次数与窗口秒数 · Requests left, and seconds until the window ends: `"default";r=2999;t=34`'
    ),
    "RateLimit-Policy": _given('限流策略 · The limit: `"default";q=3000;w=60`'),
    "Retry-After": _given("请在若干秒后再试 · Seconds to wait before asking again", SECONDS),
    "ETag": _given("内容版本 · Stands for this version of the answer"),
    "Location": _given("所创建资源的地址 · Where the new thing is", {"type": "string", "format": "uri-reference"}),
    "Idempotency-Replayed": _given(
        "此前同一键的结果 · This is the answer that the same key got before", {"type": "string", "enum": ["true"]}
    ),
}


def taken(endpoint: Endpoint) -> list[Json]:
    """The header parameters of a request."""
    names = ["X-Request-ID", "Accept-Language", *endpoint.takes]
    if endpoint.auth != "public":
        names.append("X-User-Id")
    if endpoint.idempotent:
        names.append("Idempotency-Key")
    if 304 in endpoint.also:
        names.append("If-None-Match")
    if "PRECONDITION_FAILED" in endpoint.errors:
        names.append("If-Match")
    if endpoint.produces == STREAM:
        names.append("Last-Event-ID")
    return [{"$ref": f"#/components/parameters/{name}"} for name in dict.fromkeys(names)]


def of_success(endpoint: Endpoint, status: int) -> Json:
    """The headers of a good answer."""
    names: list[str] = list(endpoint.gives) if status == endpoint.status else []
    if status < 400 and has_etag(endpoint):
        names.append("ETag")
    if status < 400 and endpoint.idempotent:
        names.append("Idempotency-Replayed")
    return _all(endpoint, names)


def of_failure(endpoint: Endpoint, status: int, codes: Iterable[str]) -> Json:
    """The headers of a problem with one of these codes."""
    waits = status in {429, 503} or "IDEMPOTENCY_IN_PROGRESS" in codes
    return _all(endpoint, ["Retry-After"] if waits else [])


def has_etag(endpoint: Endpoint) -> bool:
    """Whether its answers have versions, which a reader may have already or a change may ask for."""
    return "ETag" in endpoint.gives or 304 in endpoint.also or "PRECONDITION_FAILED" in endpoint.errors


def _all(endpoint: Endpoint, names: Iterable[str]) -> Json:
    always = ["X-Request-ID", *(["RateLimit", "RateLimit-Policy"] if endpoint.rate != "none" else [])]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys([*always, *names])}
