"""API keys over HTTP: shown once, opening what their scopes name and nothing else, ended at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from atelier.accounts import sessions
from atelier.accounts.key_tokens import KeyToken
from atelier.accounts.scopes import SCOPES
from atelier.catalog.seed_content import ECHO
from atelier.contracts import oplog
from atelier.generation import retention
from atelier.kernel import clock
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import AsyncDatabase, Database
from atelier.kernel.errors import Unauthorized
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger import service as ledger
from tests.furnishing import furnish
from tests.jobs import keys
from tests.jobs.lifecycle import Workshop
from tests.live.harness import Served, World, healthy, serving
from tests.web.asking import ask, by_key
from web import routes
from web.identity import NEVER_MS, Identities, Identity, from_database, keys_from_database
from web.routing import PARAMETER, Endpoint
from web.services import SERVICES

GENERATE = "/api/workshop/generate"
SUBMISSION = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}}
PRICE = ECHO.credits_per_use or 0
AN_ID = "01990000-0000-7000-8000-000000000001"
BODY = {"name": "nightly", "scopes": ["generate", "jobs:read"]}


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    return settings(web_relay=False, api_keys_max=5, key_changes_per_minute=1_000)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    db.transact(furnish)
    return World(db, chosen)


@pytest_asyncio.fixture
async def served(chosen: Settings, world: World) -> AsyncIterator[Served]:
    del world  # It is furnished before anybody looks.
    async with serving(chosen) as running:
        await healthy(running)
        yield running


# -- making, showing, changing


async def test_a_key_is_shown_once_and_kept_as_a_digest(served: Served, world: World) -> None:
    me = world.person()
    wanted = {**BODY, "creditLimit": 50, "expiresInDays": 30, "requestsPerMinute": 7}
    made = await ask(served, "POST", "/api/keys", me.headers, wanted)
    assert made.status == 201
    key = made.body.pop("key")
    assert made.headers["Location"] == f"/api/keys/{made.body['id']}"
    assert made.headers["Cache-Control"] == "no-store"
    assert key.startswith(made.body["prefix"])
    assert key.endswith(made.body["lastFour"])
    assert (made.body["status"], made.body["credits"]) == ("active", {"held": 0, "used": 0, "left": 50})
    assert made.body["scopes"] == ["generate", "jobs:read"]
    shown = await ask(served, "GET", made.headers["Location"], me.headers)
    listed = await ask(served, "GET", "/api/keys", me.headers)
    assert shown.body == made.body
    assert listed.body["keys"] == [made.body]
    assert (await ask(served, "GET", "/api/jobs", {"Authorization": f"Bearer {key}"})).status == 200
    assert key not in world.db.read(_everything)


async def test_the_same_request_again_tells_everything_but_the_key(served: Served, world: World) -> None:
    me = world.person()
    once = me.headers | {"Idempotency-Key": "one"}
    first, again = [await ask(served, "POST", "/api/keys", once, BODY) for _ in range(2)]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status, again.body) == (201, {**first.body, "key": None})
    assert first.body["key"] not in world.db.read(_everything)
    assert (await ask(served, "GET", "/api/keys", me.headers)).body["pagination"]["total"] == 1


def _everything(session: Session) -> str:
    """All that is stored which a key could be in."""
    tables = ("api_keys", "idempotency_keys", "operations", "revocations")
    rows = [session.execute(text(f"SELECT * FROM {table}")).all() for table in tables]  # noqa: S608 - names of ours
    assert rows[0]
    return str(rows)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"scopes": []}, (["scopes"], "too_short")),
        ({"scopes": ["generate"] * 15}, (["scopes"], "too_long")),
        ({"scopes": ["everything"]}, (["scopes", 0], "literal_error")),
        ({"name": ""}, (["name"], "string_too_short")),
        ({"creditLimit": -1}, (["creditLimit"], "greater_than_equal")),
        ({"requestsPerMinute": 0}, (["requestsPerMinute"], "greater_than_equal")),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, (["expiresAt"], "datetime_future")),
        ({"expiresAt": "2099-01-01T00:00:00Z", "expiresInDays": 1}, (["expiresAt"], "said_twice")),
        ({"role": "admin"}, (["role"], "extra_forbidden")),
    ],
)
async def test_what_makes_no_sense_is_refused(
    served: Served, world: World, changes: dict[str, Any], complaint: tuple[list[Any], str]
) -> None:
    got = await ask(served, "POST", "/api/keys", world.person().headers, {**BODY, **changes})
    assert got.code == (400, "VALIDATION_FAILED")
    assert [(one["path"], one["code"]) for one in got.body["details"]] == [complaint]


async def test_a_user_has_so_many_active_keys_at_most_also_when_they_are_made_at_once(
    served: Served, world: World
) -> None:
    me = world.person()
    made = await asyncio.gather(*(ask(served, "POST", "/api/keys", me.headers, BODY) for _ in range(8)))
    assert sorted(one.status for one in made) == [201] * 5 + [409] * 3
    assert {one.code for one in made if one.status == 409} == {(409, "KEY_LIMIT")}
    one = next(one for one in made if one.status == 201)
    assert (await ask(served, "DELETE", f"/api/keys/{one.body['id']}", me.headers)).status == 200
    assert (await ask(served, "POST", "/api/keys", me.headers, BODY)).status == 201


async def test_another_users_key_is_none(served: Served, world: World) -> None:
    key = keys.make(world.db, world.person().id)
    stranger = world.person()
    for method, body in (("GET", None), ("PUT", {"name": "mine"}), ("DELETE", None)):
        got = await ask(served, method, f"/api/keys/{key.id}", stranger.headers, body)
        assert got.code == (404, "KEY_NOT_FOUND")
    assert keys.read(world.db, key).name == "nightly"


async def test_what_is_changed_counts_for_the_next_request(served: Served, world: World) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, scopes=["jobs:read"], limit=3)
    assert (await ask(served, "GET", "/api/files", by_key(key))).code == (403, "SCOPE_MISSING")
    changed = {"scopes": ["files:read"], "creditLimit": None, "name": "renamed"}
    got = await ask(served, "PUT", f"/api/keys/{key.id}", me.headers, changed)
    assert got.status == 200
    assert {name: got.body[name] for name in changed} == changed
    assert (await ask(served, "GET", "/api/files", by_key(key))).status == 200
    assert (await ask(served, "GET", "/api/jobs", by_key(key))).code == (403, "SCOPE_MISSING")
    await ask(served, "DELETE", f"/api/keys/{key.id}", me.headers)
    assert (await ask(served, "PUT", f"/api/keys/{key.id}", me.headers, changed)).code == (409, "KEY_ENDED")


async def test_the_operation_log_says_who_made_changed_and_revoked_it(served: Served, world: World) -> None:
    me = world.person()
    made = (await ask(served, "POST", "/api/keys", me.headers, BODY)).body
    path = f"/api/keys/{made['id']}"
    await ask(served, "PUT", path, me.headers, {"creditLimit": 9})
    for _ in range(2):
        assert (await ask(served, "DELETE", path, me.headers)).status == 200
    told = world.db.read(_operations, key_id=made["id"])
    assert told == [
        ("KEY_CREATE", {"scopes": BODY["scopes"], "creditLimit": None}),
        ("KEY_UPDATE", {"credit_limit": 9}),
        ("KEY_REVOKE", {}),
    ]


def _operations(session: Session, *, key_id: str) -> list[tuple[str, Any]]:
    columns = oplog.TABLE.c
    rows = session.execute(
        select(columns.action, columns.details).where(columns.resource_id == key_id).order_by(columns.id)
    )
    return [(row.action, row.details) for row in rows]


# -- what a key opens


def _asked(endpoint: Endpoint) -> str:
    return PARAMETER.sub(lambda found: AN_ID if found[1].endswith("Id") else "1", endpoint.path)


async def test_every_route_says_which_scope_it_takes_or_takes_no_key(served: Served, world: World) -> None:
    me = world.person()
    for scope in SCOPES:
        key = keys.make(world.db, me.id, scopes=[scope])
        for endpoint in routes.ENDPOINTS:
            if endpoint.auth == "public" or (endpoint.auth == "optional" and endpoint.scope is None):
                continue
            got = await ask(served, endpoint.method, _asked(endpoint), by_key(key))
            where = f"{scope} at {endpoint.method} {endpoint.path}"
            if endpoint.scope is None:
                assert got.code in {(403, "KEY_NOT_ACCEPTED"), (403, "FORBIDDEN")}, where
            elif endpoint.scope != scope:
                assert got.code == (403, "SCOPE_MISSING"), where
                assert got.body["scope"] == endpoint.scope, where
            else:
                assert got.status not in {401, 403, 500}, where


def test_no_key_opens_accounts_money_that_comes_in_or_administration() -> None:
    for endpoint in routes.ENDPOINTS:
        if endpoint.path.startswith(("/api/admin/", "/api/auth/", "/api/users", "/api/keys", "/api/payments/orders")):
            assert endpoint.scope is None, endpoint.path
        if endpoint.path in {"/credits/consume", "/api/payments/credits/purchase", "/api/agents/{agentId}/purchase"}:
            assert endpoint.scope is None, "what is spent there counts against no key"


async def test_where_nobody_may_come_a_key_without_a_scope_for_it_is_nobody(served: Served, world: World) -> None:
    key = keys.make(world.db, world.person().id, scopes=["jobs:read"])
    assert (await ask(served, "GET", f"/api/agents/{ECHO.id}", by_key(key))).status == 200
    assert (await ask(served, "GET", f"/api/files/{AN_ID}", by_key(key))).code == (403, "SCOPE_MISSING")


async def test_for_a_project_generating_needs_to_write_it(served: Served, world: World) -> None:
    key = keys.make(world.db, world.person().id, scopes=["generate"])
    got = await ask(served, "POST", GENERATE, by_key(key), {**SUBMISSION, "projectId": AN_ID})
    assert (got.code, got.body["scope"]) == ((403, "SCOPE_MISSING"), "projects:write")


async def test_a_job_counts_against_its_key_until_the_limit(served: Served, world: World) -> None:
    me = world.person()
    world.db.transact(ledger.topup, Workshop(world.db).entry(me.id, 10 * PRICE, "topup"), now_ms=clock.now_ms())
    key = keys.make(world.db, me.id, limit=PRICE)
    submitted = await ask(served, "POST", GENERATE, by_key(key), SUBMISSION)
    assert submitted.status == 202
    refused = await ask(served, "POST", GENERATE, by_key(key), SUBMISSION)
    assert refused.code == (403, "KEY_CREDITS_EXHAUSTED")
    assert (refused.body["limit"], refused.body["spent"], refused.body["required"]) == (PRICE, PRICE, PRICE)
    assert (await ask(served, "POST", GENERATE, me.headers, SUBMISSION)).status == 202, "the user may go on"
    job = f"/api/jobs/{submitted.body['jobId']}"
    assert (await ask(served, "POST", f"{job}/cancel", by_key(key))).status == 200
    assert (await ask(served, "POST", f"{job}/retry", by_key(key))).status == 202
    assert (await ask(served, "POST", f"{job}/retry", by_key(key))).code == (403, "KEY_CREDITS_EXHAUSTED")
    assert keys.read(world.db, key).credits_held == PRICE
    assert not Workshop(world.db).examine().findings


# -- the end of keys


@pytest.mark.parametrize("how", ["mistyped", "unknown", "long", "short", "expired", "revoked", "disabled"])
async def test_what_is_no_key_any_longer_opens_nothing(served: Served, world: World, how: str) -> None:
    me = world.person()
    key = keys.make(world.db, me.id, expires_ms=clock.now_ms() - 1 if how == "expired" else None)
    if how == "revoked":
        keys.revoke(world.db, key)
    if how == "disabled":
        world.db.transact(sessions.set_status, user_id=me.id, active=False, revocation_id=new_id(), now_ms=1)
    last = "a" if key.token.text[-1] != "a" else "b"
    token = {
        "mistyped": key.token.text[:-1] + last,
        "unknown": KeyToken.of("0" * 32).text,
        "long": key.token.text + "0",
        "short": "atk_",
    }.get(how, key.token.text)
    got = await ask(served, "GET", "/api/jobs", {"Authorization": f"Bearer {token}"})
    assert got.code == (401, "UNAUTHORIZED")
    assert got.headers["WWW-Authenticate"] == "Bearer"


async def test_a_mistyped_key_asks_the_database_nothing(chosen: Settings, world: World) -> None:
    asked: list[str] = []
    key = keys.make(world.db, world.person().id)
    load, poll = from_database(AsyncDatabase(world.db))
    read = keys_from_database(AsyncDatabase(world.db))

    async def counted(digest: str) -> Identity | None:
        asked.append(digest)
        return await read(digest)

    identities = Identities(keyring=chosen.keyring, load=load, poll=poll, load_key=counted)
    whole, now = key.token.text, clock.now_ms()
    last = "a" if whole[-1] != "a" else "b"
    for wrong in (whole[:-1] + last, whole[:10], f"{whole[:20]}é{whole[21:]}", f"{whole}0", whole.upper()):
        with pytest.raises(Unauthorized):
            await identities.identify(f"Bearer {wrong}", now)
    assert asked == []
    header = f"Bearer {whole}"
    identity = await identities.identify(header, now)
    assert identities.known(header, now) is identity
    assert (identity.key_id, identity.token_id, identity.expires_ms) == (key.id, key.id, NEVER_MS)
    assert asked == [key.token.digest], "after the first request a key costs a lookup, like a token"


async def test_revoking_acts_here_at_once_and_elsewhere_within_a_second(
    served: Served, world: World, chosen: Settings
) -> None:
    me = world.person()
    key = keys.make(world.db, me.id)
    async with serving(chosen) as elsewhere:
        for process in (served, elsewhere):
            assert (await ask(process, "GET", "/api/jobs", by_key(key))).status == 200
        assert (await ask(served, "DELETE", f"/api/keys/{key.id}", me.headers)).status == 200
        began = asyncio.get_running_loop().time()
        assert (await ask(served, "GET", "/api/jobs", by_key(key))).status == 401
        while (await ask(elsewhere, "GET", "/api/jobs", by_key(key))).status == 200:
            assert asyncio.get_running_loop().time() - began < 5  # a second, on a machine that does nothing else
        assert (await ask(elsewhere, "GET", "/api/jobs", me.headers)).status == 200


async def test_a_changed_password_leaves_keys_alone(served: Served, world: World) -> None:
    me = world.person()
    key = keys.make(world.db, me.id)
    world.db.transact(sessions.revoke_all, user_id=me.id, revocation_id=new_id(), now_ms=clock.now_ms())
    assert (await ask(served, "GET", "/api/jobs", by_key(key))).status == 200


async def test_a_key_opens_no_look_at_tokens(served: Served, world: World) -> None:
    key = keys.make(world.db, world.person().id)
    got = await ask(served, "POST", "/auth/verify", {}, {"token": key.token.text})
    assert got.body == {"valid": False}


def test_keys_that_ended_are_kept_for_ninety_days(world: World) -> None:
    me, now = world.person(), clock.now_ms()
    long_ago, lately = now - 91 * DAY_MS, now - 89 * DAY_MS
    expired, recent = (keys.make(world.db, me.id, expires_ms=end) for end in (long_ago, lately))
    revoked, kept = keys.make(world.db, me.id), keys.make(world.db, me.id)
    keys.revoke(world.db, revoked)
    world.db.transact(_revoked_at, key_id=revoked.id, at_ms=long_ago)
    retention.prune(world.db, operations_kept_days=400)
    shown = world.db.read(_ids)
    assert shown == {recent.id, kept.id}
    assert expired.id not in shown


def _revoked_at(session: Session, *, key_id: str, at_ms: int) -> None:
    session.execute(text("UPDATE api_keys SET revoked_ms = :at WHERE id = :id"), {"at": at_ms, "id": key_id})


def _ids(session: Session) -> set[str]:
    return set(session.scalars(text("SELECT id FROM api_keys")))


# -- when it was used


async def test_the_last_use_is_noted_beside_the_requests_once_a_minute(served: Served, world: World) -> None:
    key, idle = (keys.make(world.db, world.person().id) for _ in range(2))
    uses = served.application[SERVICES].key_uses
    before = clock.now_ms()
    for _ in range(3):
        await ask(served, "GET", "/api/jobs", by_key(key))
    await uses.write()
    first = keys.read(world.db, key).last_used_ms
    assert first is not None
    assert before <= first <= clock.now_ms()
    uses.note(key.id, first + 59_999)
    await uses.write()
    assert keys.read(world.db, key).last_used_ms == first
    assert keys.read(world.db, idle).last_used_ms is None
