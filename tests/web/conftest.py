"""The sample site, on one database: what the web tier does with a request doesn't depend on which."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from tests.web import sample
from tests.web.sample import Site

PASSWORD = "correct horse battery"


@pytest_asyncio.fixture
async def site(settings: Callable[..., Settings]) -> AsyncIterator[Site]:
    """The sample table with a front end at https://shop.test."""
    async with sample.site(settings(frontend_urls="https://shop.test, http://localhost:3000/")) as started:
        yield started


@pytest.fixture
def user_id(db: Database) -> str:
    """A user with an e-mail address, mei@example.com."""
    return operator.create_user(db, email="Mei@example.com", username="mei", password=PASSWORD)


@pytest.fixture
def admin_id(db: Database) -> str:
    """An administrator."""
    return operator.create_user(db, email="root@example.com", username="root_", password=PASSWORD, role="admin")
