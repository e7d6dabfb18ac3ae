"""`atelier migrate`: the newest schema, and the catalogue of the house."""

import click

from atelier.cli import options
from atelier.cli.config import shown
from atelier.cli.console import line
from atelier.cli.opened import newest_version, prepare
from atelier.cli.words import say


@click.command(
    "migrate",
    help=say(
        "Bring the database to the newest schema and the seeded agents into its catalogue.",
        zh="将数据库升级到最新结构，并写入内置的 Agent。",
    ),
)
@options.data_dir_option
def command() -> None:
    """Run again, it changes nothing."""
    settings = options.load()
    prepare(settings)
    where = shown("database_url", settings.database_url)
    line(say(f"{where} has schema {newest_version()}", zh=f"{where} 的结构版本为 {newest_version()}"))
