"""Jobs that end, webhooks that hear of it, and the worker in between, driven through the product's own verbs."""

from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlalchemy.orm import Session

from atelier.callouts.poster import Poster
from atelier.contracts import outbox
from atelier.correspondence import webhook_secrets
from atelier.correspondence.webhooks import Deliverer
from atelier.generation.doctor import Report
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database, matched
from atelier.kernel.ids import new_id
from atelier.live.publisher import Publisher
from atelier.notifications.models import Notification
from atelier.webhooks import by_hand, endpoints, events, queries, signing
from atelier.webhooks.endpoints import Changes, NewWebhook, Webhook
from atelier.webhooks.events import NewJobWebhook
from atelier.webhooks.keeping import Drop
from atelier.webhooks.models import EVENTS
from atelier.webhooks.queries import Attempt, Event, Filter
from tests.jobs.lifecycle import Workshop
from tests.stack import KEYRING

ADDRESS = "https://atelier.example"


class Desk:
    """One user."""

    def __init__(self, db: Database, redis_url: str) -> None:
        self.db = db
        self.shop = Workshop(db)
        self.user_id = self.shop.user(credits=1_000)
        self.secrets: dict[str, str] = {}
        self.publisher = Publisher(redis_url)
        self.deliverer = self.worker(Poster(loopback=True, seconds=5))

    def worker(self, poster: Poster, *, calls_max: int = 8) -> Deliverer:
        """Another worker."""
        return Deliverer(
            database=self.db,
            publisher=self.publisher,
            poster=poster,
            keyring=KEYRING,
            address=ADDRESS,
            calls_max=calls_max,
        )

    # -- what there is to hear of

    def job(self, *, url: str | None = None, wanted: tuple[str, ...] = (), price: int = 5) -> str:
        """A waiting job, with a webhook of its own if there is an address."""
        one = self.shop.submission(self.user_id, price)
        if url:
            followed = NewJobWebhook(job_id=one.job_id, user_id=self.user_id, url=url, events=wanted)
            one = replace(one, webhook=followed)
        self.shop.submit_all([one])
        return one.job_id

    def ended(self, **of_job: Any) -> str:
        """A job that has ended."""
        job_id = self.job(**of_job)
        self.shop.cancel(job_id, self.user_id)
        return job_id

    # -- who hears

    def webhook(self, url: str, **more: Any) -> Webhook:
        """A new endpoint; its secret is in `secrets`."""
        new = NewWebhook(id=new_id(), user_id=more.pop("user_id", self.user_id), url=url, **more)
        self.secrets[new.id] = signing.new_secret()
        sealed = signing.seal(KEYRING, self.secrets[new.id])
        return self.db.transact(endpoints.create, new, sealed=sealed, endpoints_max=10, now_ms=now_ms())

    def seen(self, webhook: Webhook) -> Webhook:
        """The endpoint as it is now."""
        return self.db.read(endpoints.own, webhook_id=webhook.id, user_id=self.user_id)

    def change(self, webhook: Webhook, **changes: Any) -> Webhook:
        """The changed endpoint."""
        return self.db.transact(
            endpoints.change,
            webhook_id=webhook.id,
            user_id=self.user_id,
            changes=Changes(**changes),
            now_ms=now_ms(),
        )

    def rotate(self, webhook: Webhook, *, drop: Drop | None = None) -> str:
        """The new secret."""
        secret = signing.new_secret()
        until = self.db.transact(
            webhook_secrets.rotate,
            drop=drop,
            webhook_id=webhook.id,
            user_id=self.user_id,
            fresh=signing.seal(KEYRING, secret),
            now_ms=now_ms(),
        )
        assert (until is None) == (drop == "all")
        return secret

    def ping(self, webhook: Webhook) -> Event:
        """A test event."""
        return self.db.transact(
            by_hand.ping, webhook_id=webhook.id, user_id=self.user_id, event_id=new_id(), now_ms=now_ms()
        )

    def again(self, event: Event) -> Event:
        """The event, to be told once more."""
        return self.db.transact(by_hand.again, event_id=event.id, user_id=self.user_id, now_ms=now_ms())

    # -- what the worker does

    def deliver(self, target_id: str) -> int:
        """What one message does."""
        return self.deliverer.deliver(target_id)

    def messages(self) -> list[str]:
        """The targets that the outbox names, in order; the messages are gone then."""
        return self.db.transact(_taken)

    def requeue(self) -> int:
        """What the sweep does."""
        return self.db.transact(events.requeue_overdue, now_ms=now_ms())

    def let_pass(self, ms: int) -> None:
        """Make everything that waits so much older."""
        columns = EVENTS.c
        older = update(EVENTS).where(columns.due_ms.is_not(None))
        self.db.transact(matched, older.values(due_ms=columns.due_ms - ms, wake_ms=columns.wake_ms - ms))

    # -- what is known of it

    def events(self, **wanted: Any) -> list[Event]:
        """The user's events, the oldest first."""
        found, _ = self.db.read(queries.page, Filter(user_id=self.user_id, **wanted), offset=0, limit=1_000)
        return found[::-1]

    def states(self, **wanted: Any) -> list[tuple[str, int, str | None]]:
        """State, attempts and error of each."""
        return [(one.state, one.attempts, one.error) for one in self.events(**wanted)]

    def attempts(self, event: Event) -> list[Attempt]:
        """How it went."""
        return self.db.read(queries.attempts, event_id=event.id)

    def waits_ms(self, event: Event) -> int:
        """How long until its next attempt, about."""
        (found,) = [one for one in self.events() if one.id == event.id]
        assert found.next_ms
        return found.next_ms - now_ms()

    def notices(self) -> list[RowMapping]:
        """What the user was told."""
        found = select(Notification.__table__).where(Notification.user_id == self.user_id)
        return list(self.db.read(lambda session: session.execute(found).mappings().all()))

    def examine(self) -> Report:
        """What the doctor says."""
        return self.shop.examine()


def _taken(session: Session) -> list[str]:
    rows = session.execute(select(outbox.TABLE.c.contract, outbox.TABLE.c.message).order_by(outbox.TABLE.c.id)).all()
    session.execute(outbox.TABLE.delete())
    return [row.message.split('"')[3] for row in rows if row.contract == "webhooks.deliver"]
