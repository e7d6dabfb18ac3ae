"""WeChat Pay's API v3: every request verified, every answer signed, downloads excepted."""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import web

from atelier.gateways import wechat_wire
from atelier.gateways.errors import Forged
from sandbox import conduct
from sandbox.faults import Faults, Taken
from sandbox.signing import Keys
from sandbox.till import Denied
from sandbox.wechat_methods import Methods, Refused

_PROVIDER: Final = "wechat"
_OLD_SECONDS: Final = 600
_REASONS: Final[Mapping[tuple[str, str], tuple[int, str, str]]] = {
    ("place", "other"): (400, "INVALID_REQUEST", "商户订单号重复，且请求内容与首次不一致"),
    ("place", "paid"): (400, "ORDERPAID", "该订单已支付"),
    ("place", "closed"): (400, "ORDER_CLOSED", "该订单已关闭"),
    ("close", "paid"): (400, "ORDERPAID", "该订单已支付"),
    ("close", "closed"): (400, "ORDER_CLOSED", "该订单已关闭"),
    ("refund", "absent"): (404, "RESOURCE_NOT_EXISTS", "订单不存在"),
    ("refund", "unpaid"): (400, "INVALID_REQUEST", "订单未支付"),
    ("refund", "finished"): (400, "INVALID_REQUEST", "订单已超过可退款的期限"),
    ("refund", "too_much"): (403, "NOT_ENOUGH", "退款金额大于可退金额"),
    ("refund", "other_refund"): (400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试"),
    ("query_refund", "absent"): (404, "RESOURCE_NOT_EXISTS", "退款单不存在"),
}
_ABSENT: Final = (404, "ORDER_NOT_EXIST", "订单不存在")
_MEDIA: Final = frozenset({"*/*", "application/json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A verified request: the variables of its path, its query and its body."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def order_no(self) -> str:
        """The order that it is about, as far as that can be told."""
        return str(self.path.get("no") or self.body.get("out_trade_no") or "")


Act = Callable[[Asked, Taken], dict[str, Any] | None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WeChat:
    """The gateway for one merchant."""

    def __init__(self, *, keys: Keys, faults: Faults, methods: Methods) -> None:
        self._keys = keys
        self._faults = faults
        self._methods = methods
        self._clock = methods.till.clock

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        does, pay = self._methods, "/v3/pay/transactions"
        return [
            *(
                web.post(f"{pay}/{channel}", self._call("place", self._placing(channel)))
                for channel in ("native", "h5", "jsapi")
            ),
            web.get(
                f"{pay}/out-trade-no/{{no}}",
                self._call("query", lambda asked, _: does.query(asked.query, order_no=asked.path["no"])),
            ),
            web.get(
                f"{pay}/id/{{id}}",
                self._call("query", lambda asked, _: does.query(asked.query, trade_no=asked.path["id"])),
            ),
            web.post(
                f"{pay}/out-trade-no/{{no}}/close",
                self._call("close", lambda asked, _: does.close(asked.body, order_no=asked.path["no"])),
            ),
            web.post("/v3/refund/domestic/refunds", self._call("refund", _refunding(does))),
            web.get(
                "/v3/refund/domestic/refunds/{refund}",
                self._call("query_refund", lambda asked, _: does.query_refund(refund_no=asked.path["refund"])),
            ),
            web.get("/v3/bill/tradebill", self._call("bill", lambda asked, _: does.bill(asked.query))),
            web.get("/v3/billdownload/file", self.download),
            web.get("/v3/certificates", self._call("certificates", lambda _asked, _: does.certificates())),
        ]

    def _placing(self, channel: str) -> Act:
        return lambda asked, _: self._methods.place(asked.body, channel=channel)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A bill. The request is verified, the answer is not signed."""
        try:
            await self._verified(request)
        except Refused as refused:
            return self._refusal(request, refused, Taken([]))
        faults = self._faults.take("call", provider=_PROVIDER, name="download")
        early = await conduct.before(request, faults)
        if early is not None:
            return early
        found = self._methods.bills.read(request.query.get("token", ""), provider=_PROVIDER)
        if found is None:
            return self._refusal(request, Refused(400, "INVALID_REQUEST", "账单下载地址已失效"), faults)
        body = found[: len(found) // 2] if "garbled" in faults else found
        return await conduct.after(request, faults, web.Response(body=body, content_type="application/octet-stream"))

    def _call(self, name: str, act: Act) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                asked = await self._verified(request)
            except Refused as refused:
                return self._refusal(request, refused, Taken([]))
            faults = self._faults.take("call", provider=_PROVIDER, name=name, order_no=asked.order_no)
            early = await conduct.before(request, faults)
            return early or await conduct.after(
                request, faults, self._served(request, name, lambda: act(asked, faults), faults=faults)
            )

        return handler

    def _served(
        self, request: web.Request, name: str, act: Callable[[], dict[str, Any] | None], *, faults: Taken
    ) -> web.Response:
        try:
            _misbehave(faults)
            done = act()
        except Refused as refused:
            return self._refusal(request, refused, faults)
        except Denied as denied:
            return self._refusal(request, Refused(*_REASONS.get((name, denied.reason), _ABSENT)), faults)
        status = 204 if done is None else 200
        body = b"" if done is None else json.dumps(done, ensure_ascii=False).encode()
        return self._signed(request, status, body, faults)

    async def _verified(self, request: web.Request) -> Asked:
        body = await request.read()
        identity = self._keys.identity
        try:
            parts = wechat_wire.verify_request(
                request.headers.get("Authorization", ""),
                method=request.method,
                path=request.raw_path,
                body=body,
                key=self._keys.wechat_merchant,
                now=self._clock.wire_ms // 1000,
            )
        except Forged as forged:
            raise Refused(401, "SIGN_ERROR", f"签名错误: {forged.by}") from forged
        if parts["mchid"] != identity.wechat_mchid or parts["serial_no"] != identity.wechat_serial:
            raise Refused(401, "SIGN_ERROR", "商户号与证书序列号不匹配")
        if not _MEDIA & {one.partition(";")[0].strip() for one in request.headers.get("Accept", "").split(",")}:
            raise Refused(406, "PARAM_ERROR", "Accept")
        return Asked(path=request.match_info, query=request.query, body=_parsed(request, body))

    def _refusal(self, request: web.Request, refused: Refused, faults: Taken) -> web.Response:
        body = json.dumps({"code": refused.code, "message": str(refused)}, ensure_ascii=False).encode()
        return self._signed(request, refused.status, body, faults)

    def _signed(self, request: web.Request, status: int, body: bytes, faults: Taken) -> web.Response:
        """Signed with the key that the merchant asks for: WeChat Pay's own, or the platform certificate's."""
        wanted = request.headers.get("Wechatpay-Serial", "").startswith("PUB_KEY_ID_")
        serial, key = self._keys.wechat_signer("public_key" if wanted else "certificate")
        headers = wechat_wire.signed(
            body,
            key=self._keys.stranger if "forged" in faults else key,
            serial=serial,
            timestamp=self._clock.wire_ms // 1000 - (_OLD_SECONDS if "old" in faults else 0),
            nonce=secrets.token_hex(16),
        )
        if "garbled" in faults:
            body = body.replace(b"{", b"{ ", 1)
        if "bare" in faults:
            headers = {}
        return web.Response(
            status=status,
            body=body or None,
            headers={**headers, "Request-ID": secrets.token_hex(16)},
            content_type="application/json" if body else None,
        )


def _refunding(methods: Methods) -> Act:
    def act(asked: Asked, faults: Taken) -> dict[str, Any]:
        end = "ABNORMAL" if "abnormal" in faults else "" if "held" in faults else "SUCCESS"
        return methods.refund(asked.body, end=end)

    return act


def _misbehave(faults: Taken) -> None:
    if "error" in faults:
        raise Refused(500, "SYSTEM_ERROR", "系统异常，请稍后重试")
    if "limit" in faults:
        raise Refused(429, "FREQUENCY_LIMITED", "频率超限")
    if "refuse" in faults:
        raise Refused(
            int(faults.option("refuse", "status", 403)),
            str(faults.option("refuse", "code", "RULE_LIMIT")),
            "业务规则限制",
        )


def _parsed(request: web.Request, body: bytes) -> dict[str, Any]:
    if request.method == "GET":
        return {}
    if request.content_type != "application/json":
        raise Refused(415, "PARAM_ERROR", "Content-Type")
    try:
        found: object = json.loads(body)
    except ValueError as error:
        raise Refused(400, "PARAM_ERROR", "请求体不是合法的 JSON") from error
    if not isinstance(found, dict):
        raise Refused(400, "PARAM_ERROR", "请求体不是对象")
    return cast("dict[str, Any]", found)
