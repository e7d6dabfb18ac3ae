"""Mistakes of the first documents about people, each with what is right instead."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import delete, select

from atelier.accounts.models import User
from atelier.contracts.oplog import OperationRow
from atelier.kernel.database import Database, matched
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.notifications.town import Served, Town
from tests.web import sample
from web.handlers import auth, notifications, users

ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
PROFILES = pytest.mark.parametrize("path", ["/api/auth/profile", "/api/users/{me}"])
SCRIPT = "<img src=x onerror=alert(1)>"
BIDI = "\u202egnp.\u2066exe\u2069\u200f\ufeff\x00\x1b[31m"


@pytest_asyncio.fixture
async def served(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Served]:
    """A web role with the routes of people."""
    town = Town(db, settings(frontend_urls="https://shop.test", public_url="https://api.test", web_relay=False))
    table = (*auth.ENDPOINTS, *users.ENDPOINTS, *notifications.ENDPOINTS)
    async with sample.serving(town.settings, table) as site:
        yield Served(site, town)


async def registered(served: Served, **more: Any) -> Any:
    """Try to register."""
    body = {"email": "mei@example.com", "username": "mei", "password": "correct horse battery", **more}
    return await served.ask("POST", "/api/auth/register", body=body)


async def profile(served: Served, me: str) -> Any:
    """The own profile."""
    return (await served.ask("GET", "/api/auth/profile", who=me)).body


@ONE_DATABASE
async def test_A5_a_display_name_is_bounded_and_one_clean_line(served: Served) -> None:
    got = await registered(served, displayName="x" * 101)
    assert got.wrong == [(["displayName"], "string_too_long")]
    assert (await registered(served, displayName=BIDI[0] + "\u2066")).status == 400
    assert (await registered(served, displayName=f" 梅{BIDI}\n ")).status == 200
    stored = served.town.db.read(lambda s: s.scalars(select(User.display_name)).one())
    assert stored == "梅gnp.exe[31m"


async def test_A30_settings_are_a_typed_document_and_nothing_else_of_theirs_is_shown(served: Served) -> None:
    me = served.town.person(settings={"theme": "dark", "apiKey": "canary", "notifications": {"canary": True}})
    for path in ("/api/auth/profile", f"/api/users/{me}", "/api/users/settings"):
        got = await served.ask("GET", path, who=me)
        shown = got.body if path.endswith("settings") else got.body["settings"]
        assert shown.keys() == {"locale", "theme", "notifications"}
        assert (shown["theme"], b"canary" in got.raw) == ("dark", False)
    other = await served.ask("GET", f"/api/users/{me}", who=served.town.person())
    assert "settings" not in other.body


@PROFILES
@ONE_DATABASE
async def test_A31_an_avatar_is_https_or_an_own_file(served: Served, path: str) -> None:
    me = served.town.person()
    for url in (
        "javascript:alert(1)",
        "data:text/html,x",
        "http://example.com/a.png",
        "//example.com",
        "https://a@b.test",
    ):
        got = await served.ask("PUT", path.format(me=me), who=me, body={"avatarUrl": url})
        assert (got.status, got.body["details"][0]["path"]) == (400, ["avatarUrl"])


@PROFILES
async def test_A32_names_and_bios_are_text_without_tricks(served: Served, path: str) -> None:
    me = served.town.person()
    body = {"displayName": f"{SCRIPT}{BIDI}", "bio": f"{SCRIPT}\n{BIDI}"}
    got = await served.ask("PUT", path.format(me=me), who=me, body=body)
    assert (got.body["displayName"], got.body["bio"]) == (f"{SCRIPT}gnp.exe[31m", f"{SCRIPT}\ngnp.exe[31m")
    assert got.headers["Content-Type"].startswith("application/json")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    served.town.told(me)
    (letter,) = served.town.emails(me)
    assert letter.context["name"] == f"{SCRIPT}gnp.exe[31m"
    served.town.post()
    (page,) = (served.town.settings.data_dir / "mailbox").glob("*.eml")
    assert b"<img" not in page.read_bytes().rpartition(b"Content-Type: text/html")[2]


@PROFILES
async def test_A33_a_change_names_its_fields_and_may_name_what_it_was_made_from(served: Served, path: str) -> None:
    me = served.town.person(bio="old")
    where = path.format(me=me)
    tag = (await served.ask("GET", where, who=me)).headers["ETag"]
    both = [{"displayName": "梅"}, {"avatarUrl": "https://example.com/a.png"}]
    got = await asyncio.gather(*(served.ask("PUT", where, who=me, body=one) for one in both))
    assert [one.status for one in got] == [200, 200]
    shown = await profile(served, me)
    assert (shown["displayName"], shown["avatarUrl"], shown["bio"]) == ("梅", "https://example.com/a.png", "old")
    stale = await served.ask("PUT", where, who=me, body={"bio": "lost"}, If_Match=tag)
    assert (stale.status, stale.code) == (412, "PRECONDITION_FAILED")
    assert (await profile(served, me))["bio"] == "old"


@PROFILES
async def test_A34_the_log_names_the_fields_and_not_the_texts(served: Served, path: str) -> None:
    me = served.town.person()
    body = {"displayName": "secret name", "bio": "secret bio", "avatarUrl": "https://example.com/secret"}
    assert (await served.ask("PUT", path.format(me=me), who=me, body=body)).status == 200
    wanted = select(OperationRow.action, OperationRow.details).where(OperationRow.user_id == me)
    ((action, details),) = served.town.db.read(lambda s: s.execute(wanted).all())
    assert (action, details) == ("USER_UPDATE_PROFILE", {"fields": ["avatar_url", "bio", "display_name"]})


@PROFILES
async def test_A35_who_is_gone_has_no_session(served: Served, path: str) -> None:
    me = served.town.person()
    served.town.db.transact(matched, delete(User).where(User.id == me))
    for method in ("GET", "PUT"):
        got = await served.ask(method, path.format(me=me), who=me, body={} if method == "PUT" else None)
        assert (got.status, got.code, got.body["error"]) == (401, "UNAUTHORIZED", "未授权")


async def test_A134_users_and_notifications_by_id_are_their_owners(served: Served) -> None:
    me, other = served.town.person(bio="mine"), served.town.person()
    told = served.town.told(me)
    tries = [
        ("POST", f"/api/notifications/{told}/read", None),
        ("DELETE", f"/api/notifications/{told}", None),
        ("PUT", f"/api/users/{me}", {"bio": "theirs"}),
    ]
    for method, path, body in tries:
        got = await served.ask(method, path, who=other, body=body)
        assert (got.status, got.code) == (404, "NOT_FOUND")
        missing = await served.ask(method, path.replace(told, new_id()).replace(me, new_id()), who=other, body=body)
        assert missing.body | {"requestId": ""} == got.body | {"requestId": ""}
    seen = await served.ask("GET", f"/api/users/{me}", who=other)
    assert not {"email", "credits", "role", "settings", "totalSpent", "status"} & seen.body.keys()
    assert (await served.listed(other))["notifications"] == []
    assert (await served.listed(me))["unreadCount"] == 1
    assert (await profile(served, me))["bio"] == "mine"


@ONE_DATABASE
@pytest.mark.parametrize(
    "name",
    ["id", "userId", "email", "username", "role", "credits", "status", "settings", "totalSpent", "passwordHash",
     "emailVerified", "tokenVersion", "createdAt", "display_name"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/auth/profile", "/api/users/{me}", "/api/users/settings"])
async def test_nothing_else_can_be_set(served: Served, path: str, name: str) -> None:
    me = served.town.person()
    before = await profile(served, me)
    for value in ("admin", 1_000, {"role": "admin"}):
        got = await served.ask("PUT", path.format(me=me), who=me, body={name: value})
        assert got.wrong == [([name], "extra_forbidden")]
    assert await profile(served, me) == before
