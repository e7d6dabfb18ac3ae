"""`atelier mailbox`: the e-mails that a server without SMTP has written into a folder."""

import re
from typing import Final

import click
from rich import box
from rich.table import Table
from rich.text import Text

from atelier.cli import options
from atelier.cli.console import OUT, Stop, line
from atelier.cli.words import say
from atelier.mail import mailbox
from atelier.mail.mailbox import Received

_LINK: Final = re.compile(r"https?://[^\s<>]+|/[a-z-]+\?token=[\w-]+")


@click.group(
    "mailbox",
    invoke_without_command=True,
    help=say("E-mails that were written here instead of sent.", zh="查看未外发、保存在本地的邮件。"),
)
@click.option("--to", "recipient", help=say("Only e-mails to this address.", zh="只看发给该地址的邮件。"))
@options.data_dir_option
@click.pass_context
def command(ctx: click.Context, recipient: str | None) -> None:
    """List the e-mails, newest first."""
    if ctx.invoked_subcommand is not None:
        return
    found = _all(recipient)
    if not found:
        line(say("No e-mails.", zh="没有邮件。"))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("#", say("To", zh="收件人"), say("Subject", zh="主题"), say("Date", zh="日期")):
        table.add_column(title, overflow="fold")
    for number, one in enumerate(found, start=1):
        table.add_row(*(Text(cell) for cell in (str(number), one.recipient, one.subject, one.date)))
    OUT.print(table)
    line(say("`atelier mailbox show 1` shows the first.", zh="`atelier mailbox show 1` 查看第一封。"), style="dim")


@command.command("show", help=say("Show the N-th e-mail of the list and its links.", zh="查看列表中的第 N 封邮件。"))
@click.argument("number", type=click.IntRange(min=1), metavar="N")
@options.data_dir_option
@click.pass_context
def show(ctx: click.Context, number: int) -> None:
    """Show one e-mail."""
    recipient: str | None = ctx.parent.params["recipient"] if ctx.parent else None
    found = _all(recipient)
    if number > len(found):
        raise Stop(say(f"There are {len(found)} e-mails", zh=f"只有 {len(found)} 封邮件"))
    one = found[number - 1]
    for title, value in ((say("To", zh="收件人"), one.recipient), (say("Subject", zh="主题"), one.subject)):
        line(f"{title}: {value}", style="bold")
    line("")
    line(one.text.rstrip())
    links = list(dict.fromkeys(_LINK.findall(one.text)))
    if links:
        line("")
        line(say("Links:", zh="链接："), style="bold")
        for link in links:
            line(f"  {link}")


def _all(recipient: str | None) -> list[Received]:
    return mailbox.listing(mailbox.folder(options.load()), recipient=recipient)
