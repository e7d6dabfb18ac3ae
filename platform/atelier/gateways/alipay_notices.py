"""Notices of Alipay (异步通知): a form that Alipay posts when a trade changes.

Fields and statuses: opendocs.alipay.com/open/270/105902. Two things there are easily overlooked. Notices of refunds
have the same trade_status as the payment had; only `refund_fee`, `gmt_refund` and `out_biz_no` tell them apart. And
`refund_fee` is what went back of the trade in all, not what went back this time.
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from atelier.gateways import alipay_wire, reading
from atelier.gateways.errors import Forged
from atelier.gateways.money import fen
from atelier.gateways.port import Notice
from atelier.gateways.reading import Unreadable
from atelier.gateways.times import from_plain

BYTES_MAX = 64 * 1024
FIELDS_MAX = 128
TRADE = "trade_status_sync"
PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
CLOSED = "TRADE_CLOSED"


def read(body: bytes, *, key: RSAPublicKey, app_id: str, seller_id: str) -> Notice:
    """A verified notice for this application and merchant. Raises Forged."""
    given = alipay_wire.notice(_form(body), key)
    if given.get("app_id") != app_id:
        raise Forged("app_id")
    if given.get("notify_type", TRADE) != TRADE:
        return _other(given)
    if given.get("seller_id") != seller_id:
        raise Forged("seller_id")
    try:
        return _kind(given)(given)
    except Unreadable as error:
        raise Forged("shape") from error


def _form(body: bytes) -> list[tuple[str, str]]:
    if len(body) > BYTES_MAX:
        raise Forged("size")
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError as error:  # Not ASCII, escapes that are no UTF-8, or too many fields.
        raise Forged("form") from error


def _kind(given: Mapping[str, str]) -> Callable[[Mapping[str, str]], Notice]:
    status = given.get("trade_status", "")
    if status in PAID or status == CLOSED:
        if _is_refund(given):
            return _refund
        return _payment if status in PAID else _closed
    return _other


def _is_refund(given: Mapping[str, str]) -> bool:
    """Whether money went back. A trade that nothing was refunded of may come with a `refund_fee` of nothing."""
    return bool(given.get("gmt_refund") or given.get("out_biz_no") or given.get("refund_fee", "").strip("0."))


def _payment(given: Mapping[str, str]) -> Notice:
    order_no, payment_no = reading.number(given, "out_trade_no"), reading.number(given, "trade_no")
    amount_fen = reading.converted(given, "total_amount", fen)
    return Notice(
        provider="alipay",
        event_key=_event_key("payment", given, payment_no, amount_fen),
        kind="payment",
        order_no=order_no,
        payment_no=payment_no,
        amount_fen=amount_fen,
        paid_ms=reading.converted_or_none(given, "gmt_payment", from_plain),
        fact=_fact(given),
    )


def _refund(given: Mapping[str, str]) -> Notice:
    refund_no = reading.number_or_none(given, "out_biz_no")
    refunded_fen = reading.converted_or_none(given, "refund_fee", fen)
    return Notice(
        provider="alipay",
        event_key=_event_key("refund", given, refund_no, refunded_fen),
        kind="refund",
        order_no=reading.number(given, "out_trade_no"),
        payment_no=reading.number(given, "trade_no"),
        amount_fen=reading.converted(given, "total_amount", fen),
        refund_no=refund_no,
        refund_state="succeeded",
        fact={**_fact(given), "refunded_fen": refunded_fen},
    )


def _closed(given: Mapping[str, str]) -> Notice:
    return Notice(
        provider="alipay",
        event_key=_event_key("closed", given),
        kind="closed",
        order_no=reading.number(given, "out_trade_no"),
        fact=_fact(given),
    )


def _other(given: Mapping[str, str]) -> Notice:
    return Notice(provider="alipay", event_key=_event_key("other", given), kind="other", order_no="")


def _event_key(kind: str, given: Mapping[str, str], *decides: object) -> str:
    names = (given.get("notify_id", ""), given.get("out_trade_no", ""), given.get("trade_status", ""))
    return reading.event_key(kind, *names, *decides)


def _fact(given: Mapping[str, str]) -> dict[str, str | int | None]:
    return {"notify_id": given.get("notify_id"), "status": given.get("trade_status")}
