"""The page on which a payer pays, fails to, or gives up. Whoever knows its address is the payer."""

import contextlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import jinja2
from aiohttp import web

from atelier.gateways import alipay_wire
from atelier.gateways.money import yuan
from sandbox.clock import beijing
from sandbox.signing import Keys
from sandbox.till import Denied, Till
from sandbox.trade import Trade

POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("沙箱收银台", "Sandbox cashier"),
    "alipay": ("支付宝", "Alipay"),
    "wechat": ("微信支付", "WeChat Pay"),
    "notice": ("这是沙箱，不会产生真实扣款。", "This is a sandbox: no money moves."),
    "subject": ("商品", "Item"),
    "order": ("订单号", "Order"),
    "until": ("支付截止（北京时间）", "To be paid until (Beijing)"),
    "pay": ("立即支付", "Pay now"),
    "fail": ("支付失败", "Fail"),
    "close": ("关闭订单", "Close"),
    "paid": ("支付成功", "Paid"),
    "closed": ("订单已关闭", "The order is closed"),
    "failed": ("支付失败，请重试。", "The payment has failed. Try again."),
    "back": ("返回商家", "Back to the shop"),
    "refused": ("无法支付", "This can't be paid"),
    "unknown": ("没有这笔订单", "There is no such order"),
}
_BUTTONS: Final = ("pay", "fail", "close")


class Cashier:
    """Pages for the trades of both gateways."""

    def __init__(self, till: Till, *, keys: Keys) -> None:
        self._till = till
        self._keys = keys
        self._style = (files("sandbox") / "static" / "cashier.css").read_text("utf-8")
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("sandbox"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        self._page = environment.get_template("cashier.html")

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        return [
            web.get("/cashier.css", self.style),
            web.get("/cashier/{token}", self.show),
            *(web.post(f"/cashier/{{token}}/{button}", self._pressed(button)) for button in _BUTTONS),
        ]

    def lead(self, trade: Trade) -> web.Response:
        """Send a browser to the trade's page."""
        return web.Response(status=302, headers={"Location": f"/cashier/{trade.token}", "Cache-Control": "no-store"})

    def refusal(self, request: web.Request, code: str, words: str) -> web.Response:
        """The page for an order that the gateway doesn't take."""
        return self._shown(request, status=400, heading="refused", detail=f"{code} {words}".strip())

    async def style(self, _request: web.Request) -> web.Response:
        """The style sheet."""
        return web.Response(text=self._style, content_type="text/css", headers={"X-Content-Type-Options": "nosniff"})

    async def show(self, request: web.Request) -> web.Response:
        """The order, with its buttons as long as it can be paid."""
        trade = self._till.books.find(token=request.match_info["token"])
        if trade is None:
            return self._shown(request, status=404, heading="unknown")
        trade = self._till.open(trade)
        state = self._till.state(trade)
        heading = "paid" if trade.payments else "closed" if state == "closed" else ""
        failed = "failed" in trade.marks and not heading
        return self._shown(
            request, trade=trade, heading=heading, failed=failed, back=self._back(request, trade) if heading else ""
        )

    def _pressed(self, button: str) -> Callable[[web.Request], Any]:
        async def handler(request: web.Request) -> web.Response:
            trade = self._till.books.find(token=request.match_info["token"])
            if trade is None:
                return self._shown(request, status=404, heading="unknown")
            acts = {"pay": self._till.pay, "fail": self._till.fail, "close": self._till.close}
            # If it was paid or closed meanwhile, the page says so.
            with contextlib.suppress(Denied):
                acts[button](self._till.open(trade))
            query = f"?{request.query_string}" if request.query_string else ""
            return web.Response(status=303, headers={"Location": f"/cashier/{trade.token}{query}", **HEADERS})

        return handler

    def _back(self, request: web.Request, trade: Trade) -> str:
        """Where the payer goes afterwards, as each gateway does it; empty when the merchant didn't say."""
        if trade.provider == "wechat":
            return _http(request.query.get("redirect_url", "")) if trade.channel == "h5" else ""
        url = _http(trade.return_url)
        if not url or not trade.payments:
            return url
        told = {
            "charset": "utf-8",
            "out_trade_no": trade.order_no,
            "method": f"alipay.trade.{trade.channel}.pay.return",
            "total_amount": yuan(trade.payments[0].amount_fen),
            "trade_no": trade.payments[0].payment_no,
            "auth_app_id": self._keys.identity.alipay_app_id,
            "version": "1.0",
            "app_id": self._keys.identity.alipay_app_id,
            "seller_id": self._keys.identity.alipay_seller_id,
            "timestamp": beijing(self._till.clock.wire_ms),
        }
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True) + list(
            alipay_wire.noticed(told, self._keys.alipay).items()
        )
        return urlunsplit(parts._replace(query=urlencode(query)))

    def _shown(
        self,
        request: web.Request,
        *,
        trade: Trade | None = None,
        heading: str = "",
        detail: str = "",
        failed: bool = False,
        back: str = "",
        status: int = 200,
    ) -> web.Response:
        chinese = _speaks_chinese(request)
        text = self._page.render(
            words={name: words[0 if chinese else 1] for name, words in _WORDS.items()},
            language="zh-CN" if chinese else "en",
            trade=trade,
            amount=yuan(trade.amount_fen) if trade else "",
            until=beijing(trade.expires_ms) if trade else "",
            query=f"?{request.query_string}" if request.query_string else "",
            buttons=() if heading else _BUTTONS,
            heading=heading,
            detail=detail,
            failed=failed,
            back=back,
        )
        return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)


def _speaks_chinese(request: web.Request) -> bool:
    """The language of the query, else of the browser, else Chinese."""
    wanted = request.query.get("lang", "") or request.headers.get("Accept-Language", "")
    known = [one.strip()[:2].lower() for one in wanted.split(",")]
    return next((one == "zh" for one in known if one in {"zh", "en"}), True)


def _http(url: str) -> str:
    """The address, if a browser may be sent there."""
    return url if urlsplit(url).scheme in {"http", "https"} else ""
