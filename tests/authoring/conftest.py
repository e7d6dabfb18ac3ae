"""A whole web role with the house's categories, an administrator, a creator, and whoever else comes.

studio   the role
creator  someone who makes agents
reader   someone else
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.catalog.models import PURCHASES
from atelier.contracts import oplog
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.notifications.models import Notification
from tests.furnishing import furnish
from tests.live.harness import Person, Served, World, serving

Json = dict[str, Any]
WRITING = "01990000-0000-7000-8000-000000000101"
IMAGE = "01990000-0000-7000-8000-000000000102"


def agent_body(**changes: Any) -> Json:
    """A body that is accepted; None leaves a field out."""
    body: Json = {
        "name": "水墨海报 Ink",
        "description": "用一句话画出水墨风格的海报，适合活动与封面。",
        "categoryId": IMAGE,
        "priceType": "pay_per_use",
        "creditsPerUse": 6,
        "capabilities": ["海报"],
        "supportedLanguages": ["zh", "en"],
        "inputTypes": ["text"],
        "outputTypes": ["image"],
        "tags": ["水墨", "海报"],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

    status: int
    body: Any
    headers: Any

    @property
    def wrong(self) -> dict[str, str]:
        """What a validation problem complains about: the path with dots → the code."""
        assert (self.status, self.body["code"]) == (400, "VALIDATION_FAILED"), self.body
        return {".".join(map(str, one["path"])): one["code"] for one in self.body["details"]}


@dataclass(frozen=True)
class Studio:
    """The role, and who is there."""

    served: Served
    world: World
    admin: Person

    @property
    def db(self) -> Database:
        """The database."""
        return self.world.db

    async def ask(self, method: str, path: str, body: Any = None, *, who: Person | None = None, **headers: str) -> Got:
        """Ask as someone, or as nobody."""
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        sent |= who.headers if who else {}
        async with self.served.client.request(method, path, json=body, headers=sent) as answer:
            return Got(answer.status, await answer.json() if answer.status != 304 else None, answer.headers)

    async def create(self, creator: Person, **changes: Any) -> Json:
        """An agent in review."""
        got = await self.ask("POST", "/api/agents", agent_body(**changes), who=creator)
        assert got.status == 201, got.body
        made: Json = got.body
        return made

    async def publish(self, creator: Person, **changes: Any) -> Json:
        """An approved agent, as everyone sees it."""
        made = await self.create(creator, **changes)
        await self.approve(made["id"])
        return await self.read(made["id"])

    async def approve(self, agent_id: str) -> None:
        """The administrator approves what is in review."""
        got = await self.ask("POST", f"/api/admin/agents/{agent_id}/approve", who=self.admin)
        assert got.status == 200, got.body

    async def reject(self, agent_id: str, reason: str = "描述不清") -> None:
        """The administrator turns down what is in review."""
        got = await self.ask("POST", f"/api/admin/agents/{agent_id}/reject", {"reason": reason}, who=self.admin)
        assert got.status == 200, got.body

    async def read(self, agent_id: str, *, who: Person | None = None) -> Json:
        """One agent."""
        got = await self.ask("GET", f"/api/agents/{agent_id}", who=who)
        assert got.status == 200, got.body
        found: Json = got.body
        return found

    async def change(self, creator: Person, agent: Json, **changes: Any) -> Got:
        """Say anew what the agent is, against the revision that was read."""
        body = agent_body(**{"revision": agent["revision"], **changes})
        return await self.ask("PUT", f"/api/agents/{agent['id']}", body, who=creator)

    def used(self, person: Person, agent_id: str) -> None:
        """The person has had a job of the agent completed."""
        job_id = self.world.job(person, agent_id=agent_id, held=0)
        self.world.claim(job_id, silently=True)
        self.world.finish(job_id, silently=True)

    def bought(self, person: Person, agent_id: str, *, expires_ms: int | None = None) -> None:
        """The person has bought the agent."""
        self.db.transact(_buy, user_id=person.id, agent_id=agent_id, expires_ms=expires_ms, purchase_id=new_id())

    def told(self, person: Person) -> list[tuple[str, Json]]:
        """What the person was notified of, in order."""
        return self.db.read(_told, user_id=person.id)

    def logged(self, resource_id: str) -> list[tuple[str, str | None, Json]]:
        """What the operation log says of a thing, in order: action, who, details."""
        return self.db.read(_logged, resource_id=resource_id)


def _buy(session: Session, *, user_id: str, agent_id: str, expires_ms: int | None, purchase_id: str) -> None:
    kind = "one_time" if expires_ms is None else "subscription"
    row = {"id": purchase_id, "user_id": user_id, "agent_id": agent_id, "active_slot": 1, "purchase_type": kind}
    session.execute(
        insert(PURCHASES).values(**row, expires_ms=expires_ms, created_ms=int(purchase_id[:13].replace("-", ""), 16))
    )


def _told(session: Session, *, user_id: str) -> list[tuple[str, Json]]:
    mine = select(Notification.kind, Notification.data).where(Notification.user_id == user_id)
    return [(row.kind, row.data) for row in session.execute(mine.order_by(Notification.id))]


def _logged(session: Session, *, resource_id: str) -> list[tuple[str, str | None, Json]]:
    table = oplog.TABLE.c
    rows = session.execute(
        select(table.action, table.user_id, table.details).where(table.resource_id == resource_id).order_by(table.id)
    )
    return [(row.action, row.user_id, row.details) for row in rows]


def _appoint(session: Session, *, user_id: str) -> None:
    session.execute(update(User).where(User.id == user_id).values(role="admin"))


async def opened(db: Database, settings: Settings) -> AsyncIterator[Studio]:
    """A running web role on this database."""
    db.transact(furnish)
    world = World(db, settings)
    admin = world.person()
    db.transact(_appoint, user_id=admin.id)
    async with serving(settings) as served:
        yield Studio(served, world, admin)


@pytest_asyncio.fixture
async def studio(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Studio]:
    """A running web role."""
    async for made in opened(db, settings(web_relay=False, agent_changes_per_minute=100_000)):
        yield made


@pytest.fixture
def creator(studio: Studio) -> Person:
    """Someone who makes agents."""
    return studio.world.person()


@pytest.fixture
def reader(studio: Studio) -> Person:
    """Someone else."""
    return studio.world.person()
