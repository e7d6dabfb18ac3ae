"""The group of commands, and what all of them share."""

import importlib
import os
import sys
from typing import Final

import click
from typing_extensions import override

from atelier.cli import failures
from atelier.cli.options import data_dir_option
from atelier.cli.words import say

COMMANDS: Final = (
    *("up", "demo", "doctor", "users", "config", "mailbox", "migrate", "search", "sandbox", "models", "llm"),
)


class Commands(click.Group):
    """Every command is `command` in a module of its own, imported when it is needed."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, the most used first."""
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"atelier.cli.{cmd_name}").command
        return found

    @override
    def invoke(self, ctx: click.Context) -> object:
        """Run the command; whatever goes wrong ends in a sentence."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get("ATELIER_LOG_LEVEL") == "debug":
                raise
            raise failures.as_stop(error) from error


@click.group(
    cls=Commands,
    help=say("Atelier: the backend of an AI creation marketplace.", zh="创意工作坊：AI 创作市场的后端。"),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="atelier", prog_name="atelier")
@data_dir_option
def group() -> None:
    """All commands."""


def main() -> None:
    """The entry point of `atelier`."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows fewer characters than we use shows question marks instead of a traceback.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    group.main(prog_name="atelier")
