"""Alipay's gateway: one address for every method, RSA2 in both directions."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from atelier.gateways import alipay_wire
from atelier.gateways.errors import Forged
from sandbox import conduct
from sandbox.alipay_methods import Methods, Refused
from sandbox.cashier import Cashier
from sandbox.clock import HOUR_MS, from_beijing
from sandbox.faults import Faults, Taken
from sandbox.signing import Keys
from sandbox.till import Denied, Till
from sandbox.trade import Trade

_PROVIDER: Final = "alipay"
_CALLS: Final = {
    "alipay.trade.page.pay": "place",
    "alipay.trade.wap.pay": "place",
    "alipay.trade.precreate": "place",
    "alipay.trade.query": "query",
    "alipay.trade.close": "close",
    "alipay.trade.refund": "refund",
    "alipay.trade.fastpay.refund.query": "query_refund",
    "alipay.data.dataservice.bill.downloadurl.query": "bill",
}
_PAGES: Final = frozenset({"alipay.trade.page.pay", "alipay.trade.wap.pay"})
_REASONS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("place", "other"): ("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改"),
    ("place", "paid"): ("ACQ.TRADE_HAS_SUCCESS", "交易已被支付"),
    ("place", "closed"): ("ACQ.TRADE_HAS_CLOSE", "交易已经关闭"),
    ("close", "paid"): ("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态异常"),
    ("close", "closed"): ("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态异常"),
    ("refund", "unpaid"): ("ACQ.TRADE_STATUS_ERROR", "交易状态不合法"),
    ("refund", "finished"): ("ACQ.TRADE_HAS_FINISHED", "交易已经完结"),
    ("refund", "too_much"): ("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限"),
    ("refund", "other_refund"): ("ACQ.DISCORDANT_REPEAT_REQUEST", "不一致的请求"),
}
_ABSENT: Final = ("ACQ.TRADE_NOT_EXIST", "交易不存在")


class Alipay:
    """The gateway for one merchant."""

    def __init__(self, till: Till, *, keys: Keys, faults: Faults, methods: Methods, cashier: Cashier) -> None:
        self._till = till
        self._keys = keys
        self._faults = faults
        self._methods = methods
        self._cashier = cashier

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        return [
            web.get("/alipay/gateway.do", self.gateway),
            web.post("/alipay/gateway.do", self.gateway),
            web.get("/alipay/bill/{token}", self.download),
        ]

    async def gateway(self, request: web.Request) -> web.StreamResponse:
        """Verify, do, sign."""
        form = (await request.read()).decode("utf-8", "replace") if request.method == "POST" else ""
        pairs = parse_qsl(request.query_string, keep_blank_values=True) + parse_qsl(form, keep_blank_values=True)
        method = dict(pairs).get("method", "")
        try:
            given = self._verified(pairs, method)
        except Refused as refused:
            return self._answer(request, method, refused.content(), Taken([]))
        biz: dict[str, Any] = json.loads(given["biz_content"])
        faults = self._faults.take(
            "call", provider=_PROVIDER, name=_CALLS[method], order_no=str(biz.get("out_trade_no", ""))
        )
        early = await conduct.before(request, faults)
        if early is not None:
            return early
        try:
            done = self._done(method, given, biz, faults)
        except Refused as refused:
            return self._answer(request, method, refused.content(), faults)
        if isinstance(done, Trade):
            return await conduct.after(request, faults, self._cashier.lead(done))
        return await conduct.after(request, faults, self._answer(request, method, done, faults))

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A bill, for whoever has its address in time."""
        faults = self._faults.take("call", provider=_PROVIDER, name="download")
        early = await conduct.before(request, faults)
        found = self._methods.bills.read(request.match_info["token"], provider=_PROVIDER)
        if early is not None or found is None:
            return early or web.Response(status=404, text="bill expired")
        body = found[: len(found) // 2] if "garbled" in faults else found
        return await conduct.after(request, faults, web.Response(body=body, content_type="application/zip"))

    def _verified(self, pairs: list[tuple[str, str]], method: str) -> dict[str, str]:
        peek = dict(pairs)
        if peek.get("app_id") != self._keys.identity.alipay_app_id:
            raise Refused("40002", "isv.invalid-app-id", "无效的AppID参数")
        if method not in _CALLS:
            raise Refused("40002", "isv.invalid-method", "不存在的方法名")
        try:
            given = alipay_wire.verify_request(pairs, self._keys.alipay_merchant)
        except Forged as forged:
            if forged.by == "duplicate":
                raise Refused("40002", "isv.invalid-parameter", "参数重复") from forged
            raise Refused("40002", "isv.invalid-signature", "验签出错") from forged
        self._check_common(given, is_page=method in _PAGES)
        return given

    def _check_common(self, given: Mapping[str, str], *, is_page: bool) -> None:
        if given.get("version") != "1.0" or given.get("charset", "").lower() != "utf-8":
            raise Refused("40002", "isv.invalid-charset", "字符集错误")
        try:
            sent_ms = from_beijing(given.get("timestamp", ""))
        except ValueError as error:
            raise Refused("40002", "isv.invalid-timestamp", "非法的时间戳参数") from error
        # A clock in another zone is hours away. The address of a page is made long before a payer opens it.
        ago_ms = self._till.clock.wire_ms - sent_ms
        if not -HOUR_MS < ago_ms < (24 * HOUR_MS if is_page else HOUR_MS):
            raise Refused("40002", "isv.invalid-timestamp", "非法的时间戳参数")
        try:
            found = json.loads(given.get("biz_content", ""))
        except ValueError as error:
            raise Refused("40002", "isv.invalid-parameter", "biz_content") from error
        if not isinstance(found, dict):
            raise Refused("40002", "isv.invalid-parameter", "biz_content")

    def _done(
        self, method: str, given: Mapping[str, str], biz: Mapping[str, Any], faults: Taken
    ) -> Trade | dict[str, str]:
        if "error" in faults:
            raise Refused("20000", "isp.unknow-error", "系统繁忙", message="Service Currently Unavailable")
        if "limit" in faults:
            raise Refused("40005", "isv.app-call-limited", "应用调用次数超限", message="Call Limited")
        if "refuse" in faults:
            raise Refused("40004", str(faults.option("refuse", "code", "ACQ.SYSTEM_ERROR")), "拒绝")
        acts: Mapping[str, Callable[[], Trade | dict[str, str]]] = {
            "alipay.trade.page.pay": lambda: self._methods.pay_page(given, biz, channel="page"),
            "alipay.trade.wap.pay": lambda: self._methods.pay_page(given, biz, channel="wap"),
            "alipay.trade.precreate": lambda: self._methods.precreate(given, biz),
            "alipay.trade.query": lambda: self._methods.query(biz),
            "alipay.trade.close": lambda: self._methods.close(biz),
            "alipay.trade.refund": lambda: self._methods.refund(biz, held="held" in faults),
            "alipay.trade.fastpay.refund.query": lambda: self._methods.query_refund(biz),
            "alipay.data.dataservice.bill.downloadurl.query": lambda: self._methods.bill(biz),
        }
        try:
            return acts[method]()
        except Denied as denied:
            code, words = _REASONS.get((_CALLS[method], denied.reason), _ABSENT)
            raise Refused("40004", code, words) from denied

    def _answer(self, request: web.Request, method: str, content: dict[str, str], faults: Taken) -> web.Response:
        if method in _PAGES:
            return self._cashier.refusal(request, content.get("sub_code", ""), content.get("sub_msg", ""))
        key = self._keys.stranger if "forged" in faults else self._keys.alipay
        told = {"code": "10000", "msg": "Success", **content}
        text = alipay_wire.answered(told, method=method if method in _CALLS else "error", key=key)
        if "garbled" in faults:
            text = text.replace('"msg":"', '"msg":"!', 1)
        if "bare" in faults:
            text = text[: text.rindex(',"sign":')] + "}"
        return web.Response(text=text, content_type="text/html", charset="utf-8")
