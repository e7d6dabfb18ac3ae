"""Writing e-mails: plain text and HTML, in the user's language, the same bytes each time for the same row."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage, Message
from email.policy import SMTP, Policy
from email.utils import format_datetime, parseaddr

import jinja2
from typing_extensions import override

from atelier.kernel.settings import Settings
from atelier.mail import links
from atelier.mail.queue import Claimed, Letter

SUBJECTS = {
    "verify_email": {"zh": "请验证您的邮箱", "en": "Please verify your e-mail address"},
    "reset_password": {"zh": "重置您的密码", "en": "Choose a new password"},
    "password_changed": {"zh": "您的密码已更改", "en": "Your password was changed"},
}
LOCALES = ("zh", "en")


class _OneLine(UnstructuredHeader, BaseHeader):
    """A header that stays one line: a long address would be folded into encoded words, which no machine follows."""

    @override
    def fold(self, *, policy: "Policy[Message[str, str]]") -> str:
        """The header as it is sent."""
        return f"{self.name}: {self}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", _OneLine)
POLICY = SMTP.clone(header_factory=_headers)

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("atelier.mail"),
    autoescape=jinja2.select_autoescape(("html",), default=False),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def message_id(settings: Settings, *, email_id: str) -> str:
    """The same for every attempt, so that a mailbox that got two copies can tell."""
    _, sender = parseaddr(settings.mail_from)
    return f"<{email_id}@{sender.partition('@')[2] or 'atelier.invalid'}>"


def compose(claimed: Claimed, *, settings: Settings) -> EmailMessage:
    """The whole message. Links carry tokens, so the message is never stored in the database nor logged."""
    letter = claimed.letter
    locale = letter.locale if letter.locale in LOCALES else LOCALES[0]
    unsubscribe = _unsubscribe(letter, settings)
    values = {
        **letter.context,
        "locale": locale,
        "subject": _subject(letter, locale),
        "unsubscribe": unsubscribe,
        "link": links.link(settings, template=letter.template, ref=letter.ref, kid=letter.context.get("kid")),
        "home": links.front_end(settings),
    }
    name, sender = parseaddr(settings.mail_from)
    message = EmailMessage(policy=POLICY)
    message["From"] = Address(name, addr_spec=sender)
    message["To"] = Address(addr_spec=letter.recipient)
    message["Subject"] = values["subject"]
    message["Date"] = format_datetime(datetime.fromtimestamp(claimed.created_ms / 1000, UTC))
    message["Message-ID"] = message_id(settings, email_id=letter.email_id)
    message["Auto-Submitted"] = "auto-generated"
    if unsubscribe:
        # RFC 8058: whoever reads mail for the user may send a POST there when they say that they want no more.
        message["List-Unsubscribe"] = f"<{unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(_render(letter.template, locale, "txt", values))
    message.add_alternative(_render(letter.template, locale, "html", values), subtype="html")
    message["Content-Language"] = locale
    # The boundary would be random otherwise, and two attempts would differ.
    message.set_boundary(f"=_{letter.email_id}")
    return message


def _subject(letter: Letter, locale: str) -> str:
    if letter.template in SUBJECTS:
        return SUBJECTS[letter.template][locale]
    # A header is one line, whoever wrote it.
    return " ".join(str(letter.context["title"]).split())


def _unsubscribe(letter: Letter, settings: Settings) -> str | None:
    category = letter.context.get("unsubscribe")
    return links.unsubscribe(settings, user_id=letter.user_id, category=category) if category else None


def _render(template: str, locale: str, kind: str, values: Mapping[str, object]) -> str:
    return _templates.get_template(f"{template}.{locale}.{kind}").render(values)
