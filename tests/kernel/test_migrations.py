"""One history of the schema on both databases, and nothing in it that the models don't say."""

import re
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Inspector, inspect, text
from sqlalchemy.engine import Engine

from atelier.kernel import engines, migrate
from atelier.kernel.database import Base, Database
from atelier.ledger.models import SYSTEM_ACCOUNTS
from atelier.migrations import tables

MODELS = tables.ALL


@pytest.fixture
def upgraded(empty_database_url: str) -> str:
    migrate.upgrade(empty_database_url)
    return empty_database_url


def inspected(address: str) -> tuple[Engine, Inspector]:
    engine, reader = engines.create(address, pool_size=1)
    reader.dispose()
    return engine, inspect(engine)


def plain(condition: str) -> str:
    """The condition as a person reads it: databases give it back with their own quotes, brackets and words."""
    condition = re.sub(r"_utf8mb4\s*|[`()\s]|\\", "", condition).lower()
    return re.sub(r"(\w+)between(\d+)and(\d+)", r"\1between\2and\3", condition).replace("<>", "!=")


def test_from_nothing_to_the_newest_version_without_a_difference(upgraded: str) -> None:
    assert migrate.differences(upgraded) == ""


def test_a_schema_that_is_there_already_is_left_alone(upgraded: str) -> None:
    migrate.upgrade(upgraded)
    db = Database(upgraded, pool_size=1)
    accounts = db.read(lambda session: session.execute(text("SELECT id, kind FROM accounts ORDER BY id")).all())
    db.close()
    assert [tuple(row) for row in accounts] == [(name, "system") for name in sorted(SYSTEM_ACCOUNTS)]


def test_a_difference_is_told(upgraded: str) -> None:
    db = Database(upgraded, pool_size=1)
    db.transact(lambda session: session.execute(text("DROP TABLE verdicts")))
    db.close()
    assert "verdicts" in migrate.differences(upgraded)


def test_every_check_of_the_models_is_in_the_database_and_no_other(upgraded: str) -> None:
    """Alembic compares everything but these."""
    engine, inspector = inspected(upgraded)
    for table in Base.metadata.sorted_tables:
        wanted = {
            str(one.name): plain(str(one.sqltext)) for one in table.constraints if isinstance(one, CheckConstraint)
        }
        there = {str(one["name"]): plain(one["sqltext"]) for one in inspector.get_check_constraints(table.name)}
        assert there == wanted, table.name
    engine.dispose()


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_keys_compare_byte_by_byte_and_texts_hold_any_script(upgraded: str) -> None:
    engine, inspector = inspected(upgraded)
    for table in Base.metadata.sorted_tables:
        for column in inspector.get_columns(table.name):
            collation = getattr(column["type"], "collation", None)
            assert collation in {None, "ascii_bin", "utf8mb4_bin"}, (table.name, column["name"])
    engine.dispose()


def test_the_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'a' / 'b' / 'atelier.db'}"
    migrate.upgrade(address)
    assert migrate.differences(address) == ""
