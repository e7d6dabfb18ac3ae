"""What payment gateways tell us. Nobody signs in here: a notice is believed for its signature, or not at all."""

from functools import partial

from web.routing import Call, Endpoint, Reply
from web.schemas.webhooks import Fail, NotTaken, Success
from web.webhooks import NOTICE_BYTES_MAX, WEBHOOKS

TEXT = "text/plain"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


async def alipay(call: Call) -> Reply:
    """Take a notice of Alipay: `success` once it is stored; anything else is sent again, for 25 hours."""
    if await call.request.app[WEBHOOKS].receive(call, "alipay"):
        return Reply(raw=b"success", content_type=TEXT)
    return Reply(raw=b"fail", status=400, content_type=TEXT)


async def wechat(call: Call) -> Reply:
    """Take a notice of WeChat Pay: 204 once it is stored; anything else is sent again, for 24 hours."""
    if await call.request.app[WEBHOOKS].receive(call, "wechat"):
        return Reply(status=204)
    return Reply(NotTaken(message="not genuine"), status=400)


_webhook = partial(
    Endpoint,
    method="POST",
    tag="payments",
    auth="public",
    body_max=NOTICE_BYTES_MAX,
    # A notice that is refused for its number would be money that arrives hours late; refusing one costs 0.1 ms.
    rate="none",
    cache="no-store",
)

ENDPOINTS = (
    _webhook(
        path="/api/payments/webhooks/alipay",
        handler=alipay,
        summary=("支付宝异步通知", "Notices of Alipay"),
        accepts=FORM,
        answer=Success,
        produces=TEXT,
        also={400: Fail},
    ),
    _webhook(
        path="/api/payments/webhooks/wechat",
        handler=wechat,
        summary=("微信支付通知", "Notices of WeChat Pay"),
        accepts=JSON,
        status=204,
        also={400: NotTaken},
    ),
)
