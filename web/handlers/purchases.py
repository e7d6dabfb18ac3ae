"""Buying agents."""

from atelier.catalog import purchases
from atelier.generation.events import credits_changed
from atelier.kernel.clock import HOUR_MS
from atelier.kernel.errors import Invalid
from atelier.kernel.ids import new_id
from atelier.marketplace import agreeing, purchasing
from atelier.marketplace.agreeing import Agreement
from atelier.marketplace.purchasing import Wish
from web.live.service import LIVE
from web.routing import IDEMPOTENCY_KEY, Call, Endpoint, Reply
from web.schemas.model import PageQuery, Pagination
from web.schemas.purchases import AutoRenewBody, OwnedAnswer, PurchaseBody, PurchasedAnswer, PurchasesAnswer
from web.spending import spender

REPLAYED = {"Idempotency-Replayed": "true"}


async def purchase(call: Call) -> Reply:
    """Buy an agent, or 30 more days of it."""
    body: PurchaseBody = call.body
    if body.renew and call.keyed is None:
        # Nothing else would tell a second renewal from the same one sent twice.
        raise Invalid([{"path": [str(IDEMPOTENCY_KEY)], "message": "renew needs it", "code": "missing"}])
    settings = call.services.settings
    bought = await call.services.db.transact(
        purchasing.buy,
        _wish(call, body),
        keyed=call.keyed,
        platform_percent=settings.platform_share_percent,
        utc_offset_ms=settings.utc_offset_hours * HOUR_MS,
    )
    call.request.app[LIVE].tell([(one.account_id, credits_changed(one)) for one in bought.accounts])
    return Reply(PurchasedAnswer.model_validate(bought.answer), headers=REPLAYED if bought.replayed else None)


async def set_auto_renew(call: Call) -> PurchasedAnswer:
    """Say whether the caller's subscription of the agent is to be renewed by itself; again changes nothing."""
    body: AutoRenewBody = call.body
    agreement = Agreement(
        # Who may not spend now can't agree to do so later; to end such an agreement is always allowed.
        user_id=(spender(call) if body.auto_renew else call.user).user_id,
        agent_id=call.path["agentId"],
        auto_renew=body.auto_renew,
        expected_price=body.expected_price,
    )
    mine = await call.services.db.transact(agreeing.agree, agreement, now_ms=call.now_ms)
    return PurchasedAnswer.model_validate(purchasing.answer(mine))


async def list_purchases(call: Call) -> PurchasesAnswer:
    """What the caller has bought."""
    query: PageQuery = call.query
    found, total = await call.services.db.read(
        purchases.page, user_id=call.user.user_id, offset=query.offset, limit=query.limit
    )
    shown = [OwnedAnswer.of(one) for one in found]
    return PurchasesAnswer(purchases=shown, pagination=Pagination.of(query, total=total))


def _wish(call: Call, body: PurchaseBody) -> Wish:
    return Wish(
        user_id=spender(call).user_id,
        agent_id=call.path["agentId"],
        expected_price=body.expected_price,
        renew=body.renew,
        auto_renew=body.auto_renew,
        purchase_id=new_id(),
        transfer_id=new_id(),
        creator_share_id=new_id(),
        platform_share_id=new_id(),
        notice_id=new_id(),
    )


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/agents/{agentId}/purchase",
        handler=purchase,
        summary=("购买Agent", "Buy an agent"),
        tag="agents",
        body=PurchaseBody,
        body_optional=True,
        answer=PurchasedAnswer,
        errors=(
            "AGENT_NOT_FOUND",
            "ALREADY_PURCHASED",
            "PRICE_CHANGED",
            "INSUFFICIENT_CREDITS",
            "OWN_AGENT",
            "AGENT_IS_FREE",
            "AGENT_IS_PAID_PER_USE",
            "NOT_A_SUBSCRIPTION",
            "SUBSCRIPTION_TOO_LONG",
            "EMAIL_UNVERIFIED",
        ),
        idempotent=True,
        cache="no-store",
    ),
    Endpoint(
        method="PUT",
        path="/api/agents/{agentId}/purchase",
        handler=set_auto_renew,
        summary=("设置订阅自动续订", "Have a subscription renewed by itself, or not"),
        tag="agents",
        body=AutoRenewBody,
        answer=PurchasedAnswer,
        errors=(
            "AGENT_NOT_FOUND",
            "AGENT_ARCHIVED",
            "NOT_SUBSCRIBED",
            "NOT_A_SUBSCRIPTION",
            "PRICE_CHANGED",
            "EMAIL_UNVERIFIED",
        ),
        cache="no-store",
    ),
    Endpoint(
        method="GET",
        path="/api/purchases",
        handler=list_purchases,
        summary=("已购Agent", "Purchases"),
        tag="agents",
        query=PageQuery,
        answer=PurchasesAnswer,
        cache="no-store",
    ),
)
