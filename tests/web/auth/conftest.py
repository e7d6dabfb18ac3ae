"""A running web role with nothing but the account endpoints, and a browser for it."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import select

from atelier.contracts.messages import MAIL_SEND
from atelier.contracts.outbox import OutboxRow
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.mail import delivery, mailbox, mailers
from web.app import make_app
from web.handlers import auth

PASSWORD = "correct horse battery"
NEW_PASSWORD = "a new correct horse"
MEI = {"email": "Mei@example.com", "username": "mei", "password": PASSWORD}
LOGIN = {"loginId": "mei", "password": PASSWORD}
# For what is refused before any database is asked.
ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

    status: int
    body: Any
    raw: bytes
    headers: Any


@dataclass(frozen=True)
class Site:
    """A running web role with its database, and a browser for it."""

    client: TestClient[Any, Any]
    database: Database
    settings: Settings
    headers: dict[str, str] = field(default_factory=dict[str, str])

    async def ask(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> Got:
        """Send JSON (or raw bytes) and read the answer."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        asked = self.client.request(method, path, data=data, headers=sent, skip_auto_headers=["Content-Type"])
        async with asked as response:
            raw = await response.read()
            return Got(response.status, json.loads(raw) if raw else None, raw, response.headers)

    async def post(self, path: str, body: Any = None, *, token: str = "", **headers: str) -> Got:
        """POST below /api/auth."""
        return await self.ask("POST", f"/api/auth/{path}", body, token=token, **headers)

    async def profile(self, token: str) -> Got:
        """The own profile, with this token."""
        return await self.ask("GET", "/api/auth/profile", token=token)

    async def registered(self, **changes: str) -> None:
        """Register Mei."""
        assert (await self.post("register", {**MEI, **changes})).status == 200

    async def token(self, **changes: Any) -> str:
        """Sign Mei in."""
        got = await self.post("login", {**LOGIN, **changes})
        assert got.status == 200
        return str(got.body["token"])

    def linked_token(self, subject: str) -> str:
        """Send what waits in the outbox, as a worker does, and take the token from the newest e-mail so named."""
        mailer = mailers.choose(self.settings)
        waiting = select(OutboxRow.message).where(OutboxRow.contract == MAIL_SEND.name)
        for message in self.database.read(lambda session: session.scalars(waiting).all()):
            delivery.deliver(
                self.database, mailer=mailer, settings=self.settings, email_id=json.loads(message)["emailId"]
            )
        letters = mailbox.listing(mailbox.folder(self.settings))
        text = next(letter.text for letter in letters if letter.subject == subject)
        found = re.search(r"\?token=(\S+)", text)
        assert found
        return found[1]


Open = Callable[..., Any]


@pytest.fixture
def open_site(db: Database, settings: Callable[..., Settings]) -> Open:
    """Start a web role: `async with open_site(setting=value) as site`."""

    @asynccontextmanager
    async def start(**overrides: Any) -> AsyncGenerator[Site]:
        # The test itself takes letters from the outbox: a relay beside it could be quicker.
        chosen = settings(**{"frontend_urls": "https://shop.test", "web_relay": False, **overrides})
        async with TestClient(TestServer(make_app(chosen, endpoints=auth.ENDPOINTS))) as client:
            yield Site(client, db, chosen)

    return start


@pytest_asyncio.fixture
async def site(open_site: Open) -> AsyncIterator[Site]:
    """A web role with the default settings."""
    async with open_site() as started:
        yield started
