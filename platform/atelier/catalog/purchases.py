"""Purchases of agents: what is on offer, who has bought what, and when that ends.

Times are the database's: `now_ms` comes from `offer`, or from the statement itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, insert, or_, select, update
from sqlalchemy.orm import Session

from atelier.catalog.models import AGENTS, PURCHASES
from atelier.catalog.seed_content import HOUSE_ID
from atelier.kernel.clock import DAY_MS, db_now_ms
from atelier.kernel.database import matched

A = AGENTS.c
P = PURCHASES.c

ONE_TIME = "one_time"
SUBSCRIPTION = "subscription"
SUBSCRIBED_MS = 30 * DAY_MS
REMINDED_MS = 3 * DAY_MS
ACTIVE = 1
COUNTED_MAX = 10_000


def payee(creator_id: str) -> str | None:
    """Who shares in what is paid for an agent of this creator: nobody, if it is the house's."""
    return None if creator_id == HOUSE_ID else creator_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An agent as it is sold at this moment."""

    agent_id: str
    creator_id: str
    name: str
    price_type: str
    price: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase. `expires_ms` is None for what is bought for good; `ended_ms` says when it was ended or renewed.

    `renew_price` is the most that a renewal by itself may cost, None where there is to be none; `follows_id` is the
    purchase whose place it took.
    """

    id: str
    user_id: str
    agent_id: str
    purchase_type: str
    price: int
    expires_ms: int | None
    created_ms: int
    ended_ms: int | None = None
    renew_price: int | None = None
    follows_id: str | None = None


@dataclass(frozen=True, slots=True)
class SoldAgent:
    """What lists of purchases and earnings show of an agent, as it is now."""

    id: str
    slug: str
    name: str
    status: str
    price_type: str
    base_price: int | None

    @property
    def subscription_price(self) -> int | None:
        """What 30 days of it cost now; None while nobody can subscribe to it."""
        return self.base_price if (self.status, self.price_type) == ("published", SUBSCRIPTION) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A purchase, whether it gives its user the agent now, and the agent."""

    purchase: Purchase
    is_active: bool
    agent: SoldAgent


_ENDED: dict[str, int | None] = {"active_slot": None, "due_ms": None, "renew_price": None}
_AGENT = (A.id, A.slug, A.name, A.status, A.price_type, A.base_price)
PURCHASE: tuple[ColumnElement[Any], ...] = (
    *(P.id, P.user_id, P.agent_id, P.purchase_type, P.price, P.expires_ms, P.created_ms, P.ended_ms),
    *(P.renew_price, P.follows_id),
)
"""The columns of a `Purchase`, in its order."""


def offer(session: Session, *, agent_id: str) -> Offer | None:
    """The agent, if it is published; it stays as it is until this transaction has ended."""
    return offers(session, agent_ids=[agent_id]).get(agent_id)


def offers(session: Session, *, agent_ids: Iterable[str]) -> dict[str, Offer]:
    """Those of the agents that are published; all stay as they are until this transaction has ended."""
    columns = (A.id, A.creator_id, A.name, A.price_type, func.coalesce(A.base_price, 0), db_now_ms())
    wanted = select(*columns).where(A.id.in_(sorted(set(agent_ids))), A.status == "published").order_by(A.id)
    return {
        row[0]: Offer(agent_id=row[0], creator_id=row[1], name=row[2], price_type=row[3], price=row[4], now_ms=row[5])
        for row in session.connection().execute(wanted.with_for_update(read=True))
    }


def stored(session: Session, *, purchase_id: str) -> Purchase | None:
    """A purchase by its id."""
    row = session.connection().execute(select(*PURCHASE).where(P.id == purchase_id)).one_or_none()
    return Purchase(*row) if row else None


def current(session: Session, *, user_id: str, agent_id: str) -> Purchase | None:
    """The user's one purchase of the agent that was not ended, expired or not."""
    mine = select(*PURCHASE).where(P.user_id == user_id, P.agent_id == agent_id, P.active_slot == ACTIVE)
    row = session.connection().execute(mine).one_or_none()
    return Purchase(*row) if row else None


def add(session: Session, new: Purchase) -> None:
    """Insert an active purchase. That there is one already is an IntegrityError."""
    due_ms = None if new.expires_ms is None else new.expires_ms - REMINDED_MS
    session.connection().execute(insert(PURCHASES).values(**asdict(new), active_slot=ACTIVE, due_ms=due_ms))


def end(session: Session, known: Purchase, *, now_ms: int) -> bool:
    """Free the place of a purchase; False when it is not as it is known: ended, or agreed upon anew."""
    as_known = P.renew_price.is_not_distinct_from(known.renew_price)
    ending = update(PURCHASES).where(P.id == known.id, P.active_slot == ACTIVE, as_known)
    return matched(session, ending.values(_ENDED | {"ended_ms": now_ms})) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A subscription that is over, or soon will be. `told` are the bits of `renewal_told`."""

    id: str
    user_id: str
    agent: SoldAgent
    expires_ms: int
    renew_price: int | None
    told: int
    over: bool


def due(session: Session, *, limit: int) -> list[Due]:
    """The subscriptions that somebody has to look at, locked, those that have waited longest first."""
    statement = (
        select(
            *(P.id, P.user_id, P.agent_id, P.expires_ms, P.renew_price, P.renewal_told),
            (P.expires_ms <= db_now_ms()).label("over"),
        )
        .where(P.due_ms <= db_now_ms())
        .order_by(P.due_ms, P.id)
        .limit(limit)
        .with_for_update()
    )
    rows = session.connection().execute(statement).all()
    sold = agents(session, agent_ids=[row.agent_id for row in rows])
    return [
        Due(
            id=row.id,
            user_id=row.user_id,
            agent=sold[row.agent_id],
            expires_ms=row.expires_ms,
            renew_price=row.renew_price,
            told=row.renewal_told,
            over=bool(row.over),
        )
        for row in rows
    ]


def seen(session: Session, looked_at: Sequence[Due], *, now_ms: int) -> None:
    """Free the places of those that are over; the others are looked at again when they are."""
    over = [one.id for one in looked_at if one.over]
    soon = [one.id for one in looked_at if not one.over]
    if over:
        ending = update(PURCHASES).where(P.id.in_(over), P.active_slot == ACTIVE)
        session.connection().execute(ending.values(_ENDED | {"ended_ms": now_ms}))
    if soon:
        session.connection().execute(update(PURCHASES).where(P.id.in_(soon)).values(due_ms=P.expires_ms))


def page(session: Session, *, user_id: str, offset: int, limit: int) -> tuple[list[Owned], int]:
    """A page of a user's purchases, newest first, and how many there are (counted up to COUNTED_MAX)."""
    active = and_(P.active_slot == ACTIVE, or_(P.expires_ms.is_(None), P.expires_ms > db_now_ms()))
    rows = session.connection().execute(
        select(*PURCHASE, case((active, 1), else_=0))
        .where(P.user_id == user_id)
        .order_by(P.id.desc())
        .offset(offset)
        .limit(limit)
    )
    found = [(Purchase(*row), bool(is_active)) for *row, is_active in rows]
    sold = agents(session, agent_ids=[one.agent_id for one, _ in found])
    owned = [Owned(purchase=one, is_active=is_active, agent=sold[one.agent_id]) for one, is_active in found]
    counted = select(P.id).where(P.user_id == user_id).limit(COUNTED_MAX).subquery()
    return owned, session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


def agents(session: Session, *, agent_ids: Iterable[str]) -> dict[str, SoldAgent]:
    """What lists of purchases and earnings show of these agents."""
    rows = session.connection().execute(select(*_AGENT).where(A.id.in_(sorted(set(agent_ids)))))
    return {row.id: SoldAgent(**row) for row in rows.mappings()}
