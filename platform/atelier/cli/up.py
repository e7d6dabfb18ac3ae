"""`atelier up`: every role on this machine, until Ctrl-C."""

import asyncio
import time
from pathlib import Path
from shlex import quote
from typing import Final

import click
from rich.cells import cell_len
from rich.text import Text

from atelier.cli import models, occupancy, options, plan
from atelier.cli.console import OUT, line
from atelier.cli.plan import Plan
from atelier.cli.running import Interrupted, Platform, running
from atelier.cli.words import say

_TITLE_WIDTH: Final = 12


@click.command(
    "up",
    help=say(
        "Run every role until Ctrl-C: on SQLite and an embedded Valkey, or on the servers that DATABASE_URL, REDIS_URL"
        " and BROKER_URL name.",
        zh="在本机运行全部角色，Ctrl-C 结束。默认使用 SQLite 和内置 Valkey；"
        "设置 DATABASE_URL、REDIS_URL、BROKER_URL 则使用相应的服务器。",
    ),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=say(
        "Port of the API, 0 for any free one. PORT names it too; else 8000.", zh="API 端口，0 表示任意；默认 8000。"
    ),
)
@click.option(
    "--host", help=say("Address to listen on; else 127.0.0.1, this machine only.", zh="监听地址，默认 127.0.0.1。")
)
@click.option("--verbose", "-v", is_flag=True, help=say("Show what every role prints.", zh="显示所有角色的日志。"))
@options.data_dir_option
def command(*, port: int | None, host: str | None, verbose: bool) -> None:
    """Serve until told to stop."""
    settings = options.load(port=port, host=host, **({"log_format": "console"} if verbose else {}))
    with occupancy.occupied(settings.data_dir):
        asyncio.run(_serve(plan.make(settings), verbose=verbose))


async def _serve(planned: Plan, *, verbose: bool) -> None:
    try:
        with OUT.status(say("Starting…", zh="正在启动…")) as status:
            async with running(planned, verbose=verbose) as platform:
                status.stop()
                welcome(platform)
                await platform.stopping.wait()
                line(say("Stopping…", zh="正在停止…"))
                began = time.monotonic()
    except Interrupted:
        line(say("Stopped before it was ready.", zh="在就绪之前已停止。"))
        return
    line(say(f"Stopped in {time.monotonic() - began:.1f} s.", zh=f"已停止，用时 {time.monotonic() - began:.1f} 秒。"))


def welcome(platform: Platform) -> None:
    """Say where everything is."""
    planned = platform.plan
    seconds = f"{platform.seconds_to_ready:.1f}"
    line(say(f"Atelier is ready after {seconds} s.", zh=f"创意工作坊已就绪，用时 {seconds} 秒。"), style="bold green")
    for title, value in _facts(planned) + _sign_in(platform):
        # A Chinese character takes two columns.
        padded = f"  {title}{' ' * (_TITLE_WIDTH - cell_len(title))}"
        OUT.print(Text.assemble((padded, "bold"), value), soft_wrap=True)
    line(say("Ctrl-C stops everything.", zh="按 Ctrl-C 停止。"), style="dim")


def _facts(planned: Plan) -> list[tuple[str, str]]:
    login = planned.flower_login
    password = f"{login.name} / {login.password}" if login else "ATELIER_FLOWER_AUTH"
    state = models.MODEL_NAME if planned.model_health else planned.settings.llm_url or models.state(planned.settings)
    return [
        ("API", planned.address),
        (say("Docs", zh="文档"), f"{planned.address}/docs"),
        ("Flower", f"{planned.flower}   {password}"),
        (say("Metrics", zh="指标"), planned.metrics),
        (say("Data", zh="数据"), f"{planned.settings.data_dir}"),
        (say("Logs", zh="日志"), f"{planned.settings.data_dir / 'logs'}"),
        (say("Model", zh="语言模型"), state),
        (say("Payments", zh="支付"), _payments(planned)),
    ]


def _payments(planned: Plan) -> str:
    if planned.sandbox:
        return say(f"sandbox at {planned.sandbox}", zh=f"沙箱 {planned.sandbox}")
    settings = planned.settings
    named = [name for name, own in (("alipay", settings.alipay_app_id), ("wechat", settings.wechat_mchid)) if own]
    return ", ".join(named) or say("none", zh="未配置")


def _sign_in(platform: Platform) -> list[tuple[str, str]]:
    data_dir = platform.plan.settings.data_dir
    where = "" if data_dir == Path(".atelier").absolute() else f" --data-dir {quote(str(data_dir))}"
    create = f"atelier users create you@example.com --username you{where}"
    rows = [(say("New user", zh="新建用户"), create)]
    if platform.admin:
        signs_in = f"{platform.admin.name} / {platform.admin.password}"
        rows.insert(0, (say("Sign in", zh="管理员登录"), signs_in))
    return rows
