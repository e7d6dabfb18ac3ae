"""The credits service's paths: B1 to B19."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.contracts import client_log, oplog
from atelier.kernel.engines import UnsupportedDatabase
from atelier.kernel.settings import BadSettings, Settings, load
from atelier.ledger.models import TRANSFERS
from tests.seed_defects.conftest import PASSWORD, Shop

ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
STRONG = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "database_url": "mysql+pymysql://atelier:secret@db/atelier",
    "jwt_secret": STRONG,
    "frontend_urls": "https://shop.test",
}


def _consumed(session: Session) -> int:
    rows = select(func.count()).where(TRANSFERS.c.kind == "consume")
    return int(session.connection().execute(rows).scalar_one())


async def _consume(shop: Shop, token: str, amount: Any, **headers: str) -> Any:
    return await shop.ask("POST", "/credits/consume", {"amount": amount, "action": "video"}, token=token, **headers)


@ONE_DATABASE
async def test_B1_an_address_is_a_name_and_not_the_key(shop: Shop) -> None:
    await shop.token("mei", amount=5)
    got = await shop.ask("POST", "/auth/login", {"email": "mei@example.com", "password": PASSWORD})
    assert got.body["userId"] == "mei@example.com"
    profile = await shop.ask("GET", "/api/auth/profile", token=got.body["token"])
    assert profile.body["id"] != got.body["userId"]
    balance = await shop.ask("GET", "/credits/balance", token=got.body["token"], X_User_Id=profile.body["id"])
    assert balance.body == {"balance": 5}


@ONE_DATABASE
async def test_B2_verifying_tells_only_of_tokens_that_one_holds(shop: Shop) -> None:
    token = await shop.token("mei")
    assert (await shop.ask("POST", "/auth/verify", {"token": token})).body["valid"] is True
    for bad in ("", "x", token[:-2], token + "x"):
        got = await shop.ask("POST", "/auth/verify", {"token": bad})
        assert got.status in {200, 400}
        assert got.body.get("valid", False) is False
    assert "email" not in (await shop.ask("POST", "/auth/verify", {"token": "x"})).body


@ONE_DATABASE
@pytest.mark.parametrize(
    "path", ["/credits/balance", "/api/payments/credits/balance", "/api/auth/profile", "/api/jobs"]
)
async def test_B3_a_header_makes_nobody_someone_else(shop: Shop, path: str) -> None:
    mine, _ = await shop.token("mei", amount=1), await shop.token("lan", amount=999)
    for other in ("lan@example.com", "nobody", "01999999-0000-7000-8000-000000000001"):
        assert (await shop.ask("GET", path, token=mine, X_User_Id=other)).status == 403
    assert (await shop.ask("GET", path, X_User_Id="lan@example.com")).status == 401


@pytest.mark.parametrize("amount", [0, -5, 1.5, "5", True, None, 100_001, 1e300])
@ONE_DATABASE
async def test_B4_an_amount_is_a_whole_number_that_is_taken(shop: Shop, amount: Any) -> None:
    token = await shop.token("mei", amount=10)
    got = await _consume(shop, token, amount)
    assert (got.status, got.body["details"][0]["path"]) == (400, ["amount"])
    assert (await shop.ask("GET", "/credits/balance", token=token)).body == {"balance": 10}


@ONE_DATABASE
@pytest.mark.parametrize("action", ["", "a b", "<img>", "x" * 65, "ａ"])
async def test_B5_an_action_is_a_word(shop: Shop, action: str) -> None:
    token = await shop.token("mei", amount=10)
    got = await shop.ask("POST", "/credits/consume", {"amount": 1, "action": action}, token=token)
    assert got.status == 400


async def test_B6_one_key_is_taken_once(shop: Shop) -> None:
    token = await shop.token("mei", amount=10)
    got = await asyncio.gather(*(_consume(shop, token, 4, Idempotency_Key="k") for _ in range(6)))
    assert {one.status for one in got} == {200}
    assert len({str(one.body) for one in got}) == 1
    assert shop.db.read(_consumed) == 1


@ONE_DATABASE
async def test_B7_too_little_is_402_with_what_is_there_and_what_is_needed(shop: Shop) -> None:
    got = await _consume(shop, await shop.token("mei", amount=3), 5)
    assert got.status == 402
    found = {name: got.body[name] for name in ("message", "code", "balance", "required")}
    assert found == {"message": "积分不足", "code": "INSUFFICIENT_CREDITS", "balance": 3, "required": 5}


@ONE_DATABASE
async def test_B8_B19_a_clients_log_is_its_own_and_apart_from_ours(shop: Shop) -> None:
    token, other = await shop.token("mei"), await shop.token("lan")
    ours = shop.db.read(lambda session: session.connection().execute(select(oplog.TABLE)).all())
    body = {"userId": "mei@example.com", "action": "PAYMENT_SUCCESS", "details": {"cost": 0}, "success": True}
    assert (await shop.ask("POST", "/logs/create", body, token=token)).status == 200
    assert (await shop.ask("POST", "/logs/create", body, token=other)).status == 403
    assert (await shop.ask("POST", "/logs/create", body, token=other, X_User_Id="mei@example.com")).status == 403
    assert shop.db.read(lambda session: session.connection().execute(select(oplog.TABLE)).all()) == ours
    kept = shop.db.read(lambda session: session.connection().execute(select(client_log.TABLE)).all())
    assert len(kept) == 1


@ONE_DATABASE
async def test_B9_health_is_apart_from_readiness_and_in_milliseconds(shop: Shop) -> None:
    got = await shop.ask("GET", "/health")
    assert {*got.body} == {"status", "timestamp"}
    assert got.body["timestamp"] > 10**12
    assert (await shop.ask("GET", "/api/health/ready")).status == 200


@ONE_DATABASE
async def test_B10_B17_tokens_and_balances_are_not_cached(shop: Shop) -> None:
    token = await shop.token("mei")
    login = await shop.ask("POST", "/auth/login", {"email": "mei@example.com", "password": PASSWORD})
    balance = await shop.ask("GET", "/credits/balance", token=token)
    spent = await _consume(shop, token, 1)
    assert {one.headers["Cache-Control"] for one in (login, balance, spent)} == {"no-store"}


@ONE_DATABASE
@pytest.mark.parametrize("origin", ["https://evil.test", "null", "https://shop.test.evil.test", "http://shop.test"])
async def test_B11_only_the_front_end_may_read_from_a_browser(shop: Shop, origin: str) -> None:
    assert "Access-Control-Allow-Origin" not in (await shop.ask("GET", "/health", Origin=origin)).headers
    mine = await shop.ask("GET", "/health", Origin="https://shop.test")
    assert mine.headers["Access-Control-Allow-Origin"] == "https://shop.test"


@pytest.mark.parametrize("secret", ["your-jwt-secret-key", "", "x" * 31, "changeme-changeme-changeme-changeme"])
def test_B12_B13_production_refuses_weak_secrets(secret: str) -> None:
    with pytest.raises(BadSettings, match="jwt_secret must"):
        load(**{**PRODUCTION, "jwt_secret": secret})


def test_B14_production_refuses_users_from_the_environment() -> None:
    with pytest.raises(BadSettings, match="user_whitelist is for development"):
        load(**PRODUCTION, user_whitelist="a@x.com:password-of-a")


def test_B15_a_database_without_transactions_is_refused() -> None:
    with pytest.raises(UnsupportedDatabase, match="mongodb"):
        load(database_url="mongodb://db/atelier")


@ONE_DATABASE
async def test_B18_a_weak_password_is_refused_and_guessing_slowed_down(
    shop: Shop, settings: Callable[..., Settings]
) -> None:
    assert (await shop.register(password="1234567")).status == 400
    await shop.token("mei")
    body = {"email": "mei@example.com", "password": "wrong"}
    got = [await shop.ask("POST", "/auth/login", body) for _ in range(settings().login_failures_max + 1)]
    assert got[-1].status == 429
