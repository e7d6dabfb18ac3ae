"""Subscriptions that are to be renewed by themselves: what their users agreed to, and which of them are near their end.

A renewal is a purchase of its own, which takes the place of the one that it follows. Times are the database's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntFlag

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from atelier.catalog.models import PURCHASES
from atelier.catalog.purchases import ACTIVE, PURCHASE, Purchase
from atelier.kernel.clock import DAY_MS, db_now_ms
from atelier.kernel.database import matched

P = PURCHASES.c

RENEWED_MS = DAY_MS
"""How long before its end a subscription is renewed, at the earliest."""


class Obstacle(IntFlag):
    """Why a subscription can't be renewed now; together they are what its user was told of in this period."""

    CREDITS = 1
    PRICE = 2
    AGENT = 4


def obstacle(*, renew_price: int, price: int | None, available: int | None = None) -> Obstacle | None:
    """What stands in the way of a renewal that may cost `renew_price`.

    `price` is the present one, None while nobody can subscribe; without `available` credits are not looked at.
    """
    if price is None:
        return Obstacle.AGENT
    if price > renew_price:
        return Obstacle.PRICE
    return Obstacle.CREDITS if available is not None and available < price else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A subscription that is to be renewed and is near its end, as it was seen without a lock."""

    id: str
    user_id: str
    agent_id: str
    expires_ms: int

    @property
    def place(self) -> tuple[int, str]:
        """Where it stands in the order of ends."""
        return self.expires_ms, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewable:
    """The same under a lock: the purchase, the price that was agreed to, and what its user was told of."""

    purchase: Purchase
    expires_ms: int
    renew_price: int
    told: Obstacle


_RUNS = and_(P.active_slot == ACTIVE, P.expires_ms > db_now_ms())
_NEAR = and_(_RUNS, P.expires_ms <= db_now_ms() + RENEWED_MS, P.renew_price.is_not(None))


def running(session: Session, *, user_id: str, agent_id: str) -> Purchase | None:
    """The user's subscription of the agent, if it runs."""
    mine = select(*PURCHASE).where(P.user_id == user_id, P.agent_id == agent_id, _RUNS)
    row = session.connection().execute(mine).one_or_none()
    return Purchase(*row) if row else None


def agree(session: Session, *, purchase_id: str, price: int | None) -> bool:
    """Have it renewed by itself for `price` at the most, or not at all; False when it does not run any more."""
    running_one = update(PURCHASES).where(P.id == purchase_id, _RUNS)
    return matched(session, running_one.values(renew_price=price, renewal_told=0)) == 1


def near(session: Session, *, after: tuple[int, str] | None, limit: int) -> list[Near]:
    """Those that are to be renewed now, the next to end first; `after` is the place of the last one of a page."""
    wanted = select(P.id, P.user_id, P.agent_id, P.expires_ms).where(_NEAR)
    if after is not None:
        expires_ms, purchase_id = after
        wanted = wanted.where(or_(P.expires_ms > expires_ms, and_(P.expires_ms == expires_ms, P.id > purchase_id)))
    rows = session.connection().execute(wanted.order_by(P.expires_ms, P.id).limit(limit))
    return [Near(**row) for row in rows.mappings()]


def locked(session: Session, *, purchase_ids: Iterable[str]) -> dict[str, Renewable]:
    """Those of them that are to be renewed still; they stay so until this transaction has ended."""
    wanted = select(*PURCHASE, P.renewal_told).where(P.id.in_(sorted(purchase_ids)), _NEAR).order_by(P.id)
    found: dict[str, Renewable] = {}
    for *row, told in session.connection().execute(wanted.with_for_update()):
        one = Purchase(*row)
        assert one.expires_ms is not None
        assert one.renew_price is not None
        found[one.id] = Renewable(
            purchase=one, expires_ms=one.expires_ms, renew_price=one.renew_price, told=Obstacle(told)
        )
    return found


def note_told(session: Session, told: Mapping[str, Obstacle]) -> None:
    """Note what the users of these purchases were told of, by the purchases' ids."""
    alike: dict[Obstacle, list[str]] = {}
    for purchase_id, obstacles in told.items():
        alike.setdefault(obstacles, []).append(purchase_id)
    for obstacles, purchase_ids in sorted(alike.items()):
        those = update(PURCHASES).where(P.id.in_(sorted(purchase_ids)))
        session.connection().execute(those.values(renewal_told=int(obstacles)))
