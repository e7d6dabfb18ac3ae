"""Messages that leave with the transaction that causes them, and the operation log beside them."""

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import from_json
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.contracts import messages, oplog, outbox, queues
from atelier.contracts.messages import MAIL_SEND, RUN, JobMessage, MailMessage
from atelier.contracts.oplog import Operation
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database


def rows(session: Session) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(select(outbox.TABLE).order_by(outbox.TABLE.c.id)).mappings()]


def operations(session: Session) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(select(oplog.TABLE).order_by(oplog.TABLE.c.id)).mappings()]


def test_a_message_waits_for_the_relay_and_is_due_at_once(db: Database) -> None:
    db.transact(outbox.enqueue, RUN["text"], JobMessage(job_id="j"), now_ms=5)
    (row,) = db.read(rows)
    assert (row["contract"], row["available_ms"], row["created_ms"], row["tries"], row["claimed_by"]) == (
        "generation.run.text",
        0,
        5,
        0,
        None,
    )
    assert from_json(row["message"]) == {"jobId": "j"}


def test_a_message_for_later_is_due_by_the_clock_of_the_database(db: Database) -> None:
    before = now_ms()
    db.transact(outbox.enqueue, MAIL_SEND, MailMessage(email_id="e"), now_ms=5, delay_ms=60_000)
    (row,) = db.read(rows)
    assert before - 10 <= row["available_ms"] - 60_000 <= now_ms() + 10


def test_messages_keep_the_order_in_which_they_were_written(db: Database) -> None:
    db.transact(outbox.enqueue_many, [(RUN["image"], JobMessage(job_id=str(number))) for number in range(50)], now_ms=5)
    assert [from_json(row["message"])["jobId"] for row in db.read(rows)] == [str(number) for number in range(50)]


def test_what_did_not_happen_sends_nothing(db: Database) -> None:
    def work(session: Session) -> None:
        outbox.enqueue(session, MAIL_SEND, MailMessage(email_id="e"), now_ms=5)
        oplog.record(session, Operation(action="X", user_id=None), now_ms=5)
        raise LookupError

    with pytest.raises(LookupError):
        db.transact(work)
    assert (db.read(rows), db.read(operations)) == ([], [])


def test_nothing_is_written_for_nothing(db: Database) -> None:
    db.transact(outbox.enqueue_many, [], now_ms=5)
    db.transact(oplog.record_many, [], now_ms=5)
    assert (db.read(rows), db.read(operations)) == ([], [])


def test_an_older_reader_understands_a_newer_message_and_nobody_changes_one() -> None:
    message = JobMessage.model_validate({"jobId": "j", "added": 1})
    assert message == JobMessage(job_id="j")
    with pytest.raises(ValidationError):
        message.job_id = "k"


def test_every_contract_travels_through_a_queue_that_a_worker_serves() -> None:
    assert {one.queue for one in messages.ALL.values()} <= set(queues.ALL)
    assert all(name == one.name for name, one in messages.ALL.items())
    assert len(set(queues.ALL)) == len(queues.ALL)
    assert set(messages.RUN) == set(queues.GENERATION)


def test_an_operation_says_who_did_what_to_which_thing(db: Database) -> None:
    done = Operation(
        action="AI_GENERATE",
        user_id="u",
        resource_type="agent",
        resource_id="a",
        details={"jobId": "j", "held": 5},
        address="2001:db8::1",
        user_agent="浏览器" * 200,
    )
    db.transact(oplog.record, done, now_ms=5)
    (row,) = db.read(operations)
    assert row | {"id": 1} == {
        "id": 1,
        "action": "AI_GENERATE",
        "user_id": "u",
        "resource_type": "agent",
        "resource_id": "a",
        "details": {"jobId": "j", "held": 5},
        "address": "2001:db8::1",
        "user_agent": ("浏览器" * 200)[:300],
        "created_ms": 5,
    }
