"""From a transaction that has something to tell, to the user."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from atelier.correspondence import delivery
from atelier.generation import retention
from atelier.kernel import clock
from atelier.kernel.database import matched
from atelier.kernel.ids import new_id
from atelier.mail.models import Email
from atelier.notifications import queries, service
from atelier.notifications.kinds import KINDS
from atelier.notifications.models import Notification
from atelier.notifications.service import Notice
from tests.notifications.town import SAMPLES, Town


class Refused(Exception):
    """What ends a transaction here."""


def test_it_leaves_with_its_transaction_or_not_at_all(town: Town) -> None:
    mei = town.person()
    told = town.tell(mei, ref_type="agent", ref_id=new_id())
    assert town.messages() == [told]
    assert town.row(told).due_ms is not None

    def refused(session: Any) -> None:
        notice = Notice(id=new_id(), user_id=mei, kind="agent_approved", data={"agentName": "x"})
        service.notify(session, notice, now_ms=1)
        raise Refused

    with pytest.raises(Refused):
        town.db.transact(refused)
    assert town.messages() == [told]


@pytest.mark.parametrize(("kind", "data"), [("nonsense", {}), ("agent_sold", {"agentName": "x"})])
def test_what_can_not_be_said_is_not_kept(town: Town, kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        town.tell(town.person(), kind, data=data)
    assert town.messages() == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_is_mailed_and_told_live_by_the_switches_of_its_category(town: Town, kind: str) -> None:
    category = KINDS[kind].category
    for email, live in ((True, False), (False, True)):
        mei = town.person(settings={"notifications": {category: {"email": email, "live": live}}})
        done = town.deliver(town.tell(mei, kind))
        assert done
        assert (done.mailed, done.item.seq is not None) == (email, live)
        assert len(town.emails(mei)) == email


def test_a_duplicate_of_the_message_does_nothing(town: Town) -> None:
    mei = town.person()
    told = town.told(mei)
    assert town.deliver(told) is None
    with ThreadPoolExecutor(4) as threads:
        other = town.tell(mei)
        done = list(threads.map(town.deliver, [other] * 8))
    assert sum(one is not None for one in done) == 1
    assert [row.ref for row in town.emails(mei)] == [told, other]


def test_each_has_a_number_of_its_own_and_they_grow(town: Town) -> None:
    mei, li = town.person(), town.person()
    waiting = [town.tell(one) for _ in range(6) for one in (mei, li)]
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(town.deliver, waiting))
    for user_id in (mei, li):
        numbers = [one.item.seq for one in done if one and one.item.user_id == user_id]
        assert len(set(numbers)) == len(numbers) == 6
        last = town.deliver(town.tell(user_id))
        assert last
        assert (last.item.seq or 0) > max(number or 0 for number in numbers)


def test_only_a_proved_address_of_an_active_user_gets_mail(town: Town) -> None:
    for mei in (town.person(verified=False), town.person(status="disabled")):
        town.told(mei)
        assert town.emails(mei) == []
    nobody = town.tell(new_id())
    assert town.deliver(nobody)
    assert town.row(nobody).due_ms is None


def test_nobodys_mailbox_is_filled(town: Town) -> None:
    mei = town.person()
    for _ in range(delivery.MAILS_PER_HOUR_MAX + 2):
        town.told(mei)
    assert len(town.emails(mei)) == delivery.MAILS_PER_HOUR_MAX
    older = update(Email).values(created_ms=Email.created_ms - clock.HOUR_MS - 1)
    town.db.transact(matched, older)
    assert (done := town.deliver(town.tell(mei)))
    assert done.mailed


def test_a_lost_message_is_sent_again(town: Town) -> None:
    mei = town.person()
    lost, delivered = town.tell(mei), town.told(mei)
    assert town.db.transact(service.requeue_overdue, now_ms=1) == 0
    town.db.transact(matched, update(Notification).values(due_ms=Notification.due_ms - 3 * clock.MINUTE_MS))
    assert town.db.transact(service.requeue_overdue, now_ms=1) == 1
    assert town.db.transact(service.requeue_overdue, now_ms=1) == 0
    assert town.messages() == [lost, delivered, lost]
    assert town.db.read(queries.undelivered, counted_max=10) == 1
    assert town.deliver(lost)
    assert town.db.read(queries.undelivered, counted_max=10) == 0


def test_what_was_deleted_before_is_not_delivered(town: Town) -> None:
    mei = town.person()
    told = town.tell(mei)
    town.db.transact(service.remove, notification_id=told, user_id=mei)
    assert town.deliver(told) is None
    assert town.emails(mei) == []


def test_the_oldest_go_when_there_are_too_many(town: Town) -> None:
    mei, li = town.person(), town.person()
    theirs = town.told(li)
    ids = [new_id() for _ in range(service.PER_USER_MAX + 3)]

    def fill(session: Any) -> None:
        for one in ids:
            notice = Notice(id=one, user_id=mei, kind="role_changed", data={"role": "user"})
            service.notify(session, notice, now_ms=clock.now_ms())

    town.db.transact(fill)
    assert town.deliver(ids[-1])
    assert [town.row(one) is not None for one in ids[:5]] == [False, False, False, True, True]
    assert town.row(theirs)


def test_what_was_read_goes_sooner_than_what_was_not(town: Town) -> None:
    mei, now = town.person(), clock.now_ms()
    ages = {"read long ago": (100, 91), "read lately": (100, 89), "unread": (170, None), "unread too long": (181, None)}
    ids = {name: town.told(mei) for name in ages}
    for name, (made, read) in ages.items():
        values = {"created_ms": now - made * clock.DAY_MS, "read_ms": read and now - read * clock.DAY_MS}
        town.db.transact(matched, update(Notification).where(Notification.id == ids[name]).values(values))
    assert retention.prune(town.db, operations_kept_days=400)["notifications"] == 2
    assert {name for name, one in ids.items() if town.row(one)} == {"read lately", "unread"}


# -- the letter


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("locale", ["zh", "en"])
def test_every_kind_is_mailed_in_the_language_of_its_reader(town: Town, kind: str, locale: str) -> None:
    everything = {name: {"email": True} for name in {one.category for one in KINDS.values()}}
    mei = town.person(display_name="梅", settings={"locale": locale, "notifications": everything})
    town.told(mei, kind)
    (letter,) = town.post()
    (row,) = town.emails(mei)
    assert letter.subject == getattr(KINDS[kind].title, locale)
    assert (row.locale, row.state, letter.recipient) == (locale, "sent", row.recipient)
    assert all(str(value) in letter.text for name, value in SAMPLES[kind].items() if name not in {"role", "expiresAt"})
    assert letter.text.startswith("Hello 梅," if locale == "en" else "梅，您好")
    assert ("/api/notifications/unsubscribe?token=" in letter.text) is (KINDS[kind].category != "account")
