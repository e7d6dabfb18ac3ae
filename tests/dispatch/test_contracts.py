"""Nothing but the database remembers what is still to be done, so every message has something that sends it again."""

from atelier.contracts import messages
from atelier.contracts.messages import Tick
from schedules.table import SKEW_SECONDS, timetable

# The sweep that publishes it again, and the test that loses its message.
SENT_AGAIN = {
    **{contract.name: "generation.sweep, tests/generation/test_sweeper.py" for contract in messages.RUN.values()},
    messages.ADVANCE.name: "generation.family.look_again, tests/generation/test_families.py",
    messages.PROVIDERS_TEST.name: "generation.probing.requeue_overdue, tests/administration/test_controls.py",
    messages.MAIL_SEND.name: "mail.queue.requeue_overdue, tests/mail/test_delivery.py",
    messages.NOTIFICATIONS_DELIVER.name: "notifications.service.requeue_overdue, tests/notifications/test_delivery.py",
    messages.WEBHOOKS_DELIVER.name: "webhooks.events.requeue_overdue, tests/webhooks/test_events.py",
    messages.PAYMENTS_REFUND.name: "orders.refunds.requeue_overdue, tests/payments/test_repaying.py",
    messages.FILES_CHECK.name: "files.direct.requeue, tests/files/test_collecting.py",
    messages.FILES_REMOVE.name: "files.direct.requeue, tests/files/test_collecting.py",
    messages.PAYMENTS_RETURN.name: "orders.resolutions.requeue_overdue, tests/payments/test_cases.py",
    messages.PAYMENTS_SETTLE.name: "payments.inbox.requeue_overdue, tests/payments/test_inbox.py",
}


def test_every_message_is_sent_again_by_a_sweep_or_by_the_clock() -> None:
    by_the_clock = {entry.contract.name for entry in timetable(sweep_seconds=5).values()}
    ticks = {contract.name for contract in messages.ALL.values() if contract.message is Tick}
    assert ticks == by_the_clock
    assert set(messages.ALL) - ticks == set(SENT_AGAIN)


def test_a_worker_whose_clock_is_ahead_takes_what_comes_by_the_clock() -> None:
    entries = timetable(sweep_seconds=0.1).values()
    assert all(entry.expires_seconds >= max(SKEW_SECONDS, entry.every_seconds) for entry in entries)


def test_messages_hold_ids_and_nothing_that_a_reader_of_the_broker_should_not_see() -> None:
    fields = {name for contract in messages.ALL.values() for name in contract.message.model_fields}
    assert {name for name in fields if not name.endswith(("_id", "_ids"))} == set()
