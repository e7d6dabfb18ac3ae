"""Databases at the newest schema, made once and emptied in milliseconds."""

import contextlib
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, insert, select, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from atelier.kernel import engines, migrate
from tests.servers import MariaServer, administered

VERSION_TABLE = "alembic_version"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a fresh database has: its tables, children after parents, and the rows that migrations put there."""

    tables: list[Table]
    seeds: dict[Table, list[dict[str, Any]]]

    def restore(self, connection: Connection) -> None:
        """Make its database as fresh as after its migrations. Only what was written to is emptied: most tests use few
        of the tables.
        """
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        else:
            _end_other_connections(connection)
        for table in self._changed(connection):
            connection.execute(table.delete())
            if rows := self.seeds.get(table):
                connection.execute(insert(table), rows)
        connection.commit()

    def _changed(self, connection: Connection) -> list[Table]:
        unseeded = [table for table in self.tables if table not in self.seeds]
        exist = ", ".join(f"EXISTS (SELECT 1 FROM {table.name})" for table in unseeded)  # noqa: S608 - names of ours
        used = connection.exec_driver_sql(f"SELECT {exist}").one()
        seeded = [table for table, rows in self.seeds.items() if _rows(connection, table) != rows]
        return [*(table for table, is_used in zip(unseeded, used, strict=True) if is_used), *seeded]


def migrated(address: str) -> Schema:
    """Run the migrations on the database at this address, and remember what a fresh one has."""
    migrate.upgrade(address)
    metadata = MetaData()
    with _writing(address) as connection:
        metadata.reflect(connection)
        tables = [table for table in metadata.sorted_tables if table.name != VERSION_TABLE]
        seeds = {table: rows for table in tables if (rows := _rows(connection, table))}
        connection.rollback()
    return Schema(tables, seeds)


def _rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    ordered = select(table).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(ordered).mappings()]


class SqliteDatabases:
    """Hands out copies of one migrated SQLite file."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        self._schema = migrated(f"sqlite:///{self._template}")

    def fresh(self, folder: Path) -> str:
        """The address of a fresh database in this folder."""
        copy = folder / "atelier.db"
        shutil.copy(self._template, copy)
        return f"sqlite:///{copy}"

    def restore(self, address: str) -> None:
        """Make the database at this address fresh again."""
        with _writing(address) as connection:
            self._schema.restore(connection)


class MariaDatabases:
    """Hands out one migrated database on a server, emptied each time."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._name = f"atelier_test_{os.getpid()}"
        self.address = create(server, self._name)
        self._schema = migrated(self.address)
        self._kept = contextlib.ExitStack()
        self._connection = self._kept.enter_context(_writing(self.address))
        self._connection.exec_driver_sql("SET SESSION foreign_key_checks=0")
        self._connection.commit()

    def fresh(self, _folder: Path) -> str:
        """The address of the database, which is as fresh as after its migrations."""
        self.restore(self.address)
        return self.address

    def restore(self, address: str) -> None:
        """Make the database fresh again; this ends every other connection to it."""
        assert address == self.address
        self._schema.restore(self._connection)

    def close(self) -> None:
        """Drop the database."""
        self._kept.close()
        drop(self._server, self._name)


FreshDatabases = SqliteDatabases | MariaDatabases


@contextlib.contextmanager
def maria_address() -> Generator[URL]:
    """The server for this test process: the one that ATELIER_TEST_MARIADB_URL names, or a private one."""
    if given := os.environ.get("ATELIER_TEST_MARIADB_URL"):
        yield engines.parse(given).set(database=None)
        return
    server = MariaServer()
    try:
        yield server.run().url
    finally:
        server.remove()


def create(server: URL, name: str) -> str:
    """Create an empty database and return its address."""
    with administered(server) as connection:
        connection.execute(text(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
    return server.set(database=name).render_as_string(hide_password=False)


def drop(server: URL, name: str) -> None:
    """Drop a database, with everything that is still connected to it."""
    with administered(server.set(database=name)) as connection:
        _end_other_connections(connection)
        connection.execute(text(f"DROP DATABASE `{name}`"))


@contextlib.contextmanager
def _writing(address: str) -> Generator[Connection]:
    writer, reader = engines.create(address, pool_size=1)
    reader.dispose()
    try:
        with writer.connect() as connection:
            yield connection
    finally:
        writer.dispose()


def _end_other_connections(connection: Connection) -> None:
    # A transaction that an earlier test left open would hold its locks for as long as its thread lives, and what it
    # commits while we look would be found by the next test.
    others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    while left := connection.exec_driver_sql(others).scalars().all():
        for other in left:
            with contextlib.suppress(DBAPIError):  # It has ended by itself.
                connection.exec_driver_sql(f"KILL {other}")
