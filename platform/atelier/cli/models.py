"""`atelier models`: the language model that runs on this machine."""

from typing import Final

import click
from rich import box
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from atelier.cli import options
from atelier.cli.console import OUT, line
from atelier.cli.words import say
from atelier.kernel.settings import Settings
from atelier.providers import local_llm

MODEL_NAME: Final = "SmolLM2-135M-Instruct"
_STEPS: Final = {
    "download": lambda: say("downloading", zh="下载"),
    "unpack": lambda: say("unpacking", zh="解压"),
    "ready": lambda: say("ready", zh="完成"),
}


@click.group("models", help=say("Models that run on this machine.", zh="本机运行的模型。"))
@options.data_dir_option
def command() -> None:
    """The commands that follow."""


@command.command("list", help=say("Which models there are, and whether they can run here.", zh="列出模型及其状态。"))
@options.data_dir_option
def listing() -> None:
    """List the models."""
    settings = options.load()
    table = Table(box=box.SIMPLE_HEAD)
    for title in (say("Model", zh="模型"), say("Size", zh="大小"), say("State", zh="状态")):
        table.add_column(title, overflow="fold")
    table.add_row(local_llm.MODEL, "98 MB", state(settings))
    OUT.print(table)


@command.command("fetch", help=say("Fetch a model into the data directory.", zh="将模型下载到数据目录。"))
@click.argument("name", type=click.Choice([local_llm.MODEL]))
@options.data_dir_option
def fetch(name: str) -> None:
    """Fetch the weights and say where they are."""
    fetch_shown(options.load())
    line(state(options.load()) if name == local_llm.MODEL else name)


def fetch_shown(settings: Settings) -> None:
    """Fetch the weights with a progress bar. Raises WeightsUnavailable."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=OUT, transient=True) as bars:
        bar = bars.add_task(local_llm.MODEL, total=1.0)

        def show(share: float, step: str) -> None:
            bars.update(bar, completed=share, description=f"{local_llm.MODEL}: {_STEPS[step]()}")

        local_llm.fetch_weights(settings.data_dir, show)


def state(settings: Settings) -> str:
    """In a few words, whether the model can run here, and if not, what is missing."""
    if not local_llm.cpu_can_serve():
        return say(
            "this processor can't run it (AVX2, FMA and F16C are needed)", zh="处理器不支持（需要 AVX2、FMA、F16C）"
        )
    if not local_llm.have_weights(settings.data_dir):
        return say("not fetched: `atelier models fetch smollm2`", zh="未下载：`atelier models fetch smollm2`")
    if not local_llm.engine_installed():
        return say("its engine is not installed: `make .venv/stamps/llm`", zh="未安装推理引擎：`make .venv/stamps/llm`")
    where = local_llm.weights_path(settings.data_dir)
    return say(f"ready: {where}", zh=f"可用：{where}")


def usable(settings: Settings) -> bool:
    """Whether the model can run here, now."""
    return local_llm.cpu_can_serve() and local_llm.have_weights(settings.data_dir) and local_llm.engine_installed()
