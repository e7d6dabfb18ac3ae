"""`atelier sandbox`: both payment gateways on this machine, with keys and books of their own."""

import os
import shlex
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

import click

from atelier.cli import options, ports
from atelier.cli.console import ERR, Unusable
from atelier.cli.words import say
from atelier.gateways import sandbox_identity

PORT: Final = 8600


@click.command(
    "sandbox",
    help=say(
        "Run Alipay and WeChat Pay as a sandbox on this machine until Ctrl-C, and print the settings of a merchant of"
        " theirs as export lines. `atelier up` runs one by itself, where no gateways are named.",
        zh="在本机运行支付宝和微信支付沙箱，Ctrl-C 结束；并以 export 形式输出对应商户的配置。"
        "未配置支付网关时，`atelier up` 会自动运行沙箱。",
    ),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help=say("Its port, 0 for any free one.", zh="端口，0 表示任意。"),
)
@click.option(
    "--settings",
    "only_settings",
    is_flag=True,
    help=say("Print the settings and run nothing.", zh="仅输出配置，不运行。"),
)
@options.data_dir_option
def command(*, port: int, only_settings: bool) -> None:
    """Become the sandbox."""
    settings = options.load()
    if settings.environment == "production" or find_spec("sandbox") is None:
        raise Unusable(say("A sandbox is nothing for production", zh="生产环境不能使用沙箱"))
    folder = settings.data_dir / "sandbox"
    chosen = port if only_settings and port else ports.check(ports.LOOPBACK, port)
    url = ports.address(ports.LOOPBACK, chosen)
    for line in exports(sandbox_identity.settings(sandbox_identity.kept(folder), url=url)):
        click.echo(line)
    if only_settings:
        return
    ERR.print(
        say(f"The sandbox is at {url}; Ctrl-C stops it.", zh=f"沙箱地址：{url}，按 Ctrl-C 停止。"), soft_wrap=True
    )
    sys.stdout.flush()
    # What is in the folder that somebody stands in must not take the place of the package.
    os.environ["PYTHONSAFEPATH"] = "1"
    arguments = [sys.executable, "-m", "sandbox", "--data-dir", str(folder), "--port", str(chosen)]
    os.execv(sys.executable, arguments)  # noqa: S606 - no shell, and nothing of this process is needed any more


def exports(settings: Mapping[str, str]) -> list[str]:
    """The lines that a shell takes, keys of several lines in quotes."""
    return [f"export ATELIER_{name.upper()}={shlex.quote(value)}" for name, value in settings.items()]
