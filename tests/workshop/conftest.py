"""A studio on each database, and a web role that serves it."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from atelier.kernel import tokens
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.furnishing import furnish
from tests.live.harness import Served, serving
from tests.workshop.studio import Studio

BASE = "/api/workshop/projects"


@pytest.fixture
def studio(database_url: str) -> Iterator[Studio]:
    """People and their projects."""
    db = Database(database_url, pool_size=16)
    made = Studio(db)
    yield made
    assert made.jobs.examine().totals == {}
    db.close()


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def refused(self) -> tuple[int, str]:
        """Status and code of a problem."""
        return self.status, self.body["code"]


@dataclass(frozen=True)
class House:
    """The role, and what is behind it. People ask by their ids; None is someone who has not signed in."""

    served: Served
    studio: Studio
    settings: Settings

    async def ask(self, method: str, path: str, body: Any = None, *, who: str | None = None, **headers: str) -> Got:
        """Ask under /api/workshop/projects, or elsewhere by a whole path; keywords are headers with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent["Authorization"] = f"Bearer {self.token(who)}"
        url = path if path.startswith("/api") else f"{BASE}{path}"
        async with self.served.client.request(method, url, json=body, headers=sent) as answer:
            is_json = "json" in answer.content_type
            return Got(answer.status, await answer.json(content_type=None) if is_json else None, answer.headers)

    def token(self, user_id: str) -> str:
        """A token of theirs."""
        now = now_ms()
        keyring = self.settings.keyring
        return tokens.issue(
            keyring, user_id=user_id, token_id=new_id(), version=0, now_ms=now, expires_ms=now + HOUR_MS
        )


@pytest_asyncio.fixture
async def house(studio: Studio, settings: Callable[..., Settings]) -> AsyncIterator[House]:
    """A running web role with small limits, and no worker."""
    chosen = settings(web_relay=False, projects_max=10, project_versions_max=6, project_members_max=5)
    studio.db.transact(furnish)
    async with serving(chosen) as served:
        yield House(served, studio, chosen)
