"""Registering: A1 to A17, as far as they apply."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.accounts.models import EmailToken, User
from atelier.contracts import oplog
from atelier.contracts.outbox import OutboxRow
from atelier.kernel import tokens
from atelier.ledger.models import TRANSFERS
from tests.seed_defects.conftest import PASSWORD, Shop
from web.routes import ENDPOINTS

ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
REGISTER = "/api/auth/register"


def _users(session: Session) -> int:
    return session.execute(select(func.count()).select_from(User)).scalar_one()


def _bonuses(session: Session) -> list[tuple[str, int]]:
    found = select(TRANSFERS.c.kind, TRANSFERS.c.amount).where(TRANSFERS.c.kind == "bonus")
    return [(row[0], row[1]) for row in session.connection().execute(found)]


@ONE_DATABASE
@pytest.mark.parametrize(
    "path", sorted({one.path for one in ENDPOINTS if one.method == "POST" and one.body and one.auth == "public"})
)
async def test_A1_malformed_json_is_400_everywhere(shop: Shop, path: str) -> None:
    for raw in (b"{", b"", b"[1,", b'{"email": NaN}', b"\xff\xfe", b'"text"'):
        got = await shop.ask("POST", path, raw)
        assert (got.status, got.headers["Content-Type"]) == (400, "application/problem+json")


async def test_A2_an_address_is_the_same_in_every_case_and_width(shop: Shop) -> None:
    assert (await shop.register()).status == 200
    for email in ("MEI@Example.COM", "ｍｅｉ@example.com", " mei@example.com "):
        got = await shop.register(email=email, username="other")
        assert (got.status, got.body["code"], got.body["error"]) == (400, "USER_EXISTS", "用户已存在")


@ONE_DATABASE
@pytest.mark.parametrize("username", ["mei@example.com", "m ei", "mei\u202e", "梅梅梅", "me", "m" * 51, "admin"])
async def test_A3_a_username_cannot_be_mistaken(shop: Shop, username: str) -> None:
    assert (await shop.register(username=username)).status == 400
    assert shop.db.read(_users) == 0


@ONE_DATABASE
async def test_A4_passwords_count_to_their_end_and_have_one(shop: Shop) -> None:
    long = "密" * 40
    assert (await shop.register(password=long + "a")).status == 200
    assert (await shop.login(password=long + "b")).status == 401
    assert (await shop.login(password=long + "a")).status == 200
    assert (await shop.register(email="b@example.com", username="second", password="x" * 10_000)).status == 400
    stored = shop.db.read(lambda session: session.execute(select(User.password_hash)).scalar_one())
    assert stored.startswith("$argon2id$")


@ONE_DATABASE
async def test_A6_parallel_registrations_make_one_user(shop: Shop) -> None:
    got = await asyncio.gather(*(shop.register() for _ in range(6)))
    assert sorted(one.status for one in got) == [200, 400, 400, 400, 400, 400]
    assert shop.db.read(_users) == 1


@ONE_DATABASE
async def test_A7_it_is_not_said_which_of_the_two_is_taken(shop: Shop) -> None:
    await shop.register()
    email = await shop.register(username="other")
    username = await shop.register(email="other@example.com")
    assert {**email.body, "requestId": ""} == {**username.body, "requestId": ""}


@ONE_DATABASE
async def test_A8_hashing_is_bounded_by_a_limit_of_registrations(shop: Shop) -> None:
    endpoint = next(one for one in ENDPOINTS if one.path == REGISTER)
    assert endpoint.rate == "register"
    assert shop.settings.registrations_per_minute <= 30


async def test_A9_A10_the_bonus_is_a_transfer_and_comes_once(shop: Shop) -> None:
    await shop.register()
    token = str((await shop.login()).body["token"])
    assert shop.db.read(_bonuses) == [("bonus", shop.settings.welcome_bonus)]
    history = await shop.ask("GET", "/api/payments/credits/history", token=token)
    balance = await shop.ask("GET", "/api/payments/credits/balance", token=token)
    assert sum(one["amount"] for one in history.body["transactions"]) == balance.body["balance"] == 100


@ONE_DATABASE
async def test_A11_the_letter_leaves_by_the_outbox_of_the_same_transaction(shop: Shop) -> None:
    # No mail server is there, and registering does not care.
    assert (await shop.register()).status == 200
    waiting = shop.db.read(lambda session: session.execute(select(OutboxRow.contract)).scalars().all())
    assert "mail.send" in waiting
    assert (await shop.ask("POST", "/api/auth/verify-email/resend", {"email": "mei@example.com"})).status == 202


@ONE_DATABASE
async def test_A12_a_verification_token_is_kept_as_a_digest_and_bound_to_its_address(shop: Shop) -> None:
    await shop.register()
    row: Any = shop.db.read(
        lambda session: session.execute(select(EmailToken.id, EmailToken.digest, EmailToken.email)).one()
    )
    assert row.email == "mei@example.com"
    assert len(row.digest) == len(tokens.digest("x")) == 64
    assert (await shop.ask("POST", "/api/auth/verify-email", {"token": row.digest})).status == 400
    assert (await shop.ask("POST", "/api/auth/verify-email", {"token": row.id})).status == 400


@ONE_DATABASE
async def test_A13_the_log_names_the_user_and_nothing_about_them(shop: Shop) -> None:
    await shop.register()
    rows = shop.db.read(lambda session: list(session.connection().execute(select(oplog.TABLE)).mappings()))
    assert [row["action"] for row in rows] == ["USER_REGISTER"]
    assert "mei" not in json.dumps(rows[0]["details"])


@ONE_DATABASE
async def test_A15_errors_have_one_documented_form(shop: Shop) -> None:
    got = await shop.register(email="no address", password="x")
    assert {*got.body} == {"type", "title", "status", "code", "error", "message", "requestId", "details"}
    assert got.body["error"] == "输入数据无效"
    assert all({*detail} == {"path", "message", "code"} for detail in got.body["details"])
    assert "pydantic" not in got.text


@ONE_DATABASE
async def test_A16_every_answer_names_its_request(shop: Shop) -> None:
    got = await shop.register(email="no address")
    assert got.body["requestId"] == got.headers["X-Request-ID"]
    mine = await shop.ask("GET", "/api/health", X_Request_ID="mine-1")
    assert mine.headers["X-Request-ID"] == "mine-1"


@ONE_DATABASE
async def test_A17_a_bearer_token_is_the_only_way_in(shop: Shop) -> None:
    # Browsers send cookies by themselves, a header never: a foreign page can't act for someone.
    token = await shop.token()
    got = await shop.ask("GET", "/api/auth/profile", Cookie=f"token={token}; session={token}")
    assert got.status == 401
    assert "Set-Cookie" not in (await shop.login()).headers


async def test_A17_registering_twice_with_one_key_is_once(shop: Shop) -> None:
    body = {"email": "mei@example.com", "username": "mei", "password": PASSWORD}
    first = await shop.ask("POST", REGISTER, body, Idempotency_Key="k")
    again = await shop.ask("POST", REGISTER, body, Idempotency_Key="k")
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert shop.db.read(_users) == 1
