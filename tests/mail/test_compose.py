"""What e-mails say."""

import re
from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest

from atelier.kernel import tokens
from atelier.kernel.settings import Settings
from atelier.mail import compose, links
from tests.mail.conftest import KEYRING, claimed

Config = Callable[..., Settings]


def texts(settings: Settings, **changes: Any) -> tuple[EmailMessage, str, str]:
    """The message as it arrives, its plain text and its page."""
    sent = compose.compose(claimed(**changes), settings=settings).as_bytes()
    message = BytesParser(policy=policy.default).parsebytes(sent)
    plain, page = message.get_body(("plain",)), message.get_body(("html",))
    assert plain
    assert page
    return message, plain.get_content(), page.get_content()


@pytest.mark.parametrize("locale", compose.LOCALES)
@pytest.mark.parametrize("template", sorted(compose.SUBJECTS))
def test_every_template_exists_in_every_language(config: Config, template: str, locale: str) -> None:
    message, plain, page = texts(config(), template=template, locale=locale, ref="r")
    link = links.link(config(), template=template, ref="r")
    for text in (plain, page):
        assert "mei" in text
        assert (link or "https://shop.test") in text
        assert "{" not in text.partition("</style>")[2]
        assert bool(re.search("[\u4e00-\u9fff]{4}", text.replace("创意工作坊", ""))) is (locale == "zh")
    assert message["Subject"] == compose.SUBJECTS[template][locale]
    assert (message["To"], message["Auto-Submitted"]) == ("mei@example.com", "auto-generated")


def test_a_link_carries_the_token_of_its_cause(config: Config) -> None:
    _, plain, _ = texts(config(), ref="cause")
    link = re.search(r"https://\S+", plain)
    assert link
    token = tokens.derived(KEYRING.current, "mail:verify_email", "cause")
    assert link[0] == f"https://shop.test/verify-email?token={token}"
    assert token != links.token(KEYRING.current, template="reset_password", ref="cause")


@pytest.mark.parametrize(
    ("chosen", "home"),
    [
        ({"frontend_urls": "https://a.test/,https://b.test"}, "https://a.test"),
        ({"frontend_urls": "", "public_url": "https://api.test/"}, "https://api.test"),
        ({"frontend_urls": "", "host": "127.0.0.1", "port": 8123}, "http://127.0.0.1:8123"),
    ],
)
def test_links_lead_to_where_users_are(config: Config, chosen: dict[str, Any], home: str) -> None:
    assert links.front_end(config(**chosen)) == home


def test_names_are_text_in_pages_and_no_headers(config: Config) -> None:
    name = "<img src=x onerror=alert(1)>&\r\nBcc: all@example.com"
    message, plain, page = texts(config(), context={"name": name})
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;" in page
    assert "<img" in plain
    assert message["Bcc"] is None


def test_an_address_can_not_smuggle_a_header(config: Config) -> None:
    with pytest.raises(ValueError, match="CR"):
        texts(config(), recipient="mei@example.com\r\nBcc: all@example.com")


def test_the_same_row_makes_the_same_bytes(config: Config) -> None:
    same = claimed()
    first, second = (compose.compose(same, settings=config()).as_bytes() for _ in range(2))
    assert first == second
    assert f"<{same.letter.email_id}@atelier.invalid>" == compose.message_id(config(), email_id=same.letter.email_id)


def test_an_unknown_language_is_chinese(config: Config) -> None:
    message, _, _ = texts(config(), locale="fr")
    assert message["Content-Language"] == "zh"


def test_a_sender_may_have_a_chinese_name(config: Config) -> None:
    message, _, _ = texts(config(mail_from="创意工作坊 <hi@shop.test>"))
    assert message["From"] == "创意工作坊 <hi@shop.test>"
    assert message["Message-ID"].endswith("@shop.test>")
