"""The two ways out: an SMTP server, or a folder of .eml files for development."""

import os
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from atelier.kernel.settings import BadSettings, Settings
from atelier.mail.errors import MailRejected, MailUnavailable

TIMEOUT_SECONDS = 20.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
PORTS = {"smtp": 587, "smtps": 465}


class Mailer(Protocol):
    """Sends one message to its only recipient."""

    def send(self, message: EmailMessage) -> None:
        """Hand the message over. Raises MailUnavailable (try again) or MailRejected (never)."""
        ...


def choose(settings: Settings) -> Mailer:
    """The mailer that the settings name. Raises BadSettings for an address that isn't smtp:// or smtps://."""
    return SmtpMailer(settings.mail_url) if settings.mail_url else MailboxMailer(settings.data_dir / "mailbox")


class MailboxMailer:
    """One file per message, complete or absent, readable by its owner only: it holds links that sign in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, message: EmailMessage) -> None:
        """Write `<message id>.eml`; the same message twice is one file."""
        name = message["Message-ID"].strip("<>").partition("@")[0]
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self.folder / f".{name}.{os.getpid()}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())
        unfinished.replace(self.folder / f"{name}.eml")


class SmtpMailer:
    """`smtp://user:password@host:587` (STARTTLS where offered, and required before a password leaves the machine) or
    `smtps://…:465`. One connection per message: e-mails are few, and a kept connection is one more thing that breaks.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, tls: ssl.SSLContext | None = None
    ) -> None:
        self._url = _parsed(url)
        self._timeout = timeout_seconds
        self._tls = tls or ssl.create_default_context()

    def send(self, message: EmailMessage) -> None:
        """As `Mailer.send`. A connection that breaks after the text was sent counts as not sent: two may arrive."""
        try:
            with self._connected() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _refused(max(codes, default=0)) from error
        except smtplib.SMTPDataError as error:
            raise _refused(error.smtp_code) from error
        except smtplib.SMTPResponseException as error:
            # A greeting, a login or a sender that is refused says nothing about this e-mail: the operator can mend it.
            raise MailUnavailable(f"SMTP {error.smtp_code} {type(error).__name__}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailUnavailable(type(error).__name__) from error

    def _connected(self) -> smtplib.SMTP:
        host, port = self._url.hostname or "", self._url.port or PORTS[self._url.scheme]
        if self._url.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=self._timeout, context=self._tls)
        else:
            server = smtplib.SMTP(host, port, timeout=self._timeout)
        try:
            self._secure(server, host)
        except BaseException:
            server.close()
            raise
        return server

    def _secure(self, server: smtplib.SMTP, host: str) -> None:
        server.ehlo_or_helo_if_needed()
        encrypted = self._url.scheme == "smtps"
        if not encrypted and server.has_extn("starttls"):
            server.starttls(context=self._tls)
            encrypted = True
        if not self._url.username:
            return
        if not encrypted and host not in LOOPBACK:
            raise MailUnavailable("the mail server offers no encryption, so the password was not sent")
        server.login(unquote(self._url.username), unquote(self._url.password or ""))


def _refused(code: int) -> MailUnavailable | MailRejected:
    return MailRejected(f"SMTP {code}") if code >= 500 else MailUnavailable(f"SMTP {code}")


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in PORTS and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable:
        raise BadSettings("ATELIER_MAIL_URL must be smtp://user:password@host:port or smtps://…")
    return parts
