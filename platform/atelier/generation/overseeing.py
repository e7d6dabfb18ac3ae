"""Administrators cancel jobs and dismiss dead letters, each with a reason, logged in the transaction that does it."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from atelier.contracts import dead_messages, messages, oplog, outbox
from atelier.contracts.dead_messages import DeadMessage
from atelier.contracts.messages import Contract
from atelier.generation import cancel as canceling
from atelier.generation.cancel import Cancellation
from atelier.generation.errors import MessageUnreadable
from atelier.generation.replaying import Act
from atelier.jobs import dead_letters, overview
from atelier.jobs.dead_letters import Letter
from atelier.jobs.errors import JobNotFound, LetterNotOpen
from atelier.kernel.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled:
    """Whose job it is, and what became of it."""

    user_id: str
    cancellation: Cancellation


def cancel(session: Session, job_id: str, *, act: Act, transfer_id: str, now_ms: int) -> Canceled:
    """Cancel anyone's job. Raises JobNotFound or JobFinished."""
    job = overview.find(session, job_id=job_id)
    if job is None:
        raise JobNotFound(job_id)
    canceled = canceling.cancel(session, job_id=job_id, user_id=job.user_id, transfer_id=transfer_id, now_ms=now_ms)
    details = {"userId": job.user_id, "state": job.state, "done": canceled.done}
    operation = act.operation("ADMIN_JOB_CANCEL", resource_type="job", resource_id=job_id, **details)
    oplog.record(session, operation, now_ms=now_ms)
    return Canceled(user_id=job.user_id, cancellation=canceled)


def dismiss(session: Session, job_id: str, *, act: Act, now_ms: int) -> Letter:
    """Let a dead letter rest. Raises JobNotFound, or LetterNotOpen for a job that is none, or was dealt with."""
    if not dead_letters.dismiss(session, job_id=job_id, deal=act.deal, now_ms=now_ms):
        letter = dead_letters.find(session, job_id=job_id)
        if letter is None and overview.find(session, job_id=job_id) is None:
            raise JobNotFound(job_id)
        raise LetterNotOpen(status=letter.state if letter else None)
    letter = dead_letters.find(session, job_id=job_id)
    assert letter is not None, "it was dismissed just now"
    details = {"userId": letter.user_id, "errorCode": letter.error_code}
    operation = act.operation("ADMIN_LETTER_DISMISS", resource_type="job", resource_id=job_id, **details)
    oplog.record(session, operation, now_ms=now_ms)
    return letter


def replay_message(session: Session, message_id: str, *, act: Act, now_ms: int) -> None:
    """Send a dead message once more; it is kept again if it dies again. Raises NotFound and MessageUnreadable."""
    dead = dead_messages.take(session, message_id=message_id)
    if dead is None:
        raise NotFound(message_id)
    contract: Contract[Any] | None = messages.ALL.get(dead.contract)
    try:
        message = contract.message.model_validate_json(dead.message) if contract else None
    except ValidationError as error:
        raise MessageUnreadable from error
    if contract is None or message is None:
        raise MessageUnreadable
    outbox.enqueue(session, contract, message, now_ms=now_ms)
    oplog.record(session, _of_message(act, "ADMIN_MESSAGE_REPLAY", dead), now_ms=now_ms)


def dismiss_message(session: Session, message_id: str, *, act: Act, now_ms: int) -> None:
    """Forget a dead message. Raises NotFound."""
    dead = dead_messages.take(session, message_id=message_id)
    if dead is None:
        raise NotFound(message_id)
    oplog.record(session, _of_message(act, "ADMIN_MESSAGE_DISMISS", dead), now_ms=now_ms)


def _of_message(act: Act, action: str, dead: DeadMessage) -> oplog.Operation:
    details = {"contract": dead.contract, "why": dead.reason, "error": dead.error, "times": dead.times}
    return act.operation(action, resource_type="message", resource_id=dead.id, **details)
