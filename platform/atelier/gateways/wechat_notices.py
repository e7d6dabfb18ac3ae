"""Notices of WeChat Pay (支付通知, 退款结果通知): signed JSON with a sealed resource.

Documentation: pay.weixin.qq.com, API v3, 支付成功回调通知 and 退款结果回调通知. A notice of a payment names merchant
and application, one of a refund the merchant only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from atelier.gateways import reading, wechat_wire
from atelier.gateways.errors import Forged
from atelier.gateways.port import Notice, RefundState
from atelier.gateways.reading import Unreadable
from atelier.gateways.times import from_offset

BYTES_MAX = 64 * 1024
PAYMENT = "TRANSACTION.SUCCESS"
REFUND = "REFUND."
SUCCESS = "SUCCESS"
# An abnormal refund waits for the merchant, who can still send it to another card: the money may go back any time.
REFUND_STATES: Mapping[str, RefundState] = {
    "SUCCESS": "succeeded",
    "CLOSED": "failed",
    "PROCESSING": "processing",
    "ABNORMAL": "processing",
}
CNY = "CNY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Who a notice must be for, and what opens it."""

    mchid: str
    appid: str
    api_key: bytes = field(repr=False)


def read(
    headers: Mapping[str, str], body: bytes, *, platform: Mapping[str, RSAPublicKey], addressee: Addressee, now: int
) -> Notice:
    """A verified, fresh notice for this merchant. Raises Forged; `by="probe"` when WeChat Pay tests us. `now` in s."""
    if len(body) > BYTES_MAX:
        raise Forged("size")
    wechat_wire.verify(titled(headers), body, platform=platform, now=now)
    try:
        envelope = reading.document(body)
        content = wechat_wire.opened(reading.inner(envelope, "resource"), api_key=addressee.api_key)
        if content.get("mchid") != addressee.mchid:
            raise Forged("mchid")
        return _kind(envelope, content, addressee)(envelope, content)
    except Unreadable as error:
        raise Forged("shape") from error


def titled(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by their documented names: proxies and HTTP/2 write them with small letters."""
    return {name.title(): value for name, value in headers.items()}


def _kind(
    envelope: Mapping[str, Any], content: Mapping[str, Any], addressee: Addressee
) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Notice]:
    event = str(envelope.get("event_type"))
    if event.startswith(REFUND):
        return _refund
    if event != PAYMENT:
        return _other
    if content.get("appid") != addressee.appid:
        raise Forged("appid")
    return _payment if content.get("trade_state") == SUCCESS else _other


def _payment(envelope: Mapping[str, Any], content: Mapping[str, Any]) -> Notice:
    amount = reading.inner(content, "amount")
    payment_no, amount_fen = reading.number(content, "transaction_id"), reading.whole_fen(amount, "total")
    currency = str(amount.get("currency") or CNY)
    return Notice(
        provider="wechat",
        event_key=_event_key("payment", envelope, payment_no, amount_fen, currency),
        kind="payment",
        order_no=reading.number(content, "out_trade_no"),
        payment_no=payment_no,
        amount_fen=amount_fen,
        currency=currency,
        paid_ms=reading.converted_or_none(content, "success_time", from_offset),
        fact=_fact(envelope, content.get("trade_state")),
    )


def _refund(envelope: Mapping[str, Any], content: Mapping[str, Any]) -> Notice:
    amount, status = reading.inner(content, "amount"), str(content.get("refund_status"))
    refund_no, refund_fen = reading.number(content, "out_refund_no"), reading.whole_fen(amount, "refund")
    if status not in REFUND_STATES:
        raise Unreadable("refund_status")
    return Notice(
        provider="wechat",
        event_key=_event_key("refund", envelope, refund_no, refund_fen, status),
        kind="refund",
        order_no=reading.number(content, "out_trade_no"),
        payment_no=reading.number(content, "transaction_id"),
        amount_fen=reading.whole_fen(amount, "total"),
        refund_no=refund_no,
        refund_fen=refund_fen,
        refund_state=REFUND_STATES[status],
        fact={**_fact(envelope, status), "gateway_no": reading.number_or_none(content, "refund_id")},
    )


def _other(envelope: Mapping[str, Any], _content: Mapping[str, Any]) -> Notice:
    return Notice(provider="wechat", event_key=_event_key("other", envelope), kind="other", order_no="")


def _event_key(kind: str, envelope: Mapping[str, Any], *decides: object) -> str:
    return reading.event_key(kind, str(envelope.get("id")), envelope.get("event_type"), *decides)


def _fact(envelope: Mapping[str, Any], status: object) -> dict[str, str | int | None]:
    return {"notify_id": reading.number_or_none(envelope, "id"), "status": str(status)}
