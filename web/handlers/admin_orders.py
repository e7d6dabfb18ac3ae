"""Administrators look for orders, and have money paid back."""

from functools import partial

from aiohttp import hdrs

from atelier.accounts.sessions import Origin
from atelier.generation.events import credits_changed
from atelier.kernel.ids import new_id
from atelier.orders import overview
from atelier.payments import refunding
from atelier.payments.refunding import RefundWish
from web.handlers.authoring import VARY
from web.live.service import LIVE
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.admin_orders import (
    AdminOrdersAnswer,
    AdminOrdersQuery,
    RefundBody,
    RefundedAnswer,
    RefundsAnswer,
    WholeOrderAnswer,
)
from web.submissions import SUBMISSIONS


async def list_orders(call: Call) -> Reply:
    """A page of orders."""
    query: AdminOrdersQuery = call.query
    found, total = await call.services.db.read(
        overview.page, wanted=query.wanted, offset=query.offset, limit=query.limit
    )
    return Reply(AdminOrdersAnswer.of(found, total=total, query=query, locale=call.locale), headers=VARY)


async def read_order(call: Call) -> Reply:
    """One order with its refunds and cases."""
    found = await call.services.db.read(overview.one, order_id=call.path["orderId"])
    return Reply(WholeOrderAnswer.whole(found, locale=call.locale), headers=VARY)


async def list_refunds(call: Call) -> RefundsAnswer:
    """What of an order was paid back, is being paid back, or could not be."""
    found = await call.services.db.read(overview.one, order_id=call.path["orderId"])
    return RefundsAnswer.of(found.refunds)


async def refund(call: Call) -> Reply:
    """Pay back; the credits are taken at once, and what the user has spent of them is owed.

    The gateway is asked afterwards: the refund of this answer says what became of it when it is read again.
    """
    done = await call.services.db.transact(refunding.request, _wish(call), keyed=call.keyed, now_ms=call.now_ms)
    call.request.app[SUBMISSIONS].wake()
    if done.account:
        call.request.app[LIVE].tell([(done.account.account_id, credits_changed(done.account))])
    return Reply(RefundedAnswer.of(done.answer), status=refunding.ACCEPTED, headers=REPLAYED if done.replayed else None)


def _wish(call: Call) -> RefundWish:
    body: RefundBody = call.body
    origin = Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))
    return RefundWish(
        order_id=call.path["orderId"],
        amount_fen=body.amount_fen,
        reason=body.reason,
        admin_id=call.user.user_id,
        refund_id=new_id(),
        refund_no=refunding.new_number(),
        transfer_id=new_id(),
        address=origin.address,
        user_agent=origin.user_agent,
    )


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/orders",
        handler=list_orders,
        summary=("订单列表", "List orders"),
        query=AdminOrdersQuery,
        answer=AdminOrdersAnswer,
    ),
    _admin(
        method="GET",
        path="/api/admin/orders/{orderId}",
        handler=read_order,
        summary=("查看订单", "Read an order"),
        answer=WholeOrderAnswer,
        errors=("ORDER_NOT_FOUND",),
    ),
    _admin(
        method="GET",
        path="/api/admin/orders/{orderId}/refunds",
        handler=list_refunds,
        summary=("订单的退款", "Refunds of an order"),
        answer=RefundsAnswer,
        errors=("ORDER_NOT_FOUND",),
    ),
    _admin(
        method="POST",
        path="/api/admin/orders/{orderId}/refund",
        handler=refund,
        summary=("退款", "Pay back"),
        body=RefundBody,
        answer=RefundedAnswer,
        status=refunding.ACCEPTED,
        errors=("ORDER_NOT_FOUND", "ORDER_NOT_REFUNDABLE", "REFUND_TOO_LARGE"),
        idempotent=True,
    ),
)
