"""Alipay (支付宝开放平台), signed with RSA2."""

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from atelier.gateways import alipay_notices, alipay_wire, bills, reading
from atelier.gateways.calls import Caller
from atelier.gateways.errors import Forged, GatewayRefused, GatewayUnknown
from atelier.gateways.money import fen, yuan
from atelier.gateways.port import (
    BillLine,
    Notice,
    Placed,
    ProviderName,
    Refund,
    RefundState,
    ToPay,
    ToRefund,
    Trade,
    TradeState,
)
from atelier.gateways.reading import Unreadable
from atelier.gateways.times import from_plain, plain
from atelier.kernel import clock, logs

log = logs.get(__name__)

METHOD = "alipay.trade."
BILL_METHOD = "alipay.data.dataservice.bill.downloadurl.query"
DONE = "10000"
FAILED = "40004"
NO_TRADE = "ACQ.TRADE_NOT_EXIST"
NO_BILL = frozenset({"isp.bill_not_exist", "isv.bill_not_exist", "ACQ.BILL_NOT_EXIST"})
# Failures after which the documentation says to ask what became of it.
UNDECIDED = frozenset({"ACQ.SYSTEM_ERROR", "aop.ACQ.SYSTEM_ERROR", "isp.unknow-error", "aop.unknow-error"})
SUBJECT_MAX = 127
TRADE_STATES: Mapping[str, TradeState] = {
    "WAIT_BUYER_PAY": "pending",
    "TRADE_SUCCESS": "paid",
    "TRADE_FINISHED": "paid",
    "TRADE_CLOSED": "closed",
}
REFUND_STATES: Mapping[str, RefundState] = {
    "REFUND_SUCCESS": "succeeded",
    "REFUND_PROCESSING": "processing",
    "REFUND_FAIL": "failed",
}
# Characters that the documentation forbids in a subject, and those that would divide a line of a bill.
_NOT_IN_SUBJECTS = str.maketrans(dict.fromkeys('/=&,"\r\n\t', " "))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An application at Alipay, its merchant, and how to reach the gateway and be reached by it."""

    app_id: str
    seller_id: str
    private_key: RSAPrivateKey = field(repr=False)
    public_key: RSAPublicKey = field(repr=False)
    url: str
    notify_url: str
    answer_seconds: float = 10.0


class Alipay:
    """Payments by page (电脑网站), wap (手机网站) and QR code (订单码); methods alipay.trade.* of the open platform.

    Sources: the pages of these methods at opendocs.alipay.com (open/028r8t and its neighbours); what they leave open
    was compared with python-alipay-sdk, which the tests also use as an oracle.

    Answers are believed only after their signature was verified. They carry no time, so one could be played back: each
    must also name the order or refund that was asked for. Business failures (40004) are GatewayRefused with Alipay's
    sub_code; everything else that is no success is GatewayUnknown, also a request that Alipay could not verify, because
    then it has said nothing about what an earlier one did.
    """

    name: ProviderName = "alipay"

    def __init__(self, account: Account, *, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._account = account
        self._now_ms = now_ms
        self._caller = Caller(url=account.url, answer_seconds=account.answer_seconds)

    def place(self, order: ToPay) -> Placed:
        """For `page` and `wap` a signed address, without any call; for `qr` the text of a code."""
        content = {
            "out_trade_no": order.order_no,
            "total_amount": yuan(order.amount_fen),
            "subject": order.subject.translate(_NOT_IN_SUBJECTS)[:SUBJECT_MAX],
            "time_expire": plain(order.expires_ms),
        }
        urls = {"notify_url": self._account.notify_url, "return_url": order.return_url or ""}
        if order.channel == "page":
            content["product_code"] = "FAST_INSTANT_TRADE_PAY"
            return Placed(payment_url=self._address("page.pay", content, urls))
        if order.channel == "wap":
            content |= {"product_code": "QUICK_WAP_WAY", "quit_url": order.return_url or ""}
            return Placed(payment_url=self._address("wap.pay", content, urls))
        if order.channel != "qr":
            raise GatewayRefused("channel")
        content["product_code"] = "FACE_TO_FACE_PAYMENT"
        answer = self._ask(METHOD + "precreate", content, notify_url=self._account.notify_url)
        return Placed(code_url=_text(_of(answer, "out_trade_no", order.order_no), "qr_code"))

    def query(self, order_no: str) -> Trade:
        """alipay.trade.query. A trade exists from when the payer has opened the cashier."""
        try:
            answer = self._ask(METHOD + "query", {"out_trade_no": order_no})
        except GatewayRefused as refused:
            if refused.reason == NO_TRADE:
                return Trade(order_no=order_no, state="absent")
            raise
        return _trade(_of(answer, "out_trade_no", order_no), order_no)

    def close(self, order_no: str) -> None:
        """alipay.trade.close. A trade that nobody has opened does not exist and can't be closed; it expires."""
        try:
            self._ask(METHOD + "close", {"out_trade_no": order_no})
        except GatewayRefused as refused:
            state = self.query(order_no).state
            if state in ("paid", "refunded"):
                raise GatewayRefused("paid") from refused
            if state == "pending":
                raise

    def refund(self, wanted: ToRefund) -> Refund:
        """alipay.trade.refund. Money has moved when `fund_change` is Y; after a repetition it is N, and we ask."""
        content = {
            "out_trade_no": wanted.order_no,
            "trade_no": wanted.payment_no,
            "out_request_no": wanted.refund_no,
            "refund_amount": yuan(wanted.amount_fen),
            "refund_reason": wanted.reason[:SUBJECT_MAX],
        }
        answer = _of(self._ask(METHOD + "refund", content), "out_trade_no", wanted.order_no)
        if answer.get("fund_change") == "Y":
            # `refund_fee` here is what went back of the trade in all.
            return Refund(refund_no=wanted.refund_no, state="succeeded", amount_fen=wanted.amount_fen)
        found = self.query_refund(order_no=wanted.order_no, refund_no=wanted.refund_no)
        return found if found.state != "absent" else Refund(refund_no=wanted.refund_no, state="processing")

    def query_refund(self, *, order_no: str, refund_no: str) -> Refund:
        """alipay.trade.fastpay.refund.query. An answer without a status means: not received, or failed."""
        content = {"out_trade_no": order_no, "out_request_no": refund_no}
        try:
            answer = self._ask(METHOD + "fastpay.refund.query", content)
        except GatewayRefused as refused:
            if refused.reason == NO_TRADE:
                return Refund(refund_no=refund_no, state="absent")
            raise
        return _refund(answer, order_no=order_no, refund_no=refund_no)

    @contextmanager
    def bill(self, day: str) -> Generator[Iterator[BillLine]]:
        """The bill of trades: an address that is good for 30 seconds, behind it a zip with a csv in GBK.

        Alipay makes it in the morning of the next day, until 10 o'clock.
        """
        try:
            answer = self._ask(BILL_METHOD, {"bill_type": "trade", "bill_date": day})
        except GatewayRefused as refused:
            if refused.reason in NO_BILL:
                raise GatewayRefused("absent") from refused
            raise
        address = _text(answer, "bill_download_url")
        if address.partition(":")[0] not in {"https", self._account.url.partition(":")[0]}:
            raise GatewayUnknown("a bill behind no https address")
        request = self._caller.build("GET", address, headers={})
        with self._caller.download(request) as file, bills.unzipped(file) as csv:
            yield bills.alipay_lines(csv)

    def notice(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:  # noqa: ARG002 - as the port
        """A verified notice of our application and merchant. Raises Forged. Alipay's notices don't age."""
        account = self._account
        return alipay_notices.read(body, key=account.public_key, app_id=account.app_id, seller_id=account.seller_id)

    def close_connections(self) -> None:
        """Close every connection."""
        self._caller.close()

    def _parameters(self, method: str, content: Mapping[str, str], urls: Mapping[str, str]) -> dict[str, str]:
        filled = {name: value for name, value in content.items() if value}
        parameters = {
            "app_id": self._account.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": alipay_wire.SIGN_TYPE,
            "timestamp": plain(self._now_ms()),
            "version": "1.0",
            **urls,
            "biz_content": json.dumps(filled, ensure_ascii=False, separators=(",", ":")),
        }
        return alipay_wire.signed(parameters, self._account.private_key)

    def _address(self, method: str, content: Mapping[str, str], urls: Mapping[str, str]) -> str:
        return f"{self._account.url}?{urlencode(self._parameters(METHOD + method, content, urls))}"

    def _ask(self, method: str, content: Mapping[str, str], *, notify_url: str = "") -> dict[str, Any]:
        """What Alipay has answered and signed, where it is a success. As in its own SDKs only the content is posted."""
        parameters = self._parameters(method, content, {"notify_url": notify_url})
        body = urlencode({"biz_content": parameters.pop("biz_content")}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
        url = f"{self._account.url}?{urlencode(parameters)}"
        answer = self._caller.send(self._caller.build("POST", url, content=body, headers=headers))
        if answer.status != 200:
            raise GatewayUnknown(f"alipay: status {answer.status}")
        try:
            found = alipay_wire.answer(answer.body.decode(), method=method, key=self._account.public_key)
        except (Forged, UnicodeDecodeError) as error:
            log.warning("gateway.unverified", provider=self.name, method=method, error=str(error)[:80])
            raise GatewayUnknown("alipay: an answer that it has not signed") from error
        return _successful(found, method)


def _successful(answer: dict[str, Any], method: str) -> dict[str, Any]:
    code, reason = str(answer.get("code")), str(answer.get("sub_code") or answer.get("code"))[:64]
    if code == DONE:
        return answer
    log.warning("gateway.failed", provider="alipay", method=method, code=code, reason=reason)
    if code == FAILED and reason not in UNDECIDED:
        raise GatewayRefused(reason)
    raise GatewayUnknown(f"alipay: {code} {reason}")


def _of(answer: dict[str, Any], name: str, expected: str) -> dict[str, Any]:
    """The answer, if it is about what was asked."""
    if answer.get(name) != expected:
        raise GatewayUnknown(f"alipay: an answer about another {name}")
    return answer


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise GatewayUnknown(f"alipay: no {name}")
    return value


def _trade(answer: Mapping[str, Any], order_no: str) -> Trade:
    state = TRADE_STATES.get(str(answer.get("trade_status")))
    if state is None:
        raise GatewayUnknown("alipay: no trade_status")
    try:
        paid_ms = reading.converted_or_none(answer, "send_pay_date", from_plain)
        amount_fen = reading.converted(answer, "total_amount", fen)
        payment_no = reading.number(answer, "trade_no")
    except Unreadable as error:
        raise GatewayUnknown(f"alipay: no {error}") from error
    if state == "closed" and paid_ms is not None:
        state = "refunded"  # Closed because everything went back, not because nobody paid.
    if state not in ("paid", "refunded"):
        return Trade(order_no=order_no, state=state, amount_fen=amount_fen)
    return Trade(order_no=order_no, state=state, payment_no=payment_no, amount_fen=amount_fen, paid_ms=paid_ms)


def _refund(answer: dict[str, Any], *, order_no: str, refund_no: str) -> Refund:
    status = answer.get("refund_status")
    if not status:
        return Refund(refund_no=refund_no, state="absent")
    _of(_of(answer, "out_request_no", refund_no), "out_trade_no", order_no)
    state = REFUND_STATES.get(str(status))
    if state is None:
        raise GatewayUnknown("alipay: no refund_status")
    try:
        amount_fen = reading.converted(answer, "refund_amount", fen)
        gateway_no = reading.number_or_none(answer, "trade_no")
    except Unreadable as error:
        raise GatewayUnknown(f"alipay: no {error}") from error
    return Refund(refund_no=refund_no, state=state, gateway_no=gateway_no, amount_fen=amount_fen)
