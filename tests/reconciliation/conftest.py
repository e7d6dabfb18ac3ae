"""A shop on each database."""

from collections.abc import Iterator

import pytest

from atelier.kernel.database import Database
from tests.reconciliation.books import Shop


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """With room for many threads."""
    db = Database(database_url, pool_size=16)
    yield Shop(db)
    db.close()
