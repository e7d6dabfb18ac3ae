"""Ways to ask wrongly, made from the route table: whatever endpoint is added to it is attacked from then on.

Each way spoils one thing of a request that is otherwise good, so that the refusal is for that one thing.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import jsonschema_rs

from atelier.catalog.seed_content import ECHO
from atelier.kernel import tokens
from atelier.mail import links
from tests.stack import KEYRING
from web import direct_uploads, routes
from web.multipart import MEDIA_TYPE
from web.reading import ANYTHING
from web.routing import Endpoint
from web.schemas.model import Query

Json = dict[str, Any]
INVALID = (400, "VALIDATION_FAILED")
TOO_LARGE = (413, "PAYLOAD_TOO_LARGE")
WRONG_MEDIA = (415, "UNSUPPORTED_MEDIA")
JSON = "application/json"
# What a good request carries where the document's own example names nothing that exists here.
QUERY_SAMPLES = {
    "q": "回声",
    "expires": "1",
    "signature": "A" * 43,
    "token": links.unsubscribe_token(KEYRING.current, user_id="01990000-0000-7000-8000-000000000001", category="sales"),
}
BODY_SAMPLES: Json = {"agentId": ECHO.id}
# Fields that decide something, sent in the hope that somebody copies them into a row.
MASS_ASSIGNED: Json = {
    "role": "admin",
    "credits": 1_000_000,
    "status": "completed",
    "userId": "01990000-0000-7000-8000-000000000001",
    "id": "01990000-0000-7000-8000-000000000001",
    "isAdmin": True,
    "emailVerified": True,
    "tokenVersion": 0,
    "held": 0,
    "__proto__": {"role": "admin"},
}
WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**30, 1e308, "", "5", " ", "\x00", "x" * 33_000),
    *([], [1], {}, {"a": 1}, {"$ne": None}),
)
BROKEN_JSON = (
    *(b"{", b'{"a":}', b"{'a':1}", b'{"a":1}{"b":2}', b"\xff\xfe\x00", b'{"a":NaN}', b"undefined", b"\x00"),
    *(b"[]", b"[{}]", b'"text"', b"null", b"1", b"true", b"[" * 60_000, b'{"a":' * 10_000),
)
WRONG_MEDIA_TYPES = (
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"),
    *("application/json; charset=latin1", "application/problem+json", ""),
)
# Bodies that are believed for their signature: what they say is tried in tests/payments.
SIGNED = frozenset({JSON, "application/x-www-form-urlencoded"})
# What forms send, by the path that they go to; a picture where nothing else is named.
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
FORM = {"Content-Type": f"{MEDIA_TYPE}; boundary=x"}
UPLOAD_ID = "01990000-0000-7000-8000-0000000000aa"
UPLOAD = b"a text that was announced"
UPLOAD_ENDS_MS = 2**50
BROKEN_FORMS = (
    *(b"", b"nonsense", b"--x--\r\n", b"--x\r\n\r\n", b"--x\r\n" + b"A" * 20_000 + b": b\r\n\r\n\r\n--x--\r\n"),
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nhalf',
    b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\na\r\n--y--\r\n--x--\r\n",
)
BOMB_BYTES = 60_000_000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, and what it is to be refused with. `path` holds places for ids; `spoiled` is where it is wrong."""

    method: str
    path: str
    query: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    spoiled: str = ""
    refused: tuple[int, str] = INVALID
    chunked: bool = False

    def spoil(self, what: str, **changes: Any) -> "Asked":
        """The same request with something wrong in it."""
        return replace(self, spoiled=what, **changes)


def good(endpoint: Endpoint) -> Asked:
    """A request that has nothing wrong with it."""
    required = (endpoint.query or Query).model_json_schema().get("required", [])
    query = "&".join(f"{name}={QUERY_SAMPLES[name]}" for name in required)
    if endpoint.accepts == MEDIA_TYPE:
        return Asked(method=endpoint.method, path=endpoint.path, body=_form(_parts(endpoint)), headers=FORM)
    if endpoint.accepts in SIGNED:
        return Asked(method=endpoint.method, path=endpoint.path, body=b"{}", headers={"Content-Type": endpoint.accepts})
    if endpoint.body is None:
        return Asked(method=endpoint.method, path=endpoint.path, query=query)
    body = example(endpoint)
    return Asked(
        method=endpoint.method, path=endpoint.path, query=query, body=encoded(body), headers={"Content-Type": JSON}
    )


def example(endpoint: Endpoint) -> Json:
    """The body that the document shows."""
    assert endpoint.body is not None
    shown: Json = endpoint.body.model_json_schema().get("examples", [{}])[0]
    return {name: BODY_SAMPLES.get(name, value) for name, value in shown.items()}


def encoded(body: Any) -> bytes:
    """As JSON; half a surrogate pair stays what it is."""
    return json.dumps(body).encode()


# -- bodies


def on_body(endpoint: Endpoint) -> Iterator[Asked]:
    """Everything that can be wrong with a body, or with one where there should be none."""
    if endpoint.method == "GET":
        return iter(())
    ways = {ANYTHING: _sizes, MEDIA_TYPE: _on_form, **dict.fromkeys(SIGNED, _on_notice)}
    return ways.get(endpoint.accepts or "", _on_json)(endpoint, good(endpoint))


def _on_json(endpoint: Endpoint, request: Asked) -> Iterator[Asked]:
    as_json = {"headers": {"Content-Type": JSON}}
    for raw in BROKEN_JSON:
        if endpoint.body is not None or len(raw) <= 1024:
            yield request.spoil(f"broken JSON {raw[:12]!r}", body=raw, **as_json)
    yield request.spoil("an unknown field", body=encoded({**_shown(endpoint), "surprise": 1}), **as_json)
    yield from _sizes(endpoint, request)
    for media_type in WRONG_MEDIA_TYPES:
        body = request.body or b"{}"
        headers = {"Content-Type": media_type}
        yield request.spoil(f"as {media_type!r}", body=body, headers=headers, refused=WRONG_MEDIA)
    if endpoint.body is not None:
        yield from _fields(endpoint, request)


def _on_notice(endpoint: Endpoint, request: Asked) -> Iterator[Asked]:
    yield from _sizes(endpoint, request)
    for media_type in {JSON, *WRONG_MEDIA_TYPES} - {endpoint.accepts}:
        yield request.spoil(f"as {media_type!r}", headers={"Content-Type": media_type}, refused=WRONG_MEDIA)


def _shown(endpoint: Endpoint) -> Json:
    return example(endpoint) if endpoint.body is not None else {}


def _sizes(endpoint: Endpoint, request: Asked) -> Iterator[Asked]:
    much = (request.body or b"{}") + b" " * endpoint.body_max
    told = {"Content-Type": endpoint.accepts if endpoint.accepts in SIGNED else JSON}
    yield request.spoil("huge", body=much, headers=told, refused=TOO_LARGE)
    yield request.spoil("huge, in pieces of unknown number", body=much, headers=told, refused=TOO_LARGE, chunked=True)
    headers = {**told, "Content-Encoding": "gzip"}
    yield request.spoil("a bomb", body=_bomb(b'{"a":"', 10_000_000), headers=headers, refused=TOO_LARGE)


@cache
def _bomb(beginning: bytes, size: int) -> bytes:
    """A few bytes that are many."""
    return gzip.compress(beginning + b" " * size, compresslevel=1)


def _parts(endpoint: Endpoint) -> list[tuple[str, bytes, str]]:
    """The fields of a good form: name, content, and the name of the file if it is one."""
    if endpoint.path.endswith("/content"):
        signature = tokens.derived(KEYRING.current, direct_uploads.PURPOSE, f"{UPLOAD_ID}/{UPLOAD_ENDS_MS}")
        signed = [("expires", str(UPLOAD_ENDS_MS).encode(), ""), ("signature", signature.encode(), "")]
        return [*signed, ("file", UPLOAD, "a.txt")]
    if endpoint.path == "/api/agents/upload":
        creating = next(one for one in routes.ENDPOINTS if (one.method, one.path) == ("POST", "/api/agents"))
        return [("file", encoded(example(creating)), "manifest.json")]
    return [("file", PICTURE, "a.png")]


def _form(parts: Iterable[tuple[str, bytes, str]]) -> bytes:
    """As a browser writes it."""
    lines: list[bytes] = []
    for name, data, filename in parts:
        named = f'; filename="{filename}"' if filename else ""
        lines += [b"--x", f'Content-Disposition: form-data; name="{name}"{named}'.encode(), b"", data]
    return b"\r\n".join([*lines, b"--x--", b""])


def _on_form(endpoint: Endpoint, request: Asked) -> Iterator[Asked]:
    """Everything that can be wrong with a form as such."""
    parts = _parts(endpoint)
    for raw in BROKEN_FORMS:
        yield request.spoil(f"broken form {raw[:12]!r}", body=raw)
    yield request.spoil("no file", body=_form([part for part in parts if part[0] != "file"]))
    yield request.spoil("two files", body=_form([*parts, parts[-1]]))
    yield request.spoil("an empty file", body=_form([*parts[:-1], ("file", b"", "a.png")]))
    for name in ("surprise", *MASS_ASSIGNED):
        yield request.spoil(f"{name} smuggled in", body=_form([*parts, (name, b"1", "")]))
    for media_type in {JSON, *WRONG_MEDIA_TYPES} - {FORM["Content-Type"]}:
        yield request.spoil(f"as {media_type!r}", headers={"Content-Type": media_type}, refused=WRONG_MEDIA)
    beginning, _, _ = _form([*parts[:-1], ("file", b"", "a.png")]).rpartition(b"\r\n--x--")
    headers = {**FORM, "Content-Encoding": "gzip"}
    yield request.spoil("a bomb", body=_bomb(beginning, BOMB_BYTES), headers=headers, refused=TOO_LARGE)


def _fields(endpoint: Endpoint, request: Asked) -> Iterator[Asked]:
    """One field at a time: missing, of the wrong type, out of its bounds, or one that decides something."""
    assert endpoint.body is not None
    schema, shown = endpoint.body.model_json_schema(), example(endpoint)
    if not endpoint.body_optional and schema.get("required"):
        yield request.spoil("no body", body=b"")
    for name in schema.get("required", []):
        yield request.spoil(f"no {name}", body=encoded({key: shown[key] for key in shown if key != name}))
    for name, value in MASS_ASSIGNED.items():
        if name not in schema["properties"]:
            yield request.spoil(f"{name} smuggled in", body=encoded({**shown, name: value}))
    for name, rules in schema["properties"].items():
        for value in _against({**rules, "$defs": schema.get("$defs", {})}):
            yield request.spoil(f"{name} = {str(value)[:20]!r}", body=encoded({**shown, name: value}))
        if rules.get("type") == "string":
            yield request.spoil(f"{name} is half a character", body=encoded({**shown, name: "\ud800" * 9}))


def _against(rules: Json) -> Iterator[Any]:
    """Values that break these rules; values that don't, but are as large as no rule should let them be, too."""
    validator = jsonschema_rs.validator_for(rules)
    bounds = [rules[name] + step for name, step in (("minimum", -1), ("maximum", 1)) if name in rules]
    lengths = [rules[name] + step for name, step in (("minLength", -1), ("maxLength", 1)) if name in rules]
    candidates = [*WRONG_VALUES, *bounds, *("a" * length for length in lengths)]
    return (value for value in candidates if not validator.is_valid(value))


# -- queries, headers, methods


def on_query(endpoint: Endpoint) -> Iterator[Asked]:
    """Parameters that nobody knows, that come twice, and that can't be read."""
    request = good(endpoint)
    joint = f"{request.query}&" if request.query else ""
    for name in ("surprise", "userId", "page[]", "__proto__"):
        yield request.spoil(f"unknown parameter {name}", query=f"{joint}{name}=1")
    for name, rules in (endpoint.query or Query).model_json_schema().get("properties", {}).items():
        others = "&".join(part for part in request.query.split("&") if part and not part.startswith(f"{name}="))
        prefix = f"{others}&" if others else ""
        yield request.spoil(f"{name} twice", query=f"{prefix}{name}=1&{name}=2")
        for value in _unreadable(rules):
            yield request.spoil(f"{name}={value[:20]}", query=f"{prefix}{name}={value}")


def _unreadable(rules: Json) -> Iterator[str]:
    one, *more = [rule for rule in rules.get("anyOf", [rules]) if rule.get("type") != "null"]
    assert not more, f"a parameter that may be several things: {rules}"
    if one["type"] == "integer":
        yield from ("abc", "", "1.5", "1e3", "0x10", "%EF%BC%91", "+1", "%201", "NaN", "9" * 19, "9" * 5_000, "true")
        yield str(one["minimum"] - 1)
    elif one["type"] == "boolean":
        yield from ("yes", "1", "", "True")
    elif "enum" in one or one.get("format") in {"uuid", "date-time"}:
        yield from ("nonsense", "", "null", "%00", "'", "2026-02-31T00:00:00Z")
    else:
        yield "%00"
        yield "a" * (one.get("maxLength", 4_000) + 1)


def on_headers(endpoint: Endpoint) -> Iterator[Asked]:
    """Idempotency keys that can't be kept."""
    request = good(endpoint)
    if endpoint.idempotent:
        for key in ("", "k" * 256, "ключ", "tab\there"):
            headers = {**request.headers, "Idempotency-Key": key}
            yield request.spoil(f"Idempotency-Key {key[:10]!r}", headers=headers)


def on_method(endpoint: Endpoint, *, known: frozenset[str]) -> Iterator[Asked]:
    """Methods that the path doesn't have; `known` are those that it has."""
    request = good(endpoint)
    for method in sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - known):
        yield request.spoil(f"by {method}", method=method, refused=(405, "METHOD_NOT_ALLOWED"))


def on_ids(endpoint: Endpoint) -> Iterator[Asked]:
    """Path parameters that name nothing, or name nothing that could exist."""
    for name in endpoint.parameters:
        if not name.endswith("Id"):
            continue
        wrong = ("nonsense", "0", "1" * 36, "01990000-0000-7000-8000-00000000000g", "%00", "..%2F..", "'%20OR%201=1--")
        for value in wrong:
            path = endpoint.path.replace(f"{{{name}}}", value)
            yield good(endpoint).spoil(f"{name} {value}", path=path, refused=(404, "NOT_FOUND"))
