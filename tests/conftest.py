"""Fixtures that every test may use: real databases, a real broker, settings, child processes.

database_url   address of a fresh, migrated database; the test runs once on SQLite and once on MariaDB
db             atelier.kernel.database.Database on it
restore        callable that makes it fresh again within a test (between the examples of a property, say)
empty_database_url  the same two databases without any table, for tests of migrations
redis_url      address of a private, empty Valkey
settings       settings(**overrides) -> Settings of a development role on all of these
process        process(command, env=…) -> Process that is killed after the test
valkey_server  valkey_server(persist=…) -> a Valkey of the test's own, to restart, freeze or wipe
mariadb_server mariadb_server() -> a MariaDB of the test's own, with a migrated database at its `address`
sandbox        both payment gateways on a port, with empty books; settings(**sandbox.settings) is their merchant
sandbox_server sandbox_server() -> a sandbox of the test's own, to kill and start again
"""

import os
import re
import sys
import uuid
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from inspect import isfunction
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
import structlog
from sqlalchemy.engine import URL

from atelier.gateways import sandbox_identity
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests import databases, statements
from tests.databases import FreshDatabases, MariaDatabases, SqliteDatabases
from tests.sandbox_server import SandboxServer
from tests.servers import MariaServer, Process, ValkeyServer

# What these try hardly depends on the database, or costs minutes: one of the two will do, but in `make proof`.
ON_EITHER_DATABASE = frozenset(
    {
        *("accounts", "administration", "analytics", "authoring", "crash", "files", "live", "mail"),
        *("marketplace", "notifications", "payments", "reconciliation", "seed_defects", "supervisor", "web"),
        *("webhooks", "workshop"),
        *("test_collecting.py", "test_doctor.py", "test_every_state.py", "test_expiring.py", "test_families.py"),
        *("test_metering.py", "test_story.py", "test_verdicts.py", "test_seeds.py"),
    }
)
JWT_SECRET = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
# What the tests themselves are told.
OF_TESTS = ("ATELIER_TEST_", "ATELIER_STORM_")
SETTINGS_WITHOUT_PREFIX = (
    *("BROKER_URL", "DATABASE_URL", "FRONTEND_URL", "JWT_SECRET", "JWT_SECRET_PREVIOUS", "NODE_ENV", "PORT"),
    *("REDIS_URL", "USER_WHITELIST"),
)


class ProcessFactory(Protocol):
    """Makes a child process that is not started yet."""

    def __call__(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        """See tests.servers.Process."""
        ...


class OwnMariaServer(MariaServer):
    """A MariaDB of one test, with a migrated database."""

    address: str


def pytest_configure() -> None:
    """Forget the settings of the shell: a test says what it needs. Give properties the time that a database takes."""
    hypothesis.settings.register_profile("atelier", deadline=None, print_blob=True)
    hypothesis.settings.load_profile("atelier")
    statements.share()
    # A traceback in colours, with the values of all variables, takes longer than the test that it comes from.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
    for name in list(os.environ):
        named = name.removesuffix("_FILE")
        if named in SETTINGS_WITHOUT_PREFIX or (name.startswith("ATELIER_") and not name.startswith(OF_TESTS)):
            del os.environ[name]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    """Prepare nothing that only `make proof` runs: the fuzzer alone would think about it for half a minute."""
    made = yield
    is_for_proof = isfunction(obj) and any(mark.name == "proof" for mark in getattr(obj, "pytestmark", ()))
    return [] if is_for_proof and collector.config.option.markexpr == "not proof" else made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave one half of each pair of ON_EITHER_DATABASE to `make proof`; names say which, so it is always the same."""
    by_default = {item.nodeid for item in items if not item.get_closest_marker("proof")}
    for item in items:
        own = re.search(r"\b(sqlite|mariadb)\b", item.nodeid.partition("[")[2])
        if own is None or ON_EITHER_DATABASE.isdisjoint(item.nodeid.partition("::")[0].split("/")):
            continue
        other = {"sqlite": "mariadb", "mariadb": "sqlite"}[own[0]]
        names = {engine: re.sub(rf"\b{own[0]}\b", engine, item.nodeid) for engine in (own[0], other)}
        chosen = "mariadb" if zlib.crc32(names["sqlite"].encode()) % 2 else "sqlite"
        if names[other] in by_default and own[0] != chosen:
            item.add_marker(pytest.mark.proof)


# -- databases


@pytest.fixture(scope="session")
def mariadb_address() -> Iterator[URL]:
    """The MariaDB server of this test process, without a database."""
    with databases.maria_address() as address:
        yield address


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    """One migrated SQLite file, to copy."""
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def mariadb_databases(mariadb_address: URL) -> Iterator[MariaDatabases]:
    """One migrated MariaDB database, to empty."""
    made = MariaDatabases(mariadb_address)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "mariadb"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which database: parametrize it indirectly to have only one of them."""
    name: str = request.param
    return name


@pytest.fixture
def fresh_databases(engine: str, request: pytest.FixtureRequest) -> FreshDatabases:
    """Where fresh databases of this engine come from."""
    found: FreshDatabases = request.getfixturevalue(f"{engine}_databases")
    return found


@pytest.fixture
def database_url(fresh_databases: FreshDatabases, tmp_path: Path) -> str:
    """Address of a fresh, migrated database."""
    return fresh_databases.fresh(tmp_path)


@pytest.fixture
def restore(fresh_databases: FreshDatabases, database_url: str) -> Callable[[], None]:
    """Call it to make the database of `database_url` fresh again; on MariaDB it ends every connection to it."""
    return lambda: fresh_databases.restore(database_url)


@pytest.fixture
def empty_database_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a database without any table."""
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: URL = request.getfixturevalue("mariadb_address")
    name = f"atelier_test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    yield databases.create(server, name)
    databases.drop(server, name)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """The runner of transactions on `database_url`."""
    database = Database(database_url)
    yield database
    database.close()


# -- broker


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[ValkeyServer]:
    """The Valkey of this test process; tests use `redis_url`."""
    server = ValkeyServer()
    yield server.run()
    server.remove()


@pytest.fixture
def redis_url(shared_valkey: ValkeyServer) -> str:
    """Address of an empty Valkey that no other test uses now; don't restart or freeze it."""
    with shared_valkey.client() as client:
        client.flushall()
    return shared_valkey.url


# -- roles


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a development role on the test's own database and broker; overrides win."""

    def make(**overrides: Any) -> Settings:
        chosen: dict[str, Any] = {
            "environment": "development",
            "data_dir": tmp_path / "data",
            "database_url": database_url,
            "redis_url": redis_url,
            "jwt_secret": JWT_SECRET,
            "port": 0,
            "metrics_port": 0,
            **overrides,
        }
        return Settings(**chosen)

    return make


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ProcessFactory]:
    """Make child processes; what is left of them is killed after the test, and their output shown if it failed."""
    made: list[Process] = []

    def make(
        command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        child = Process(command, log=tmp_path / f"process-{len(made)}.log", env=env, cwd=cwd)
        made.append(child)
        return child

    yield make
    for child in reversed(made):
        child.kill()
    for child in made:
        sys.stdout.write(f"-- {child.name}\n{child.tail() if child.log.exists() else '(never started)'}\n")


@pytest.fixture
def valkey_server() -> Iterator[Callable[..., ValkeyServer]]:
    """Start Valkeys of the test's own: valkey_server(persist=True) keeps its data over a restart."""
    started: list[ValkeyServer] = []

    def start(*, persist: bool = False) -> ValkeyServer:
        started.append(ValkeyServer(persist=persist))
        return started[-1].run()

    yield start
    for server in started:
        server.remove()


@pytest.fixture
def mariadb_server() -> Iterator[Callable[[], OwnMariaServer]]:
    """Start MariaDB servers of the test's own, each with a migrated database at its `address`."""
    started: list[OwnMariaServer] = []

    def start() -> OwnMariaServer:
        started.append(OwnMariaServer())
        server = started[-1].run()
        server.address = databases.create(server.url, "atelier_test_own")
        databases.migrated(server.address)
        return server

    yield start
    for server in started:
        server.remove()


# -- payment gateways


@pytest.fixture(scope="session")
def sandbox_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys of every sandbox of this test process."""
    folder = tmp_path_factory.mktemp("sandbox-keys")
    sandbox_identity.kept(folder)
    return folder


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory, sandbox_keys: Path) -> Iterator[SandboxServer]:
    """The sandbox of this test process; tests use `sandbox`."""
    server = SandboxServer(tmp_path_factory.mktemp("sandbox"), keys=sandbox_keys)
    yield server.run()
    server.remove()


@pytest.fixture
def sandbox(shared_sandbox: SandboxServer) -> SandboxServer:
    """Both payment gateways with empty books and no faults; don't kill or freeze it."""
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def sandbox_server(tmp_path: Path, sandbox_keys: Path) -> Iterator[Callable[[], SandboxServer]]:
    """Start sandboxes of the test's own."""
    started: list[SandboxServer] = []

    def start() -> SandboxServer:
        started.append(SandboxServer(tmp_path / f"sandbox-{len(started)}", keys=sandbox_keys))
        return started[-1].run()

    yield start
    for server in started:
        server.remove()
