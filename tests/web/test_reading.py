"""Whatever a client sends ends in a model or in a named refusal."""

import gzip
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.web.sample import THING_ID, Site

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


# -- queries


@pytest.mark.parametrize(
    ("query", "page", "limit"),
    [("", 1, 20), ("?page=3&limit=7", 3, 7), ("?limit=50", 1, 50), ("?limit=51", 1, 50), ("?limit=999999999", 1, 50)],
)
async def test_pages_are_counted_and_large_ones_clamped(site: Site, query: str, page: int, limit: int) -> None:
    pagination = (await site.ask("GET", f"/api/things{query}")).body["pagination"]
    assert pagination == {"page": page, "limit": limit, "total": 101, "pages": -(-101 // limit)}


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("page=0", "page", "greater_than_equal"),
        ("page=-1", "page", "greater_than_equal"),
        ("page=abc", "page", "int_type"),
        ("page=1.0", "page", "int_type"),
        ("page=1e9", "page", "int_type"),
        ("page=+1", "page", "int_type"),
        ("page=", "page", "int_type"),
        ("page=%EF%BC%91", "page", "int_type"),
        ("page=" + "9" * 400, "page", "int_type"),
        ("page=1000000000", "page", "less_than_equal"),
        ("limit=0", "limit", "greater_than_equal"),
        ("limit=true", "limit", "int_type"),
        ("kind=table", "kind", "literal_error"),
        ("kind=", "kind", "literal_error"),
        ("fancy=1", "fancy", "bool_type"),
        ("since=yesterday", "since", "datetime_parsing"),
        ("since=2026-02-30T00:00:00Z", "since", "datetime_parsing"),
        ("since=2026-01-01T00:00:00", "since", "datetime_parsing"),
        ("color=red", "color", "extra_forbidden"),
        ("page=1&page=2", "page", "duplicate"),
    ],
)
async def test_queries_are_read_strictly(site: Site, query: str, path: str, code: str) -> None:
    assert (await site.ask("GET", f"/api/things?{query}")).wrong == [([path], code)]


async def test_a_route_without_query_refuses_any(site: Site, user_id: str) -> None:
    got = await site.ask("GET", "/api/me?debug=1", token=site.token(user_id))
    assert got.wrong == [(["debug"], "extra_forbidden")]


async def test_query_values_arrive_typed(site: Site) -> None:
    got = await site.ask("GET", "/api/things?kind=lamp&fancy=true&since=1970-01-01T08:00:01%2B08:00")
    assert (got.body["kind"], got.body["fancy"], got.body["since"]) == ("lamp", True, 1_000)


# -- bodies


async def test_a_body_is_read_and_answered_in_camel_case(site: Site) -> None:
    owner = "0199999A-0000-7000-8000-00000000000F"
    got = await site.ask("POST", "/api/open", json_body={"name": " 灯 ", "howMany": 2, "ownerId": owner})
    assert got.status == 200
    assert got.body == {"name": "灯", "howMany": 2, "ownerId": owner.lower(), "madeAt": "1970-01-01T00:00:00.000Z"}
    assert got.headers["Location"] == f"/api/things/{THING_ID}"


DEEP = b'{"name":"a","details":' + b'{"a":' * 19 + b"1" + b"}" * 19 + b"}"
DEEPER = b'{"name":"a","details":' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}"
DEEPEST = b'{"name":"a","details":' + b"[" * 30_000 + b"]" * 30_000 + b"}"


@pytest.mark.parametrize(
    ("data", "path", "code"),
    [
        (b"", [], "json_invalid"),
        (b"{", [], "json_invalid"),
        (b"nonsense", [], "json_invalid"),
        (b"\xff\xfe", [], "json_invalid"),
        (b'\xef\xbb\xbf{"name":"a"}', [], "json_invalid"),
        (b'{"name":"a"} {}', [], "json_invalid"),
        (b"null", [], "model_type"),
        (b"[]", [], "model_type"),
        (b'"name"', [], "model_type"),
        (b"{}", ["name"], "missing"),
        (b'{"name":5}', ["name"], "string_type"),
        (b'{"name":null}', ["name"], "string_type"),
        (b'{"name":""}', ["name"], "string_too_short"),
        (b'{"name":"012345678901234567890"}', ["name"], "string_too_long"),
        (b'{"name":"a\\u0000b"}', ["name"], "control_character"),
        (b'{"name":"a\\u202eb"}', ["name"], "control_character"),
        (b'{"name":"\\ud800"}', [], "json_invalid"),
        (b'{"name":"\\udc00\\ud800"}', [], "json_invalid"),
        (b'{"name":"\xed\xa0\x80"}', [], "json_invalid"),
        (b'{"name":"a","howMany":"1"}', ["howMany"], "int_type"),
        (b'{"name":"a","howMany":true}', ["howMany"], "int_type"),
        (b'{"name":"a","howMany":1.5}', ["howMany"], "int_type"),
        (b'{"name":"a","howMany":1.0}', ["howMany"], "int_type"),
        (b'{"name":"a","howMany":0}', ["howMany"], "greater_than_equal"),
        (b'{"name":"a","howMany":' + b"9" * 100 + b"}", ["howMany"], "less_than_equal"),
        (b'{"name":"a","howMany":' + b"9" * 5_000 + b"}", [], "json_invalid"),
        (b'{"name":"a","how_many":1}', ["how_many"], "extra_forbidden"),
        (b'{"name":"a","role":"admin"}', ["role"], "extra_forbidden"),
        (b'{"name":"a","ownerId":"1"}', ["ownerId"], "uuid_parsing"),
        (b'{"name":"a","details":[]}', ["details"], "dict_type"),
        (b'{"name":"a","details":{"a":NaN}}', ["details"], "finite_number"),
        (b'{"name":"a","details":{"a":[-Infinity]}}', ["details"], "finite_number"),
        (b'{"name":"a","details":{"a":1e999}}', ["details"], "finite_number"),
        (b'{"name":"a","details":{"a":9223372036854775808}}', ["details"], "number_too_large"),
        (DEEPER, ["details"], "json_too_deep"),
        (DEEPEST, [], "json_invalid"),
    ],
)
async def test_bad_bodies_are_named_and_never_an_error_of_ours(
    site: Site, data: bytes, path: list[str], code: str
) -> None:
    assert (await site.ask("POST", "/api/open", data=data)).wrong == [(path, code)]


async def test_twenty_levels_are_still_read(site: Site) -> None:
    assert (await site.ask("POST", "/api/open", data=DEEP)).status == 200


async def test_a_field_that_is_wrong_is_told_in_the_readers_language(site: Site) -> None:
    zh = await site.ask("POST", "/api/open", data=b"{}")
    en = await site.ask("POST", "/api/open", data=b'{"name":""}', Accept_Language="en")
    assert (zh.body["error"], zh.body["details"][0]["message"]) == ("输入数据无效", "必填")
    assert en.body["details"][0]["message"] == "This needs at least 1 characters"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk", "application/xml", "json"],
)
async def test_a_body_that_is_not_announced_as_json_is_refused(site: Site, content_type: str) -> None:
    got = await site.ask("POST", "/api/open", data=b'{"name":"a"}', Content_Type=content_type)
    assert (got.status, got.code) == (415, "UNSUPPORTED_MEDIA")


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "Application/JSON"])
async def test_json_may_be_announced_with_its_charset(site: Site, content_type: str) -> None:
    assert (await site.ask("POST", "/api/open", data=b'{"name":"a"}', Content_Type=content_type)).status == 200


async def test_bodies_have_a_size_that_each_route_may_change(site: Site, user_id: str) -> None:
    token = site.token(user_id)
    filled = b'{"name":"a","details":{"a":"' + b"x" * 70_000 + b'"}}'
    assert (await site.ask("POST", "/api/open", data=filled)).status == 200
    got = await site.ask("POST", "/api/things", data=filled, token=token)
    assert (got.status, got.code, got.body["limit"]) == (413, "PAYLOAD_TOO_LARGE", 65_536)

    async def in_chunks() -> Any:
        for start in range(0, len(filled), 10_000):
            yield filled[start : start + 10_000]

    chunked = await site.ask("POST", "/api/things", data=in_chunks(), token=token)
    assert (chunked.status, chunked.code) == (413, "PAYLOAD_TOO_LARGE")
    bomb = gzip.compress(b'{"name":"' + b"x" * 5_000_000 + b'"}')
    packed = await site.ask("POST", "/api/things", data=bomb, token=token, Content_Encoding="gzip")
    assert (packed.status, packed.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_breaks_off_is_the_callers_fault(site: Site) -> None:
    head = b"POST /api/open HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    with capture_logs() as logs:
        garbage = await site.raw(head + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!")
        chunk = await site.raw(head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        await site.raw_and_leave(head + b"Content-Length: 99\r\n\r\n{")
        assert (await site.ask("GET", "/api/things")).status == 200
    assert garbage.startswith(b"HTTP/1.1 400")
    assert b'"code":"body_broken"' in garbage
    assert chunk.startswith(b"HTTP/1.0 400")  # no HTTP any more: the parser itself answers
    assert [entry for entry in logs if entry["event"] == "http.failed"] == []


async def test_a_route_without_body_takes_none_or_an_empty_object(site: Site, user_id: str) -> None:
    path, token = f"/api/things/{THING_ID}/poke", site.token(user_id)
    assert (await site.ask("POST", path, token=token)).status == 204
    assert (await site.ask("POST", path, token=token, data=b"{}")).status == 204
    assert (await site.ask("POST", path, token=token, data=b'{"a":1}')).wrong == [(["a"], "extra_forbidden")]
    assert (await site.ask("POST", path, token=token, data=b"{")).wrong == [([], "json_invalid")]
    assert (await site.ask("POST", path, token=token, data=b"x" * 2_000)).status == 413


async def test_an_optional_body_may_be_missing(site: Site) -> None:
    assert (await site.ask("POST", "/api/maybe")).status == 200
    assert (await site.ask("POST", "/api/maybe", data=b"{}")).status == 200


async def test_a_body_that_the_handler_reads_is_checked_by_its_announcement(site: Site) -> None:
    octets = "application/octet-stream"
    assert (await site.ask("POST", "/api/upload", data=b"12345", Content_Type=octets)).raw == b"5"
    assert (await site.ask("POST", "/api/upload", data=b"12345")).status == 415
    assert (await site.ask("POST", "/api/upload", data=b"x" * 1_001, Content_Type=octets)).status == 413


# -- idempotency keys


async def test_the_key_is_scoped_and_the_fingerprint_is_of_what_was_meant(site: Site, user_id: str) -> None:
    async def ask(data: bytes, key: str) -> Any:
        return (await site.ask("POST", "/api/keyed", data=data, token=site.token(user_id), Idempotency_Key=key)).body

    first = await ask(b'{"name":"a","howMany":1}', "k1")
    assert first == await ask(b'{ "howMany": 1, "name": "a" }', "k1")
    assert first == await ask(b'{"name":"a"}', "k1")
    other = await ask(b'{"name":"b"}', "k1")
    assert (other["key"], other["fingerprint"] == first["fingerprint"]) == (first["key"], False)
    assert (await ask(b'{"name":"a"}', "k2"))["key"] != first["key"]


@pytest.mark.parametrize("key", ["", "x" * 256, "ü"])
async def test_a_key_that_cannot_be_kept_is_refused(site: Site, user_id: str, key: str) -> None:
    got = await site.ask(
        "POST", "/api/keyed", json_body={"name": "a lamp"}, token=site.token(user_id), Idempotency_Key=key
    )
    assert got.wrong == [(["Idempotency-Key"], "header")]
