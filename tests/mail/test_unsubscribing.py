"""Letters about notifications: what they say, and the way to get no more of them."""

import email
import re
from collections.abc import Callable
from email import policy
from typing import Any

import pytest

from atelier.kernel import clock
from atelier.kernel.ids import new_id
from atelier.kernel.keyring import Keyring
from atelier.kernel.settings import Settings
from atelier.mail import compose, delivery, links
from atelier.mail.mailers import SmtpMailer
from tests.mail.conftest import KEYRING, SECRET, Handler, Office, Serve, claimed
from tests.mail.test_compose import texts
from tests.notifications.town import Town

Config = Callable[..., Settings]
NAME = "<img src=x onerror=alert(1)>"
TEMPLATES = (*sorted(compose.SUBJECTS), "notification")


def context(**changes: Any) -> dict[str, Any]:
    """What fills the template."""
    return {"name": "mei", "title": "您收到一个项目邀请", "text": "李雷邀请您。", "unsubscribe": "projects", **changes}


@pytest.mark.parametrize("locale", compose.LOCALES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_what_users_write_is_text_in_every_page(config: Config, template: str, locale: str) -> None:
    written = context(name=NAME, title=NAME, text=f"{NAME} ]]> &")
    _, plain, page = texts(config(), template=template, locale=locale, context=written)
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert NAME in plain


@pytest.mark.parametrize("locale", compose.LOCALES)
def test_one_click_is_enough(config: Config, locale: str) -> None:
    mei = new_id()
    settings = config(public_url="https://api.test/")
    message, plain, page = texts(settings, template="notification", user_id=mei, locale=locale, context=context())
    address = message["List-Unsubscribe"].removeprefix("<").removesuffix(">")
    assert message["List-Unsubscribe"] == f"<{address}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert address.startswith("https://api.test/api/notifications/unsubscribe?token=")
    assert address in plain
    assert address in page
    assert links.unsubscribed(KEYRING, address.partition("=")[2]) == (mei, "projects")


def test_the_address_is_readable_for_machines_that_know_no_encoded_words(config: Config) -> None:
    settings = config(public_url=f"https://{'long.' * 20}test")
    sent = compose.compose(
        claimed(template="notification", user_id=new_id(), context=context()), settings=settings
    ).as_bytes()
    raw = sent.partition(b"\r\n\r\n")[0]
    assert b"=?" not in raw.partition(b"List-Unsubscribe:")[2].partition(b"List-Unsubscribe-Post:")[0]
    unfolded = re.sub(rb"\r\n[ \t]", b" ", raw)
    assert re.search(rb"^List-Unsubscribe: ?<https://(long\.){20}test/api/\S+>\r$", unfolded, re.MULTILINE)
    assert email.message_from_bytes(sent, policy=policy.default)["List-Unsubscribe"].count("<") == 1


def test_what_is_about_the_account_itself_can_not_be_ended_by_a_link(config: Config) -> None:
    message, plain, page = texts(config(), template="notification", context=context(unsubscribe=None))
    assert message["List-Unsubscribe"] is None
    assert "unsubscribe" not in plain + page
    verifying, _, _ = texts(config())
    assert verifying["List-Unsubscribe"] is None


def test_a_subject_is_one_line(config: Config) -> None:
    message, _, _ = texts(
        config(), template="notification", context=context(title="邀请\r\nBcc: all@example.com\u2028x")
    )
    assert message["Bcc"] is None
    assert message["Subject"] == "邀请 Bcc: all@example.com x"


@pytest.mark.parametrize("spoil", ["cut", "other user", "other category", "other secret", "empty", "dots", "surrogate"])
def test_only_our_own_tokens_mean_anything(config: Config, spoil: str) -> None:
    mei = new_id()
    address = links.unsubscribe(config(), user_id=mei, category="sales")
    token = address.partition("?token=")[2]
    assert links.unsubscribed(KEYRING, token) == (mei, "sales")
    keyring = Keyring.of(SECRET[::-1]) if spoil == "other secret" else KEYRING
    spoiled = {
        "cut": token[:-1],
        "other user": token.replace(mei, new_id()),
        "other category": token.replace("sales", "agents"),
        "empty": "",
        "dots": "..",
        "surrogate": "\ud800.sales.x",
    }.get(spoil, token)
    assert links.unsubscribed(keyring, spoiled) is None


def test_a_notification_is_mailed_once_however_often_it_is_told_and_the_server_fails(
    office: Office, serve: Serve
) -> None:
    server = serve(Handler(answers=["451 later", "drop"]))
    town = Town(office.db, office.settings)
    mei = town.person(settings={"notifications": {"projects": {"live": False}}})
    told = town.told(mei, "project_invitation")
    assert town.deliver(told) is None
    (row,) = town.emails(mei)
    mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
    outcomes: list[str] = []
    for _ in range(4):
        sent = delivery.deliver(office.db, mailer=mailer, settings=office.settings, email_id=row.id)
        outcomes.append(sent)
        office.let_pass(clock.HOUR_MS)
    assert outcomes == ["later", "later", "sent", "not ours"]
    (envelope,) = server.handler.received
    assert isinstance(envelope.content, bytes)
    assert envelope.content.count(b"\r\nList-Unsubscribe: <") == 1
    assert re.search(rb"\r\nList-Unsubscribe: <http\S+>\r\n", envelope.content)
