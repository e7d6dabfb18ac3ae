"""Whether a subscription is renewed by itself: its user's word, and the price that it holds for."""

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from atelier.catalog import purchases, renewals
from atelier.catalog.errors import AgentArchived, AgentNotFound
from atelier.catalog.purchases import Offer, Purchase
from atelier.contracts import oplog
from atelier.kernel.database import Again
from atelier.marketplace.errors import NotASubscription, NotSubscribed, PriceChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Someone wants their subscription of an agent to be renewed by itself, or not; for the price that they saw, if
    they name one.
    """

    user_id: str
    agent_id: str
    auto_renew: bool
    expected_price: int | None


def agree(session: Session, agreement: Agreement, *, now_ms: int) -> Purchase:
    """Note it, and answer the subscription. Who agrees again agrees to the present price.

    Raises AgentNotFound, NotSubscribed, AgentArchived, NotASubscription and PriceChanged.
    """
    offer = purchases.offer(session, agent_id=agreement.agent_id)
    mine = renewals.running(session, user_id=agreement.user_id, agent_id=agreement.agent_id)
    if mine is None:
        raise NotSubscribed if offer else AgentNotFound(agreement.agent_id)
    price = _price(agreement, offer) if agreement.auto_renew else None
    if price == mine.renew_price:
        return mine
    if not renewals.agree(session, purchase_id=mine.id, price=price):
        # It was renewed, or has ended, since we looked.
        raise Again
    operation = oplog.Operation(
        action="SUBSCRIPTION_AUTO_RENEW",
        user_id=mine.user_id,
        resource_type="agent",
        resource_id=mine.agent_id,
        details={"purchaseId": mine.id, "autoRenew": agreement.auto_renew, "renewPrice": price},
    )
    oplog.record(session, operation, now_ms=now_ms)
    return replace(mine, renew_price=price)


def _price(agreement: Agreement, offer: Offer | None) -> int:
    if offer is None:
        raise AgentArchived(agreement.agent_id)
    if offer.price_type != purchases.SUBSCRIPTION:
        raise NotASubscription
    if agreement.expected_price is not None and agreement.expected_price != offer.price:
        raise PriceChanged(price=offer.price)
    return offer.price
