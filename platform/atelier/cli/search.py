"""`atelier search`: the index by which agents are found."""

import click

from atelier.catalog import search_upkeep
from atelier.cli import options
from atelier.cli.console import line
from atelier.cli.opened import opened
from atelier.cli.words import say


@click.group("search", help=say("The index by which agents are found.", zh="智能体搜索索引。"))
@options.data_dir_option
def command() -> None:
    """The commands that follow."""


@command.command(
    "rebuild",
    help=say(
        "Make the index anew from the published agents. Searches go on meanwhile; publishing may wait for seconds.",
        zh="根据已发布的智能体重建搜索索引。期间搜索照常进行，发布可能等待数秒。",
    ),
)
@options.data_dir_option
def rebuild() -> None:
    """Make it anew, whatever it is like now."""
    with opened(options.load()) as database:
        count = search_upkeep.rebuild(database, say=_tell)
    line(say(f"{count} agents can be found", zh=f"可搜索的智能体：{count} 个"))


def _tell(done: int, blocks: int) -> None:
    if blocks > 1:
        line(say(f"block {done} of {blocks}", zh=f"第 {done} 块，共 {blocks} 块"))
