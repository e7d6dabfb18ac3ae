"""`atelier config`: what the settings come out as."""

import re
from typing import Any, Final

import click
from pydantic import SecretStr
from rich import box
from rich.table import Table
from rich.text import Text

from atelier.cli import options
from atelier.cli.console import OUT, Stop
from atelier.cli.words import say
from atelier.kernel.settings import BadSettings, Settings

_HIDDEN: Final = "••••••"
# A password may hold anything, an @ and a / too where nobody has escaped them: it ends with the last @.
_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@]*):\S+@")
_IN_QUERY: Final = re.compile(r"(?<=[?&])(password|passwd|secret|token)=[^&\s]+", re.IGNORECASE)


@click.group("config", help=say("Settings.", zh="配置。"))
@options.data_dir_option
def command() -> None:
    """The commands that follow."""


@command.command(
    "check",
    help=say(
        "Show the settings in effect without their secrets. Exit status 1 when they can't be used.",
        zh="显示生效的配置（隐去密钥）。配置不可用时退出码为 1。",
    ),
)
@options.data_dir_option
def check() -> None:
    """Show the settings, or every reason against them."""
    try:
        settings = options.load()
    except BadSettings as error:
        heading = say("These settings can't be used:", zh="配置不可用：")
        reasons = str(error).replace("settings: Value error, ", "").split("; ")
        raise Stop(heading, *(f"  - {reason}" for reason in reasons)) from error
    table = Table(box=box.SIMPLE_HEAD)
    for title in (say("Setting", zh="配置项"), say("Value", zh="值"), say("From", zh="来源")):
        table.add_column(title, overflow="fold")
    for name in Settings.model_fields:
        given = name in settings.model_fields_set
        source = say("given", zh="指定") if given else say("default", zh="默认")
        table.add_row(name, Text(shown(name, getattr(settings, name))), Text(source, style="" if given else "dim"))
    OUT.print(table)


def shown(name: str, value: Any) -> str:
    """The value without anything that should stay secret."""
    if isinstance(value, SecretStr):
        return _HIDDEN if value.get_secret_value() else ""
    if name == "user_whitelist":
        return ", ".join(f"{entry.partition(':')[0]}:{_HIDDEN}" for entry in value)
    if isinstance(value, list):
        return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return _PASSWORD.sub(rf"\1:{_HIDDEN}@", _IN_QUERY.sub(rf"\1={_HIDDEN}", str(value)))
