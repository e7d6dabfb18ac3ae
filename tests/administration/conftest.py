"""A whole web role, with an administrator and users."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger import service as ledger
from atelier.ledger.service import Entry
from tests.live.harness import Person, Served, World, serving

Json = dict[str, Any]


@dataclass(frozen=True)
class Office:
    """The role, and who is there."""

    served: Served
    world: World
    admin: Person

    async def ask(
        self, method: str, path: str, body: Json | None = None, *, who: Person | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Ask as the administrator, or as someone else; the status and the JSON."""
        sent = {**(who or self.admin).headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        async with self.served.client.request(method, path, json=body, headers=sent) as answer:
            return answer.status, await answer.json()

    def person(self, *, credits: int = 0) -> Person:  # noqa: A002 - the product's word
        """A user with so many credits."""
        person = self.world.person()
        if credits:
            entry = Entry(transfer_id=new_id(), key=f"topup:test:{new_id()}", user_id=person.id, amount=credits)
            self.world.db.transact(ledger.topup, entry, now_ms=now_ms())
        return person


def _appoint(session: Session, *, user_id: str) -> None:
    session.execute(update(User).where(User.id == user_id).values(role="admin"))


@pytest_asyncio.fixture
async def office(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Office]:
    """A running web role."""
    chosen = settings(web_relay=False)
    world = World(db, chosen)
    admin = world.person()
    db.transact(_appoint, user_id=admin.id)
    async with serving(chosen) as served:
        yield Office(served, world, admin)


@pytest.fixture
def someone(office: Office) -> Person:
    """A user with a hundred credits."""
    return office.person(credits=100)
