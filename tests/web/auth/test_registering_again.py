"""A registration that is sent again with its Idempotency-Key: answered again, to nobody but who registered."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.contracts import idempotency
from atelier.contracts.idempotency import IdempotencyRow
from atelier.mail.models import Email
from tests.web.auth.conftest import MEI, NEW_PASSWORD, ONE_DATABASE, PASSWORD, Got, Open, Site

KEY = "5f0c7c0e-0b4e-4f7e-9a39-0a8f3b2a6d11"
DONE = {"success": True, "message": "注册成功，请查收验证邮件"}
REUSED = (422, "IDEMPOTENCY_KEY_REUSED")
EXISTS = (400, "USER_EXISTS")
IN_PROGRESS = 409


async def register(site: Site, *, key: str = KEY, **changes: Any) -> Got:
    return await site.post("register", {**MEI, **changes}, Idempotency_Key=key)


async def answered(site: Site) -> Got:
    """Register as clients do: whoever is told that the same request is still running comes again."""
    while (got := await register(site)).status == IN_PROGRESS:
        pass
    return got


def refusal(got: Got) -> tuple[int, str]:
    return got.status, got.body["code"]


def replayed(got: Got) -> bool:
    assert (got.status, got.body) == (200, DONE)
    return bool(got.headers.get("Idempotency-Replayed") == "true")


def count(site: Site, model: Any) -> int:
    return site.database.read(lambda session: session.execute(select(func.count()).select_from(model)).scalar_one())


def kept(session: Session) -> list[tuple[Any, ...]]:
    columns = idempotency.TABLE.c
    found = session.execute(select(columns.key, columns.fingerprint, columns.status, columns.answer))
    return [tuple(row) for row in found]


async def test_the_same_request_gets_the_same_answer_and_makes_nobody_else(site: Site) -> None:
    first, second = await register(site), await register(site)
    assert (replayed(first), replayed(second)) == (False, True)
    in_english = await site.post("register", MEI, Idempotency_Key=KEY, Accept_Language="en")
    assert replayed(in_english)  # What was stored is given, in the words it had.
    assert (count(site, User), count(site, Email), count(site, IdempotencyRow)) == (1, 1, 1)


@pytest.mark.parametrize("changes", [{"username": "other"}, {"displayName": "梅"}, {"email": "MEI@example.com"}])
async def test_another_body_is_refused(site: Site, changes: dict[str, str]) -> None:
    await register(site)
    assert refusal(await register(site, **changes)) == REUSED
    assert count(site, User) == 1


async def test_without_the_key_or_with_another_one_the_user_exists(site: Site) -> None:
    await register(site)
    assert refusal(await site.post("register", MEI)) == EXISTS
    assert refusal(await register(site, key="another")) == EXISTS


async def test_the_same_key_of_another_address_is_another_key(site: Site) -> None:
    assert not replayed(await register(site))
    assert not replayed(await register(site, email="lin@example.com", username="lin"))
    assert refusal(await register(site, email="lin@example.com", username="mei")) == REUSED
    assert refusal(await register(site, email="wen@example.com", username="lin")) == EXISTS
    assert count(site, User) == 2


async def test_a_refusal_is_not_kept(site: Site) -> None:
    await site.registered(email="lin@example.com")
    assert refusal(await register(site)) == EXISTS
    assert not replayed(await register(site, username="mei_2"))


# -- the password


async def test_no_trace_of_the_password_is_kept_with_the_key(site: Site) -> None:
    await register(site)
    asked = b'/api/auth/register\n{"email":"Mei@example.com","username":"mei","display_name":null}'
    of = idempotency.keyed(user_id="anonymous\nmei@example.com", route="POST /api/auth/register", key=KEY, body=asked)
    assert site.database.read(kept) == [(of.key, of.fingerprint, 200, DONE)]


async def test_another_password_is_another_body(site: Site) -> None:
    await register(site)
    assert refusal(await register(site, password=NEW_PASSWORD)) == REUSED
    assert await site.token()
    assert (await site.post("login", {"loginId": "mei", "password": NEW_PASSWORD})).status == 401


async def test_a_password_that_was_changed_since_is_another_one(site: Site) -> None:
    await register(site)
    token = await site.token()
    changed = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    assert (await site.post("change-password", changed, token=token)).status == 200
    assert refusal(await register(site)) == REUSED
    assert replayed(await register(site, password=NEW_PASSWORD))


async def test_who_knows_the_key_guesses_no_faster_than_at_the_login(open_site: Open) -> None:
    async with open_site(login_failures_max=3) as site:
        await register(site)
        for _ in range(5):
            assert replayed(await register(site))  # Whoever knows the password is not counted.
        for guess in range(3):
            assert refusal(await register(site, password=f"{guess} {NEW_PASSWORD}")) == REUSED
        stopped = await register(site)
        assert refusal(stopped) == (429, "RATE_LIMITED")
        assert int(stopped.headers["Retry-After"]) > 60
        assert refusal(await site.post("login", {"loginId": MEI["email"], "password": PASSWORD})) == (
            429,
            "RATE_LIMITED",
        )


@ONE_DATABASE
async def test_what_differs_is_not_told_before_the_password_is_right(site: Site) -> None:
    await register(site)
    bodies = [(await register(site, password=NEW_PASSWORD, **more)).body for more in ({}, {"username": "other"})]
    assert len({tuple((name, body[name]) for name in body if name != "requestId") for body in bodies}) == 1


# -- at once


async def test_of_many_at_once_one_registers_and_all_are_told_so(site: Site) -> None:
    got = await asyncio.gather(*(answered(site) for _ in range(8)))
    assert sorted(replayed(one) for one in got) == [False] + [True] * 7
    assert (count(site, User), count(site, Email)) == (1, 1)


async def test_the_same_at_several_processes(open_site: Open) -> None:
    async with open_site() as one, open_site() as other, open_site() as third:
        got = await asyncio.gather(*(answered(site) for site in (one, other, third)))
        assert sorted(replayed(each) for each in got) == [False, True, True]
        assert count(one, User) == 1
