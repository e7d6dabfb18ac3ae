"""A whole web role in this process, and a visitor who talks to it as a front end does."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from tests.furnishing import furnish
from tests.live.harness import Served, serving
from web.routing import Endpoint

PASSWORD = "correct horse battery"


def path_of(endpoint: Endpoint) -> str:
    """A path of this endpoint that leads to nothing that exists."""
    return re.sub(r"\{\w+\}", lambda found: "1" if "Id" not in found[0] else new_id(), endpoint.path)


@dataclass(frozen=True)
class Got:
    """An answer, read to its end. `body` is None when it is no JSON."""

    status: int
    body: Any
    text: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Shop:
    """The role with its database."""

    served: Served
    db: Database
    settings: Settings

    async def ask(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> Got:
        """Ask with JSON, or with bytes that are sent as they are; keywords are headers with `_` for `-`."""
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/json")
        content: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        asked = self.served.client.request(method, path, headers=sent, allow_redirects=False, **content)
        async with asked as answer:
            text = await answer.text()
            read = await answer.json(content_type=None) if "json" in answer.content_type else None
            return Got(answer.status, read, text, answer.headers)

    async def register(self, **changes: Any) -> Got:
        """Register Mei."""
        body = {"email": "mei@example.com", "username": "mei", "password": PASSWORD, **changes}
        return await self.ask("POST", "/api/auth/register", body)

    async def login(self, login_id: str = "mei", password: str = PASSWORD, **more: Any) -> Got:
        """Sign in."""
        return await self.ask("POST", "/api/auth/login", {"loginId": login_id, "password": password, **more})

    async def token(self, name: str = "mei", *, role: str = "user", amount: int = 0) -> str:
        """A new user with so many credits, signed in."""
        operator.create_user(
            self.db, email=f"{name}@example.com", username=name, password=PASSWORD, role=role, amount=amount
        )
        return str((await self.login(name)).body["token"])


@pytest_asyncio.fixture
async def shop(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Shop]:
    """A running web role with the house's agents, credits at registration, and no worker."""
    chosen = settings(web_relay=False, welcome_bonus_on="registration", frontend_urls="https://shop.test")
    db.transact(furnish)
    async with serving(chosen) as served:
        yield Shop(served, db, chosen)
