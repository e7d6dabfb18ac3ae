"""Buying an agent: what is on offer is read, paid for, shared and handed over in one transaction or not at all.

1. A key that was answered before gets that answer; a purchase that exists already (a transaction whose commit was in
   doubt is run again) is answered again.
2. The offer is read under a lock, so that its price and its being published hold until the end.
3. The ledger takes the price and shares it. It locks the buyer's account, so from here on one purchase of a user comes
   after the other.
4. The purchase takes the one place that its user has for the agent; an earlier one makes room. Whoever finds that
   someone else did so meanwhile begins anew.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from atelier.catalog import purchases
from atelier.catalog.errors import AgentNotFound
from atelier.catalog.purchases import Offer, Purchase
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel import faults
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Again
from atelier.ledger.errors import InsufficientCredits
from atelier.ledger.posting import Posted
from atelier.marketplace import selling
from atelier.marketplace.errors import (
    AgentIsFree,
    AgentIsPaidPerUse,
    AlreadyPurchased,
    NotASubscription,
    OwnAgent,
    PriceChanged,
    SubscriptionTooLong,
)
from atelier.marketplace.selling import Sale, SaleIds

AHEAD_MS_MAX = 3 * 365 * DAY_MS
DONE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(SaleIds):
    """Someone wants an agent, for the price that they saw if they name one.

    `renew` is to pay for more of a subscription that runs. `auto_renew` says whether it is to be renewed by itself from
    then on, for the price of this purchase; None leaves that as it is with a subscription that runs, and off otherwise.
    """

    user_id: str
    agent_id: str
    expected_price: int | None
    renew: bool
    auto_renew: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """The answer as JSON. `accounts` are those that changed now: none when an earlier answer was given again."""

    answer: dict[str, Any]
    accounts: tuple[Posted, ...] = ()
    replayed: bool = False


def buy(session: Session, wish: Wish, *, keyed: Keyed | None, platform_percent: int, utc_offset_ms: int) -> Bought:
    """Buy the agent, or pay for 30 more days of it.

    Raises AgentNotFound, OwnAgent, AgentIsFree, AgentIsPaidPerUse, AlreadyPurchased, PriceChanged, NotASubscription,
    SubscriptionTooLong, InsufficientCredits and IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        return Bought(answer=stored.answer, replayed=True)
    if done := purchases.stored(session, purchase_id=wish.purchase_id):
        return Bought(answer=answer(done))
    offer = _offer(session, wish)
    earlier = purchases.current(session, user_id=wish.user_id, agent_id=wish.agent_id)
    new = _wanted(wish, offer, earlier)
    sale = Sale(new=new, offer=offer, earlier=earlier, ids=wish, platform_percent=platform_percent)
    accounts = _paid(session, sale, utc_offset_ms=utc_offset_ms)
    selling.hand_over(session, sale)
    selling.record(session, sale)
    told = answer(new)
    idempotency.store(session, keyed, status=DONE, answer=told, now_ms=offer.now_ms)
    faults.point("purchase.before_commit")
    return Bought(answer=told, accounts=tuple(accounts))


def _offer(session: Session, wish: Wish) -> Offer:
    offer = purchases.offer(session, agent_id=wish.agent_id)
    if offer is None:
        raise AgentNotFound(wish.agent_id)
    if offer.creator_id == wish.user_id:
        raise OwnAgent
    if offer.price_type == "free":
        raise AgentIsFree
    if offer.price_type == "pay_per_use":
        raise AgentIsPaidPerUse
    return offer


def _wanted(wish: Wish, offer: Offer, earlier: Purchase | None) -> Purchase:
    """What the purchase will be. It runs on from the end of a subscription that is renewed before its end."""
    runs = earlier is not None and (earlier.expires_ms is None or earlier.expires_ms > offer.now_ms)
    if earlier and runs and (earlier.expires_ms is None or not wish.renew):
        raise AlreadyPurchased
    if wish.expected_price is not None and wish.expected_price != offer.price:
        raise PriceChanged(price=offer.price)
    expires_ms = None
    if offer.price_type == purchases.SUBSCRIPTION:
        begins_ms = earlier.expires_ms if earlier and earlier.expires_ms and runs else offer.now_ms
        expires_ms = begins_ms + purchases.SUBSCRIBED_MS
        if expires_ms > offer.now_ms + AHEAD_MS_MAX:
            raise SubscriptionTooLong
    return Purchase(
        id=wish.purchase_id,
        user_id=wish.user_id,
        agent_id=offer.agent_id,
        purchase_type=offer.price_type,
        price=offer.price,
        expires_ms=expires_ms,
        created_ms=offer.now_ms,
        renew_price=_agreed(wish, offer, earlier if runs else None),
        follows_id=earlier.id if earlier else None,
    )


def _agreed(wish: Wish, offer: Offer, running: Purchase | None) -> int | None:
    """What a renewal by itself may cost: who asks for one agrees to the price that they pay now."""
    if offer.price_type != purchases.SUBSCRIPTION:
        if wish.auto_renew:
            raise NotASubscription
        return None
    as_it_is = running is not None and running.renew_price is not None
    wanted = as_it_is if wish.auto_renew is None else wish.auto_renew
    return offer.price if wanted else None


def _paid(session: Session, sale: Sale, *, utc_offset_ms: int) -> list[Posted]:
    try:
        return selling.pay(session, sale, utc_offset_ms=utc_offset_ms)
    except InsufficientCredits:
        new = sale.new
        if purchases.current(session, user_id=new.user_id, agent_id=new.agent_id) != sale.earlier:
            # The credits went for this very agent, while we waited for the account.
            raise Again from None
        raise


def answer(purchase: Purchase) -> dict[str, Any]:
    """A purchase that its user has now. Times are milliseconds: the web tier writes them for its readers."""
    shown = {
        "id": purchase.id,
        "agentId": purchase.agent_id,
        "purchaseType": purchase.purchase_type,
        "isActive": True,
        "expiresAt": purchase.expires_ms,
        "createdAt": purchase.created_ms,
        "autoRenew": purchase.renew_price is not None,
        "renewPrice": purchase.renew_price,
    }
    return {"success": True, "purchase": shown}
