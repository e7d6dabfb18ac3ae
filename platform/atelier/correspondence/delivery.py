"""What becomes of a notification: an event for the user's open windows, and an e-mail, each if the user wants it.

Whether it was delivered is a column of its row, settled in the transaction that queues the e-mail: of two messages for
the same notification one does nothing, and the e-mail is sent as all others are. The event is sent afterwards; whoever
misses it is caught up from the row.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.accounts import preferences
from atelier.accounts.models import User
from atelier.accounts.preferences import Locale, Preferences, Switches
from atelier.correspondence import views
from atelier.kernel import clock, ids, logs
from atelier.kernel.database import Database
from atelier.live.publisher import Publisher
from atelier.mail import queue as mail
from atelier.mail.models import Email
from atelier.notifications import kinds, queries, service
from atelier.notifications.kinds import KINDS
from atelier.notifications.queries import Item

TEMPLATE = "notification"
MAILS_PER_HOUR_MAX = 20
SILENT = Switches(email=False, live=False)
log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What was settled. `item.seq` is None when no event is to be sent; `mailed` says whether an e-mail was queued."""

    item: Item
    locale: Locale
    mailed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Who is told. `may_be_mailed`: the address is proved to be theirs."""

    user_id: str
    email: str
    name: str
    may_be_mailed: bool
    active: bool
    preferences: Preferences


def deliver(database: Database, *, publisher: Publisher, notification_id: str) -> Delivered | None:
    """Deliver one notification; None when it was delivered before, or is gone."""
    now_ms = clock.now_ms()
    done = database.transact(settle, notification_id=notification_id, email_id=ids.new_id(), now_ms=now_ms)
    if done is None:
        return None
    if done.item.seq:
        publisher.publish(done.item.user_id, [views.event(done.item, locale=done.locale)])
    log.info("notifications.delivered", notification_id=notification_id, kind=done.item.kind, mailed=done.mailed)
    return done


def settle(session: Session, *, notification_id: str, email_id: str, now_ms: int) -> Delivered | None:
    """Take the notification, number its event and queue its e-mail; None when there is nothing to deliver."""
    item = queries.waiting(session, notification_id=notification_id)
    if item is None:
        return None
    recipient = _recipient(session, item.user_id)
    wished = _wished(recipient, item.kind)
    seq = service.settle(session, notification_id=item.id, user_id=item.user_id, live=wished.live)
    if seq is None:
        return None
    service.trim(session, user_id=item.user_id)
    mailed = recipient is not None and wished.email and _has_room(session, recipient, now_ms=now_ms)
    if recipient and mailed:
        letter = _letter(item, recipient, email_id=email_id)
        mail.enqueue(session, letter=letter, now_ms=now_ms)
    locale = recipient.preferences.locale if recipient else "zh"
    return Delivered(item=item.numbered(seq or None), locale=locale, mailed=mailed)


def _recipient(session: Session, user_id: str) -> Recipient | None:
    row = session.execute(
        select(User.email, User.display_name, User.email_verified_ms, User.status, User.settings).where(
            User.id == user_id
        )
    ).one_or_none()
    if row is None:
        return None
    return Recipient(
        user_id=user_id,
        email=row.email,
        name=row.display_name,
        may_be_mailed=row.email_verified_ms is not None,
        active=row.status == "active",
        preferences=preferences.of(row.settings),
    )


def _wished(recipient: Recipient | None, kind: str) -> Switches:
    if recipient is None or not recipient.active:
        return SILENT
    switches = recipient.preferences.notifications[KINDS[kind].category]
    return Switches(email=switches.email and recipient.may_be_mailed, live=switches.live)


def _has_room(session: Session, recipient: Recipient, *, now_ms: int) -> bool:
    """Whether this hour's e-mails are not used up: nobody's mailbox is to be filled by what others do here."""
    sent = select(func.count()).where(
        Email.user_id == recipient.user_id, Email.template == TEMPLATE, Email.created_ms > now_ms - clock.HOUR_MS
    )
    return session.execute(sent).scalar_one() < MAILS_PER_HOUR_MAX


def _letter(item: Item, recipient: Recipient, *, email_id: str) -> mail.Letter:
    locale = recipient.preferences.locale
    told = kinds.told(item.kind, item.data, locale)
    category = KINDS[item.kind].category
    return mail.Letter(
        email_id=email_id,
        template=TEMPLATE,
        ref=item.id,
        user_id=recipient.user_id,
        recipient=recipient.email,
        locale=locale,
        context={
            "name": recipient.name,
            "title": told.title,
            "text": told.text,
            "unsubscribe": None if category in kinds.TRANSACTIONAL else category,
        },
    )
