"""The house's agents in a test's database, from rows that were made once for all tests of the process."""

import functools
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, select
from sqlalchemy.orm import Session

from atelier.catalog import seeds
from atelier.catalog.models import AGENTS
from atelier.kernel import migrate
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Base, Database

Rows = dict[Table, list[dict[str, Any]]]


def furnish(session: Session) -> None:
    """Put in what `seeds.seed` makes in development, unless agents are there."""
    if session.connection().execute(select(AGENTS.c.id).limit(1)).first():
        return
    before, after = _furniture()
    for table, rows in after.items():
        if table in before:
            session.connection().execute(table.delete())
        session.connection().execute(insert(table), rows)


@functools.cache
def _furniture() -> tuple[Rows, Rows]:
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{Path(folder, 'house.db')}"
        migrate.upgrade(address)
        database = Database(address)
        try:
            before = database.read(_everything)
            database.transact(seeds.seed, now_ms=now_ms(), development=True)
            after = database.read(_everything)
        finally:
            database.close()
    return before, {table: rows for table, rows in after.items() if rows != before.get(table)}


def _everything(session: Session) -> Rows:
    read = ((table, session.connection().execute(select(table)).mappings()) for table in Base.metadata.sorted_tables)
    return {table: found for table, rows in read if (found := [dict(row) for row in rows])}
