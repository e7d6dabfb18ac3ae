"""Signing in: A18 to A29, and the helpers A128 to A132."""

import asyncio
from collections.abc import Callable

import jwt
import pytest
from sqlalchemy import select, update

from atelier.accounts.models import User
from atelier.contracts import oplog
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.live.harness import serving
from tests.seed_defects.conftest import PASSWORD, Shop, path_of
from tests.servers import free_port
from web.routes import ENDPOINTS

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
PROFILE = "/api/auth/profile"


async def test_A18_logins_have_limits(shop: Shop) -> None:
    for body in ({"loginId": "x" * 5_000, "password": "x"}, {"loginId": "mei", "password": "x" * 5_000}):
        assert (await shop.ask("POST", "/api/auth/login", body)).status == 400


async def test_A19_one_column_decides_who_is_meant(shop: Shop) -> None:
    await shop.token("mei")
    assert (await shop.login("mei@example.com")).body["user"]["username"] == "mei"
    assert (await shop.login("MEI")).body["user"]["username"] == "mei"
    assert (await shop.login("example.com")).status == 401


async def test_A20_every_failure_is_the_same(shop: Shop) -> None:
    await shop.token("mei")
    await shop.token("gone")
    shop.db.transact(
        lambda session: session.execute(update(User).where(User.username == "gone").values(status="disabled"))
    )
    failures = [await shop.login("mei", "wrong"), await shop.login("nobody"), await shop.login("gone")]
    assert {one.status for one in failures} == {401}
    assert {one.body["error"] for one in failures} == {"用户名或密码错误"}
    assert len({str({**one.body, "requestId": ""}) for one in failures}) == 1


async def test_A21_guessing_is_slowed_down_and_the_owner_is_not(shop: Shop) -> None:
    await shop.token("mei")
    statuses = [(await shop.login("mei", "wrong")).status for _ in range(shop.settings.login_failures_max + 1)]
    assert statuses[-1] == 429
    assert int((await shop.login("mei", "wrong")).headers["Retry-After"]) >= 1
    assert (await shop.ask("GET", PROFILE)).status == 401


async def test_A22_A28_a_remembered_token_ends_and_can_be_ended(shop: Shop) -> None:
    await shop.token("mei")
    got = await shop.login("mei", rememberMe=True)
    claims = jwt.decode(got.body["token"], options={"verify_signature": False})
    assert {"jti", "iss", "aud", "exp", "iat", "nbf", "sub"} <= claims.keys()
    assert claims["exp"] - claims["iat"] == 30 * 86_400
    assert (await shop.ask("GET", PROFILE, token=got.body["token"])).status == 200
    assert (await shop.ask("POST", "/api/auth/logout", token=got.body["token"])).status == 200
    assert (await shop.ask("GET", PROFILE, token=got.body["token"])).status == 401


async def test_A23_the_login_and_its_record_are_one_transaction(shop: Shop) -> None:
    await shop.token("mei")
    last = shop.db.read(lambda session: session.execute(select(User.last_login_ms)).scalar_one())
    logged = shop.db.read(
        lambda session: session.connection().execute(
            select(oplog.TABLE.c.created_ms).where(oplog.TABLE.c.action == "USER_LOGIN")
        ).scalars().all()
    )  # fmt: skip
    assert [last] == logged


async def test_A24_an_address_that_a_client_claims_is_not_believed(shop: Shop) -> None:
    await shop.token("mei")
    await shop.ask(
        "POST",
        "/api/auth/login",
        {"loginId": "mei", "password": PASSWORD},
        X_Forwarded_For="6.6.6.6",
        X_Real_IP="6.6.6.6",
    )
    addresses = shop.db.read(
        lambda session: session.connection().execute(select(oplog.TABLE.c.address)).scalars().all()
    )
    assert "6.6.6.6" not in addresses
    assert "127.0.0.1" in addresses


async def test_A25_missing_fields_are_400(shop: Shop) -> None:
    got = await shop.ask("POST", "/api/auth/login", {"loginId": "mei"})
    assert (got.status, got.body["details"][0]["path"]) == (400, ["password"])


async def test_A26_whether_an_unproven_address_may_spend_is_a_setting(
    db: Database, settings: Callable[..., Settings]
) -> None:
    chosen = settings(web_relay=False, welcome_bonus_on="registration", spending_needs_verification=True)
    async with serving(chosen) as served:
        shop = Shop(served, db, chosen)
        await shop.register()
        token = str((await shop.login()).body["token"])
        got = await shop.ask("POST", "/credits/consume", {"amount": 1, "action": "video"}, token=token)
        assert (got.status, got.body["code"]) == (403, "EMAIL_UNVERIFIED")


async def test_A27_a_token_comes_with_its_end_and_is_not_cached(shop: Shop) -> None:
    await shop.token("mei")
    got = await shop.login()
    assert got.body["expiresAt"].endswith("Z")
    assert got.headers["Cache-Control"] == "no-store"


async def test_A128_a_lost_database_is_503_and_signs_nobody_out(settings: Callable[..., Settings], shop: Shop) -> None:
    token = await shop.token("mei")
    gone = settings(
        web_relay=False,
        database_url=f"mysql+pymysql://nobody@127.0.0.1:{free_port()}/none",
        jwt_secret=shop.settings.jwt_secret.get_secret_value(),
    )
    async with serving(gone) as served:
        got = await Shop(served, shop.db, gone).ask("GET", PROFILE, token=token)
    assert (got.status, got.body["code"]) == (503, "UNAVAILABLE")
    assert got.headers["Retry-After"]
    assert (await shop.ask("GET", PROFILE, token=token)).status == 200


async def test_A129_only_our_own_algorithm_and_audience_open_anything(shop: Shop) -> None:
    token = await shop.token("mei")
    claims = jwt.decode(token, options={"verify_signature": False})
    secret = shop.settings.jwt_secret.get_secret_value()
    forged = [
        jwt.encode(claims, "", "none", headers={"typ": "at+jwt"}),
        jwt.encode(claims, secret, "HS384", headers={"typ": "at+jwt"}),
        jwt.encode({**claims, "aud": "other"}, secret, "HS256", headers={"typ": "at+jwt"}),
        jwt.encode({name: value for name, value in claims.items() if name != "exp"}, secret, "HS256"),
    ]
    assert {(await shop.ask("GET", PROFILE, token=one)).status for one in forged} == {401}


async def test_A130_no_answer_holds_what_is_kept_of_a_password(shop: Shop) -> None:
    token = await shop.token("mei", role="admin")
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET" and "{" not in endpoint.path and endpoint.path != "/api/events":
            got = await shop.ask("GET", endpoint.path, token=token)
            assert "argon2" not in got.text
            assert "passwordHash" not in got.text or endpoint.tag == "docs"


async def test_A131_every_private_route_passes_one_gate(shop: Shop) -> None:
    private = [one for one in ENDPOINTS if one.auth in {"user", "admin"}]
    assert len(private) > 20
    got = await asyncio.gather(*(shop.ask(one.method, path_of(one)) for one in private))
    assert {one.status for one in got} == {401}


async def test_A132_nobody_is_401_and_a_user_is_403_at_the_administrators_door(shop: Shop) -> None:
    token = await shop.token("mei")
    assert (await shop.ask("GET", "/api/admin/users")).status == 401
    assert (await shop.ask("GET", "/api/admin/users", token=token)).status == 403
