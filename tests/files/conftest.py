"""A running web role with people, whose files are in a folder or in a bucket; and the work of its workers."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import FormData
from pydantic_core import from_json
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.contracts.messages import FILES_CHECK, FILES_REMOVE
from atelier.contracts.outbox import OutboxRow
from atelier.files import checking, collecting, service
from atelier.files.intake import Intake
from atelier.files.models import FILES
from atelier.kernel import clock
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.storage import stores
from atelier.storage.fake_oss import FakeOss
from atelier.storage.port import FileMissing, Storage
from tests.live.harness import Person, Served, World, serving

# For what doesn't depend on the database, or on where files are kept.
ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
IN_A_FOLDER = pytest.mark.parametrize("store", ["local"], indirect=True)
IN_A_BUCKET = pytest.mark.parametrize("store", ["oss"], indirect=True)


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, read to its end."""

    status: int
    body: Any
    headers: Any


@dataclass(frozen=True)
class Shop:
    """The role, its people and its storage."""

    served: Served
    world: World
    settings: Settings
    storage: Storage
    intake: Intake
    oss: FakeOss | None

    @property
    def database(self) -> Database:
        """The database."""
        return self.world.db

    async def ask(
        self, method: str, path: str, who: Person | None = None, *, data: Any = None, follow: bool = True, **more: Any
    ) -> Got:
        """Ask; `data` is JSON unless it is a form or bytes."""
        headers = {**(who.headers if who else {}), **more.pop("headers", {})}
        sent: dict[str, Any] = {} if data is None else {"json" if isinstance(data, dict) else "data": data}
        async with self.served.client.request(
            method, path, headers=headers, allow_redirects=follow, **sent, **more
        ) as answer:
            raw = await answer.read()
            is_json = raw and answer.content_type.endswith("json")
            return Got(answer.status, from_json(raw) if is_json and path.startswith("/") else raw, answer.headers)

    async def upload(
        self,
        who: Person | None,
        data: bytes,
        *,
        name: str = "a.png",
        content_type: str | None = "image/png",
        path: str = "/api/files/upload",
        key: str | None = None,
    ) -> Got:
        """Send a file."""
        form = FormData(quote_fields=False)  # As browsers do.
        form.add_field("file", data, filename=name, content_type=content_type)
        return await self.ask("POST", path, who, data=form, headers={"Idempotency-Key": key} if key else {})

    async def read(self, path: str, who: Person | None = None, **headers: str) -> Got:
        """Read a file, wherever the way to it leads."""
        got = await self.ask("GET", path, who, headers=headers, follow=False)
        if got.status == 302:
            return await self.ask("GET", got.headers["Location"], headers=headers)
        return got

    def work(self) -> None:
        """Do what waits in the outbox, as workers do, and forget it."""
        for contract, file_id in self.database.transact(_take_messages):
            if contract == FILES_CHECK.name:
                checking.check(self.database, storage=self.storage, intake=self.intake, file_id=file_id)
            else:
                collecting.remove(self.database, storage=self.storage, file_id=file_id)

    def collect(self, *, later_ms: int = 0) -> dict[str, int]:
        """Let the collector make a round."""
        return collecting.collect(self.database, storage=self.storage, now_ms=clock.now_ms() + later_ms)

    def keys(self, folder: str = "files") -> list[str]:
        """What is in the storage."""
        return self.storage.keys(folder, limit=1_000)

    def exists(self, key: str) -> bool:
        """Whether these bytes are there."""
        try:
            return self.storage.size(key) >= 0
        except FileMissing:
            return False

    def usage(self, who: Person) -> tuple[int, int]:
        """Files and bytes that are counted for this person."""
        return self.database.read(service.usage, user_id=who.id)

    def states(self) -> dict[str, int]:
        """How many files are in which state."""
        return self.database.read(_states)


def _take_messages(session: Session) -> list[tuple[str, str]]:
    mine = OutboxRow.contract.in_((FILES_CHECK.name, FILES_REMOVE.name))
    rows = session.scalars(select(OutboxRow).where(mine).order_by(OutboxRow.id)).all()
    for row in rows:
        session.delete(row)
    return [(row.contract, from_json(row.message)["fileId"]) for row in rows]


def _states(session: Session) -> dict[str, int]:
    rows = session.execute(select(FILES.c.state, func.count()).group_by(FILES.c.state))
    return {row[0]: row[1] for row in rows}


@pytest.fixture(params=["local", "oss"])
def store(request: pytest.FixtureRequest) -> str:
    """Where files are: in a folder, then in a bucket."""
    name: str = request.param
    return name


@pytest.fixture
def oss(store: str) -> Iterator[FakeOss | None]:
    """The endpoint, when files are in a bucket."""
    if store == "local":
        yield None
        return
    with FakeOss() as server:
        yield server


Open = Callable[..., Any]


@pytest.fixture
def open_shop(db: Database, settings: Callable[..., Settings], oss: FakeOss | None) -> Open:
    """Open a web role: `async with open_shop(setting=value) as shop`."""

    @asynccontextmanager
    async def start(**overrides: Any) -> AsyncGenerator[Shop]:
        bucket = _bucket(oss) if oss else {}
        chosen = settings(web_relay=False, **{**bucket, **overrides})
        async with serving(chosen) as served:
            yield Shop(served, World(db, chosen), chosen, stores.choose(chosen), Intake.of(chosen), oss)

    return start


def _bucket(oss: FakeOss) -> dict[str, Any]:
    return {
        "storage": "oss",
        "oss_endpoint": oss.endpoint,
        "oss_region": oss.keeper.region,
        "oss_bucket": oss.bucket,
        "oss_key_id": oss.keeper.key_id,
        "oss_key_secret": oss.keeper.key_secret,
        "oss_prefix": "atelier/",
        "oss_read_seconds": 2,
    }


@pytest_asyncio.fixture
async def shop(open_shop: Open) -> AsyncIterator[Shop]:
    """A web role with the default settings."""
    async with open_shop() as started:
        yield started
