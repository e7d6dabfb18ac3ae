"""Passwords and the own profile over HTTP."""

import asyncio
from typing import Any

import jwt
import pytest

from atelier.accounts.models import User
from tests.web.auth.conftest import LOGIN, MEI, NEW_PASSWORD, ONE_DATABASE, PASSWORD, Site


async def test_a_forgotten_password(site: Site) -> None:
    await site.registered()
    token = await site.token()
    assert (await site.profile(token)).status == 200
    known = await site.post("forgot-password", {"email": "mei@example.com"})
    unknown = await site.post("forgot-password", {"email": "nobody@example.com"})
    assert (known.status, known.raw) == (unknown.status, unknown.raw) == (202, known.raw)
    link = site.linked_token("重置您的密码")
    got = await asyncio.gather(
        *(site.post("reset-password", {"token": link, "password": NEW_PASSWORD}) for _ in range(3))
    )
    assert sorted(one.status for one in got) == [200, 400, 400]
    assert (await site.profile(token)).status == 401
    assert (await site.post("login", LOGIN)).status == 401
    assert await site.token(password=NEW_PASSWORD)


async def test_resending_has_one_answer(site: Site) -> None:
    await site.registered()
    got = [await site.post("verify-email/resend", {"email": f"{name}@example.com"}) for name in ("mei", "nobody")]
    assert got[0].raw == got[1].raw
    assert [one.status for one in got] == [202, 202]


async def test_changing_the_password_keeps_only_the_caller_signed_in(site: Site) -> None:
    await site.registered()
    mine, stolen = await site.token(rememberMe=True), await site.token()
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    wrong = await site.post("change-password", {**body, "currentPassword": "wrong"}, token=mine)
    assert (wrong.status, wrong.body["code"]) == (400, "WRONG_PASSWORD")
    assert (await site.post("change-password", {**body, "newPassword": "short"}, token=mine)).status == 400
    got = await site.post("change-password", body, token=mine)
    assert (got.status, set(got.body), got.headers["Cache-Control"]) == (
        200,
        {"success", "token", "expiresAt"},
        "no-store",
    )
    statuses = [(await site.profile(token)).status for token in (mine, stolen, got.body["token"])]
    assert statuses == [401, 401, 200]
    ends = [jwt.decode(token, options={"verify_signature": False})["exp"] for token in (mine, got.body["token"])]
    assert ends[0] == ends[1]


# -- the profile


async def test_changing_the_profile(site: Site) -> None:
    await site.registered()
    token = await site.token()
    got = await site.ask("PUT", "/api/auth/profile", {"displayName": " 梅\u202e ", "bio": "<b>画</b>"}, token=token)
    assert (got.status, set(got.body)) == (200, {"id", "displayName", "bio", "avatarUrl"})
    assert (got.body["displayName"], got.body["bio"], got.body["avatarUrl"]) == ("梅", "<b>画</b>", None)
    url = "https://example.com/mei.png"
    assert (await site.ask("PUT", "/api/auth/profile", {"avatarUrl": url}, token=token)).body["avatarUrl"] == url
    got = await site.ask("PUT", "/api/auth/profile", {"bio": None, "avatarUrl": None}, token=token)
    assert (got.body["displayName"], got.body["bio"], got.body["avatarUrl"]) == ("梅", None, None)
    assert (await site.ask("PUT", "/api/auth/profile", {}, token=token)).status == 200


@ONE_DATABASE
@pytest.mark.parametrize(
    "body",
    [
        {"displayName": ""},
        {"displayName": None},
        {"displayName": "x" * 101},
        {"bio": "x" * 501},
        {"bio": 5},
        {"avatarUrl": "javascript:alert(1)"},
        {"avatarUrl": "http://example.com/a.png"},
        {"avatarUrl": "/api/files/../users"},
    ],
)
async def test_a_bad_profile_changes_nothing(site: Site, body: dict[str, Any]) -> None:
    await site.registered()
    token = await site.token()
    got = await site.ask("PUT", "/api/auth/profile", {"bio": "new", **body}, token=token)
    assert (got.status, got.body["details"][0]["path"]) == (400, list(body))
    assert (await site.profile(token)).body["bio"] is None


async def test_what_is_stored_beside_the_preferences_is_not_shown(site: Site) -> None:
    await site.registered()
    token = await site.token()
    stored = {"locale": "en", "notifications": {"sales": {"live": False}, "email": False}, "secret": "canary"}

    def store(session: Any) -> None:
        session.query(User).update({"settings": stored})

    site.database.transact(store)
    got = await site.profile(token)
    assert got.body["settings"].keys() == {"locale", "theme", "notifications"}
    assert (got.body["settings"]["locale"], got.body["settings"]["theme"]) == ("en", "system")
    assert got.body["settings"]["notifications"]["sales"] == {"email": False, "live": False}
    assert b"canary" not in got.raw


async def test_no_answer_ever_holds_a_password(site: Site) -> None:
    await site.registered()
    token = await site.token()
    seen = [await site.profile(token), await site.post("login", LOGIN), await site.post("register", MEI)]
    for got in seen:
        assert b"argon2" not in got.raw
        assert b"passwordHash" not in got.raw
        assert PASSWORD.encode() not in got.raw
