"""The town on the test's own database, and a web role in it."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.notifications.town import Served, Town
from tests.web import sample
from web.handlers import auth, notifications, users


@pytest.fixture
def town(db: Database, settings: Callable[..., Settings]) -> Town:
    """Nobody is there yet."""
    return Town(db, settings(frontend_urls="https://shop.test", public_url="https://api.test", web_relay=False))


@pytest_asyncio.fixture
async def served(town: Town) -> AsyncIterator[Served]:
    """A web role with the routes of this part."""
    table = (*auth.ENDPOINTS, *users.ENDPOINTS, *notifications.ENDPOINTS)
    async with sample.serving(town.settings, table) as site:
        yield Served(site, town)
