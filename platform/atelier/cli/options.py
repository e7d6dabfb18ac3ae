"""Options that every command takes, and the settings that follow from them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from atelier.cli.words import say
from atelier.kernel import logs, settings
from atelier.kernel.settings import Settings

C = TypeVar("C", bound=Callable[..., Any])
_KEY: Final = "atelier.data_dir"


def _keep(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.meta[_KEY] = value.absolute()  # `meta` is shared by the group and its commands: who comes last wins.


def data_dir_option(command: C) -> C:
    """Add `--data-dir` to a command or group; it may stand before the command's name and after it."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        expose_value=False,
        is_eager=True,
        callback=_keep,
        help=say(
            "Where everything is kept. ATELIER_DATA_DIR names it too; else .atelier in this folder.",
            zh="数据目录。也可用 ATELIER_DATA_DIR 指定，默认为当前目录下的 .atelier。",
        ),
    )(command)


def load(**overrides: Any) -> Settings:
    """The settings of this command: the options win over the environment. Raises BadSettings."""
    kept: dict[str, Path] = click.get_current_context().meta
    chosen = {name: value for name, value in overrides.items() if value is not None}
    if _KEY in kept:
        chosen["data_dir"] = kept[_KEY]
    loaded = settings.load(**chosen)
    if not loaded.data_dir.is_absolute():
        loaded = settings.load(**{**chosen, "data_dir": loaded.data_dir.absolute()})
    _quiet(loaded)
    return loaded


def _quiet(loaded: Settings) -> None:
    """What a command prints is its answer; the log of what it calls appears only when asked for."""
    logs.configure(loaded, role="cli")
    if loaded.log_level != "debug":
        logging.getLogger().setLevel(logging.WARNING)
