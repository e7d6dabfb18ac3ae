"""`atelier users`: what the operator does to accounts."""

import click

from atelier.cli import options
from atelier.cli.console import line
from atelier.cli.opened import opened
from atelier.cli.words import say
from atelier.onboarding import operator


@click.group("users", help=say("Accounts.", zh="账号管理。"))
@options.data_dir_option
def command() -> None:
    """The commands that follow."""


@command.command(
    "create",
    help=say("Create a user whose address counts as verified.", zh="创建用户，邮箱视为已验证。"),
)
@click.argument("email")
@click.option("--username", required=True, help=say("3 to 50 letters, digits, _", zh="3 至 50 个字母、数字或下划线"))
@click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help=say("At least 8 characters; asked for when left out.", zh="至少 8 个字符；省略时会询问。"),
)
@click.option("--role", type=click.Choice(operator.ROLES), default="user", show_default=True)
@click.option(
    "--credits",
    "amount",
    type=click.IntRange(0, operator.AMOUNT_MAX),
    default=0,
    show_default=True,
    help=say("Credits to start with.", zh="初始积分。"),
)
@options.data_dir_option
def create(email: str, *, username: str, password: str, role: str, amount: int) -> None:
    """Create one user."""
    with opened(options.load()) as database:
        user_id = operator.create_user(
            database, email=email, username=username, password=password, role=role, amount=amount
        )
    line(
        say(
            f"Created {role} {username} <{email}> with {amount} credits: {user_id}",
            zh=f"已创建 {role} {username} <{email}>，积分 {amount}：{user_id}",
        )
    )
