"""Engines for the two databases, with the settings that were measured to hold."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from atelier.kernel.errors import Refusal
from atelier.kernel.mysql_driver import DriverConnection

LOCK_WAIT_SECONDS = 5
ANSWER_SECONDS = 30
# Errors are logged, and what users entrust to the platform is in no log.
HIDE_PARAMETERS = True
SUPPORTED = "use mysql://user:password@host/database (MySQL 8.4, MariaDB 10.11+) or sqlite:///file"


class UnsupportedDatabase(Refusal):
    """The address names a database that Atelier doesn't run on."""

    code = "UNSUPPORTED_DATABASE"


def parse(address: str) -> URL:
    """The address with its driver: `mysql://` and `mariadb://` mean PyMySQL, `sqlite:///` the standard library's."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # the latter for a port that is none
        raise UnsupportedDatabase(f"this is no address of a database: {SUPPORTED}") from None
    backend = url.get_backend_name()
    if backend in {"mysql", "mariadb"}:
        return url.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"})
    if backend == "sqlite":
        if url.database in {None, "", ":memory:"}:
            # Every process and connection would have one of its own.
            raise UnsupportedDatabase(f"SQLite needs a file: {SUPPORTED}")
        return url.set(drivername="sqlite+pysqlite")
    raise UnsupportedDatabase(f"{backend}:// is not supported: {SUPPORTED}")


def sqlite_in(folder: Path) -> str:
    """The address of the embedded database in a folder, whose name may hold anything that an address may not."""
    return URL.create("sqlite", database=str(folder / "atelier.db")).render_as_string()


def create(address: str, *, pool_size: int) -> tuple[Engine, Engine]:
    """A writing engine, whose transactions are real, and a reading one, whose statements commit by themselves."""
    url = parse(address)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, pool_size, writes=True), _sqlite(url, pool_size, writes=False)
    return _mysql(url, pool_size, "READ COMMITTED"), _reading(_mysql(url, pool_size, "AUTOCOMMIT"))


def _mysql(url: URL, pool_size: int, isolation_level: Any) -> Engine:
    # Connections go back to the pool only after a commit or a rollback, so the pool's own ROLLBACK would only be
    # one more round trip. A connection that died in the pool is noticed by its first statement and run again.
    engine = create_engine(
        url,
        isolation_level=isolation_level,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1_800,
        pool_reset_on_return=None,
        skip_autocommit_rollback=True,
        hide_parameters=HIDE_PARAMETERS,
        connect_args={
            "connect_timeout": 3,
            "read_timeout": ANSWER_SECONDS,
            "write_timeout": ANSWER_SECONDS,
            "init_command": f"SET innodb_lock_wait_timeout={LOCK_WAIT_SECONDS}, time_zone='+00:00', "
            "sql_mode='STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, args: list[Any], named: dict[str, Any]) -> Any:  # pyright: ignore[reportUnusedFunction]
        return DriverConnection(*args, **named)

    return engine


def _reading(engine: Engine) -> Engine:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        # A write that went through here would commit by itself, half of what it belongs to.
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")

    return engine


def _sqlite(url: URL, pool_size: int, *, writes: bool) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        hide_parameters=HIDE_PARAMETERS,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # A deferred transaction that turns into a writer fails at once with "database is locked", whatever the
        # busy timeout: a writer says so from the start.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
