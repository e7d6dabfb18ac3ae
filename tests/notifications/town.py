"""People, what they are told, and the workers that tell them."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.contracts.messages import MAIL_SEND, NOTIFICATIONS_DELIVER
from atelier.contracts.outbox import OutboxRow
from atelier.correspondence import delivery
from atelier.correspondence.delivery import Delivered
from atelier.kernel import clock
from atelier.kernel.database import Database, matched
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger import service as ledger
from atelier.live.publisher import Publisher
from atelier.mail import delivery as mail
from atelier.mail import mailbox, mailers
from atelier.mail.mailbox import Received
from atelier.mail.models import Email
from atelier.notifications import service
from atelier.notifications.models import Notification
from atelier.notifications.service import Notice
from tests.web.sample import Site

SAMPLES: dict[str, dict[str, Any]] = {
    "agent_approved": {"agentName": "海报"},
    "agent_rejected": {"agentName": "海报", "reason": "太短"},
    "agent_sold": {"agentName": "海报", "amount": 80},
    "review_received": {"agentName": "海报", "rating": 4},
    "project_invitation": {"projectTitle": "江南", "inviter": "李雷", "role": "editor"},
    "invitation_accepted": {"projectTitle": "江南", "invitee": "梅"},
    "subscription_expiring": {"agentName": "海报", "expiresAt": 1_790_000_000_000},
    "subscription_renewing": {"agentName": "海报", "amount": 50, "expiresAt": 1_790_000_000_000},
    "subscription_renewed": {"agentName": "海报", "amount": 50, "expiresAt": 1_790_000_000_000},
    "subscription_unpaid": {"agentName": "海报", "amount": 50, "expiresAt": 1_790_000_000_000},
    "subscription_price_risen": {"agentName": "海报", "amount": 60, "agreed": 50, "expiresAt": 1_790_000_000_000},
    "subscription_withdrawn": {"agentName": "海报", "expiresAt": 1_790_000_000_000},
    "subscription_expired": {"agentName": "海报"},
    "payment_received": {"orderNo": "A1", "amount": 100, "yuan": "9.90"},
    "refund_made": {"orderNo": "A1", "amount": 100, "yuan": "9.90"},
    "refund_made_owing": {"orderNo": "A1", "amount": 100, "yuan": "9.90", "owed": 70},
    "credits_adjusted": {"amount": -5, "reason": "更正"},
    "webhook_failing": {"address": "https://example.com"},
    "webhook_gone": {"address": "https://example.com"},
    "role_changed": {"role": "creator"},
}


@dataclass
class Town:
    """The test's database and what happens there."""

    db: Database
    settings: Settings
    publisher: Publisher = field(init=False)

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.settings.redis_url)

    def person(self, name: str = "mei", *, verified: bool = True, **columns: Any) -> str:
        """A new user, called `name` and a number; keywords are columns."""
        user_id, now = new_id(), clock.now_ms()
        unique = f"{name}_{user_id[-12:]}"
        row: dict[str, Any] = {
            "id": user_id, "email": f"{unique}@example.com", "email_key": f"{unique}@example.com", "username": unique,
            "username_key": unique, "password_hash": "-", "display_name": name, "role": "user", "status": "active",
            "token_version": 0, "email_verified_ms": now if verified else None, "settings": {}, "created_ms": now,
            "updated_ms": now, **columns,
        }  # fmt: skip
        self.db.transact(_insert_user, row=row)
        return user_id

    def set(self, user_id: str, **columns: Any) -> None:
        """Change a user behind everyone's back."""
        self.db.transact(matched, update(User).where(User.id == user_id).values(**columns))

    def tell(self, user_id: str, kind: str = "agent_approved", **changes: Any) -> str:
        """Notify the user in a transaction of its own; the notification's id."""
        data = SAMPLES.get(kind, {})
        typed: dict[str, Any] = {"id": new_id(), "user_id": user_id, "kind": kind, "data": data, **changes}
        self.db.transact(service.notify, Notice(**typed), now_ms=clock.now_ms())
        return str(typed["id"])

    def deliver(self, notification_id: str) -> Delivered | None:
        """What a worker does with the message."""
        return delivery.deliver(self.db, publisher=self.publisher, notification_id=notification_id)

    def told(self, user_id: str, kind: str = "agent_approved", **changes: Any) -> str:
        """Notify and deliver."""
        notification_id = self.tell(user_id, kind, **changes)
        assert self.deliver(notification_id)
        return notification_id

    def row(self, notification_id: str) -> Any:
        """The row as it is, or None."""
        wanted = select(
            Notification.data, Notification.seq, Notification.due_ms, Notification.read_ms, Notification.ref_id
        ).where(Notification.id == notification_id)
        return self.db.read(lambda session: session.execute(wanted).one_or_none())

    def messages(self, contract: Any = NOTIFICATIONS_DELIVER) -> list[str]:
        """The ids that waiting messages name, in order."""
        wanted = select(OutboxRow.message).where(OutboxRow.contract == contract.name).order_by(OutboxRow.id)
        return [next(iter(json.loads(one).values())) for one in self.db.read(lambda s: s.scalars(wanted).all())]

    def emails(self, user_id: str) -> list[Any]:
        """The rows of the user's e-mails, oldest first."""
        wanted = select(Email.id, Email.ref, Email.locale, Email.context, Email.state, Email.recipient)
        mine = wanted.where(Email.user_id == user_id).order_by(Email.id)
        return list(self.db.read(lambda session: session.execute(mine).all()))

    def post(self) -> list[Received]:
        """Send what waits, as a worker does, and open the mailbox; newest first."""
        mailer = mailers.choose(self.settings)
        for email_id in self.messages(MAIL_SEND):
            mail.deliver(self.db, mailer=mailer, settings=self.settings, email_id=email_id)
        return mailbox.listing(mailbox.folder(self.settings))


def _insert_user(session: Session, *, row: dict[str, Any]) -> None:
    session.execute(insert(User), row)
    ledger.open_account(session, user_id=row["id"], now_ms=row["created_ms"])


@dataclass(frozen=True)
class Served:
    """A running web role in the town."""

    site: Site
    town: Town

    async def ask(self, method: str, path: str, *, who: str | None = None, body: Any = None, **headers: str) -> Any:
        """Ask as a user; see `Site.ask`."""
        token = self.site.token(who) if who else ""
        return await self.site.ask(method, path, token=token, json_body=body, **headers)

    async def listed(self, who: str, query: str = "", **headers: str) -> Any:
        """The user's list."""
        got = await self.ask("GET", f"/api/notifications{query}", who=who, **headers)
        assert got.status == 200, got.raw
        return got.body
