"""The OpenAPI 3.1 document, built once at start from the same table that the routes are made of."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Literal

from pydantic import TypeAdapter

from web import messages, openapi_headers, problems
from web.problems import Problem
from web.reading import ANYTHING
from web.routing import Endpoint
from web.schemas.model import Answer, Query

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]
Schemas = Mapping[tuple[str, Mode], Json]

TEMPLATE = "#/components/schemas/{model}"
PROBLEM_KEY = "problem"
DESCRIPTION = """\
错误为 `application/problem+json`：请按 `code` 判断，`error` 与 `message` 是同一句本地化文案
（默认中文，`Accept-Language: en` 为英文）。每个响应都带 `X-Request-ID`；列表用 `page` 与 `limit`
（超过 50 按 50 计）；未知字段与未知参数会被拒绝。带 `Idempotency-Key` 重发的请求得到同一结果
（`Idempotency-Replayed: true`）；前一次仍在处理时为 409，按 `Retry-After` 再试。

Errors are `application/problem+json`: match on `code`; `error` and `message` are the same sentence in the reader's
language (Chinese unless `Accept-Language` prefers English). Every answer carries `X-Request-ID`; lists take `page` and
`limit` (above 50 means 50); unknown fields and unknown query parameters are refused. A request that is sent again with
its `Idempotency-Key` gets the same answer (`Idempotency-Replayed: true`); 409 while the first is still at work, to be
sent again after `Retry-After`.
"""


def build(
    endpoints: Sequence[Endpoint],
    *,
    tags: Mapping[str, tuple[str, str]],
    server: str,
    webhooks: Mapping[str, tuple[tuple[str, str], type[Answer]]] | None = None,
) -> Json:
    """The document as plain JSON values. `webhooks` are what we send: summaries and bodies by name."""
    sent = webhooks or {}
    schemas, components = _schemas(endpoints, [model for _, model in sent.values()])
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas, components)
    used = {endpoint.tag for endpoint in endpoints}
    return {
        "openapi": "3.1.0",
        "info": {"title": "创意工作坊 · Atelier", "version": version("atelier"), "description": DESCRIPTION},
        "servers": [{"url": server or "/"}],
        "tags": [{"name": name, "description": " · ".join(tags[name])} for name in tags if name in used],
        "paths": paths,
        "webhooks": {name: _sent(*one, schemas) for name, one in sent.items()},
        "components": {
            "schemas": components,
            "examples": _examples(endpoints),
            "parameters": openapi_headers.REQUEST,
            "headers": openapi_headers.RESPONSE,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "POST /api/auth/login 返回的令牌 · The token from POST /api/auth/login",
                },
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "atk_…",
                    "description": "POST /api/keys 返回的密钥，须有所列权限 · "
                    "A key from POST /api/keys that has the scope which is named",
                },
            },
        },
    }


# What no model describes: of a stream, the schema is that of each event.
RAW: Json = {
    "text/event-stream": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["id", "event", "data"],
    }
}

# Bodies that handlers read themselves.
BODIES: Json = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary", "minLength": 1}},
        "required": ["file"],
        "additionalProperties": False,
    }
}


def codes(endpoint: Endpoint) -> tuple[str, ...]:
    """Every stable code that this endpoint may answer with."""
    found = ["VALIDATION_FAILED", *endpoint.errors, "INTERNAL", "UNAVAILABLE"]
    found += _of_the_door(endpoint)
    if any(name.endswith("Id") for name in endpoint.parameters):
        found.append("NOT_FOUND")
    if endpoint.method != "GET":
        found += ["PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA", "REQUEST_TIMEOUT"]
    if endpoint.rate != "none" or endpoint.auth != "public":
        found.append("RATE_LIMITED")
    if endpoint.idempotent:
        found += ["IDEMPOTENCY_KEY_REUSED", "IDEMPOTENCY_IN_PROGRESS"]
    return tuple(dict.fromkeys(found))


def _of_the_door(endpoint: Endpoint) -> list[str]:
    for_someone = endpoint.auth in {"user", "admin"}
    by_key = "SCOPE_MISSING" if endpoint.scope else "KEY_NOT_ACCEPTED" if for_someone else ""
    found = ["UNAUTHORIZED" if for_someone else "", "FORBIDDEN" if endpoint.auth != "public" else "", by_key]
    return [code for code in found if code]


def _schemas(endpoints: Iterable[Endpoint], sent: Iterable[type[Answer]]) -> tuple[Schemas, Json]:
    wanted: list[tuple[str, Mode, TypeAdapter[Any]]] = [(PROBLEM_KEY, "serialization", TypeAdapter(Problem))]
    serialized: Mode = "serialization"
    wanted.extend((model.__name__, serialized, TypeAdapter[Any](model)) for model in sent)
    for endpoint in endpoints:
        name = endpoint.operation_id
        if endpoint.body:
            wanted.append((f"{name} body", "validation", TypeAdapter(endpoint.body)))
        for status, answer in _answers(endpoint).items():
            if answer is not None:
                wanted.append((f"{name} {status}", "serialization", TypeAdapter(answer)))
    schemas, rest = TypeAdapter.json_schemas(wanted, ref_template=TEMPLATE)
    return schemas, rest.get("$defs", {})


def _answers(endpoint: Endpoint) -> dict[int, Any]:
    return {endpoint.status: endpoint.answer, **endpoint.also}


def _operation(endpoint: Endpoint, schemas: Schemas, components: Json) -> Json:
    zh, en = endpoint.summary
    operation: Json = {
        "operationId": endpoint.operation_id,
        "tags": [endpoint.tag],
        "summary": f"{zh} · {en}",
        "x-summary": {"zh": zh, "en": en},
        "x-error-codes": list(codes(endpoint)),
        "security": _security(endpoint),
        "parameters": [
            *_path_parameters(endpoint),
            *_query_parameters(endpoint, components),
            *openapi_headers.taken(endpoint),
        ],
        "responses": _responses(endpoint, schemas),
    }
    description = (endpoint.handler.__doc__ or "").strip()
    if description:
        operation["description"] = description
    if endpoint.body:
        operation["requestBody"] = _request_body(endpoint, schemas, components)
    elif endpoint.accepts and endpoint.accepts != ANYTHING:
        content: Json = {endpoint.accepts: {"schema": BODIES.get(endpoint.accepts, {"type": "object"})}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _sent(summary: tuple[str, str], model: type[Answer], schemas: Schemas) -> Json:
    """What we send, and how it is to be answered."""
    zh, en = summary
    return {
        "post": {
            "summary": f"{zh} · {en}",
            "parameters": openapi_headers.SIGNED,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schemas[model.__name__, "serialization"]}},
            },
            "responses": {
                "2XX": {"description": "已收下，不再重发 · Taken, and not sent again"},
                "410": {"description": "不再需要，停用该 Webhook · Not wanted any more: the webhook is turned off"},
                "default": {"description": "稍后重发，最多十次 · Sent again later, ten times at most"},
            },
        }
    }


def _security(endpoint: Endpoint) -> list[Json]:
    if endpoint.auth == "public":
        return []
    nobody: list[Json] = [{}] if endpoint.auth == "optional" else []
    by_key: list[Json] = [{"apiKey": [endpoint.scope]}] if endpoint.scope else []
    return [*nobody, {"bearer": []}, *by_key]


def _path_parameters(endpoint: Endpoint) -> list[Json]:
    kinds: Mapping[bool, Json] = {True: {"type": "string", "format": "uuid"}, False: {"type": "string", "minLength": 1}}
    return [
        {"name": name, "in": "path", "required": True, "schema": kinds[name.endswith("Id")]}
        for name in endpoint.parameters
    ]


def _query_parameters(endpoint: Endpoint, components: Json) -> list[Json]:
    model = endpoint.query or Query
    schema = model.model_json_schema(ref_template=TEMPLATE)
    components.update(schema.get("$defs", {}))
    required = schema.get("required", [])
    return [_query_parameter(name, one, name in required) for name, one in schema.get("properties", {}).items()]


def _query_parameter(name: str, schema: Json, required: bool) -> Json:  # noqa: FBT001 - private
    schema = dict(schema)
    options = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    if len(options) == 1:
        schema = {**options[0], **schema}
    elif options:
        schema["anyOf"] = options
    if schema.get("default", ...) is None:
        del schema["default"]
    description = schema.pop("description", None)
    parameter: Json = {"name": name, "in": "query", "required": required, "schema": schema}
    return {**parameter, "description": description} if description else parameter


def _request_body(endpoint: Endpoint, schemas: Schemas, components: Json) -> Json:
    schema = schemas[f"{endpoint.operation_id} body", "validation"]
    resolved = components.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    media: Json = {"schema": schema}
    if resolved.get("examples"):
        media["example"] = resolved["examples"][0]
    return {"required": not endpoint.body_optional, "content": {"application/json": media}}


def _responses(endpoint: Endpoint, schemas: Schemas) -> Json:
    found = _successes(endpoint, schemas)
    for status, failure in _failures(endpoint, schemas).items():
        # A route may refuse in a form of its own beside the problem that everyone else is told.
        own = found.get(status, {}).get("content", {})
        found[status] = {**failure, "content": {**failure["content"], **own}}
    return found


def _successes(endpoint: Endpoint, schemas: Schemas) -> Json:
    found: Json = {}
    for status, answer in _answers(endpoint).items():
        response: Json = {
            "description": HTTPStatus(status).phrase,
            "headers": openapi_headers.of_success(endpoint, status),
        }
        if answer is not None:
            key: tuple[str, Mode] = (f"{endpoint.operation_id} {status}", "serialization")
            response["content"] = {endpoint.produces: {"schema": schemas[key]}}
        elif endpoint.produces != "application/json" and status == endpoint.status:
            response["content"] = {endpoint.produces: {"schema": RAW.get(endpoint.produces, {"type": "string"})}}
        if status == endpoint.status:
            for media_type in endpoint.media:
                response.setdefault("content", {})[media_type] = {"schema": {"type": "string"}}
        found[str(status)] = response
    return found


def _failures(endpoint: Endpoint, schemas: Schemas) -> Json:
    by_status: dict[int, list[str]] = {}
    for code in codes(endpoint):
        by_status.setdefault(endpoint.statuses.get(code, problems.STATUSES[code]), []).append(code)
    return {
        str(status): {
            "description": ", ".join(found),
            "headers": openapi_headers.of_failure(endpoint, status, found),
            "content": {
                problems.CONTENT_TYPE: {
                    "schema": schemas[PROBLEM_KEY, "serialization"],
                    "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in found},
                }
            },
        }
        for status, found in sorted(by_status.items())
    }


def _examples(endpoints: Iterable[Endpoint]) -> Json:
    found = sorted({code for endpoint in endpoints for code in codes(endpoint)})
    return {code: _example(code) for code in found}


def _example(code: str) -> Json:
    fault = problems.fault(code)
    text = messages.sentence(code, "zh")
    value = problems.members(fault, text=text, request_id="01999999-0000-7000-8000-000000000000")
    return {"summary": messages.sentence(code, "en"), "value": value}
