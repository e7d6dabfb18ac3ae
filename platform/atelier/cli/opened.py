"""A database for a command, with a plain sentence when there is none to work with."""

import contextlib
from collections.abc import Generator
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from atelier.catalog import search_upkeep, seeds
from atelier.cli.console import Stop
from atelier.cli.words import say
from atelier.kernel import clock, engines, migrate
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from atelier.orders import seeding


@contextlib.contextmanager
def opened(settings: Settings) -> Generator[Database]:
    """The database with its newest schema. Raises Stop when it has to be prepared first."""
    url = engines.parse(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        raise Stop(
            say(
                f"There is no database in {settings.data_dir} yet: start with `atelier up`, or `atelier migrate`",
                zh=f"{settings.data_dir} 中还没有数据库：请先运行 `atelier up` 或 `atelier migrate`",
            )
        )
    database = Database(settings.database_url, pool_size=2)
    try:
        if _version(database) != newest_version():
            raise Stop(
                say(
                    "The database has another version of the schema: run `atelier migrate`",
                    zh="数据库结构不是最新版本：请运行 `atelier migrate`",
                )
            )
        yield database
    finally:
        database.close()


def prepare(settings: Settings) -> None:
    """The newest schema and index, the house's agents and packages, the users of USER_WHITELIST. May be run again."""
    migrate.upgrade(settings.database_url)
    database = Database(settings.database_url, pool_size=1)
    try:
        search_upkeep.renew(database)
        development = settings.environment == "development"
        database.transact(seeds.seed, now_ms=clock.now_ms(), development=development)
        database.transact(seeding.seed, now_ms=clock.now_ms())
        operator.admit_whitelist(database, settings=settings)
    finally:
        database.close()


def newest_version() -> str | None:
    """The version of the schema that this program works with."""
    config = Config()
    config.set_main_option("script_location", "atelier:migrations")
    return ScriptDirectory.from_config(config).get_current_head()


def _version(database: Database) -> str | None:
    with database.reader.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
