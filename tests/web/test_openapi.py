"""The document is the table: what it says is what is served, and what is served is what it says."""

import gzip
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter

from atelier.kernel.settings import Settings
from tests.web import sample
from tests.web.sample import TABLE
from web import docs_page, openapi, problems, routes
from web.app import composed, make_app, rates
from web.routing import Endpoint
from web.unmatched import CATCH_ALL

Json = dict[str, Any]
TABLES = {"product": routes.ENDPOINTS, "sample": TABLE}
both = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def _document(table: Sequence[Endpoint]) -> Json:
    return openapi.build(table, tags=routes.TAGS, server="")


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


@both
def test_the_document_is_valid(table: Sequence[Endpoint]) -> None:
    OpenAPIV31SpecValidator(_document(table)).validate()


@both
def test_operation_ids_are_unique_and_every_operation_is_described_in_both_languages(
    table: Sequence[Endpoint],
) -> None:
    operations = [operation for _, _, operation in _operations(_document(table))]
    assert len({operation["operationId"] for operation in operations}) == len(table)
    for operation in operations:
        summary = operation["x-summary"]
        assert re.search(r"[\u4e00-\u9fff]", summary["zh"]), operation["operationId"]
        assert summary["en"].isascii(), operation["operationId"]


def test_operation_ids_say_method_and_path() -> None:
    found = {(one.method, one.path): one.operation_id for one in TABLE}
    assert found["POST", "/api/things/{thingId}/poke"] == "postThingsByThingIdPoke"
    assert {one.path: one.operation_id for one in routes.ENDPOINTS}["/openapi.json"] == "getRootOpenapiJson"


@one_engine
@both
def test_router_and_document_are_equal(table: Sequence[Endpoint], settings: Callable[..., Settings]) -> None:
    app = make_app(settings(), endpoints=table, compose=composed)
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD" and route.resource.canonical != CATCH_ALL
    }
    documented = {(method, path) for method, path, _ in _operations(_document(table))}
    assert routed == documented == {(one.method, one.path) for one in table}


@both
def test_every_code_is_documented_under_its_status(table: Sequence[Endpoint]) -> None:
    document = _document(table)
    operations = {(method, path): operation for method, path, operation in _operations(document)}
    for endpoint in table:
        responses = operations[endpoint.method, endpoint.path]["responses"]
        for code in openapi.codes(endpoint):
            status = str(endpoint.statuses.get(code, problems.STATUSES[code]))
            examples = responses[status]["content"][problems.CONTENT_TYPE]["examples"]
            assert examples[code] == {"$ref": f"#/components/examples/{code}"}
            assert document["components"]["examples"][code]["value"]["code"] == code


@both
def test_only_routes_that_say_so_are_public(table: Sequence[Endpoint]) -> None:
    operations = {(method, path): operation for method, path, operation in _operations(_document(table))}
    for endpoint in table:
        security = operations[endpoint.method, endpoint.path]["security"]
        by_key: list[Json] = [{"apiKey": [endpoint.scope]}] if endpoint.scope else []
        nobody: list[Json] = [{}] if endpoint.auth == "optional" else []
        assert security == ([] if endpoint.auth == "public" else [*nobody, {"bearer": []}, *by_key])


@both
def test_every_body_has_examples_that_it_accepts(table: Sequence[Endpoint]) -> None:
    for endpoint in table:
        if endpoint.body is None or not endpoint.body.model_fields:
            continue
        examples = endpoint.body.model_json_schema().get("examples", [])
        assert examples, f"{endpoint.body.__name__} has no example"
        for example in examples:
            endpoint.body.model_validate_json(TypeAdapter(Any).dump_json(example))


def _unbounded(schema: Json, where: str) -> Iterator[str]:
    if schema.get("type") == "integer" and "enum" not in schema and not {"minimum", "maximum"} <= schema.keys():
        yield f"{where}: an integer without bounds"
    named = {"enum", "const", "format", "maxLength"} & schema.keys()
    counted = not re.search(r"[*+]", schema.get("pattern", "*"))
    if schema.get("type") == "string" and not named and not counted:
        yield f"{where}: a string without a length"
    if schema.get("type") == "array" and "maxItems" not in schema:
        yield f"{where}: an array without a length"
    for name, member in schema.get("properties", {}).items():
        yield from _unbounded(member, f"{where}.{name}")
    for name, member in schema.get("$defs", {}).items():
        yield from _unbounded(member, name)
    for option in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        yield from _unbounded(option, where)


@both
def test_nothing_that_comes_in_is_without_bounds(table: Sequence[Endpoint]) -> None:
    bodies = {endpoint.body for endpoint in table if endpoint.body}
    queries = {endpoint.query for endpoint in table if endpoint.query}
    found = [line for model in bodies | queries for line in _unbounded(model.model_json_schema(), model.__name__)]
    # The numbers of a query are read from at most eighteen digits.
    of_queries = tuple(f"{model.__name__}." for model in queries)
    assert [line for line in found if not (line.startswith(of_queries) and "an integer" in line)] == []


@one_engine
@both
def test_rate_classes_have_policies(table: Sequence[Endpoint], settings: Callable[..., Settings]) -> None:
    assert {one.rate for one in table} <= {"none", *rates(settings())}


# -- the page


@one_engine
async def test_the_page_runs_under_a_policy_that_lets_it_call_only_this_server(
    settings: Callable[..., Settings],
) -> None:
    async with sample.serving(settings(), docs_page.ENDPOINTS) as site:
        page = await site.ask("GET", "/docs")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "connect-src 'self';" in policy
        assert "unsafe" not in policy
        html = page.raw.decode()
        assert "http" not in html
        assert re.findall(r"<script(?![^>]*src=)", html) == []
        assert re.findall(r"\s(on\w+|style)=", html) == []
        for name in re.findall(r'(?:src|href)="(docs/[^"]+)"', html):
            got = await site.ask("GET", f"/{name}")
            assert (got.status, got.headers["X-Content-Type-Options"]) == (200, "nosniff"), name
        for name in ("index.htm", "ORIGIN.txt", "..%2fapp.py", "start.js%00"):
            assert (await site.ask("GET", f"/docs/{name}")).status == 404


@one_engine
async def test_the_document_is_served_compressed_and_with_its_version(settings: Callable[..., Settings]) -> None:
    async with sample.serving(settings(), docs_page.ENDPOINTS) as site:
        got = await site.ask("GET", "/openapi.json", Accept_Encoding="gzip")
        assert got.headers["Content-Encoding"] == "gzip"
        shown = openapi.build(docs_page.ENDPOINTS, tags=routes.TAGS, server="", webhooks=routes.WEBHOOKS)
        assert got.body == shown
        again = await site.ask("GET", "/openapi.json", If_None_Match=got.headers["ETag"])
        assert (again.status, again.raw) == (304, b"")


def test_the_vendored_files_are_the_published_ones() -> None:
    folder = files("web") / "static" / "swagger"
    told = dict(re.findall(r"gzip -9n of (\S+), sha256 (\w{64})", (folder / "ORIGIN.txt").read_text("utf-8")))
    assert set(told) == {"swagger-ui-bundle.js", "swagger-ui.css"}
    for name, digest in told.items():
        assert sha256(gzip.decompress((folder / f"{name}.gz").read_bytes())).hexdigest() == digest
    assert "Apache License" in (folder / "LICENSE").read_text("utf-8")
    assert "validatorUrl: null" in (folder / "start.js").read_text("utf-8")
