"""Registering, proving an address, and the bonus."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from atelier.accounts import queries
from atelier.accounts.errors import TokenInvalid, UserExists
from atelier.accounts.models import EmailToken, User
from atelier.kernel import clock, tokens
from atelier.kernel.database import Database
from atelier.kernel.errors import AtelierError, Invalid
from atelier.kernel.settings import Settings
from atelier.ledger.models import TRANSFERS
from atelier.onboarding import operator
from tests.accounts.conftest import HOME, NOW_MS, PASSWORD, House


async def test_a_registration_is_one_whole(house: House) -> None:
    user_id = await house.register("Mei", display_name="美 \u202e美\n")
    profile = house.database.read(queries.profile, user_id=user_id)
    assert (profile.email, profile.username, profile.display_name) == ("Mei@example.com", "Mei", "美 美")
    assert (profile.role, profile.settings) == ("user", {"locale": "zh"})
    assert house.available(user_id) == 0
    assert house.mailed("verify_email") == 1
    assert house.operations("USER_REGISTER") == 1


@pytest.mark.parametrize(
    ("email", "username"),
    [
        ("mei@example.com", "another"),
        ("MEI@EXAMPLE.COM", "another"),
        ("ｍｅｉ＠ｅｘａｍｐｌｅ．ｃｏｍ", "another"),
        ("another@example.com", "MEI"),
    ],
)
async def test_what_folds_to_the_same_is_the_same_user(house: House, email: str, username: str) -> None:
    await house.register("mei")
    with pytest.raises(UserExists):
        await house.register(email=email, username=username)
    assert house.one(select(func.count()).select_from(User)) == 1


async def test_parallel_registrations_make_one_user(house: House) -> None:
    attempts = [house.register("mei", username=f"mei_{n % 2}") for n in range(8)]
    attempts += [house.register("mei", email=f"mei{n}@example.com") for n in range(4)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    created = [one for one in outcomes if isinstance(one, str)]
    assert {type(one) for one in outcomes} == {str, UserExists}
    assert house.one(select(func.count()).select_from(User)) == len(created) == house.operations("USER_REGISTER")
    assert house.one(select(func.count()).select_from(User).where(User.email_key == "mei@example.com")) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # refused before any database is asked
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "mei"),
        ("email", "mei@localhost"),
        ("email", "mei@@example.com"),
        ("email", "m ei@example.com"),
        ("email", "mei@example.com\nBcc: all@example.com"),
        ("email", "<mei@example.com>"),
        ("email", "мei@example.com"),
        ("email", "a" * 65 + "@example.com"),
        ("email", "a@" + "b." * 140 + "com"),
        ("email", "a" * 1_000_000),
        ("username", "me"),
        ("username", "m" * 51),
        ("username", "mei@example"),
        ("username", "mei\n"),
        ("username", "美美美"),
        ("password", "1234567"),
        ("password", "x" * 1_025),
        ("password", "密" * 342),
        ("password", "\ufdfa" * 1_000),
        ("password", "x" * 1_000_000),
        ("displayName", "\u202e\u200b \n"),
        ("displayName", "x" * 101),
    ],
)
async def test_bad_input_names_its_field_and_changes_nothing(house: House, field: str, value: str) -> None:
    typed = {"display_name" if field == "displayName" else field: value}
    with pytest.raises(Invalid) as refusal:
        await house.register(**typed)
    assert [fault["path"] for fault in refusal.value.fields] == [[field]]
    assert house.one(select(func.count()).select_from(User)) == 0


async def test_the_names_of_the_house_are_taken(house: House) -> None:
    with pytest.raises(UserExists):
        await house.register("Admin")


async def test_the_bonus_comes_with_the_proof_of_the_address(house: House) -> None:
    user_id = await house.register()
    assert await house.desk.verify_email(house.token(user_id), now_ms=NOW_MS) == user_id
    assert house.available(user_id) == 100
    identity = house.database.read(queries.identity, user_id=user_id)
    assert identity
    assert identity.email_verified


async def test_the_bonus_can_come_with_the_registration_and_comes_once(
    house: House, config: Callable[..., Settings]
) -> None:
    early = House(
        replace(house.desk, settings=config(welcome_bonus_on="registration", welcome_bonus=30)), house.database
    )
    user_id = await early.register()
    assert early.available(user_id) == 30
    await early.desk.verify_email(early.token(user_id), now_ms=NOW_MS)
    assert early.available(user_id) == 30


async def test_an_address_earns_the_bonus_once_whoever_has_it(house: House) -> None:
    first = await house.register("first", email="shared@example.com")
    await house.desk.verify_email(house.token(first), now_ms=NOW_MS)
    house.run(update(User).where(User.id == first).values(email="moved@example.com", email_key="moved@example.com"))
    second = await house.register("second", email="SHARED@example.com")
    await house.desk.verify_email(house.token(second), now_ms=NOW_MS)
    assert (house.available(first), house.available(second)) == (100, 0)
    assert house.one(select(func.count()).select_from(TRANSFERS)) == 1


async def test_a_token_used_twice_at_once_is_used_once(house: House) -> None:
    user_id = await house.register()
    token = house.token(user_id)
    uses = [house.desk.verify_email(token, now_ms=NOW_MS) for _ in range(8)]
    outcomes = await asyncio.gather(*uses, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["TokenInvalid"] * 7 + ["str"]
    assert house.available(user_id) == 100


async def test_two_tokens_used_at_once_give_one_bonus(house: House) -> None:
    user_id = await house.register()
    first = house.token(user_id)
    await house.desk.resend("mei@example.com", origin=HOME, now_ms=NOW_MS)
    second = house.token(user_id)
    assert first != second
    await asyncio.gather(*(house.desk.verify_email(token, now_ms=NOW_MS) for token in (first, second)))
    assert house.available(user_id) == 100


async def test_tokens_that_prove_nothing(house: House) -> None:
    user_id = await house.register()
    token = house.token(user_id)
    reset = "reset"
    await house.desk.forgot("mei@example.com", origin=HOME, now_ms=NOW_MS)
    for worthless in ("", "x", token + "x", token[:-1], house.token(user_id, reset)):
        with pytest.raises(TokenInvalid):
            await house.desk.verify_email(worthless, now_ms=NOW_MS)
    with pytest.raises(TokenInvalid):
        await house.desk.verify_email(token, now_ms=NOW_MS + clock.DAY_MS)
    await house.desk.verify_email(token, now_ms=NOW_MS + clock.DAY_MS - 1)


async def test_a_token_dies_with_the_address_it_was_sent_to(house: House) -> None:
    user_id = await house.register()
    token = house.token(user_id)
    house.run(update(User).where(User.id == user_id).values(email="new@example.com", email_key="new@example.com"))
    with pytest.raises(TokenInvalid):
        await house.desk.verify_email(token, now_ms=NOW_MS)
    assert house.available(user_id) == 0
    # Refusing it used nothing up either: the whole transaction was undone.
    assert house.one(select(EmailToken.used_ms).where(EmailToken.user_id == user_id)) is None


async def test_tokens_are_not_stored(house: House) -> None:
    user_id = await house.register()
    token = house.token(user_id)
    assert house.one(select(EmailToken.digest).where(EmailToken.user_id == user_id)) == tokens.digest(token)


async def test_resending_is_silent_and_bounded(house: House) -> None:
    user_id = await house.register()
    for _ in range(8):
        await house.desk.resend("mei@example.com", origin=HOME, now_ms=NOW_MS)
        await house.desk.resend("nobody@example.com", origin=HOME, now_ms=NOW_MS)
    assert house.mailed("verify_email") == 5
    await house.desk.verify_email(house.token(user_id), now_ms=NOW_MS)
    later = NOW_MS + 2 * clock.HOUR_MS
    await house.desk.resend("mei@example.com", origin=HOME, now_ms=later)
    assert house.mailed("verify_email") == 5


async def test_the_operator_appoints_exactly(house: House) -> None:
    user_id = operator.create_user(
        house.database, email="admin@example.com", username="admin", password=PASSWORD, role="admin", amount=70
    )
    identity = house.database.read(queries.identity, user_id=user_id)
    assert identity
    assert (identity.role, identity.email_verified, house.available(user_id)) == ("admin", True, 70)
    assert (await house.login("ADMIN")).account.balance.available == 70
    assert house.mailed("verify_email") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "x"},
        {"username": "a b"},
        {"password": "short"},
        {"role": "god"},
        {"amount": -1},
        {"email": "mei@example.com"},
    ],
)
async def test_the_operator_is_refused_like_anyone(house: House, changes: dict[str, str]) -> None:
    await house.register("mei")
    typed = {"email": "a@example.com", "username": "aaa", "password": PASSWORD, **changes}
    with pytest.raises(AtelierError):
        operator.create_user(house.database, **typed)  # type: ignore[arg-type]  # the bad ones are the point
    assert house.one(select(func.count()).select_from(User)) == 1


async def test_whitelisted_users_exist_once(db: Database, house: House, config: Callable[..., Settings]) -> None:
    settings = config(user_whitelist="a@x.com:pw:with:colons,A.B@y.org:pw2,a@z.net:pw3")
    assert operator.admit_whitelist(db, settings=settings) == 3
    assert operator.admit_whitelist(db, settings=settings) == 0
    signed_in = await house.login("a@x.com", "pw:with:colons")
    assert (signed_in.account.profile.username, signed_in.account.balance.available) == ("a_user", 100)
    assert (await house.login("a_b", "pw2")).account.profile.email == "A.B@y.org"
    assert (await house.login("a@z.net", "pw3")).account.profile.username.startswith("a_user_")
