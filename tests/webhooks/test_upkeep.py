"""What the doctor says of webhooks, what is shown of them to operators, and how long they are kept."""

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from atelier.generation import doctor, gauges, retention
from atelier.generation.doctor import Report
from atelier.kernel.clock import DAY_MS, MINUTE_MS, now_ms
from atelier.kernel.database import matched
from atelier.webhooks.models import ATTEMPTS, ENDPOINTS, EVENTS, JOB_WEBHOOKS
from tests.webhooks.corruptions import WEBHOOK_CORRUPTIONS
from tests.webhooks.desk import Desk
from tests.webhooks.receiver import Receiver, Says


def examined(session: Session, *, change: str, names: dict[str, str]) -> Report:
    """What the doctor would say after this change, which doesn't last."""
    statement = text(change)
    session.execute(statement, {name: names[name] for name in statement.compile().params})
    report = doctor.examine(session, now_ms=now_ms() + 5 * MINUTE_MS)
    session.rollback()
    return report


@pytest.fixture
def names(desk: Desk, receiver: Receiver) -> dict[str, str]:
    """The ids of what is there."""
    waiting, job_id = desk.job(), desk.ended(url=receiver.url)
    desk.deliver(job_id)
    webhook = desk.webhook(receiver.url)
    desk.ping(webhook)
    desk.ended()
    desk.deliver(webhook.id)
    receiver.answers = [Says(503)]
    desk.ended()
    desk.deliver(webhook.id)
    own, ping, told, after = (one.id for one in desk.events())
    desk.shop.relay()
    return {"job": job_id, "waiting": waiting, "own": own, "ping": ping, "told": told, "next": after}


def test_each_corruption_is_named_and_nothing_else(
    desk: Desk, names: dict[str, str], subtests: pytest.Subtests
) -> None:
    assert desk.examine().totals == {}
    for name, (change, named) in WEBHOOK_CORRUPTIONS.items():
        with subtests.test(name):
            report = desk.db.transact(examined, change=change, names=names)
            assert set(report.totals) == set(named), report.findings
            for check, whom in named.items():
                subjects = {one.subject for one in report.findings if one.check == check}
                assert subjects == {names[one] for one in whom.split()}
    assert desk.examine().totals == {}


def test_what_waits_and_what_is_off_is_shown_to_operators(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    for _ in range(2):
        desk.ended()
    shown = desk.db.read(gauges.collect, now_ms=now_ms())
    assert (shown.webhooks_waiting, shown.webhooks_disabled) == (2, 0)
    receiver.answers = [Says(410)]
    desk.deliver(webhook.id)
    shown = desk.db.read(gauges.collect, now_ms=now_ms())
    assert (shown.webhooks_waiting, shown.webhooks_disabled) == (0, 1)


def rows(desk: Desk) -> list[int]:
    counts = [select(func.count()).select_from(table) for table in (EVENTS, ATTEMPTS, JOB_WEBHOOKS, ENDPOINTS)]
    return desk.db.read(lambda session: [session.execute(one).scalar_one() for one in counts])


def test_what_was_told_is_kept_for_a_month_and_what_proves_it_longer(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended(url=receiver.url)
    assert desk.deliver(webhook.id) == 1
    old = now_ms() - 31 * DAY_MS
    for change in (
        update(EVENTS).where(EVENTS.c.ended_ms.is_not(None)).values(ended_ms=old),
        update(ATTEMPTS).values(started_ms=old),
        update(JOB_WEBHOOKS).values(created_ms=old),
        update(ENDPOINTS).values(created_ms=old),
    ):
        desk.db.transact(matched, change)
    assert rows(desk) == [2, 1, 1, 1]
    retention.prune(desk.db, operations_kept_days=400)
    assert rows(desk) == [1, 1, 1, 1]
    assert desk.examine().totals == {}
    desk.db.transact(matched, update(ATTEMPTS).values(started_ms=old - 5 * DAY_MS))
    desk.db.transact(matched, update(JOB_WEBHOOKS).values(created_ms=old - 30 * DAY_MS))
    desk.db.transact(matched, update(ENDPOINTS).values(enabled=0, deleted_ms=old - 30 * DAY_MS))
    retention.prune(desk.db, operations_kept_days=400)
    assert rows(desk) == [1, 0, 0, 0]
