"""What every endpoint does with a request before and after its handler."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from yarl import URL

from atelier.accounts import sessions
from atelier.kernel import ids
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.web import sample
from tests.web.sample import ETAG, THING_ID, Site

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
THING = {"name": "a lamp"}


# -- paths and methods


async def test_an_unknown_path_is_a_problem_in_the_readers_language(site: Site) -> None:
    got = await site.ask("GET", "/api/nothing", Origin="https://shop.test")
    assert (got.status, got.code) == (404, "NOT_FOUND")
    assert got.body["error"] == got.body["message"] == got.body["title"] == "资源不存在"
    assert got.headers["Content-Language"] == "zh"
    assert got.headers["Access-Control-Allow-Origin"] == "https://shop.test"
    english = await site.ask("GET", "/api/nothing", Accept_Language="en-GB,zh;q=0.5")
    assert english.body["error"] == "There is no such thing"
    assert english.headers["Content-Language"] == "en"


@pytest.mark.parametrize("path", ["/api/%0Anothing", "/api/things/%0A", "/%0d%0a/"])
async def test_a_path_with_line_ends_is_unknown_like_any_other(site: Site, path: str) -> None:
    got = await site.ask("GET", URL(path, encoded=True))
    assert (got.status, got.code) == (404, "NOT_FOUND")
    assert got.headers["X-Request-ID"]


async def test_a_wrong_method_names_the_right_ones(site: Site) -> None:
    got = await site.ask("DELETE", "/api/things")
    assert (got.status, got.code) == (405, "METHOD_NOT_ALLOWED")
    assert got.headers["Allow"] == "GET, HEAD, POST"
    assert (await site.ask("POST", f"/api/things/{THING_ID}")).status == 405


async def test_head_answers_like_get_without_a_body(site: Site) -> None:
    got = await site.ask("HEAD", "/api/things")
    assert (got.status, got.raw) == (200, b"")


@pytest.mark.parametrize("thing", ["1", "x" * 36, THING_ID.upper() + "0", "..%2f..%2fetc", "%00"])
async def test_a_path_parameter_that_is_no_uuid_is_not_found(site: Site, user_id: str, thing: str) -> None:
    got = await site.ask("GET", f"/api/things/{thing}", token=site.token(user_id))
    assert (got.status, got.code) == (404, "NOT_FOUND")


# -- the request's id


async def test_the_request_id_is_the_callers_if_it_can_stand_in_a_log(site: Site) -> None:
    assert (await site.ask("GET", "/api/things", X_Request_ID="abc-1.2_3")).headers["X-Request-ID"] == "abc-1.2_3"
    for bad in ("a b", "x" * 129, "ü", '"'):
        fresh = (await site.ask("GET", "/api/things", X_Request_ID=bad)).headers["X-Request-ID"]
        assert ids.is_id(fresh)


# -- who asks


async def test_a_route_that_says_nothing_is_for_signed_in_users(site: Site, user_id: str) -> None:
    nobody = await site.ask("GET", "/api/me")
    assert (nobody.status, nobody.code, nobody.headers["WWW-Authenticate"]) == (401, "UNAUTHORIZED", "Bearer")
    assert nobody.body["error"] == "未授权"
    somebody = await site.ask("GET", "/api/me", token=site.token(user_id))
    assert somebody.body["userId"] == user_id


async def test_bad_tokens_are_refused_and_good_ones_are_not(site: Site, user_id: str) -> None:
    good = site.token(user_id)
    head, payload, signature = good.split(".")
    bad = [
        site.token(user_id, seconds=-60),
        site.token(user_id, version=1),
        site.token(ids.new_id()),
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{payload}.",
        "atk_1234567890",
        "",
        "x" * 10_000,
    ]
    for token in bad:
        for _ in range(2):  # the second time from whatever was remembered
            got = await site.ask("GET", "/api/me", Authorization=f"Bearer {token}")
            # What is longer than a header may be is refused by the HTTP parser already.
            assert got.status in {400, 401}
    assert (await site.ask("GET", "/api/me", Authorization=f"Basic {good}")).status == 401
    assert (await site.ask("GET", "/api/me", Authorization=f"bearer {good}")).status == 200


async def test_x_user_id_must_name_the_tokens_own_user(site: Site, user_id: str) -> None:
    token = site.token(user_id)
    for own in (user_id, "mei@example.com", "MEI@Example.COM"):
        assert (await site.ask("GET", "/api/me", token=token, X_User_Id=own)).status == 200
    for other in ("eve@example.com", ids.new_id(), ""):
        got = await site.ask("GET", "/api/me", token=token, X_User_Id=other)
        assert (got.status, got.code) == (403, "FORBIDDEN")


async def test_admin_routes_are_for_administrators(site: Site, user_id: str, admin_id: str) -> None:
    assert (await site.ask("GET", "/api/admin/things")).status == 401
    plain = await site.ask("GET", "/api/admin/things", token=site.token(user_id))
    assert (plain.status, plain.body["error"]) == (403, "权限不足")
    assert (await site.ask("GET", "/api/admin/things", token=site.token(admin_id))).status == 200


async def test_an_optional_identity_takes_a_good_token_and_ignores_a_bad_one(site: Site, user_id: str) -> None:
    assert (await site.ask("GET", "/api/who")).body["userId"] is None
    assert (await site.ask("GET", "/api/who", token="nonsense")).body["userId"] is None
    assert (await site.ask("GET", "/api/who", token=site.token(user_id))).body["userId"] == user_id


async def test_a_disabled_user_and_an_ended_token_are_refused(site: Site, db: Database, user_id: str) -> None:
    first, second = site.token(user_id, token_id="a"), site.token(user_id, token_id="b")
    now = now_ms()
    db.transact(sessions.revoke_token, token_id="a", expires_ms=now + 10_000, revocation_id=ids.new_id())
    assert (await site.ask("GET", "/api/me", token=first)).status == 401
    assert (await site.ask("GET", "/api/me", token=second)).status == 200
    db.transact(sessions.set_status, user_id=user_id, active=False, revocation_id=ids.new_id(), now_ms=now)
    assert (await site.ask("GET", "/api/me", token=site.token(user_id, token_id="c"))).status == 401


# -- faults


async def test_a_refusal_tells_its_details_and_may_have_the_routes_own_status(site: Site) -> None:
    got = await site.ask("GET", "/api/fail/poor")
    assert (got.status, got.code) == (402, "INSUFFICIENT_CREDITS")
    assert (got.body["message"], got.body["balance"], got.body["required"]) == ("积分不足", 2, 5)
    assert (got.body["relatedJobId"], got.body["status"]) == ("j", 402)
    assert (await site.ask("GET", "/api/fail/conflict")).status == 409


async def test_what_fails_in_the_world_is_503_and_says_no_more(site: Site) -> None:
    got = await site.ask("GET", "/api/fail/transient")
    assert (got.status, got.code, got.headers["Retry-After"]) == (503, "UNAVAILABLE", "1")
    assert b"db-7" not in got.raw


async def test_a_bug_is_500_logged_with_the_request_id_and_says_nothing(site: Site) -> None:
    with capture_logs() as logs:
        got = await site.ask("GET", "/api/fail/badly", X_Request_ID="seen-1")
    assert (got.status, got.code) == (500, "INTERNAL")
    assert b"secret" not in got.raw
    failed = next(entry for entry in logs if entry["event"] == "http.failed")
    assert (failed["route"], str(failed["exc_info"])) == ("/api/fail/{how}", "secret of badly")


# -- headers


async def test_plain_answers_streams_and_sockets_carry_the_same_headers(site: Site, user_id: str) -> None:
    token = site.token(user_id)
    standing = {
        "Server": "atelier",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Access-Control-Allow-Origin": "https://shop.test",
    }
    for path in ("/api/me", "/api/stream", "/api/fail/badly", "/api/nothing", "/api/things?limit=0"):
        got = await site.ask("GET", path, token=token, Origin="https://shop.test")
        assert standing.items() <= got.headers.items(), path
        assert got.headers["X-Request-ID"]
    opened = await site.raw(
        b"GET /api/socket HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.test\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert opened.startswith(b"HTTP/1.1 101")
    for name, value in standing.items():
        assert f"{name}: {value}\r\n".encode() in opened


async def test_caching_is_as_the_table_says(site: Site, user_id: str) -> None:
    assert (await site.ask("GET", "/api/things")).headers["Cache-Control"] == "no-cache"
    assert (await site.ask("GET", "/api/who")).headers["Cache-Control"] == "no-store"
    path, token = f"/api/things/{THING_ID}", site.token(user_id)
    first = await site.ask("GET", path, token=token)
    assert (first.raw, first.headers["ETag"]) == (b'{"raw":true}', ETAG)
    for same in (ETAG, f"W/{ETAG}", f'"v0", {ETAG}', "*"):
        again = await site.ask("GET", path, token=token, If_None_Match=same)
        assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", ETAG)
    assert (await site.ask("GET", path, token=token, If_None_Match='"v0"')).status == 200


@pytest.mark.parametrize("origin", ["https://shop.test", "http://localhost:3000"])
async def test_front_ends_may_read_answers_and_ask_before_they_call(site: Site, origin: str) -> None:
    got = await site.ask("GET", "/api/things", Origin=origin)
    assert got.headers["Access-Control-Allow-Origin"] == origin
    assert {"RateLimit", "X-Request-ID", "ETag", "Idempotency-Replayed"} <= set(
        got.headers["Access-Control-Expose-Headers"].split(", ")
    )
    assert got.headers["Vary"] == "Origin"
    asked = await site.ask("OPTIONS", "/api/things", Origin=origin, Access_Control_Request_Method="POST")
    assert (asked.status, asked.raw) == (204, b"")
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST"
    assert "Idempotency-Key" in asked.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "https://shop.test.evil.test", "http://shop.test"])
async def test_no_other_origin_may(site: Site, origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        got = await site.ask(method, "/api/things", Origin=origin)
        assert [name for name in got.headers if name.startswith("Access-Control")] == []


# -- rates and addresses


async def test_more_than_the_rate_is_429_with_the_time_to_wait(settings: Callable[..., Settings], user_id: str) -> None:
    async with sample.site(settings(submissions_per_minute=3)) as site:
        token = site.token(user_id)
        answers = [await site.ask("POST", "/api/things", json_body=THING, token=token) for _ in range(4)]
        assert [got.status for got in answers] == [201, 201, 201, 429]
        assert [got.headers["RateLimit"].split(";")[1] for got in answers] == ["r=2", "r=1", "r=0", "r=0"]
        assert answers[0].headers["RateLimit-Policy"] == '"submit";q=3;w=60'
        refused = answers[3]
        assert (refused.code, refused.body["error"]) == ("RATE_LIMITED", "请求过于频繁，请稍后再试")
        assert 1 <= int(refused.headers["Retry-After"]) <= 120
        assert (await site.ask("GET", "/api/me", token=token)).headers["RateLimit"].startswith('"default";r=2999;')


async def test_anonymous_callers_are_counted_by_address_and_cannot_choose_it(
    settings: Callable[..., Settings],
) -> None:
    async with sample.site(settings(registrations_per_minute=2)) as site:
        told = [(await site.ask("POST", "/api/maybe", X_Forwarded_For=f"10.0.0.{n}")).status for n in range(3)]
        assert told == [200, 200, 429]
        assert (await site.ask("GET", "/api/who", X_Forwarded_For="10.0.0.1")).body["address"] == "127.0.0.1"


async def test_a_trusted_proxy_is_believed_about_the_last_address_that_is_not_ours(
    settings: Callable[..., Settings],
) -> None:
    async with sample.site(settings(trusted_proxies="127.0.0.0/8,10.1.0.0/16", registrations_per_minute=1)) as site:

        async def address(forwarded: str) -> str:
            return str((await site.ask("GET", "/api/who", X_Forwarded_For=forwarded)).body["address"])

        assert await address("203.0.113.9") == "203.0.113.9"
        assert await address("6.6.6.6, 203.0.113.9, 10.1.2.3") == "203.0.113.9"
        assert await address("203.0.113.9, nonsense, 10.1.2.3") == "10.1.2.3"
        assert await address("") == "127.0.0.1"
        told = [
            (await site.ask("POST", "/api/maybe", X_Forwarded_For=f"2001:db8:1:{net}::{host}")).status
            for net, host in ((1, 1), (1, 2), (2, 1))
        ]
        assert told == [200, 429, 200], "an IPv6 network of 64 bits counts as one address"


async def test_refused_tokens_and_unknown_paths_are_counted_too(settings: Callable[..., Settings]) -> None:
    async with sample.site(settings(requests_per_minute=2)) as site:
        told = [(await site.ask("GET", path, token="bad")).status for path in ("/api/me", "/nothing", "/api/me")]
        assert told == [401, 404, 429]
