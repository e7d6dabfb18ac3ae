"""Signing in and out, throttling, and passwords that are forgotten or changed."""

import asyncio

import argon2
import jwt
import pytest
from sqlalchemy import select, update

from atelier.accounts import queries, sessions
from atelier.accounts.errors import InvalidCredentials, TokenInvalid, UserNotFound, WrongPassword
from atelier.accounts.models import RevocationRow, User
from atelier.accounts.queries import IdentityRow
from atelier.accounts.sessions import AccessToken
from atelier.contracts.oplog import OperationRow
from atelier.kernel import clock, tokens
from atelier.kernel.errors import Invalid, RateLimited, Unauthorized
from atelier.kernel.ids import new_id
from tests.accounts.conftest import HOME, KEYRING, NOW_MS, PASSWORD, SECRET, House

NEW_PASSWORD = "another password"


def bearer(house: House, access: AccessToken) -> IdentityRow | None:
    """Whom a token stands for, as the web tier asks; the times of these tests are not the present."""
    payload = jwt.decode(access.token, options={"verify_signature": False})
    row = house.database.read(queries.identity, user_id=payload["sub"])
    ended = house.database.read(queries.is_revoked, token_id=payload["jti"])
    return row if row and row.status == "active" and row.token_version == payload["ver"] and not ended else None


def database_time(house: House) -> int:
    """Now, as the revocations have it."""
    return int(house.one(select(clock.db_now_ms())))


# -- signing in


async def test_one_signs_in_by_address_or_username_in_any_case(house: House) -> None:
    user_id = await house.register("Mei")
    for login_id in ("mei@example.com", "MEI@Example.com", " mei@example.com ", "mei", "MEI", "ｍｅｉ"):
        signed_in = await house.login(login_id)
        assert signed_in.account.profile.id == user_id
    assert house.operations("USER_LOGIN") == 6
    logged = house.database.read(
        lambda session: session.execute(select(OperationRow.address, OperationRow.user_agent)).first()
    )
    assert logged
    assert tuple(logged) == ("203.0.113.7", "test/1.0")
    assert house.one(select(User.last_login_ms)) == NOW_MS


async def test_a_username_is_no_address_and_the_reverse(house: House) -> None:
    await house.register("mei", email="other@example.com")
    for login_id in ("mei@example.com", "other", "", "\udcff", "x" * 10_000):
        with pytest.raises(InvalidCredentials):
            await house.login(login_id)


async def test_every_failure_is_the_same(house: House) -> None:
    await house.register("mei")
    disabled = await house.register("gone")
    house.database.transact(sessions.set_status, user_id=disabled, active=False, revocation_id=new_id(), now_ms=NOW_MS)
    failures = [
        ("mei", "wrong password"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("gone", "x"),
        ("mei", "x" * 2_000),
    ]
    refusals: set[tuple[type[BaseException], str, str]] = set()
    for login_id, password in failures:
        with pytest.raises(InvalidCredentials) as refusal:
            await house.login(login_id, password)
        refusals.add((refusal.type, str(refusal.value), str(refusal.value.details)))
    assert len(refusals) == 1
    assert house.operations("USER_LOGIN") == 0


async def test_a_token_lives_half_a_day_or_a_month(house: House) -> None:
    await house.register("mei")
    short = (await house.login("mei")).access
    desk = house.desk
    long = (await desk.login("mei", PASSWORD, remember=True, origin=HOME, now_ms=NOW_MS)).access
    assert short.expires_ms == NOW_MS + 12 * clock.HOUR_MS
    assert long.expires_ms == NOW_MS + 30 * clock.DAY_MS
    now_ms = clock.now_ms()
    fresh = (await desk.login("mei", PASSWORD, remember=False, origin=HOME, now_ms=now_ms)).access
    assert tokens.verify(KEYRING, fresh.token).expires_ms == fresh.expires_ms


@pytest.mark.parametrize("first", ["x" * 72, "密" * 24])
async def test_passwords_differ_past_the_72nd_byte(house: House, first: str) -> None:
    await house.register("mei", password=first + "a")
    with pytest.raises(InvalidCredentials):
        await house.login("mei", first + "b")
    await house.login("mei", first + "a")


async def test_a_password_is_the_same_on_every_keyboard(house: House) -> None:
    await house.register("mei", password="ｐａｓｓwördﬁ")
    await house.login("mei", "passwo\u0308rdfi")


async def test_an_old_hash_is_renewed_at_login(house: House) -> None:
    await house.register("mei")
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    house.run(update(User).values(password_hash=weak))
    await asyncio.gather(*(house.login("mei") for _ in range(4)))
    assert house.one(select(User.password_hash)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await house.login("mei")


async def test_a_login_that_a_new_password_overtakes_fails(house: House) -> None:
    user_id = await house.register("mei")
    seen = house.database.read(sessions.credentials, kind="id", key=user_id)
    assert seen
    access = (await house.login("mei")).access
    await house.desk.change_password(
        user_id, old=PASSWORD, new=NEW_PASSWORD, expires_ms=access.expires_ms, origin=HOME, now_ms=NOW_MS
    )
    assert not house.database.transact(sessions.record_login, seen=seen, new_hash=None, origin=HOME, now_ms=NOW_MS)


# -- signing out


async def test_one_token_ends_and_the_other_lives(house: House) -> None:
    user_id = await house.register("mei")
    one, other = (await house.login("mei")).access, (await house.login("mei")).access
    token_id = jwt.decode(one.token, options={"verify_signature": False})["jti"]
    await house.desk.logout(token_id=token_id, expires_ms=one.expires_ms)
    await house.desk.logout(token_id=token_id, expires_ms=one.expires_ms)
    assert bearer(house, one) is None
    assert bearer(house, other) == house.database.read(queries.identity, user_id=user_id)
    assert house.database.read(queries.is_revoked, token_id=token_id)


async def test_everything_ends_and_web_processes_are_told(house: House) -> None:
    user_id = await house.register("mei")
    accesses = [(await house.login("mei")).access for _ in range(2)]
    since_ms = database_time(house)
    await house.desk.logout_everywhere(user_id, now_ms=NOW_MS)
    assert [bearer(house, access) for access in accesses] == [None, None]
    ended = house.database.read(queries.revocations_since, since_ms=since_ms)
    assert [(one.token_id, one.user_id) for one in ended] == [(None, user_id)]
    assert since_ms <= ended[0].created_ms <= database_time(house)
    assert house.database.read(queries.revocations_since, since_ms=ended[0].created_ms + 1) == []
    assert bearer(house, (await house.login("mei")).access)


async def test_a_disabled_user_is_out_at_once_and_can_come_back(house: House) -> None:
    user_id = await house.register("mei")
    access = (await house.login("mei")).access
    await house.desk.forgot("mei@example.com", origin=HOME, now_ms=NOW_MS)
    link = house.token(user_id, "reset")
    house.database.transact(sessions.set_status, user_id=user_id, active=False, revocation_id=new_id(), now_ms=NOW_MS)
    assert bearer(house, access) is None
    with pytest.raises(InvalidCredentials):
        await house.login("mei")
    with pytest.raises(TokenInvalid):
        await house.desk.reset_password(link, NEW_PASSWORD, now_ms=NOW_MS)
    await house.desk.forgot("mei@example.com", origin=HOME, now_ms=NOW_MS)
    assert house.mailed("reset_password") == 1
    house.database.transact(sessions.set_status, user_id=user_id, active=True, revocation_id=new_id(), now_ms=NOW_MS)
    assert bearer(house, access) is None
    await house.login("mei")
    with pytest.raises(UserNotFound):
        house.database.transact(
            sessions.set_status, user_id=new_id(), active=True, revocation_id=new_id(), now_ms=NOW_MS
        )


# -- passwords


async def test_a_forgotten_password_is_replaced_once_and_ends_every_token(house: House) -> None:
    user_id = await house.register("mei")
    access = (await house.login("mei")).access
    for _ in range(2):
        await house.desk.forgot("MEI@example.com", origin=HOME, now_ms=NOW_MS)
    link = house.token(user_id, "reset")
    uses = [house.desk.reset_password(link, f"{NEW_PASSWORD} {n}", now_ms=NOW_MS) for n in range(4)]
    outcomes = await asyncio.gather(*uses, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["TokenInvalid"] * 3 + ["str"]
    winner = next(n for n, one in enumerate(outcomes) if one == user_id)
    assert bearer(house, access) is None
    with pytest.raises(InvalidCredentials):
        await house.login("mei")
    await house.login("mei", f"{NEW_PASSWORD} {winner}")
    assert house.mailed("password_changed") == 1
    assert house.operations("USER_CHANGE_PASSWORD") == 1


async def test_reset_links_that_open_nothing(house: House) -> None:
    user_id = await house.register("mei")
    await house.desk.forgot("mei@example.com", origin=HOME, now_ms=NOW_MS)
    await house.desk.forgot("nobody@example.com", origin=HOME, now_ms=NOW_MS)
    assert house.mailed("reset_password") == 1
    link = house.token(user_id, "reset")
    worthless = {"x": NOW_MS, house.token(user_id): NOW_MS, link: NOW_MS + clock.HOUR_MS}
    for token, now_ms in worthless.items():
        with pytest.raises(TokenInvalid):
            await house.desk.reset_password(token, NEW_PASSWORD, now_ms=now_ms)
    with pytest.raises(Invalid):
        await house.desk.reset_password(link, "short", now_ms=NOW_MS)
    house.run(update(User).values(email="new@example.com", email_key="new@example.com"))
    with pytest.raises(TokenInvalid):
        await house.desk.reset_password(link, NEW_PASSWORD, now_ms=NOW_MS)
    await house.login("mei")


async def test_one_new_password_ends_the_other_links(house: House) -> None:
    user_id = await house.register("mei")
    links: list[str] = []
    for _ in range(2):
        await house.desk.forgot("mei@example.com", origin=HOME, now_ms=NOW_MS)
        links.append(house.token(user_id, "reset"))
    await house.desk.reset_password(links[0], NEW_PASSWORD, now_ms=NOW_MS)
    with pytest.raises(TokenInvalid):
        await house.desk.reset_password(links[1], NEW_PASSWORD, now_ms=NOW_MS)


async def test_changing_the_password_answers_the_only_token_that_lives(house: House) -> None:
    user_id = await house.register("mei")
    access = (await house.login("mei")).access
    fresh = await house.desk.change_password(
        user_id, old=PASSWORD, new=NEW_PASSWORD, expires_ms=access.expires_ms, origin=HOME, now_ms=NOW_MS
    )
    assert fresh.expires_ms == access.expires_ms
    assert bearer(house, access) is None
    assert bearer(house, fresh)
    await house.login("mei", NEW_PASSWORD)


async def test_a_stolen_token_can_not_guess_the_password_for_long(house: House) -> None:
    user_id = await house.register("mei")
    refusals: list[type[BaseException]] = []
    for _ in range(12):
        with pytest.raises((WrongPassword, RateLimited)) as refusal:
            await house.desk.change_password(
                user_id, old="wrong", new=NEW_PASSWORD, expires_ms=NOW_MS, origin=HOME, now_ms=NOW_MS
            )
        refusals.append(refusal.type)
    assert refusals == [WrongPassword] * 10 + [RateLimited] * 2


async def test_asking_for_links_is_bounded_for_known_and_unknown_alike(house: House) -> None:
    await house.register("mei")
    for email in ("mei@example.com", "nobody@example.com"):
        for _ in range(10):
            await house.desk.forgot(email, origin=HOME, now_ms=NOW_MS)
        with pytest.raises(RateLimited):
            await house.desk.forgot(email, origin=HOME, now_ms=NOW_MS)
    assert house.mailed("reset_password") == 5


# -- tokens of others


def test_tokens_that_are_not_ours() -> None:
    user_id = new_id()
    now_ms = clock.now_ms()
    good = sessions.issue(
        KEYRING, user_id=user_id, token_id=new_id(), version=0, now_ms=now_ms, expires_ms=now_ms + clock.HOUR_MS
    ).token
    tokens.verify(KEYRING, good)
    header, payload = jwt.get_unverified_header(good), jwt.decode(good, options={"verify_signature": False})
    typed = {"typ": header["typ"]}
    forged = [
        jwt.encode(payload, "", "none", headers=typed),
        jwt.encode(payload, SECRET + "x", "HS256", headers=typed),
        jwt.encode(payload, SECRET, "HS512", headers=typed),
        jwt.encode(payload, SECRET, "HS256"),
        jwt.encode({**payload, "aud": "other"}, SECRET, "HS256", headers=typed),
        jwt.encode({**payload, "iss": "other"}, SECRET, "HS256", headers=typed),
        jwt.encode({**payload, "exp": payload["iat"] - 60}, SECRET, "HS256", headers=typed),
        jwt.encode({**payload, "nbf": payload["iat"] + 60}, SECRET, "HS256", headers=typed),
        good[:-2],
        good + "x",
        good.replace(".", "..", 1),
        "",
    ]
    missing = ("exp", "iat", "nbf", "jti", "sub", "iss", "aud", "ver")
    forged += [
        jwt.encode({k: v for k, v in payload.items() if k != name}, SECRET, "HS256", headers=typed) for name in missing
    ]
    for token in forged:
        with pytest.raises(Unauthorized):
            tokens.verify(KEYRING, token)


async def test_no_row_of_a_revocation_outlives_its_use(house: House) -> None:
    await house.desk.logout(token_id=new_id(), expires_ms=NOW_MS)
    assert house.one(select(RevocationRow.expires_ms)) == NOW_MS + clock.HOUR_MS
