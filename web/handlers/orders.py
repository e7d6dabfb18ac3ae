"""Buying credits: orders are made, paid at a gateway, canceled and read."""

from functools import partial

from atelier.generation.events import credits_changed
from atelier.kernel.errors import Invalid
from atelier.kernel.ids import new_id
from atelier.orders import queries, states
from atelier.orders.errors import OrderNotPending
from atelier.orders.numbers import new_order_no
from atelier.payments import canceling, purchasing, return_urls
from atelier.payments.canceling import Ended
from atelier.payments.purchasing import Terms, Wish
from atelier.payments.settlement import SettlementIds
from web import checkout, etags
from web.handlers.authoring import VARY
from web.live.service import LIVE
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.orders import BuyBody, OrderAnswer, OrderedAnswer, OrdersAnswer, OrdersQuery, PayBody

PAYING = (
    "PAYMENT_METHOD_UNSUPPORTED",
    "ORDER_NOT_PENDING",
    "GATEWAY_REFUSED",
    "GATEWAY_UNKNOWN",
)


async def purchase(call: Call) -> Reply:
    """Order a package of credits and get a way to pay it.

    Where the gateway gives none (502, 503) the order is there all the same: the problem has its `orderId`. Ask again
    with the same key, or for a link of the order.
    """
    ordered = await call.services.db.transact(
        purchasing.order, _wish(call), keyed=call.keyed, terms=_terms(call), now_ms=call.now_ms
    )
    answer = ordered.answer or await checkout.placed(call, ordered.order, openid=call.body.openid)
    if call.keyed and not ordered.answer:
        answer = await call.services.db.transact(purchasing.answered, answer, keyed=call.keyed)
    return Reply(OrderedAnswer.of(answer), headers=REPLAYED if ordered.replayed else None)


async def list_orders(call: Call) -> Reply:
    """The caller's orders."""
    query: OrdersQuery = call.query
    found, total = await call.services.db.read(
        queries.page, wanted=query.wanted(call.user.user_id), offset=query.offset, limit=query.limit
    )
    return Reply(OrdersAnswer.of(found, total=total, query=query, locale=call.locale), headers=VARY)


async def read_order(call: Call) -> Reply:
    """One order."""
    order = await call.services.db.read(queries.own, order_id=call.path["orderId"], user_id=call.user.user_id)
    return etags.tagged(call, OrderAnswer.of(order, locale=call.locale), more=VARY)


async def pay(call: Call) -> OrderedAnswer:
    """A fresh way to pay an order that waits for it."""
    body: PayBody = call.body
    order = await call.services.db.read(queries.payable, order_id=call.path["orderId"], user_id=call.user.user_id)
    _require_payer(order.channel, body.openid)
    return OrderedAnswer.of(await checkout.placed(call, order, openid=body.openid))


async def cancel(call: Call) -> Reply:
    """Close an order, at the gateway first; one that was paid meanwhile is credited, and this refused."""
    order = await call.services.db.read(queries.own, order_id=call.path["orderId"], user_id=call.user.user_id)
    if order.state == states.PENDING:
        gateway, database = checkout.gateway(call, order.provider), call.services.db.database
        closing = partial(canceling.close, database, gateway, order, reason="canceled", now_ms=call.now_ms)
        ended = await checkout.ask(call, order, "close", partial(closing, ids=SettlementIds.made(new_id)))
        _tell(call, ended)
        order = ended.order
    if order.state != states.CLOSED:
        raise OrderNotPending(status=order.state)
    return Reply(OrderAnswer.of(order, locale=call.locale), headers=VARY)


def _tell(call: Call, ended: Ended) -> None:
    account = ended.settled.account if ended.settled else None
    if account:
        call.request.app[LIVE].tell([(account.account_id, credits_changed(account))])


def _wish(call: Call) -> Wish:
    body: BuyBody = call.body
    checkout.gateway(call, body.payment_method, channel=body.by)
    _require_payer(body.by, body.openid)
    return Wish(
        order_id=new_id(),
        order_no=new_order_no(call.now_ms),
        user_id=call.user.user_id,
        package_id=body.package_id,
        provider=body.payment_method,
        channel=body.by,
        expected_fen=body.expected_fen,
        return_url=_return_url(call, body.return_url),
    )


def _return_url(call: Call, url: str | None) -> str | None:
    settings = call.services.settings
    if url is None:
        return None
    allowed = settings.return_urls or settings.frontend_urls
    return return_urls.checked(url, allowed=allowed, development=settings.environment == "development")


def _require_payer(channel: str, openid: str | None) -> None:
    if channel == "jsapi" and openid is None:
        raise Invalid([{"path": ["openid"], "message": "jsapi needs it", "code": "missing"}])


def _terms(call: Call) -> Terms:
    settings = call.services.settings
    return Terms(minutes=settings.order_minutes, pending_max=settings.pending_orders_max)


_orders = partial(Endpoint, tag="payments", cache="no-store")

ENDPOINTS = (
    _orders(
        method="POST",
        path="/api/payments/credits/purchase",
        handler=purchase,
        summary=("购买积分", "Buy credits"),
        body=BuyBody,
        answer=OrderedAnswer,
        errors=("PACKAGE_NOT_FOUND", "PRICE_CHANGED", "RETURN_URL_FORBIDDEN", "TOO_MANY_PENDING_ORDERS", *PAYING),
        rate="orders",
        idempotent=True,
    ),
    _orders(
        method="GET",
        path="/api/payments/orders",
        handler=list_orders,
        summary=("订单列表", "List orders"),
        query=OrdersQuery,
        answer=OrdersAnswer,
    ),
    _orders(
        method="GET",
        path="/api/payments/orders/{orderId}",
        handler=read_order,
        summary=("查看订单", "Read an order"),
        answer=OrderAnswer,
        errors=("ORDER_NOT_FOUND",),
        also={304: None},
        cache="private, no-cache",
    ),
    _orders(
        method="POST",
        path="/api/payments/orders/{orderId}/pay",
        handler=pay,
        summary=("继续支付", "Pay an order"),
        body=PayBody,
        body_optional=True,
        answer=OrderedAnswer,
        errors=("ORDER_NOT_FOUND", *PAYING),
        rate="orders",
    ),
    _orders(
        method="POST",
        path="/api/payments/orders/{orderId}/cancel",
        handler=cancel,
        summary=("取消订单", "Cancel an order"),
        answer=OrderAnswer,
        errors=("ORDER_NOT_FOUND", *PAYING),
        rate="orders",
    ),
)
