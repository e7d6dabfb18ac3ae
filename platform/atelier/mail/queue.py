"""The queue of e-mails: written in the transaction that causes them, claimed by whoever sends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import MAIL_SEND, MailMessage
from atelier.kernel import clock
from atelier.kernel.database import matched
from atelier.mail.models import Email

CLAIM_MS = 2 * clock.MINUTE_MS
OVERDUE_MS = 2 * clock.MINUTE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An e-mail to be sent once for its `template` and `ref`. `context` fills the template and holds no secrets."""

    email_id: str
    template: str
    ref: str
    user_id: str
    recipient: str
    locale: str
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A letter that this process may send, and which attempt that is: only that attempt may say how it ended."""

    letter: Letter
    attempt: int
    created_ms: int


def enqueue(session: Session, *, letter: Letter, now_ms: int) -> None:
    """Send the letter when this transaction commits. A second one for the same cause is an IntegrityError."""
    row = {
        "id": letter.email_id,
        "template": letter.template,
        "ref": letter.ref,
        "user_id": letter.user_id,
        "recipient": letter.recipient,
        "locale": letter.locale,
        "context": dict(letter.context),
        "due_ms": clock.db_now_ms(),
        "created_ms": now_ms,
    }
    session.execute(insert(Email).values(row))
    outbox.enqueue(session, MAIL_SEND, MailMessage(email_id=letter.email_id), now_ms=now_ms)


def claim(session: Session, *, email_id: str) -> Claimed | None:
    """Take the letter for two minutes; None when it is sent, given up, or someone else's just now."""
    free = or_(Email.state == "queued", and_(Email.state == "sending", Email.due_ms < clock.db_now_ms()))
    taken = (
        update(Email)
        .where(Email.id == email_id, free)
        .values(state="sending", attempts=Email.attempts + 1, due_ms=clock.db_now_ms() + CLAIM_MS)
    )
    if not matched(session, taken):
        return None
    row = session.execute(
        select(
            Email.template,
            Email.ref,
            Email.user_id,
            Email.recipient,
            Email.locale,
            Email.context,
            Email.attempts,
            Email.created_ms,
        ).where(Email.id == email_id)
    ).one()
    letter = Letter(
        email_id=email_id,
        template=row.template,
        ref=row.ref,
        user_id=row.user_id,
        recipient=row.recipient,
        locale=row.locale,
        context=row.context,
    )
    return Claimed(letter=letter, attempt=row.attempts, created_ms=row.created_ms)


def settle_sent(session: Session, *, email_id: str, attempt: int, message_id: str, now_ms: int) -> bool:
    """The server took it. False when the claim had passed to someone else."""
    values = {"state": "sent", "sent_ms": now_ms, "message_id": message_id, "error": None}
    return _settle(session, email_id=email_id, attempt=attempt, values=values)


def settle_failed(session: Session, *, email_id: str, attempt: int, error: str) -> bool:
    """Given up."""
    return _settle(session, email_id=email_id, attempt=attempt, values={"state": "failed", "error": error[:200]})


def settle_later(session: Session, *, email_id: str, attempt: int, error: str, wait_ms: int, now_ms: int) -> bool:
    """Try again in `wait_ms`, by another message."""
    values = {"state": "queued", "error": error[:200], "due_ms": clock.db_now_ms() + wait_ms}
    settled = _settle(session, email_id=email_id, attempt=attempt, values=values)
    if settled:
        outbox.enqueue(session, MAIL_SEND, MailMessage(email_id=email_id), now_ms=now_ms, delay_ms=wait_ms)
    return settled


def requeue_overdue(session: Session, *, now_ms: int, rows_max: int = 200) -> int:
    """Send another message for letters whose message was lost or whose sender died; answers how many."""
    overdue = and_(Email.state.in_(("queued", "sending")), Email.due_ms < clock.db_now_ms() - OVERDUE_MS)
    lost = session.scalars(select(Email.id).where(overdue).order_by(Email.due_ms).limit(rows_max)).all()
    messages = [
        (MAIL_SEND, MailMessage(email_id=email_id))
        for email_id in lost
        # Still due a little in the past, so that the claim that this message leads to succeeds at once.
        if matched(session, update(Email).where(Email.id == email_id, overdue).values(due_ms=clock.db_now_ms() - 1))
    ]
    outbox.enqueue_many(session, messages, now_ms=now_ms)
    return len(messages)


def _settle(session: Session, *, email_id: str, attempt: int, values: dict[str, Any]) -> bool:
    mine = (Email.id == email_id, Email.state == "sending", Email.attempts == attempt)
    return matched(session, update(Email).where(*mine).values(values)) == 1
