"""Signing in and out over HTTP, at both paths, and what throttles and ends it."""

from time import perf_counter

import jwt
import pytest
from sqlalchemy import select

from atelier.accounts import sessions
from atelier.accounts.models import User
from atelier.kernel.ids import new_id
from atelier.onboarding import operator
from tests.web.auth.conftest import LOGIN, MEI, ONE_DATABASE, PASSWORD, Open, Site
from web.services import SERVICES


async def test_signing_in_answers_the_user_and_a_token_with_its_end(site: Site) -> None:
    await site.registered()
    got = await site.post("login", {**LOGIN, "rememberMe": True}, User_Agent="x" * 999)
    user = got.body["user"]
    assert set(got.body) == {"success", "user", "token", "expiresAt"}
    assert set(user) == {"id", "email", "username", "displayName", "avatarUrl", "role", "credits"}
    assert (user["username"], user["displayName"], user["credits"], user["role"]) == ("mei", "mei", 0, "user")
    claims = jwt.decode(got.body["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 30 * 86_400
    assert (claims["sub"], got.headers["Cache-Control"]) == (user["id"], "no-store")
    short = jwt.decode(await site.token(), options={"verify_signature": False})
    assert short["exp"] - short["iat"] == 12 * 3_600


async def test_every_failure_is_the_same_to_the_byte(site: Site) -> None:
    await site.registered()
    await site.registered(email="gone@example.com", username="gone")
    gone = site.database.read(
        lambda session: session.execute(select(User.id).where(User.username == "gone")).scalar_one()
    )
    site.database.transact(sessions.set_status, user_id=gone, active=False, revocation_id=new_id(), now_ms=1)
    tries = [("mei", "wrong password"), ("nobody", PASSWORD), ("nobody@example.com", PASSWORD), ("gone", PASSWORD)]
    got = [
        await site.post("login", {"loginId": login_id, "password": password}, X_Request_ID="same")
        for login_id, password in tries
    ]
    assert {one.raw for one in got} == {got[0].raw}
    assert (got[0].status, got[0].body["error"]) == (401, "用户名或密码错误")
    names = [{name for name in one.headers if name != "Date"} for one in got]
    assert names == [names[0]] * len(names)


async def test_an_unknown_user_takes_as_long_as_a_wrong_password(open_site: Open) -> None:
    async def seconds(site: Site, login_id: str) -> float:
        started = perf_counter()
        assert (await site.post("login", {"loginId": login_id, "password": "wrong password"})).status == 401
        return perf_counter() - started

    async with open_site(login_failures_max=1_000) as site:
        await site.registered()
        # The fastest of many is the work itself, whatever else the machine does; a missing hash would be a tenth of it.
        rounds = [(await seconds(site, "mei"), await seconds(site, "nobody")) for _ in range(10)]
    known, unknown = (min(times) for times in zip(*rounds, strict=True))
    assert 0.5 < unknown / known < 2


async def test_the_attacker_is_throttled_and_the_victim_is_not(open_site: Open) -> None:
    async with open_site(trusted_proxies="127.0.0.1", login_failures_max=5) as site:
        await site.registered()
        wrong = {**LOGIN, "password": "wrong password"}
        got = [await site.post("login", wrong, X_Forwarded_For="198.51.100.66") for _ in range(7)]
        assert [one.status for one in got] == [401] * 5 + [429] * 2
        assert got[-1].body["code"] == "RATE_LIMITED"
        assert 0 < int(got[-1].headers["Retry-After"]) <= 900
        assert (await site.post("login", LOGIN, X_Forwarded_For="198.51.100.66")).status == 429
        assert (await site.post("login", LOGIN, X_Forwarded_For="203.0.113.5")).status == 200
        # Inventing an address in front of the real one changes nothing.
        spoofed = await site.post("login", LOGIN, X_Forwarded_For="203.0.113.5, 198.51.100.66")
        assert spoofed.status == 429


async def test_registrations_are_limited_per_address(open_site: Open) -> None:
    async with open_site(registrations_per_minute=2) as site:
        got = [await site.post("register", {**MEI, "username": "a b"}) for _ in range(3)]
        assert [one.status for one in got] == [400, 400, 429]


# -- signing out


async def test_a_token_that_was_ended_stays_ended_in_every_process(site: Site, open_site: Open) -> None:
    await site.registered()
    ended, other = await site.token(), await site.token()
    async with open_site() as elsewhere:
        assert [(await one.profile(ended)).status for one in (site, elsewhere)] == [200, 200]
        got = await site.post("logout", token=ended)
        assert (got.status, got.body) == (200, {"success": True})
        assert (await site.profile(ended)).status == 401
        await elsewhere.client.server.app[SERVICES].identities.catch_up()  # as it does twice a second
        assert (await elsewhere.profile(ended)).status == 401
    assert (await site.profile(other)).status == 200
    async with open_site() as restarted:
        got = await restarted.profile(ended)
        assert (got.status, got.body["error"], got.headers["WWW-Authenticate"]) == (401, "未授权", "Bearer")


async def test_all_tokens_end_at_once(site: Site) -> None:
    await site.registered()
    tokens = [await site.token() for _ in range(3)]
    for token in tokens:
        assert (await site.profile(token)).status == 200
    assert (await site.ask("POST", "/api/auth/logout?all=true", {}, token=tokens[0])).status == 200
    assert [(await site.profile(token)).status for token in tokens] == [401] * 3
    assert (await site.profile(await site.token())).status == 200


@ONE_DATABASE
@pytest.mark.parametrize("query", ["all=1", "all=TRUE", "all=", "all=true&all=true", "every=true"])
async def test_signing_out_is_strict_about_how_far(site: Site, query: str) -> None:
    await site.registered()
    token = await site.token()
    assert (await site.ask("POST", f"/api/auth/logout?{query}", token=token)).status == 400
    assert (await site.profile(token)).status == 200


async def test_forged_tokens_open_nothing(site: Site) -> None:
    await site.registered()
    good, secret = await site.token(), site.settings.jwt_secret.get_secret_value()
    header, payload = jwt.get_unverified_header(good), jwt.decode(good, options={"verify_signature": False})
    typed = {"typ": header["typ"]}
    forged = [
        jwt.encode(payload, "", "none", headers=typed),
        jwt.encode(payload, "x" * 48, "HS256", headers=typed),
        jwt.encode({**payload, "aud": "other"}, secret, "HS256", headers=typed),
        jwt.encode({**payload, "exp": 1}, secret, "HS256", headers=typed),
        jwt.encode({**payload, "ver": 7}, secret, "HS256", headers=typed),
        jwt.encode({**payload, "sub": new_id()}, secret, "HS256", headers=typed),
        jwt.encode({name: value for name, value in payload.items() if name != "exp"}, secret, "HS256", headers=typed),
        jwt.encode(payload, secret, "HS256"),
    ]
    for token in (*forged, "", "x", "a.b.c"):
        got = await site.ask("GET", "/api/auth/profile", Authorization=f"Bearer {token}")
        assert (got.status, got.body["code"]) == (401, "UNAUTHORIZED")
        got = await site.ask("POST", "/auth/verify", {"token": token or "x"})
        assert (got.status, got.body) == (200, {"valid": False})
    assert (await site.ask("GET", "/api/auth/profile", Authorization=good)).status == 401
    assert (await site.ask("GET", "/api/auth/profile")).status == 401
    assert (await site.ask("GET", "/api/auth/profile", token=good, X_User_Id="MEI@example.com")).status == 200
    assert (await site.ask("GET", "/api/auth/profile", token=good, X_User_Id=new_id())).status == 403


# -- the credits service


async def test_the_credits_service_knows_users_by_address(site: Site) -> None:
    operator.create_user(site.database, email="User@example.com", username="user_1", password=PASSWORD)
    got = await site.ask("POST", "/auth/login", {"email": "user@example.com", "password": PASSWORD})
    token = got.body.pop("token")
    assert (got.status, got.headers["Cache-Control"]) == (200, "no-store")
    assert got.body == {
        "success": True,
        "userId": "User@example.com",
        "email": "User@example.com",
        "name": "user_1",
    }
    got = await site.ask("POST", "/auth/verify", {"token": token})
    assert got.body == {"valid": True, "userId": "User@example.com", "email": "User@example.com"}
    await site.post("logout", token=token)
    assert (await site.ask("POST", "/auth/verify", {"token": token})).body == {"valid": False}
    wrong = await site.ask("POST", "/auth/login", {"email": "user@example.com", "password": "wrong password"})
    assert (wrong.status, wrong.body["error"]) == (401, "用户名或密码错误")
