"""WeChat Pay (微信支付), API v3."""

import json
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from atelier.gateways import bills, keys, reading, wechat_notices, wechat_wire
from atelier.gateways.calls import Answer, Caller
from atelier.gateways.errors import Forged, GatewayRefused, GatewayUnknown
from atelier.gateways.keys import Certificate
from atelier.gateways.port import BillLine, Notice, Placed, ProviderName, Refund, ToPay, ToRefund, Trade, TradeState
from atelier.gateways.reading import Unreadable
from atelier.gateways.times import from_offset, with_offset
from atelier.gateways.wechat_notices import CNY, REFUND_STATES, Addressee
from atelier.gateways.wechat_wire import Merchant
from atelier.kernel import clock, logs
from atelier.kernel.clock import SECOND_MS

log = logs.get(__name__)

PAY = "/v3/pay/transactions/"
REFUNDS = "/v3/refund/domestic/refunds"
BILL = "/v3/bill/tradebill"
ABSENT = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS", "REFUNDNOTEXIST"})
NO_BILL = frozenset({"NO_STATEMENT_EXIST", "STATEMENT_CREATING"})
# Refusals after which the documentation says to ask again, and those of the request itself, which decide nothing.
UNDECIDED = frozenset({"SYSTEM_ERROR", "BIZ_ERR_NEED_RETRY", "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "SIGN_ERROR"})
SUBJECT_BYTES_MAX = 127
REASON_BYTES_MAX = 80
TRADE_STATES: Mapping[str, TradeState] = {
    "SUCCESS": "paid",
    "REFUND": "refunded",
    "NOTPAY": "pending",
    "USERPAYING": "pending",
    "PAYERROR": "pending",
    "CLOSED": "closed",
    "REVOKED": "closed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A merchant of WeChat Pay with one application, how to reach the gateway and be reached by it.

    public_key_id, public_key   WeChat Pay's public key, in the mode that new merchants have
    certificates   platform certificates, for those who had some before; each is good until its own end
    """

    merchant: Merchant = field(repr=False)
    appid: str
    api_key: bytes = field(repr=False)
    public_key_id: str
    public_key: RSAPublicKey | None = field(repr=False)
    certificates: Sequence[Certificate] = ()
    url: str
    notify_url: str
    answer_seconds: float = 10.0


class WechatPay:
    """Payments by Native (a QR code), H5 (a phone's browser) and JSAPI (inside WeChat).

    Sources: the pages of these products at pay.weixin.qq.com/doc/v3/merchant, and wechatpay-go for what they leave
    open; wechatpayv3 is the tests' oracle.

    A successful answer is believed only if one of the platform's keys signed it within five minutes. Refusals (4xx) may
    come without a signature, as WeChat Pay doesn't sign all of them; one that has a signature must have a good one.
    """

    name: ProviderName = "wechat"

    def __init__(self, account: Account, *, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._account = account
        self._now_ms = now_ms
        self._caller = Caller(url=account.url, answer_seconds=account.answer_seconds)

    def place(self, order: ToPay) -> Placed:
        """A code for Native, an address for H5, the signed parameters of a call in the browser for JSAPI."""
        content: dict[str, Any] = {
            "appid": self._account.appid,
            "mchid": self._account.merchant.mchid,
            "description": _cut(order.subject, SUBJECT_BYTES_MAX),
            "out_trade_no": order.order_no,
            "time_expire": with_offset(order.expires_ms),
            "notify_url": self._account.notify_url,
            "amount": {"total": order.amount_fen, "currency": CNY},
        }
        if order.channel == "native":
            return Placed(code_url=_text(self._post(PAY + "native", content), "code_url"))
        if order.channel == "h5" and order.address:
            content["scene_info"] = {"payer_client_ip": order.address, "h5_info": {"type": "Wap"}}
            return Placed(payment_url=_returning(_text(self._post(PAY + "h5", content), "h5_url"), order.return_url))
        if order.channel == "jsapi" and order.openid:
            content["payer"] = {"openid": order.openid}
            return Placed(parameters=self._for_browser(_text(self._post(PAY + "jsapi", content), "prepay_id")))
        raise GatewayRefused("payer" if order.channel in ("h5", "jsapi") else "channel")

    def query(self, order_no: str) -> Trade:
        """The transaction of an order number. `refunded` is also what is refunded in part."""
        merchant = self._account.merchant.mchid
        path = f"{PAY}out-trade-no/{quote(order_no, safe='')}?{urlencode({'mchid': merchant})}"
        try:
            answer = self._get(path)
        except GatewayRefused as refused:
            if refused.reason in ABSENT:
                return Trade(order_no=order_no, state="absent")
            raise
        return _trade(_of(_of(answer, "mchid", merchant), "out_trade_no", order_no), order_no)

    def close(self, order_no: str) -> None:
        """Close the transaction, which answers with nothing."""
        path = f"{PAY}out-trade-no/{quote(order_no, safe='')}/close"
        try:
            self._call("POST", path, {"mchid": self._account.merchant.mchid})
        except GatewayRefused as refused:
            state = self.query(order_no).state
            if state in ("paid", "refunded"):
                raise GatewayRefused("paid") from refused
            if state == "pending":
                raise

    def refund(self, wanted: ToRefund) -> Refund:
        """Ask for a refund; it goes on for a while, and a notice tells its end."""
        content = {
            "out_trade_no": wanted.order_no,
            "out_refund_no": wanted.refund_no,
            "reason": _cut(wanted.reason, REASON_BYTES_MAX),
            "notify_url": self._account.notify_url,
            "amount": {"refund": wanted.amount_fen, "total": wanted.total_fen, "currency": CNY},
        }
        return _refund(self._post(REFUNDS, content), order_no=wanted.order_no, refund_no=wanted.refund_no)

    def query_refund(self, *, order_no: str, refund_no: str) -> Refund:
        """The refund of a refund number."""
        try:
            answer = self._get(f"{REFUNDS}/{quote(refund_no, safe='')}")
        except GatewayRefused as refused:
            if refused.reason in ABSENT:
                return Refund(refund_no=refund_no, state="absent")
            raise
        return _refund(answer, order_no=order_no, refund_no=refund_no)

    @contextmanager
    def bill(self, day: str) -> Generator[Iterator[BillLine]]:
        """The bill of all trades: a signed announcement with a hash, then a gzip that is not signed.

        WeChat Pay makes it in the morning of the next day, until 10 o'clock, and keeps it for three months.
        """
        asked = {"bill_date": day, "bill_type": "ALL", "tar_type": "GZIP"}
        try:
            told = self._get(f"{BILL}?{urlencode(asked)}")
        except GatewayRefused as refused:
            if refused.reason in NO_BILL:
                raise GatewayRefused("absent") from refused
            raise
        if told.get("hash_type") != "SHA1":
            raise GatewayUnknown("wechat: a bill with another kind of hash")
        place = urlsplit(_text(told, "download_url"))
        # The request carries our signature, so it goes to the gateway that we know, whatever host is named.
        request = self._request("GET", f"{place.path}?{place.query}", b"", whole=True)
        with self._caller.download(request) as file, bills.unpacked(file, sha1=_text(told, "hash_value")) as csv:
            yield bills.wechat_lines(csv)

    def notice(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:
        """A verified notice for our merchant. Raises Forged; by `probe` when WeChat Pay tests whether we look."""
        account = self._account
        addressee = Addressee(mchid=account.merchant.mchid, appid=account.appid, api_key=account.api_key)
        platform = self._platform(now_ms)
        return wechat_notices.read(headers, body, platform=platform, addressee=addressee, now=now_ms // SECOND_MS)

    def close_connections(self) -> None:
        """Close every connection."""
        self._caller.close()

    def _platform(self, now_ms: int) -> dict[str, RSAPublicKey]:
        """The keys that are good now, by the names under which messages come."""
        good = {one.serial: one.key for one in self._account.certificates if one.until_ms > now_ms}
        if self._account.public_key is not None:
            good[self._account.public_key_id] = self._account.public_key
        return good

    def _for_browser(self, prepay_id: str) -> dict[str, str]:
        """What WeixinJSBridge.invoke("getBrandWCPayRequest") takes."""
        timestamp, nonce, package = str(self._now_ms() // SECOND_MS), secrets.token_hex(16), f"prepay_id={prepay_id}"
        content = "".join(f"{part}\n" for part in (self._account.appid, timestamp, nonce, package))
        return {
            "appId": self._account.appid,
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": keys.sign(content.encode(), self._account.merchant.key),
        }

    def _get(self, path: str) -> dict[str, Any]:
        return _document(self._call("GET", path, None))

    def _post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        return _document(self._call("POST", path, content))

    def _call(self, method: str, path: str, content: Mapping[str, Any] | None) -> Answer:
        """A successful answer, verified."""
        body = b"" if content is None else json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        answer = self._caller.send(self._request(method, path, body))
        is_success = 200 <= answer.status < 300
        if is_success or "wechatpay-signature" in answer.headers:
            self._verify(answer, path)
        if not is_success:
            raise _failure(answer, path)
        return answer

    def _request(self, method: str, path: str, body: bytes, *, whole: bool = False) -> Any:
        """A signed request. `whole`: the path begins at the host and not at the configured address."""
        parts = urlsplit(self._account.url)
        start = f"{parts.scheme}://{parts.netloc}" if whole else self._account.url.rstrip("/")
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        if self._account.public_key is not None:
            headers["Wechatpay-Serial"] = self._account.public_key_id
        request = self._caller.build(method, start + path, content=body, headers=headers)
        request.headers["Authorization"] = wechat_wire.authorization(
            self._account.merchant,
            method=method,
            path=request.url.raw_path.decode(),
            body=body,
            timestamp=self._now_ms() // SECOND_MS,
            nonce=secrets.token_hex(16),
        )
        return request

    def _verify(self, answer: Answer, path: str) -> None:
        now_ms = self._now_ms()
        headers = wechat_notices.titled(answer.headers)
        try:
            wechat_wire.verify(headers, answer.body, platform=self._platform(now_ms), now=now_ms // SECOND_MS)
        except Forged as error:
            log.warning("gateway.unverified", provider=self.name, call=_kind(path), status=answer.status, by=error.by)
            raise GatewayUnknown("wechat: an answer that it has not signed") from error


def _failure(answer: Answer, path: str) -> GatewayRefused | GatewayUnknown:
    """A refusal has a code of WeChat Pay's; whatever else stands between us and it has said nothing about money."""
    try:
        code = reading.number(reading.document(answer.body), "code")
    except Unreadable:
        code = ""
    log.warning("gateway.failed", provider="wechat", call=_kind(path), status=answer.status, reason=code)
    if 400 <= answer.status < 500 and answer.status not in (401, 429) and code and code not in UNDECIDED:
        return GatewayRefused(code)
    return GatewayUnknown(f"wechat: status {answer.status} {code}".rstrip())


def _kind(path: str) -> str:
    """The call without its numbers, for logs."""
    return "/".join(path.partition("?")[0].split("/")[1:5])


def _document(answer: Answer) -> dict[str, Any]:
    try:
        return reading.document(answer.body)
    except Unreadable as error:
        raise GatewayUnknown("wechat: no object") from error


def _of(answer: dict[str, Any], name: str, expected: str) -> dict[str, Any]:
    """The answer, if it is about what was asked."""
    if answer.get(name) != expected:
        raise GatewayUnknown(f"wechat: an answer about another {name}")
    return answer


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise GatewayUnknown(f"wechat: no {name}")
    return value


def _trade(answer: Mapping[str, Any], order_no: str) -> Trade:
    state = TRADE_STATES.get(str(answer.get("trade_state")))
    if state is None:
        raise GatewayUnknown("wechat: no trade_state")
    if state not in ("paid", "refunded"):
        return Trade(order_no=order_no, state=state)
    try:
        amount = reading.inner(answer, "amount")
        return Trade(
            order_no=order_no,
            state=state,
            payment_no=reading.number(answer, "transaction_id"),
            amount_fen=reading.whole_fen(amount, "total"),
            currency=str(amount.get("currency") or CNY),
            paid_ms=reading.converted_or_none(answer, "success_time", from_offset),
        )
    except Unreadable as error:
        raise GatewayUnknown(f"wechat: no {error}") from error


def _refund(answer: dict[str, Any], *, order_no: str, refund_no: str) -> Refund:
    _of(_of(answer, "out_refund_no", refund_no), "out_trade_no", order_no)
    state = REFUND_STATES.get(str(answer.get("status")))
    if state is None:
        raise GatewayUnknown("wechat: no status")
    try:
        amount_fen = reading.whole_fen(reading.inner(answer, "amount"), "refund")
        gateway_no = reading.number_or_none(answer, "refund_id")
    except Unreadable as error:
        raise GatewayUnknown(f"wechat: no {error}") from error
    return Refund(refund_no=refund_no, state=state, gateway_no=gateway_no, amount_fen=amount_fen)


def _returning(address: str, return_url: str | None) -> str:
    if not return_url:
        return address
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'redirect_url': return_url})}"


def _cut(text: str, longest: int) -> str:
    """The text as far as it fits, in bytes."""
    return text.encode()[:longest].decode(errors="ignore")
