"""Creators, their agents, and people who buy and use them, through the product's own verbs."""

from dataclasses import replace
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.catalog import queries as catalog
from atelier.catalog import search, seed_content, service
from atelier.catalog.models import AGENTS, PURCHASES
from atelier.catalog.purchases import Purchase
from atelier.contracts import oplog
from atelier.contracts.idempotency import Keyed
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger.posting import Posted
from atelier.marketplace import agreeing, purchasing, renewing, subscriptions
from atelier.marketplace.agreeing import Agreement
from atelier.marketplace.purchasing import Bought, Wish
from atelier.marketplace.renewing import Renewer, Rules
from atelier.notifications.models import Notification
from tests.furnishing import furnish
from tests.jobs.lifecycle import PLATFORM_PERCENT, UTC_OFFSET_MS, Workshop

Row = dict[str, Any]


def a_wish(
    user_id: str,
    agent_id: str,
    *,
    expected: int | None = None,
    renew: bool = False,
    auto_renew: bool | None = None,
    purchase_id: str = "",
) -> Wish:
    """Someone wants an agent."""
    return Wish(
        user_id=user_id,
        agent_id=agent_id,
        expected_price=expected,
        renew=renew,
        auto_renew=auto_renew,
        purchase_id=purchase_id or new_id(),
        transfer_id=new_id(),
        creator_share_id=new_id(),
        platform_share_id=new_id(),
        notice_id=new_id(),
    )


def offer(session: Session, *, agent_id: str, creator_id: str, price_type: str, price: int) -> None:
    """Publish an agent that echoes; `price` is per use, or of the purchase, by its type."""
    echo, now = seed_content.ECHO, now_ms()
    once = price if price_type in {"one_time", "subscription"} else None
    per_use = price if price_type == "pay_per_use" else None
    prices: dict[str, Any] = {"price_type": price_type, "credits_per_use": per_use}
    shown = replace(echo.shown, slug=f"a{agent_id[-12:]}", name="海报大师", base_price=once, **prices)
    shown = replace(shown, creator_id=creator_id)
    service.create(session, agent_id=agent_id, shown=shown, status="review", now_ms=now)
    version = service.add_version(session, agent_id=agent_id, content=replace(echo.content, **prices), now_ms=now)
    service.publish(session, agent_id=agent_id, version=version, now_ms=now)


class Market(Workshop):
    """One database with the house's agents, and what happens there."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.announced: list[Posted] = []
        db.transact(furnish)

    def agent(self, creator_id: str, *, price_type: str = "one_time", price: int = 50) -> str:
        """A published agent."""
        agent_id = new_id()
        self.db.transact(offer, agent_id=agent_id, creator_id=creator_id, price_type=price_type, price=price)
        return agent_id

    def buy(
        self,
        user_id: str,
        agent_id: str,
        *,
        expected: int | None = None,
        renew: bool = False,
        auto_renew: bool | None = None,
        keyed: Keyed | None = None,
        percent: int = PLATFORM_PERCENT,
    ) -> Bought:
        """Buy an agent. Raises what it was refused for."""
        wish = a_wish(user_id, agent_id, expected=expected, renew=renew, auto_renew=auto_renew)
        return self.grant(wish, keyed=keyed, percent=percent)

    def grant(self, wish: Wish, *, keyed: Keyed | None = None, percent: int = PLATFORM_PERCENT) -> Bought:
        """The same for a wish that is there already."""
        return self.db.transact(
            purchasing.buy, wish, keyed=keyed, platform_percent=percent, utc_offset_ms=UTC_OFFSET_MS
        )

    def agree(self, user_id: str, agent_id: str, *, on: bool = True, expected: int | None = None) -> Purchase:
        """Have a subscription renewed by itself, or not. Raises what it was refused for."""
        agreement = Agreement(user_id=user_id, agent_id=agent_id, auto_renew=on, expected_price=expected)
        return self.db.transact(agreeing.agree, agreement, now_ms=now_ms())

    def renew_due(
        self, *, percent: int = PLATFORM_PERCENT, needs_verification: bool = False, group: int = renewing.GROUP
    ) -> int:
        """The first half of the scheduled task: how many were renewed."""
        rules = Rules(platform_percent=percent, utc_offset_ms=UTC_OFFSET_MS, needs_verification=needs_verification)
        return Renewer(database=self.db, announce=self.announced.append, rules=rules, group=group).run()

    def has(self, user_id: str, agent_id: str) -> bool:
        """Whether the user may run the agent now."""
        return self.db.read(catalog.purchased, user_id=user_id, agent_id=agent_id, now_ms=now_ms())

    def purchases(self, user_id: str) -> list[Row]:
        """The user's purchases, oldest first."""
        return self.db.read(_rows, user_id=user_id)

    def elapse(self, purchase_id: str, ms: int) -> None:
        """Let time pass for a purchase: everything that it says of time was so much earlier."""
        self.db.transact(_earlier, purchase_id=purchase_id, ms=ms)

    def expire(self) -> int:
        """The second half of the scheduled task."""
        return subscriptions.expire(self.db)

    def change(self, agent_id: str, **columns: Any) -> None:
        """Change an agent, as its author or an administrator would."""
        self.db.transact(_change, agent_id=agent_id, columns=columns)

    def told(self, user_id: str) -> list[tuple[str, Row]]:
        """What the user was told, oldest first: kind and data."""
        return self.db.read(_told, user_id=user_id)

    def operations(self, action: str = "AGENT_PURCHASE") -> list[Row]:
        """What was logged of this action."""
        return self.db.read(_logged, action=action)


def _rows(session: Session, *, user_id: str) -> list[Row]:
    mine = select(PURCHASES).where(PURCHASES.c.user_id == user_id).order_by(PURCHASES.c.id)
    return [dict(row) for row in session.execute(mine).mappings()]


def _earlier(session: Session, *, purchase_id: str, ms: int) -> None:
    columns = PURCHASES.c
    moved = {name: columns[name] - ms for name in ("created_ms", "expires_ms", "due_ms")}
    session.execute(update(PURCHASES).where(columns.id == purchase_id).values(moved))


def _change(session: Session, *, agent_id: str, columns: Row) -> None:
    session.execute(update(AGENTS).where(AGENTS.c.id == agent_id).values(**columns))
    status = session.execute(select(AGENTS.c.status).where(AGENTS.c.id == agent_id)).scalar_one()
    if status == "published":
        service.reindex(session, agent_id=agent_id)
    else:
        search.forget(session, agent_id=agent_id)


def _told(session: Session, *, user_id: str) -> list[tuple[str, Row]]:
    mine = select(Notification.kind, Notification.data).where(Notification.user_id == user_id)
    return [(kind, data) for kind, data in session.execute(mine.order_by(Notification.id))]


def _logged(session: Session, *, action: str) -> list[Row]:
    rows = select(oplog.TABLE).where(oplog.TABLE.c.action == action).order_by(oplog.TABLE.c.id)
    return [dict(row) for row in session.execute(rows).mappings()]
