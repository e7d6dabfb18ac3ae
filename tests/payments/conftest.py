"""A counter, and a desk for refunds, on each database."""

from collections.abc import Iterator

import pytest

from atelier.kernel.database import Database
from tests.payments.counter import Counter
from tests.payments.desk import Desk


@pytest.fixture
def counter(database_url: str) -> Iterator[Counter]:
    """With room for many threads."""
    db = Database(database_url, pool_size=16)
    yield Counter(db)
    db.close()


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    """With room for many threads."""
    db = Database(database_url, pool_size=16)
    yield Desk(db)
    db.close()
