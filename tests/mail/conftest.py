"""Letters to queue, and real SMTP servers that take, refuse or drop them."""

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from sqlalchemy import select, update

from atelier.contracts.outbox import OutboxRow
from atelier.kernel import clock
from atelier.kernel.database import Database, matched
from atelier.kernel.ids import new_id
from atelier.kernel.keyring import Keyring
from atelier.kernel.settings import Settings
from atelier.mail import delivery, queue
from atelier.mail.mailers import Mailer
from atelier.mail.models import Email
from atelier.mail.queue import Claimed, Letter
from tests.servers import free_port

SECRET = "b6a0f3d29c814e57a1c3e8d7f0925b64c7de1a8f0a5b7c9e1d3f2a4b6c8d0e1f"
KEYRING = Keyring.of(SECRET)
NOW_MS = 1_790_000_000_000


def letter(**changes: Any) -> Letter:
    """A letter that asks Mei to prove her address."""
    typed: dict[str, Any] = {
        "email_id": new_id(),
        "template": "verify_email",
        "ref": new_id(),
        "user_id": new_id(),
        "recipient": "mei@example.com",
        "locale": "zh",
        "context": {"name": "mei"},
        **changes,
    }
    return Letter(**typed)


def claimed(**changes: Any) -> Claimed:
    """The same, ready to be sent."""
    return Claimed(letter=letter(**changes), attempt=1, created_ms=NOW_MS)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a development role; overrides win."""

    def make(**overrides: Any) -> Settings:
        chosen: dict[str, Any] = {
            "data_dir": tmp_path / "data",
            "jwt_secret": SECRET,
            "frontend_urls": "https://shop.test",
            **overrides,
        }
        return Settings(**chosen)

    return make


@dataclass(frozen=True)
class Office:
    """The queue of e-mails on the test's database."""

    db: Database
    settings: Settings

    def queued(self, **changes: Any) -> Letter:
        """A letter that waits to be sent."""
        made = letter(**changes)
        self.db.transact(queue.enqueue, letter=made, now_ms=NOW_MS)
        return made

    def deliver(self, one: Letter, mailer: Mailer) -> str:
        """What a worker does."""
        return delivery.deliver(self.db, mailer=mailer, settings=self.settings, email_id=one.email_id)

    def state(self, one: Letter) -> tuple[str, int, str | None]:
        """State, attempts and error."""
        found = select(Email.state, Email.attempts, Email.error).where(Email.id == one.email_id)
        row = self.db.read(lambda session: session.execute(found).one())
        return row.state, row.attempts, row.error

    def messages(self) -> list[str]:
        """The e-mails that the outbox names, in order."""
        rows = self.db.read(lambda session: session.scalars(select(OutboxRow.message).order_by(OutboxRow.id)).all())
        return [json.loads(row)["emailId"] for row in rows]

    def waits_ms(self) -> list[int]:
        """How long the messages of the outbox still wait."""
        waits = select(OutboxRow.available_ms - clock.db_now_ms()).order_by(OutboxRow.id)
        return list(self.db.read(lambda session: session.scalars(waits).all()))

    def let_pass(self, wait_ms: int) -> None:
        """Make everything so much older."""
        older = update(Email).values(due_ms=Email.due_ms - wait_ms)
        self.db.transact(matched, older)


@pytest.fixture
def office(db: Database, config: Callable[..., Settings]) -> Office:
    """With the default settings."""
    return Office(db, config())


@dataclass
class Handler:
    """What a server does with what it is given: `answers` are the replies to DATA, one each, then 250."""

    answers: list[str] = field(default_factory=list[str])
    recipient_answer: str = "250 OK"
    received: list[Envelope] = field(default_factory=list[Envelope])
    encrypted: list[bool] = field(default_factory=list[bool])
    passwords: list[bytes] = field(default_factory=list[bytes])

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take or refuse the recipient."""
        if self.recipient_answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Take, refuse or drop the message."""
        answer = self.answers.pop(0) if self.answers else "250 OK"
        transport = server.transport
        assert isinstance(transport, asyncio.Transport)
        if answer == "drop":
            transport.abort()
            return "250 nobody hears this"
        if answer.startswith("2"):
            self.received.append(envelope)
            self.encrypted.append(transport.get_extra_info("ssl_object") is not None)
        return answer

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        """Everyone whose password is `p@ss word` may send."""
        self.passwords.append(data.password)
        return AuthResult(success=data.password == b"p@ss word", handled=False)


@dataclass
class Server:
    """A running server and what it was given."""

    port: int
    handler: Handler


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an SMTP server on a free port; keyword arguments go to aiosmtpd."""
    with contextlib.ExitStack() as stack:

        def start(handler: Handler | None = None, **options: Any) -> Server:
            taking = handler or Handler()
            controller = Controller(taking, hostname="127.0.0.1", port=free_port(), **options)
            controller.start()
            stack.callback(controller.stop, no_assert=True)
            return Server(controller.port, taking)

        yield start


@dataclass
class Certificate:
    """A certificate for 127.0.0.1 that only `client` trusts."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Made once by openssl."""
    folder = tmp_path_factory.mktemp("certificate")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return Certificate(server, ssl.create_default_context(cafile=str(cert)))
