"""The queue of e-mails and the two ways out, against real SMTP servers."""

import socket
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.message import EmailMessage

import pytest
from sqlalchemy.exc import IntegrityError

from atelier.kernel import clock
from atelier.kernel.addresses import SENDER_DOMAIN_CHARS
from atelier.kernel.errors import NotFound
from atelier.kernel.settings import BadSettings, Settings
from atelier.mail import compose, delivery, mailbox, mailers, queue
from atelier.mail.errors import MailUnavailable
from atelier.mail.mailers import SmtpMailer
from atelier.mail.queue import Claimed
from tests.mail.conftest import NOW_MS, Certificate, Handler, Office, Serve, claimed

Config = Callable[..., Settings]


def message(config: Config) -> EmailMessage:
    """Something to send."""
    return compose.compose(claimed(), settings=config())


# -- the queue


def test_a_queued_letter_leaves_with_its_transaction(office: Office) -> None:
    letter = office.queued()
    assert office.messages() == [letter.email_id]
    assert office.state(letter) == ("queued", 0, None)


def test_there_is_one_letter_per_cause(office: Office) -> None:
    office.queued(ref="cause")
    with pytest.raises(IntegrityError):
        office.queued(ref="cause")
    office.queued(ref="cause", template="reset_password")
    assert len(office.messages()) == 2


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_a_letter_of_the_longest_sender_is_sent_once(office: Office, config: Config) -> None:
    """What was sent is written down with its Message-ID, which fits its column whatever sender the settings take."""
    labels = ".".join(["a" * 63, "b" * SENDER_DOMAIN_CHARS])
    chosen = config(mail_from=f"创意工作坊 <hi@{labels[:SENDER_DOMAIN_CHARS]}>")
    letter, mailer = office.queued(), mailers.choose(chosen)
    assert replace(office, settings=chosen).deliver(letter, mailer) == "sent"
    assert office.state(letter) == ("sent", 1, None)


def test_parallel_claims_find_one_sender(office: Office) -> None:
    letter = office.queued()

    def claim(_n: int) -> Claimed | None:
        return office.db.transact(queue.claim, email_id=letter.email_id)

    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(claim, range(8)))
    assert sum(one is not None for one in claims) == 1


def test_a_letter_of_a_dead_sender_is_sent_by_another_and_only_that_one_settles(office: Office) -> None:
    letter, db = office.queued(), office.db
    dead = db.transact(queue.claim, email_id=letter.email_id)
    assert dead
    assert db.transact(queue.claim, email_id=letter.email_id) is None
    assert db.transact(queue.requeue_overdue, now_ms=NOW_MS) == 0
    office.let_pass(5 * clock.MINUTE_MS)
    assert db.transact(queue.requeue_overdue, now_ms=NOW_MS) == 1
    assert db.transact(queue.requeue_overdue, now_ms=NOW_MS) == 0
    assert office.messages() == [letter.email_id] * 2
    heir = db.transact(queue.claim, email_id=letter.email_id)
    assert heir
    assert not db.transact(queue.settle_failed, email_id=letter.email_id, attempt=dead.attempt, error="")
    assert not db.transact(
        queue.settle_later, email_id=letter.email_id, attempt=dead.attempt, error="", wait_ms=1, now_ms=NOW_MS
    )
    assert db.transact(
        queue.settle_sent, email_id=letter.email_id, attempt=heir.attempt, message_id="<x>", now_ms=NOW_MS
    )
    assert office.state(letter) == ("sent", 2, None)
    assert len(office.messages()) == 2


def test_a_lost_message_is_sent_again(office: Office) -> None:
    letter = office.queued()
    assert office.db.transact(queue.requeue_overdue, now_ms=NOW_MS) == 0
    office.let_pass(5 * clock.MINUTE_MS)
    assert office.db.transact(queue.requeue_overdue, now_ms=NOW_MS) == 1
    assert office.messages() == [letter.email_id] * 2
    assert office.db.transact(queue.claim, email_id=letter.email_id)


# -- the mailbox


def test_the_mailbox_keeps_whole_private_files(office: Office) -> None:
    mailer = mailers.choose(office.settings)
    letters = [office.queued(), office.queued(recipient="li@example.com", locale="en", template="reset_password")]
    for letter in letters:
        assert office.deliver(letter, mailer) == "sent"
        assert office.deliver(letter, mailer) == "not ours"
    place = mailbox.folder(office.settings)
    newest, oldest = mailbox.listing(place)
    assert (newest.recipient, newest.subject) == ("li@example.com", "Choose a new password")
    assert oldest.name == letters[0].email_id
    assert mailbox.listing(place, recipient="MEI@example.com") == [oldest]
    assert mailbox.read(place, name=oldest.name) == oldest
    assert "https://shop.test/verify-email?token=" in oldest.text
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
    assert len(list(place.iterdir())) == 2


@pytest.mark.parametrize("name", ["", "0", "../secret", "*"])
def test_the_mailbox_has_nothing_else(config: Config, name: str) -> None:
    place = mailbox.folder(config())
    assert mailbox.listing(place) == []
    with pytest.raises(NotFound):
        mailbox.read(place, name=name)


# -- SMTP


def test_a_message_arrives_whole(office: Office, serve: Serve) -> None:
    server, letter = serve(), office.queued()
    mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
    assert office.deliver(letter, mailer) == "sent"
    (envelope,) = server.handler.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@atelier.invalid", ["mei@example.com"])
    assert isinstance(envelope.content, bytes)
    assert f"Message-ID: <{letter.email_id}@atelier.invalid>".encode() in envelope.content
    assert office.state(letter) == ("sent", 1, None)


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (lambda: Handler(answers=["451 later"]), "SMTP 451"),
        (lambda: Handler(answers=["drop"]), "SMTPServerDisconnected"),
        (lambda: Handler(recipient_answer="450 greylisted"), "SMTP 450"),
    ],
    ids=["busy", "drops", "greylists"],
)
def test_a_server_that_can_not_now_is_asked_again(
    office: Office, serve: Serve, handler: Callable[[], Handler], error: str
) -> None:
    server, letter = serve(handler()), office.queued()
    mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
    assert office.deliver(letter, mailer) == "later"
    assert office.state(letter) == ("queued", 1, error)
    assert 25_000 < office.waits_ms()[1] <= 30_000
    server.handler.recipient_answer = "250 OK"
    assert office.deliver(letter, mailer) == "sent"
    assert len(server.handler.received) == 1


@pytest.mark.parametrize(
    "handler",
    [lambda: Handler(answers=["554 no"]), lambda: Handler(recipient_answer="550 no such mailbox")],
    ids=["message", "recipient"],
)
def test_a_refusal_is_final(office: Office, serve: Serve, handler: Callable[[], Handler]) -> None:
    server, letter = serve(handler()), office.queued()
    mailer = SmtpMailer(f"smtp://127.0.0.1:{server.port}")
    assert office.deliver(letter, mailer) == "failed"
    found = office.state(letter)
    assert found[:2] == ("failed", 1)
    assert office.deliver(letter, mailer) == "not ours"
    assert office.messages() == [letter.email_id]


def test_a_server_that_is_away_is_given_up_after_ten_attempts(office: Office) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        mailer = SmtpMailer(f"smtp://127.0.0.1:{unused.getsockname()[1]}")
        letter = office.queued()
        outcomes = [office.deliver(letter, mailer) for _ in range(11)]
    assert outcomes == ["later"] * 9 + ["failed", "not ours"]
    assert office.state(letter) == ("failed", 10, "ConnectionRefusedError")
    waits = [delivery.wait_ms(attempt) // 1_000 for attempt in range(1, 10)]
    assert waits == [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]


def test_a_server_that_says_nothing_is_left_after_the_timeout(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mailer = SmtpMailer(f"smtp://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        with pytest.raises(MailUnavailable, match="SMTPServerDisconnected"):
            mailer.send(message(config))


@pytest.mark.parametrize("greeting", [b"", b"554 go away\r\n", b"421 busy\r\n", b"\xff\xfe not SMTP\r\n"])
def test_a_server_that_hangs_up_is_asked_again(config: Config, greeting: bytes) -> None:
    def hang_up(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=hang_up, args=(listening,))
        thread.start()
        with pytest.raises(MailUnavailable):
            SmtpMailer(f"smtp://127.0.0.1:{listening.getsockname()[1]}").send(message(config))
        thread.join()


def test_what_can_be_encrypted_is(config: Config, serve: Serve, certificate: Certificate) -> None:
    for scheme, options in (
        ("smtp", {"tls_context": certificate.server}),
        ("smtps", {"ssl_context": certificate.server}),
    ):
        server = serve(**options)
        SmtpMailer(f"{scheme}://127.0.0.1:{server.port}", tls=certificate.client).send(message(config))
        assert server.handler.encrypted == [True]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_of_a_stranger_is_refused(
    config: Config, serve: Serve, certificate: Certificate, scheme: str
) -> None:
    options = {"smtp": "tls_context", "smtps": "ssl_context"}
    server = serve(**{options[scheme]: certificate.server})
    with pytest.raises(MailUnavailable, match="SSL"):
        SmtpMailer(f"{scheme}://127.0.0.1:{server.port}").send(message(config))
    assert server.handler.received == []


def test_passwords_are_unquoted_and_wrong_ones_wait_for_the_operator(
    config: Config, serve: Serve, certificate: Certificate
) -> None:
    handler = Handler()
    server = serve(handler, tls_context=certificate.server, authenticator=handler.authenticate, auth_required=True)
    SmtpMailer(f"smtp://user:p%40ss%20word@127.0.0.1:{server.port}", tls=certificate.client).send(message(config))
    assert handler.passwords == [b"p@ss word"]
    assert len(handler.received) == 1
    with pytest.raises(MailUnavailable, match="535"):
        SmtpMailer(f"smtp://user:wrong@127.0.0.1:{server.port}", tls=certificate.client).send(message(config))
    with pytest.raises(MailUnavailable, match="530"):
        SmtpMailer(f"smtp://127.0.0.1:{server.port}", tls=certificate.client).send(message(config))


@pytest.mark.parametrize(
    "url",
    ["imap://host", "host:25", "smtp://", "smtp://host:x", "smtp://host:99999", "smtps://[::1", "mail.example.com"],
)
def test_an_address_that_is_no_mail_server(url: str) -> None:
    with pytest.raises(BadSettings):
        SmtpMailer(url)
