"""Settings and profiles over HTTP, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from atelier.accounts import preferences
from atelier.accounts.models import User
from atelier.contracts.oplog import OperationRow
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.catalog.market import Made, fill
from tests.notifications.town import Served, Town
from tests.web import sample
from web.handlers import auth, users

Json = dict[str, Any]
SWITCHES: Json = {
    "agents": {"email": True, "live": True},
    "sales": {"email": False, "live": True},
    "reviews": {"email": False, "live": True},
    "projects": {"email": True, "live": True},
    "subscriptions": {"email": True, "live": True},
    "account": {"email": True, "live": True},
}
DEFAULTS: Json = {"locale": "zh", "theme": "system", "notifications": SWITCHES}
ODD: tuple[Json, ...] = ({"notifications": []}, {"notifications": {"sales": "x"}}, {})
PROFILE = {
    *("id", "email", "username", "displayName", "avatarUrl", "role", "credits", "bio", "totalSpent", "createdAt"),
    "settings",
}
PUBLIC = {"id", "username", "displayName", "avatarUrl", "bio", "agentsCount", "createdAt"}
ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest_asyncio.fixture
async def served(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Served]:
    """A web role with the routes of users."""
    town = Town(db, settings(web_relay=False))
    async with sample.serving(town.settings, (*auth.ENDPOINTS, *users.ENDPOINTS)) as site:
        yield Served(site, town)


def operations(served: Served, user_id: str) -> list[Any]:
    """What was recorded of a user."""
    wanted = select(OperationRow.action, OperationRow.details).where(OperationRow.user_id == user_id)
    return [tuple(row) for row in served.town.db.read(lambda s: s.execute(wanted.order_by(OperationRow.id)).all())]


# -- settings


async def test_settings_have_defaults_and_are_changed_by_parts(served: Served) -> None:
    mei = served.town.person()
    path = "/api/users/settings"
    got = await served.ask("GET", path, who=mei)
    assert (got.status, got.body, got.headers["Cache-Control"]) == (200, DEFAULTS, "no-store")
    got = await served.ask("PUT", path, who=mei, body={"notifications": {"sales": {"email": True}}})
    assert got.body == {
        **DEFAULTS,
        "notifications": {**SWITCHES, "sales": {"email": True, "live": True}},
    }
    got = await served.ask("PUT", path, who=mei, body={"locale": "en", "notifications": {"sales": {"live": False}}})
    assert (got.body["locale"], got.body["notifications"]["sales"]) == ("en", {"email": True, "live": False})
    assert (await served.ask("PUT", path, who=mei, body={})).body == got.body
    assert (await served.ask("PUT", path, who=mei, body=got.body)).body == got.body
    assert (await served.ask("GET", path, who=mei)).body == got.body
    assert (await served.ask("GET", "/api/auth/profile", who=mei)).body["settings"] == got.body
    changed = [{"fields": ["notifications"]}, {"fields": ["locale", "notifications"]}]
    assert operations(served, mei) == [("USER_UPDATE_SETTINGS", details) for details in changed]


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"locale": "fr"}, ["locale"], "literal_error"),
        ({"locale": None}, ["locale"], "literal_error"),
        ({"theme": 1}, ["theme"], "literal_error"),
        ({"role": "admin"}, ["role"], "extra_forbidden"),
        ({"notifications": {"spam": {"email": True}}}, ["notifications", "spam"], "extra_forbidden"),
        ({"notifications": {"sales": {"sms": True}}}, ["notifications", "sales", "sms"], "extra_forbidden"),
        ({"notifications": {"sales": {"email": "yes"}}}, ["notifications", "sales", "email"], "bool_type"),
        ({"notifications": {"sales": {"email": None}}}, ["notifications", "sales", "email"], "bool_type"),
        ({"notifications": {"sales": None}}, ["notifications", "sales"], "model_type"),
        ({"notifications": True}, ["notifications"], "model_type"),
    ],
)
async def test_bad_settings_change_nothing(served: Served, body: Any, path: list[str], code: str) -> None:
    mei = served.town.person()
    got = await served.ask("PUT", "/api/users/settings", who=mei, body={"theme": "dark", **body})
    assert (path, code) in got.wrong
    assert (await served.ask("GET", "/api/users/settings", who=mei)).body == DEFAULTS


async def test_whatever_is_stored_reads_as_settings(served: Served) -> None:
    stored = {"locale": 5, "theme": "neon", "notifications": {"sales": {"email": 1, "live": False}, "x": 1}, "key": "s"}
    mei = served.town.person(settings=stored)
    got = await served.ask("GET", "/api/users/settings", who=mei)
    shown = {**DEFAULTS, "notifications": {**SWITCHES, "sales": {"email": False, "live": False}}}
    assert got.body == shown
    for odd in ODD:
        served.town.set(mei, settings=odd)
        assert (await served.ask("GET", "/api/users/settings", who=mei)).body == DEFAULTS
        assert (await served.ask("PUT", "/api/users/settings", who=mei, body={"locale": "en"})).status == 200


async def test_settings_that_changed_meanwhile_are_not_overwritten(served: Served) -> None:
    mei, path = served.town.person(), "/api/users/settings"
    first = await served.ask("GET", path, who=mei)
    tag = first.headers["ETag"]
    assert (await served.ask("GET", path, who=mei, If_None_Match=tag)).status == 304
    got = await served.ask("PUT", path, who=mei, body={"theme": "dark"}, If_Match=tag)
    assert (got.status, got.headers["ETag"] == tag) == (200, False)
    late = await served.ask("PUT", path, who=mei, body={"theme": "light"}, If_Match=tag)
    assert (late.status, late.code, late.body["error"]) == (412, "PRECONDITION_FAILED", "内容已被修改，请刷新后重试")
    for weak in (f"W/{got.headers['ETag']}", "nonsense", '"'):
        assert (await served.ask("PUT", path, who=mei, body={"theme": "light"}, If_Match=weak)).status == 412
    assert (await served.ask("GET", path, who=mei, If_None_Match=tag)).body["theme"] == "dark"
    known = f'"other", {got.headers["ETag"]}'
    assert (await served.ask("PUT", path, who=mei, body={"theme": "light"}, If_Match=known)).status == 200
    assert (await served.ask("PUT", path, who=mei, body={"theme": "dark"}, If_Match="*")).status == 200


async def test_of_many_changes_at_once_none_is_lost(served: Served) -> None:
    mei, names = served.town.person(), list(preferences.DEFAULTS)
    bodies = [{"notifications": {name: {switch: False}}} for name in names for switch in ("email", "live")]
    got = await asyncio.gather(*(served.ask("PUT", "/api/users/settings", who=mei, body=one) for one in bodies))
    assert {one.status for one in got} == {200}
    found = served.town.db.read(preferences.read, user_id=mei)
    assert not any(one.email or one.live for one in found.notifications.values())


async def test_of_two_who_read_the_same_one_changes_it(served: Served) -> None:
    mei = served.town.person()
    for path in ("/api/users/settings", f"/api/users/{mei}", "/api/auth/profile"):
        tag = (await served.ask("GET", path, who=mei)).headers["ETag"]
        themes = [{"theme": "dark"}, {"theme": "light"}]
        bodies = themes if path.endswith("settings") else [{"bio": f"{path} {n}"} for n in range(2)]
        got = await asyncio.gather(*(served.ask("PUT", path, who=mei, body=one, If_Match=tag) for one in bodies))
        assert sorted(one.status for one in got) == [200, 412]


# -- profiles


async def test_others_see_what_is_public(served: Served) -> None:
    mei, li = served.town.person(display_name="梅", bio="<b>画</b>"), served.town.person()
    statuses = ["published", "published", "review", "archived"]
    made = [Made(number=n, creator_id=mei, status=status) for n, status in enumerate(statuses)]
    served.town.db.transact(fill, agents=made)
    got = await served.ask("GET", f"/api/users/{mei}", who=li)
    assert (got.status, got.body.keys()) == (200, PUBLIC)
    assert (got.body["displayName"], got.body["bio"], got.body["agentsCount"]) == ("梅", "<b>画</b>", 2)
    again = await served.ask("GET", f"/api/users/{mei}", who=li, If_None_Match=got.headers["ETag"])
    assert (again.status, again.raw) == (304, b"")
    served.town.set(mei, status="disabled")
    assert (await served.ask("GET", f"/api/users/{mei}", who=li)).code == "NOT_FOUND"


async def test_oneself_is_seen_whole(served: Served) -> None:
    mei = served.town.person()
    got = await served.ask("GET", f"/api/users/{mei}", who=mei)
    assert (got.status, got.body.keys()) == (200, PROFILE)
    assert got.body == (await served.ask("GET", "/api/auth/profile", who=mei)).body
    upper = await served.ask("GET", f"/api/users/{mei.upper()}", who=mei)
    assert upper.status == 404


async def test_only_oneself_can_be_changed(served: Served) -> None:
    mei, li = served.town.person(), served.town.person(role="admin")
    got = await served.ask(
        "PUT", f"/api/users/{mei}", who=mei, body={"displayName": " 梅\u202e ", "bio": "a\u2066b\x00"}
    )
    assert (got.status, got.body["displayName"], got.body["bio"]) == (200, "梅", "ab")
    assert got.body.keys() == {"id", "displayName", "bio", "avatarUrl"}
    assert operations(served, mei) == [("USER_UPDATE_PROFILE", {"fields": ["bio", "display_name"]})]
    for other in (mei, new_id()):
        got = await served.ask("PUT", f"/api/users/{other}", who=li, body={"displayName": "x"})
        assert (got.status, got.code) == (404, "NOT_FOUND")
    assert (await served.ask("GET", f"/api/users/{mei}", who=li)).body["displayName"] == "梅"


@pytest.mark.parametrize("path", ["/api/users/settings", "/api/users/{user_id}"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
@ONE_DATABASE
async def test_nobody_comes_without_a_session(served: Served, method: str, path: str) -> None:
    got = await served.ask(method, path.format(user_id=served.town.person()))
    assert (got.status, got.code) == (401, "UNAUTHORIZED")


@ONE_DATABASE
async def test_there_is_no_such_user(served: Served) -> None:
    mei = served.town.person()
    for other in (new_id(), "nonsense", "avatar"):
        assert (await served.ask("GET", f"/api/users/{other}", who=mei)).status == 404


@ONE_DATABASE
async def test_a_stored_password_is_in_no_answer(served: Served) -> None:
    mei, li = served.town.person(password_hash="$argon2id$canary"), served.town.person()
    for who in (mei, li):
        got = await served.ask("GET", f"/api/users/{mei}", who=who)
        assert b"canary" not in got.raw
    wanted = select(User.password_hash).where(User.id == mei)
    assert served.town.db.read(lambda session: session.scalars(wanted).one()) == "$argon2id$canary"
