"""A marketplace on each database."""

from collections.abc import Iterator

import pytest

from atelier.kernel.database import Database
from tests.marketplace.buying import Market


@pytest.fixture
def market(database_url: str) -> Iterator[Market]:
    """With room for many threads."""
    db = Database(database_url, pool_size=16)
    yield Market(db)
    db.close()
