"""Registering over HTTP: what is taken, what is refused, and in which words."""

import asyncio
import re
from time import perf_counter
from typing import Any

import pytest

from tests.web.auth.conftest import LOGIN, MEI, ONE_DATABASE, Site
from web.handlers import auth


async def test_from_registration_to_the_first_credits(site: Site) -> None:
    got = await site.post("register", {**MEI, "displayName": "梅"})
    assert (got.status, got.body) == (200, {"success": True, "message": "注册成功，请查收验证邮件"})
    token = await site.token(loginId="MEI@EXAMPLE.COM")
    proof = site.linked_token("请验证您的邮箱")
    got = await site.post("verify-email", {"token": proof})
    assert (got.status, got.body["success"]) == (200, True)
    assert (await site.post("verify-email", {"token": proof})).body["code"] == "TOKEN_INVALID"
    got = await site.profile(token)
    created_at = got.body.pop("createdAt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created_at)
    assert re.fullmatch(r"[0-9a-f-]{36}", got.body.pop("id"))
    assert got.body.pop("settings")["locale"] == "zh"
    assert got.body == {
        "email": "Mei@example.com",
        "username": "mei",
        "displayName": "梅",
        "avatarUrl": None,
        "bio": None,
        "role": "user",
        "credits": 100,
        "totalSpent": 0,
    }
    assert got.headers["Cache-Control"] == "no-store"


async def test_who_exists_is_refused_in_the_words_of_the_front_ends(site: Site) -> None:
    await site.registered()
    for changes in ({"username": "other"}, {"email": "other@example.com", "username": "MEI"}):
        got = await site.post("register", {**MEI, **changes})
        assert (got.status, got.body["code"], got.body["error"]) == (400, "USER_EXISTS", "用户已存在")
        assert got.body["message"] == got.body["error"]
    got = await site.post("register", MEI, Accept_Language="en")
    assert got.body["error"] == "This user exists already"


async def test_parallel_registrations_make_one_user(site: Site) -> None:
    got = await asyncio.gather(*(site.post("register", {**MEI, "email": f"m{n}@example.com"}) for n in range(6)))
    assert sorted(one.status for one in got) == [200] + [400] * 5
    assert {one.body.get("code") for one in got} == {None, "USER_EXISTS"}


async def test_english_readers_get_english_words_and_letters(site: Site) -> None:
    got = await site.post("register", MEI, Accept_Language="en-GB")
    assert got.body["message"].startswith("Registered.")
    assert site.linked_token("Please verify your e-mail address")


@ONE_DATABASE
@pytest.mark.parametrize(
    "name",
    ["role", "credits", "status", "id", "userId", "emailVerified", "passwordHash", "token_version", "display_name"],
)
async def test_nothing_else_can_be_set(site: Site, name: str) -> None:
    got = await site.post("register", {**MEI, name: "admin"})
    assert (got.status, got.body["details"][0]["path"], got.body["details"][0]["code"]) == (
        400,
        [name],
        "extra_forbidden",
    )
    await site.registered()
    token = await site.token()
    before = (await site.profile(token)).raw
    assert (await site.ask("PUT", "/api/auth/profile", {name: "admin"}, token=token)).status == 400
    assert (await site.profile(token)).raw == before


@ONE_DATABASE
@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("email", "nobody"),
        ("email", 5),
        ("email", None),
        ("email", "mei@exämple.com"),
        ("username", "a b"),
        ("username", "ab"),
        ("username", "x" * 51),
        ("username", "mei\n"),
        ("password", "1234567"),
        ("password", "x" * 1_025),
        ("password", "密" * 342),
        ("password", True),
        ("displayName", "x" * 101),
        ("displayName", "\u202e"),
    ],
)
async def test_bad_fields_are_named_in_the_readers_language(site: Site, field_name: str, value: Any) -> None:
    got = await site.post("register", {**MEI, field_name: value})
    assert (got.status, got.body["code"], got.body["error"]) == (400, "VALIDATION_FAILED", "输入数据无效")
    (detail,) = got.body["details"]
    assert detail["path"] == [field_name]
    assert re.search("[\u4e00-\u9fff]", detail["message"])
    if isinstance(value, str) and len(value) > 4:
        assert value not in got.raw.decode()


@ONE_DATABASE
async def test_what_is_no_body_is_400(site: Site) -> None:
    await site.registered()
    token = await site.token()
    for endpoint in auth.ENDPOINTS:
        for body in (
            (b"", b"{", b"[]", b"null", b'{"email":', b'"x"', b"\xff", b'{"token":"\\ud800"}') if endpoint.body else ()
        ):
            got = await site.ask(endpoint.method, endpoint.path, body, token=token)
            assert (endpoint.path, body, got.status, got.body["code"]) == (
                endpoint.path,
                body,
                400,
                "VALIDATION_FAILED",
            )


async def test_a_huge_password_costs_nothing(site: Site) -> None:
    started = perf_counter()
    got = await site.post("login", {**LOGIN, "password": "x" * 1_000_000})
    assert got.status in {400, 413}
    got = await site.post("register", {**MEI, "password": "x" * 60_000})
    assert got.status == 400
    assert perf_counter() - started < 1.0
