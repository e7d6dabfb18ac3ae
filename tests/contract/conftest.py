"""Places for real role processes: a fresh database and an empty broker, kept for all tests of one module.

place            where a module's roles run; once on SQLite and once on MariaDB
place_on_sqlite  the same, on SQLite only
driven           holds a test to the routes that it says it drives; by itself
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract import front_end, seed_routes
from tests.databases import FreshDatabases
from tests.servers import ValkeyServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What roles need: `Stack(place.database_url, place.redis_url, place.folder)`."""

    engine: str
    database_url: str
    redis_url: str
    folder: Path


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_valkey: ValkeyServer
) -> Iterator[Place]:
    """On each database in turn."""
    with _place(str(request.param), request, tmp_path_factory, shared_valkey) as made:
        yield made


@pytest.fixture(scope="module")
def place_on_sqlite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_valkey: ValkeyServer
) -> Iterator[Place]:
    """For what does not depend on the database."""
    with _place("sqlite", request, tmp_path_factory, shared_valkey) as made:
        yield made


@pytest.fixture(autouse=True)
def driven(request: pytest.FixtureRequest) -> Iterator[None]:
    """See tests.contract.seed_routes."""
    before = len(front_end.SERVED)
    yield
    assert sorted(seed_routes.promised(request) - seed_routes.answered(before)) == []


@contextmanager
def _place(
    engine: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory, valkey: ValkeyServer
) -> Generator[Place]:
    databases: FreshDatabases = request.getfixturevalue(f"{engine}_databases")
    folder = folders.mktemp(f"contract-{engine}")
    with valkey.client() as client:
        client.flushall()
    yield Place(engine=engine, database_url=databases.fresh(folder), redis_url=valkey.url, folder=folder)
