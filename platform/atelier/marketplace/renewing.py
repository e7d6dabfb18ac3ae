"""Subscriptions that are renewed by themselves: paid from the balance, in groups, within a day of their end.

A renewal is a purchase like one that its user asks for, with the same transfers under the same keys. It happens once:

1. Agents, accounts and purchases are locked in this order, which is also the one of whoever buys.
2. Only what is to be renewed still, when it is locked, is renewed: a task that comes second finds nothing to do.
3. Behind that stand the unique keys: a purchase is followed by one other at the most, and a user has one place for an
   agent.

What can't be renewed stays as it is, and every run looks at it until it ends; its user is told of each obstacle once.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from atelier.accounts import queries as accounts
from atelier.catalog import purchases, renewals
from atelier.catalog.purchases import Offer, Purchase, SoldAgent
from atelier.catalog.renewals import Near, Obstacle, Renewable
from atelier.kernel import faults, ids, logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.ledger import posting
from atelier.ledger.posting import Posted
from atelier.marketplace import selling
from atelier.marketplace.selling import Sale, SaleIds
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice

GROUP = 50
SECONDS_MAX = 8.0
"""So that after an outage this leaves room for the other tasks of its worker; the next run goes on."""
log = logs.get(__name__)

KINDS: Mapping[Obstacle, str] = {
    Obstacle.CREDITS: "subscription_unpaid",
    Obstacle.PRICE: "subscription_price_risen",
    Obstacle.AGENT: "subscription_withdrawn",
}
"""What users are told of an obstacle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(SaleIds):
    """A subscription whose time has come, and the ids of what its renewal writes; `told_id` is for what its user is
    told.
    """

    near: Near
    told_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings say: the platform's share, the operator's clock, whether who spends needs a proved address."""

    platform_percent: int
    utc_offset_ms: int
    needs_verification: bool


@dataclass(slots=True)
class Renewed:
    """What became of a group: how many were renewed, and how the accounts stand that changed."""

    number: int = 0
    accounts: dict[str, Posted] = field(default_factory=dict[str, Posted])


class Renewer:
    """Renews for one process. `announce` is told each account that has changed, after the commit."""

    def __init__(
        self, *, database: Database, announce: Callable[[Posted], object], rules: Rules, group: int = GROUP
    ) -> None:
        self._database = database
        self._announce = announce
        self._rules = rules
        self._group = group

    def run(self) -> int:
        """Try every subscription whose time has come, once; how many were renewed. Raises Transient."""
        until, total = time.monotonic() + SECONDS_MAX, 0
        after: tuple[int, str] | None = None
        while time.monotonic() < until:
            found = self._database.read(renewals.near, after=after, limit=self._group)
            total += self._some(found)
            if len(found) < self._group:
                break
            after = found[-1].place
        if total:
            log.info("subscriptions.renewed", number=total)
        return total

    def _some(self, found: Sequence[Near]) -> int:
        try:
            return self._renew(found)
        except Transient:
            raise
        except Exception:
            # One that can't be renewed must not keep the others waiting.
            log.exception("renewals.group_failed")
            return sum(self._alone(one) for one in found)

    def _alone(self, one: Near) -> int:
        try:
            return self._renew([one])
        except Transient:
            raise
        except Exception:
            log.exception("renewals.not_tried", purchase_id=one.id)
            return 0

    def _renew(self, found: Sequence[Near]) -> int:
        if not found:
            return 0
        attempts = [attempt(one) for one in found]
        done = self._database.transact(renew_some, attempts, rules=self._rules, now_ms=now_ms())
        for account in done.accounts.values():
            self._announce(account)
        return done.number


def attempt(near: Near) -> Attempt:
    """An attempt with fresh ids."""
    return Attempt(
        near=near,
        purchase_id=ids.new_id(),
        transfer_id=ids.new_id(),
        creator_share_id=ids.new_id(),
        platform_share_id=ids.new_id(),
        notice_id=ids.new_id(),
        told_id=ids.new_id(),
    )


def renew_some(session: Session, attempts: Sequence[Attempt], *, rules: Rules, now_ms: int) -> Renewed:
    """Renew those that can be, and tell the users of all."""
    agent_ids = {one.near.agent_id for one in attempts}
    user_ids = {one.near.user_id for one in attempts}
    offers = purchases.offers(session, agent_ids=agent_ids)
    available = _available(session, user_ids, offers.values())
    found = renewals.locked(session, purchase_ids=[one.near.id for one in attempts])
    barred = accounts.barred(session, user_ids=user_ids, needs_verification=rules.needs_verification)
    sold = purchases.agents(session, agent_ids=agent_ids)
    done, told = Renewed(), dict[str, Obstacle]()
    for one in attempts:
        due = found.get(one.near.id)
        if due is None or due.purchase.user_id in barred:
            continue
        offer, agent = offers.get(one.near.agent_id), sold[one.near.agent_id]
        obstacle = renewals.obstacle(
            renew_price=due.renew_price,
            price=offer.price if offer and offer.price_type == purchases.SUBSCRIPTION else None,
            available=available[due.purchase.user_id],
        )
        if obstacle is None and offer is not None:
            for account in _renew(session, _sale(one, due, offer, rules), one.told_id, rules=rules):
                available[account.account_id] = account.available
                done.accounts[account.account_id] = account
            done.number += 1
        elif obstacle is not None and not obstacle & due.told:
            notifications.notify(session, _hindered(one.told_id, due, agent, obstacle), now_ms=now_ms)
            told[due.purchase.id] = due.told | obstacle
    renewals.note_told(session, told)
    faults.point("renewals.before_commit")
    return done


def _available(session: Session, user_ids: Iterable[str], offers: Iterable[Offer]) -> dict[str, int]:
    """What these users and the agents' creators may spend: nobody else changes it until this transaction has ended."""
    payees = {payee for one in offers if (payee := purchases.payee(one.creator_id))}
    counters = posting.locked(session, {*user_ids, *payees})
    return {account_id: one.available for account_id, one in counters.items()}


def _sale(one: Attempt, due: Renewable, offer: Offer, rules: Rules) -> Sale:
    earlier = due.purchase
    new = Purchase(
        id=one.purchase_id,
        user_id=earlier.user_id,
        agent_id=earlier.agent_id,
        purchase_type=offer.price_type,
        price=offer.price,
        expires_ms=due.expires_ms + purchases.SUBSCRIBED_MS,
        created_ms=offer.now_ms,
        renew_price=due.renew_price,
        follows_id=earlier.id,
    )
    return Sale(new=new, offer=offer, earlier=earlier, ids=one, platform_percent=rules.platform_percent, automatic=True)


def _renew(session: Session, sale: Sale, told_id: str, *, rules: Rules) -> list[Posted]:
    changed = selling.pay(session, sale, utc_offset_ms=rules.utc_offset_ms)
    selling.hand_over(session, sale)
    selling.record(session, sale)
    data = {"agentName": sale.offer.name, "amount": sale.new.price, "expiresAt": sale.new.expires_ms}
    notice = Notice(
        id=told_id,
        user_id=sale.new.user_id,
        kind="subscription_renewed",
        data=data,
        ref_type="agent",
        ref_id=sale.new.agent_id,
    )
    notifications.notify(session, notice, now_ms=sale.offer.now_ms)
    return changed


def _hindered(told_id: str, due: Renewable, agent: SoldAgent, obstacle: Obstacle) -> Notice:
    data = hindrance(agent, expires_ms=due.expires_ms, renew_price=due.renew_price)
    return Notice(
        id=told_id, user_id=due.purchase.user_id, kind=KINDS[obstacle], data=data, ref_type="agent", ref_id=agent.id
    )


def hindrance(agent: SoldAgent, *, expires_ms: int, renew_price: int) -> dict[str, object]:
    """What the sentences about an obstacle, or about a renewal that will come, are made of."""
    return {
        "agentName": agent.name,
        "amount": agent.subscription_price,
        "agreed": renew_price,
        "expiresAt": expires_ms,
    }
