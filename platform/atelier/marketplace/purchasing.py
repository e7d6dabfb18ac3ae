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

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog import purchases
from atelier.catalog.errors import AgentNotFound
from atelier.catalog.purchases import Offer, Purchase
from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import Keyed
from atelier.kernel import faults
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Again, is_duplicate
from atelier.ledger import service as ledger
from atelier.ledger import shares
from atelier.ledger.errors import InsufficientCredits
from atelier.ledger.posting import Posted
from atelier.ledger.shares import Terms
from atelier.marketplace.errors import (
    AgentIsFree,
    AgentIsPaidPerUse,
    AlreadyPurchased,
    OwnAgent,
    PriceChanged,
    SubscriptionTooLong,
)
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice

AHEAD_MS_MAX = 3 * 365 * DAY_MS
DONE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Someone wants an agent, for the price that they saw if they name one.

    `renew` is to pay for more of a subscription that runs. The ids are made by the caller, so that running twice is one
    purchase.
    """

    user_id: str
    agent_id: str
    expected_price: int | None
    renew: bool
    purchase_id: str
    transfer_id: str
    creator_share_id: str
    platform_share_id: str
    notice_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """The answer as JSON. `accounts` are those that changed now: none when an earlier answer was given again."""

    answer: dict[str, Any]
    accounts: tuple[Posted, ...] = ()
    replayed: bool = False


def buy(session: Session, wish: Wish, *, keyed: Keyed | None, platform_percent: int, utc_offset_ms: int) -> Bought:
    """Buy the agent, or pay for 30 more days of it.

    Raises AgentNotFound, OwnAgent, AgentIsFree, AgentIsPaidPerUse, AlreadyPurchased, PriceChanged, SubscriptionTooLong,
    InsufficientCredits and IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        return Bought(answer=stored.answer, replayed=True)
    if done := purchases.stored(session, purchase_id=wish.purchase_id):
        return Bought(answer=_answer(done))
    offer = _offer(session, wish)
    earlier = purchases.current(session, user_id=wish.user_id, agent_id=wish.agent_id)
    new = _wanted(wish, offer, earlier)
    terms = Terms(
        agent_id=offer.agent_id,
        creator_id=purchases.payee(offer.creator_id),
        platform_percent=platform_percent,
        transfer_id=wish.platform_share_id,
    )
    accounts = _paid(session, wish, offer, earlier, terms=terms, utc_offset_ms=utc_offset_ms)
    _handed_over(session, new, earlier)
    _told(session, wish, new, offer, terms=terms)
    answer = _answer(new)
    idempotency.store(session, keyed, status=DONE, answer=answer, now_ms=offer.now_ms)
    faults.point("purchase.before_commit")
    return Bought(answer=answer, accounts=tuple(accounts))


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
    )


def _paid(
    session: Session, wish: Wish, offer: Offer, earlier: Purchase | None, *, terms: Terms, utc_offset_ms: int
) -> list[Posted]:
    payment = ledger.Purchase(
        purchase_id=wish.purchase_id,
        transfer_id=wish.transfer_id,
        share_id=wish.creator_share_id,
        user_id=wish.user_id,
        amount=offer.price,
        note=offer.name,
        terms=terms,
    )
    try:
        return ledger.purchase(session, payment, now_ms=offer.now_ms, utc_offset_ms=utc_offset_ms)
    except InsufficientCredits:
        if purchases.current(session, user_id=wish.user_id, agent_id=wish.agent_id) != earlier:
            # The credits went for this very agent, while we waited for the account.
            raise Again from None
        raise


def _handed_over(session: Session, new: Purchase, earlier: Purchase | None) -> None:
    if earlier and not purchases.end(session, purchase_id=earlier.id, now_ms=new.created_ms):
        raise Again
    try:
        purchases.add(session, new)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def _told(session: Session, wish: Wish, new: Purchase, offer: Offer, *, terms: Terms) -> None:
    operation = oplog.Operation(
        action="AGENT_PURCHASE",
        user_id=new.user_id,
        resource_type="agent",
        resource_id=new.agent_id,
        details={"purchaseId": new.id, "price": new.price, "purchaseType": new.purchase_type},
    )
    oplog.record(session, operation, now_ms=offer.now_ms)
    if terms.creator_id is None:
        return
    share = new.price - shares.platform_part(new.price, percent=terms.platform_percent)
    notice = Notice(
        id=wish.notice_id,
        user_id=terms.creator_id,
        kind="agent_sold",
        data={"agentName": offer.name, "amount": share},
        ref_type="agent",
        ref_id=new.agent_id,
    )
    notifications.notify(session, notice, now_ms=offer.now_ms)


def _answer(purchase: Purchase) -> dict[str, Any]:
    """Times are milliseconds: the web tier writes them for its readers."""
    shown = {
        "id": purchase.id,
        "agentId": purchase.agent_id,
        "purchaseType": purchase.purchase_type,
        "isActive": True,
        "expiresAt": purchase.expires_ms,
        "createdAt": purchase.created_ms,
    }
    return {"success": True, "purchase": shown}
