"""`atelier llm`: the language model as a server of its own, in OpenAI's protocol."""

import secrets

import click

from atelier.cli import models, options, ports
from atelier.cli.console import Stop, line
from atelier.cli.words import say
from atelier.providers import local_llm


@click.command(
    "llm",
    help=say(
        "Serve the language model of this machine until Ctrl-C. ATELIER_LLM_KEY is its key; without, one is made.",
        zh="在前台运行本机语言模型，Ctrl-C 结束。密钥由 ATELIER_LLM_KEY 指定，未指定时自动生成。",
    ),
)
@click.option("--host", default=ports.LOOPBACK, show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help=say("0: any free one", zh="0 表示任意空闲端口"))
@options.data_dir_option
def command(host: str, port: int) -> None:
    """Serve in the foreground."""
    settings = options.load()
    if not models.usable(settings):
        raise Stop(f"{local_llm.MODEL}: {models.state(settings)}")
    key = settings.llm_key.get_secret_value()
    chosen = ports.check(host, port)
    line(f"http://{host}:{chosen}/v1")
    if not key:
        key = secrets.token_urlsafe(24)
        line(say(f"key {key}", zh=f"密钥 {key}"))
    local_llm.serve(local_llm.weights_path(settings.data_dir), host=host, port=chosen, api_key=key)
