"""A desk on the test's own database, as the web tier has one, and what its users do again and again."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from atelier.accounts.models import EmailToken
from atelier.accounts.passwords import PasswordHasher
from atelier.accounts.sessions import Origin
from atelier.contracts.oplog import OperationRow
from atelier.kernel.database import AsyncDatabase, Database, matched
from atelier.kernel.keyring import Keyring
from atelier.kernel.settings import Settings
from atelier.ledger import queries as ledger
from atelier.mail import links
from atelier.mail.models import Email
from atelier.onboarding.desk import Desk, RegistrationForm, SignedIn

SECRET = "b6a0f3d29c814e57a1c3e8d7f0925b64c7de1a8f0a5b7c9e1d3f2a4b6c8d0e1f"
KEYRING = Keyring.of(SECRET)
NOW_MS = 1_790_000_000_000
HOME = Origin.of(address="203.0.113.7", user_agent="test/1.0")
AWAY = Origin.of(address="198.51.100.9", user_agent="test/1.0")
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class House:
    """The desk, the database under it, and questions to that database."""

    desk: Desk
    database: Database

    async def register(self, name: str = "mei", **changes: Any) -> str:
        """A new user `name`, whose address is name@example.com."""
        typed: dict[str, Any] = {"email": f"{name}@example.com", "username": name, "password": PASSWORD, **changes}
        return (await self.desk.register(RegistrationForm(**typed), origin=HOME, now_ms=NOW_MS)).user_id

    async def login(
        self, login_id: str, password: str = PASSWORD, *, origin: Origin = HOME, now_ms: int = NOW_MS
    ) -> SignedIn:
        """Sign in."""
        return await self.desk.login(login_id, password, remember=False, origin=origin, now_ms=now_ms)

    def token(self, user_id: str, purpose: str = "verify") -> str:
        """The newest raw token that was mailed to a user."""
        template = {"verify": "verify_email", "reset": "reset_password"}[purpose]
        newest = select(EmailToken.id).where(EmailToken.user_id == user_id, EmailToken.purpose == purpose)
        ref = self.one(newest.order_by(EmailToken.id.desc()).limit(1))
        return links.token(KEYRING.current, template=template, ref=ref)

    def one(self, statement: Any) -> Any:
        """The only value that a statement finds."""
        return self.database.read(lambda session: session.execute(statement).scalar_one())

    def run(self, statement: Any) -> None:
        """Change something behind the desk's back."""
        self.database.transact(matched, statement)

    def available(self, user_id: str) -> int:
        """The credits that a user may spend."""
        return self.database.read(ledger.balance, user_id=user_id).available

    def operations(self, action: str) -> int:
        """How often an action was recorded."""
        return int(self.one(select(func.count()).select_from(OperationRow).where(OperationRow.action == action)))

    def mailed(self, template: str) -> int:
        """How many e-mails of a template are queued or sent."""
        return int(self.one(select(func.count()).select_from(Email).where(Email.template == template)))


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> Callable[..., Settings]:
    """Settings of a development role; overrides win."""

    def make(**overrides: Any) -> Settings:
        chosen: dict[str, Any] = {
            "data_dir": tmp_path / "data",
            "database_url": database_url,
            "jwt_secret": SECRET,
            **overrides,
        }
        return Settings(**chosen)

    return make


@pytest_asyncio.fixture
async def house(db: Database, config: Callable[..., Settings]) -> AsyncIterator[House]:
    """A desk with the default settings."""
    hasher = PasswordHasher()
    desk = Desk(db=AsyncDatabase(db), passwords=hasher, settings=config())
    yield House(desk, db)
    hasher.close()
    desk.db.close()
