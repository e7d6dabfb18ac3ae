"""What every sale of an agent does, whether its buyer asked for it or agreed to it before: pay, hand over, record."""

from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog import purchases
from atelier.catalog.purchases import Offer, Purchase
from atelier.contracts import oplog
from atelier.kernel.database import Again, is_duplicate
from atelier.ledger import service as ledger
from atelier.ledger import shares
from atelier.ledger.posting import Posted
from atelier.ledger.shares import Terms
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleIds:
    """The ids of what a sale writes, made by the caller, so that running twice is one sale.

    `notice_id` is for what the creator is told.
    """

    purchase_id: str
    transfer_id: str
    creator_share_id: str
    platform_share_id: str
    notice_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """`new` is bought by this offer, in the place of the `earlier` purchase if there is one.

    `automatic`: nobody asked for it now.
    """

    new: Purchase
    offer: Offer
    earlier: Purchase | None
    ids: SaleIds
    platform_percent: int
    automatic: bool = False

    @property
    def terms(self) -> Terms:
        """Who shares in the price."""
        return Terms(
            agent_id=self.offer.agent_id,
            creator_id=purchases.payee(self.offer.creator_id),
            platform_percent=self.platform_percent,
            transfer_id=self.ids.platform_share_id,
        )


def pay(session: Session, sale: Sale, *, utc_offset_ms: int) -> list[Posted]:
    """Take the price from the buyer and share it. Raises InsufficientCredits.

    The accounts afterwards: the buyer's, then the creator's if there was a share for them.
    """
    payment = ledger.Purchase(
        purchase_id=sale.new.id,
        transfer_id=sale.ids.transfer_id,
        share_id=sale.ids.creator_share_id,
        user_id=sale.new.user_id,
        amount=sale.new.price,
        note=sale.offer.name,
        terms=sale.terms,
    )
    return ledger.purchase(session, payment, now_ms=sale.offer.now_ms, utc_offset_ms=utc_offset_ms)


def hand_over(session: Session, sale: Sale) -> None:
    """Give the buyer the one place that they have for the agent. Raises Again when it has changed hands meanwhile."""
    if sale.earlier and not purchases.end(session, sale.earlier, now_ms=sale.new.created_ms):
        raise Again
    try:
        purchases.add(session, sale.new)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def record(session: Session, sale: Sale) -> None:
    """Log the sale, and tell the creator what they have earned by it."""
    new, terms = sale.new, sale.terms
    details: dict[str, object] = {"purchaseId": new.id, "price": new.price, "purchaseType": new.purchase_type}
    if new.renew_price is not None:
        details["renewPrice"] = new.renew_price
    if sale.automatic:
        details["automatic"] = True
    operation = oplog.Operation(
        action="AGENT_PURCHASE",
        user_id=new.user_id,
        resource_type="agent",
        resource_id=new.agent_id,
        details=details,
    )
    oplog.record(session, operation, now_ms=sale.offer.now_ms)
    if terms.creator_id is None:
        return
    share = new.price - shares.platform_part(new.price, percent=terms.platform_percent)
    notice = Notice(
        id=sale.ids.notice_id,
        user_id=terms.creator_id,
        kind="agent_sold",
        data={"agentName": sale.offer.name, "amount": share},
        ref_type="agent",
        ref_id=new.agent_id,
    )
    notifications.notify(session, notice, now_ms=sale.offer.now_ms)
