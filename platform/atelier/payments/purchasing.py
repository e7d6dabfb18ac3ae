"""Ordering credits: the order is there before any gateway hears of it, so that nothing that follows can lose it.

1. A key whose order has its link gets that answer. One whose order has none goes on with that order: the key's row is
   written in the transaction that makes the order, and its answer is put there when there is one.
2. The package is read as it is sold now, and kept in the order.
3. The account is held while the user's unpaid orders are counted, so that two at once don't pass the limit together.
4. The order, the operation log and the key are written.

Then the gateway is asked for a way to pay, outside of any transaction. Whatever it says, the order is there and can be
paid, and the gateway can be asked again.
"""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy.orm import Session

from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import Keyed
from atelier.gateways.port import Channel, Placed, ProviderName, ToPay
from atelier.kernel import faults
from atelier.kernel.clock import MINUTE_MS
from atelier.ledger.posting import locked
from atelier.orders import packages, queries
from atelier.orders import service as orders
from atelier.orders.errors import PriceDiffers, TooManyPendingOrders
from atelier.orders.packages import Package
from atelier.orders.service import NewOrder, Order

REF_TYPE = "order"
AHEAD = 202
DONE = 200
# What Alipay refuses in a subject.
UNSPEAKABLE = str.maketrans(dict.fromkeys("/=&", " "))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Someone wants a package, for the price that they saw if they name one.

    The id and the number are made by the caller, so that running twice is one order.
    """

    order_id: str
    order_no: str
    user_id: str
    package_id: str
    provider: ProviderName
    channel: Channel
    expected_fen: int | None = None
    return_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The settings that orders are made by."""

    minutes: int
    pending_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """The order, and the answer that was given for it if there is one. `replayed`: an earlier request made it."""

    order: Order
    answer: dict[str, Any] | None = None
    replayed: bool = False


def order(session: Session, wish: Wish, *, keyed: Keyed | None, terms: Terms, now_ms: int) -> Ordered:
    """Make the order, or find the one that this request has made before.

    Raises PackageNotFound, PriceDiffers, TooManyPendingOrders, IdempotencyKeyReused, and OrderNotPending when the order
    of an earlier request had no answer yet and can't be paid any more.
    """
    if stored := idempotency.find(session, keyed):
        return _again(session, stored, wish)
    if made := orders.find(session, order_id=wish.order_id):
        return Ordered(order=made)  # The transaction runs again after a commit that nobody answered.
    package = packages.on_sale(session, package_id=wish.package_id)
    if wish.expected_fen is not None and wish.expected_fen != package.price_fen:
        raise PriceDiffers(price_fen=package.price_fen)
    locked(session, [wish.user_id])
    waiting = queries.waiting(session, user_id=wish.user_id)
    if waiting.count >= terms.pending_max:
        raise TooManyPendingOrders(retry_after=waiting.seconds)
    made = orders.create(session, _new(wish, package, lasts_ms=terms.minutes * MINUTE_MS), now_ms=now_ms)
    _log(session, made, now_ms=now_ms)
    idempotency.store(session, keyed, status=AHEAD, answer={"orderId": made.id}, now_ms=now_ms)
    faults.point("order.before_commit")
    return Ordered(order=made)


def answered(session: Session, answer: dict[str, Any], *, keyed: Keyed) -> dict[str, Any]:
    """Keep the answer under the key; if another request with the key has come first, its answer."""
    kept: dict[str, Any] = idempotency.complete(session, keyed, ahead=AHEAD, status=DONE, answer=answer)
    return kept


def to_pay(order: Order, *, address: str | None = None, openid: str | None = None) -> ToPay:
    """The order as its gateway is told of it."""
    name = str(order.items[0]["nameZh"]).translate(UNSPEAKABLE)
    return ToPay(
        order_no=order.order_no,
        amount_fen=order.amount_fen,
        subject=f"{name}（{order.credits}积分）",
        channel=cast("Channel", order.channel),
        created_ms=order.created_ms,
        expires_ms=order.expires_ms,
        return_url=order.return_url,
        address=address,
        openid=openid,
    )


def answer(order: Order, placed: Placed) -> dict[str, Any]:
    """How the order can be paid, as JSON. Times are milliseconds: the web tier writes them for its readers."""
    return {
        "orderId": order.id,
        "orderNo": order.order_no,
        "amountFen": order.amount_fen,
        "credits": order.credits,
        "paymentUrl": placed.payment_url,
        "codeUrl": placed.code_url,
        "parameters": dict(placed.parameters) if placed.parameters else None,
        "expiresAt": order.expires_ms,
    }


def _again(session: Session, stored: idempotency.Stored, wish: Wish) -> Ordered:
    order_id: str = stored.answer["orderId"]
    if stored.status == DONE:
        made = queries.own(session, order_id=order_id, user_id=wish.user_id)
        return Ordered(order=made, answer=stored.answer, replayed=True)
    return Ordered(order=queries.payable(session, order_id=order_id, user_id=wish.user_id), replayed=True)


def _new(wish: Wish, package: Package, *, lasts_ms: int) -> NewOrder:
    return NewOrder(
        id=wish.order_id,
        order_no=wish.order_no,
        user_id=wish.user_id,
        provider=wish.provider,
        channel=wish.channel,
        amount_fen=package.price_fen,
        credits=package.credits,
        package_id=package.id,
        items=[package.item],
        return_url=wish.return_url,
        lasts_ms=lasts_ms,
    )


def _log(session: Session, made: Order, *, now_ms: int) -> None:
    operation = oplog.Operation(
        action="ORDER_CREATE",
        user_id=made.user_id,
        resource_type=REF_TYPE,
        resource_id=made.id,
        details={
            "orderNo": made.order_no,
            "amountFen": made.amount_fen,
            "credits": made.credits,
            "paymentMethod": made.provider,
        },
    )
    oplog.record(session, operation, now_ms=now_ms)
