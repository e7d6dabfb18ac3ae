"""What a gateway sends is kept once, has a message, and is settled once, however often anyone tries."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from atelier.contracts.messages import PAYMENTS_SETTLE
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.payments import inbox
from tests.payments.counter import Counter, closed, paid


class Refused(Exception):
    """What ends a transaction here."""


def test_a_notice_and_its_message_are_kept_together_or_not_at_all(counter: Counter) -> None:
    notice = paid(counter.order())

    def refused(session: Session) -> None:
        inbox.store(session, notice, event_id="e", now_ms=1)
        raise Refused

    with pytest.raises(Refused):
        counter.db.transact(refused)
    assert (counter.events(), counter.messages(PAYMENTS_SETTLE.name)) == ([], [])
    event_id = counter.receive(notice)
    (event,) = counter.events()
    assert (event["id"], event["kind"], event["outcome"]) == (event_id, "payment", None)
    assert event["fact"].keys() == {"payment_no", "amount_fen", "currency", "paid_ms", "fact"}
    assert counter.messages(PAYMENTS_SETTLE.name) == [f'{{"eventId":"{event_id}"}}']


def test_a_notice_that_is_repeated_in_parallel_is_one(counter: Counter) -> None:
    notice = paid(counter.order())
    with ThreadPoolExecutor(10) as threads:
        kept = [one for one in threads.map(counter.receive, [notice] * 30) if one]
    assert len(kept) == len(counter.events()) == len(counter.messages(PAYMENTS_SETTLE.name)) == 1
    assert counter.receive(replace(notice, provider="wechat")), "the other gateway has names of its own"


def test_an_event_is_settled_by_one_of_many_workers(counter: Counter) -> None:
    order = counter.order()
    event_id = counter.receive(paid(order))
    assert event_id
    with ThreadPoolExecutor(8) as threads:
        settled = [one for one in threads.map(counter.settle, [event_id] * 16) if one]
    assert [one.outcome for one in settled] == ["credited"]
    assert counter.transfers(order) == [f"topup:order:{order.id}"]
    (event,) = counter.events()
    assert (event["due_ms"], event["outcome"]) == (None, "credited")
    assert event["settled_ms"]


def test_an_unknown_message_is_nothing(counter: Counter) -> None:
    assert counter.settle("01990000-0000-7000-8000-000000000001") is None


def test_a_message_that_was_lost_is_sent_again_each_minute_until_it_is_settled(counter: Counter) -> None:
    event_id = counter.receive(closed(counter.order()))
    assert event_id
    assert counter.db.transact(inbox.requeue_overdue, now_ms=now_ms()) == 0
    for sent in (2, 3):
        counter.age(event_id, by_ms=2 * MINUTE_MS)
        assert counter.db.transact(inbox.requeue_overdue, now_ms=now_ms()) == 1
        assert counter.db.transact(inbox.requeue_overdue, now_ms=now_ms()) == 0
        assert len(counter.messages(PAYMENTS_SETTLE.name)) == sent
    assert counter.settle(event_id)
    counter.age(event_id, by_ms=2 * MINUTE_MS)
    assert counter.db.transact(inbox.requeue_overdue, now_ms=now_ms()) == 0
