"""A web role alone, with people who attack and are attacked, and with something of everything that routes ask for."""

import base64
import hashlib
import hmac
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import jwt
from pydantic_core import to_json
from sqlalchemy import MetaData, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from atelier.accounts import sessions
from atelier.accounts.models import User
from atelier.catalog.seed_content import ECHO
from atelier.kernel import clock, tokens
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.onboarding import operator
from atelier.orders.seeding import OFFERED
from tests.contract import attacks, belongings
from tests.contract.attacks import Asked
from tests.contract.conftest import Place
from tests.servers import until
from tests.stack import KEYRING, PASSWORD, SECRET, Stack
from web.routing import PARAMETER, Endpoint

# What is gone afterwards: by its path, the place, and which of the attacker's own things is good enough for it.
DOOMED = {
    ("DELETE", "/api/workshop/projects/{projectId}"): ("projectId", "spareId"),
    ("POST", "/api/admin/dead-messages/{messageId}/dismiss"): ("messageId", "spareMessageId"),
}
# What only the creator of an agent does with it; everything else is tried on one that everybody may use.
OF_ITS_CREATOR = {
    *((method, "/api/agents/{agentId}") for method in ("PUT", "DELETE")),
    *(("POST", f"/api/agents/{{agentId}}/{verb}") for verb in ("submit", "icon")),
}

# What belongs to nobody, or to everybody. The queue and the provider are those that no test here waits for.
SHARED = {
    "agentId": ECHO.id,
    "packageId": next(iter(OFFERED)),
    "number": "0",
    "version": "1",
    "file": "index.html",
    "queue": "generation.audio",
    "provider": "local-audio",
}


class Tables:
    """All tables of a database, known to the code or not. SQLite is read again only if somebody has committed since."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._schema = database.read(_reflected)
        self._commits: object = None
        self._found: dict[str, str] = {}
        address = make_url(database.url)
        self._watch = sqlite3.connect(address.database or "") if address.get_backend_name() == "sqlite" else None

    def fingerprint(self) -> dict[str, str]:
        """What each holds."""
        commits = self._watch.execute("PRAGMA data_version").fetchone() if self._watch else object()
        if commits != self._commits:
            self._commits, self._found = commits, self._database.read(_fingerprint, schema=self._schema)
        return self._found

    def close(self) -> None:
        """Watch no longer."""
        if self._watch:
            self._watch.close()


@dataclass(frozen=True)
class World:
    """A web process alone, so that nothing changes by itself; an attacker and a victim, both with a waiting job.

    Beside them an administrator, who tries everything on a `subject`.

    `own` and `foreign` fill the places of paths: a route with a new kind of id needs an entry in both, or in OF_NOBODY.
    """

    stack: Stack
    tables: Tables
    attacker: str
    victim: str
    disabled: str
    admin: str
    subject: str
    own: Mapping[str, str]
    foreign: Mapping[str, str]

    def token(self, user_id: str, **claims: Any) -> str:
        """A good token, or one with other claims (None leaves one out)."""
        version = self.stack.database.read(_version, user_id=user_id)
        now = clock.now_ms()
        token = tokens.issue(
            KEYRING, user_id=user_id, token_id=new_id(), version=version, now_ms=now, expires_ms=now + 600_000
        )
        if not claims:
            return token
        payload = jwt.decode(token, options={"verify_signature": False}) | claims
        kept = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(kept, SECRET, "HS256", headers={"typ": "at+jwt"})

    def named(self, token: str, kid: Any) -> str:
        """The same token, rightly signed, but calling its key so."""
        payload = jwt.decode(token, options={"verify_signature": False})
        head, body = _part({"alg": "HS256", "typ": "at+jwt", "kid": kid}), _part(payload)
        mac = hmac.new(SECRET.encode(), f"{head}.{body}".encode(), "sha256").digest()
        return f"{head}.{body}.{_base64(mac)}"

    def signed_in(self, user_id: str | None = None) -> dict[str, str]:
        """The attacker's headers, unless another's are asked for."""
        return {"Authorization": f"Bearer {self.token(user_id or self.attacker)}"}

    def allowed(self, endpoint: Endpoint) -> dict[str, str]:
        """The headers of someone who may ask this."""
        return self.signed_in(self.admin if endpoint.auth == "admin" else None)

    def send(self, asked: Asked, *, headers: Mapping[str, str], ids: Mapping[str, str] | None = None) -> httpx.Response:
        """Ask; the places of the path are filled with the attacker's own things, or with those named."""
        return self.stack.client.send(self._request(asked, headers=headers, ids=ids or {}))

    def begun(self, asked: Asked, *, headers: Mapping[str, str]) -> httpx.Response:
        """The beginning of an answer, which may have no end. To be closed."""
        return self.stack.client.send(self._request(asked, headers=headers, ids={}), stream=True)

    def _request(self, asked: Asked, *, headers: Mapping[str, str], ids: Mapping[str, str]) -> httpx.Request:
        administered = {"userId": self.subject} if asked.path.startswith(("/api/admin/", "/api/workshop/")) else {}
        place, spare = DOOMED.get((asked.method, asked.path), ("projectId", "projectId"))
        doomed = {place: self.own[spare]}
        created = {"agentId": self.own["draftId"]} if (asked.method, asked.path) in OF_ITS_CREATOR else {}
        chosen = {**self.own, **administered, **doomed, **created, **ids}
        path = PARAMETER.sub(lambda found: chosen[found[1]], asked.path)
        url = f"{path}?{asked.query}" if asked.query else path
        sent = [(name.encode(), value.encode()) for name, value in {**asked.headers, **headers}.items()]
        content: Any = _pieces(asked.body) if asked.chunked and asked.body else asked.body
        return self.stack.client.build_request(asked.method, url, content=content, headers=sent)

    def fingerprint(self) -> dict[str, str]:
        """What every table holds."""
        return self.tables.fingerprint()

    def close(self) -> None:
        """End it."""
        self.tables.close()
        self.stack.close()


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 16_384):
        yield body[start : start + 16_384]


def _version(session: Session, *, user_id: str) -> int:
    return session.execute(select(User.token_version).where(User.id == user_id)).scalar_one()


def _reflected(session: Session) -> MetaData:
    """The tables that there are, known to the code or not."""
    schema = MetaData()
    schema.reflect(session.connection())
    return schema


def _fingerprint(session: Session, *, schema: MetaData) -> dict[str, str]:
    connection = session.connection()
    found: dict[str, str] = {}
    if connection.dialect.name != "sqlite":
        # The server reads its own rows a hundred times faster than they would be read here.
        named = ", ".join(table.name for table in schema.sorted_tables)
        return {str(name): str(checksum) for name, checksum in connection.exec_driver_sql(f"CHECKSUM TABLE {named}")}
    for table in schema.sorted_tables:
        rows = sorted(to_json([*row], bytes_mode="base64", fallback=str) for row in connection.execute(select(table)))
        found[table.name] = hashlib.sha256(b"\n".join(rows)).hexdigest()
    return found


@contextmanager
def world(place: Place) -> Generator[World]:
    """Make it."""
    stack = Stack(place.database_url, place.redis_url, place.folder, env={"ATELIER_WEB_RELAY": "false"})
    stack.start("web")
    attacker, victim, disabled, subject = (_person(stack, name) for name in ("mei", "user", "gone", "subject"))
    admin = _person(stack, "boss", role="admin")
    stack.database.transact(
        sessions.set_status, user_id=disabled, active=False, revocation_id=new_id(), now_ms=clock.now_ms()
    )
    tables = Tables(stack.database)
    empty = World(stack, tables, attacker, victim, disabled, admin, subject, SHARED, {})
    wishes = [belongings.wishes(stack, empty.signed_in(one)) for one in (attacker, victim)]
    things = [belongings.things(stack, one) for one in (attacker, victim)]
    orders = [belongings.order(stack, one) for one in (attacker, victim)]
    projects = [
        belongings.projects(stack, owner=empty.signed_in(one), subject=empty.signed_in(subject))
        for one in (attacker, victim)
    ]
    files = [belongings.files(stack, *one) for one in ((attacker, attacks.UPLOAD_ID), (victim, new_id()))]
    _look_around(empty)
    drafts = [belongings.agent(stack, empty.signed_in(one)) for one in (attacker, victim)]
    yield replace(
        empty,
        own={
            **SHARED,
            **(wishes[0] | belongings.callback(wishes[0]["jobId"])),
            "userId": attacker,
            **things[0],
            "orderId": orders[0],
            **projects[0],
            "draftId": drafts[0],
            "categoryId": ECHO.category.id,
            "caseId": belongings.case(stack),
            "statementId": belongings.statement(stack),
            **belongings.dead_messages(stack),
            **files[0],
            **belongings.webhook(stack, attacker),
        },
        foreign={
            **wishes[1],
            "userId": victim,
            **things[1],
            "orderId": orders[1],
            **projects[1],
            "agentId": drafts[1],
            **files[1],
            **belongings.webhook(stack, victim),
        },
    )
    empty.close()


def _part(said: Mapping[str, Any]) -> str:
    return _base64(to_json(said))


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _person(stack: Stack, name: str, *, role: str = "user") -> str:
    """One of those whom the document's examples sign in."""
    return operator.create_user(
        stack.database, email=f"{name}@example.com", username=name, password=PASSWORD, role=role, amount=1_000
    )


def _look_around(world: World) -> None:
    """Everyone looks at the agent once, so that no view is counted while the tables are compared."""
    path = f"/api/agents/{ECHO.id}"
    for headers in ({}, *(world.signed_in(one) for one in (world.attacker, world.victim, world.subject))):
        world.stack.client.get(path, headers=headers).raise_for_status()
    until(lambda: world.stack.client.get(path).json()["viewCount"] == 4, what="the views are counted")
