"""Sending one e-mail from the queue."""

from typing import Literal

from atelier.kernel import clock, faults, logs
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.mail import queue
from atelier.mail.compose import compose, message_id
from atelier.mail.errors import MailRejected, MailUnavailable
from atelier.mail.mailers import Mailer
from atelier.mail.queue import Claimed

ATTEMPTS_MAX = 10
FIRST_WAIT_MS = 30 * clock.SECOND_MS
LONGEST_WAIT_MS = clock.HOUR_MS

Outcome = Literal["sent", "later", "failed", "not ours"]
log = logs.get("mail")


def deliver(database: Database, *, mailer: Mailer, settings: Settings, email_id: str) -> Outcome:
    """Claim, write, send and settle one e-mail; does nothing for one that is sent or being sent.

    SMTP itself is at least once: when the process dies between the server's yes and our note of it, the e-mail goes
    out again with the same Message-ID.
    """
    claimed = database.transact(queue.claim, email_id=email_id)
    if claimed is None:
        return "not ours"
    faults.point("mail.after_claim")
    try:
        mailer.send(compose(claimed, settings=settings))
    except MailUnavailable as error:
        return _later(database, claimed, error=str(error))
    except MailRejected as error:
        return _failed(database, claimed, error=str(error))
    faults.point("mail.after_send")
    database.transact(
        queue.settle_sent,
        email_id=email_id,
        attempt=claimed.attempt,
        now_ms=clock.now_ms(),
        message_id=message_id(settings, email_id=email_id),
    )
    log.info("mail.sent", email_id=email_id, template=claimed.letter.template, attempt=claimed.attempt)
    return "sent"


def wait_ms(attempt: int) -> int:
    """Pause after the given attempt: half a minute, doubling, at most an hour; ten attempts are some five hours."""
    return min(LONGEST_WAIT_MS, FIRST_WAIT_MS << (attempt - 1))


def _later(database: Database, claimed: Claimed, *, error: str) -> Outcome:
    if claimed.attempt >= ATTEMPTS_MAX:
        return _failed(database, claimed, error=error)
    database.transact(
        queue.settle_later,
        email_id=claimed.letter.email_id,
        attempt=claimed.attempt,
        error=error,
        wait_ms=wait_ms(claimed.attempt),
        now_ms=clock.now_ms(),
    )
    log.warning("mail.postponed", email_id=claimed.letter.email_id, attempt=claimed.attempt, error=error)
    return "later"


def _failed(database: Database, claimed: Claimed, *, error: str) -> Outcome:
    database.transact(queue.settle_failed, email_id=claimed.letter.email_id, attempt=claimed.attempt, error=error)
    log.error("mail.failed", email_id=claimed.letter.email_id, attempt=claimed.attempt, error=error)
    return "failed"
