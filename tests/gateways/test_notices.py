"""What notices become, and that everything which is not a notice for this merchant is refused by name."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.gateways.errors import Forged
from atelier.gateways.port import Notice
from tests.gateways.merchants import (
    API_KEY,
    EXPIRED_SERIAL,
    NOW_MS,
    OLD,
    OLD_SERIAL,
    PAID,
    PUBLIC_KEY_ID,
    REFUNDED,
    STRANGER,
    alipay_client,
    alipay_notice,
    wechat_client,
    wechat_headers,
    wechat_notice,
)

PAID_MS = NOW_MS + 1_000
ALIPAY, WECHAT = alipay_client(), wechat_client()


def _alipay(body: bytes) -> Notice:
    return ALIPAY.notice({}, body, now_ms=NOW_MS)


def _wechat(body: bytes, headers: Mapping[str, str] | None = None, *, now_ms: int = NOW_MS) -> Notice:
    return WECHAT.notice(wechat_headers(body) if headers is None else headers, body, now_ms=now_ms)


def _by(read: Callable[[], Notice]) -> str:
    with pytest.raises(Forged) as caught:
        read()
    return caught.value.by


# -- Alipay


@pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_FINISHED"])
def test_alipay_tells_of_a_payment(status: str) -> None:
    found = _alipay(alipay_notice({"trade_status": status}))
    assert (found.kind, found.order_no, found.payment_no) == (
        "payment",
        "A20260101000000000001",
        "2026010122001400000000000001",
    )
    assert (found.amount_fen, found.currency, found.paid_ms) == (990, "CNY", PAID_MS)
    assert found.fact == {"notify_id": "2026010100222080005012345678901234", "status": status}


REFUND = {"refund_fee": "4.90", "gmt_refund": "2026-01-01 09:00:00.123", "out_biz_no": "R20260101000000000001"}


@pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED"])
@pytest.mark.parametrize("given_fields", [REFUND, *({name: value} for name, value in REFUND.items())])
def test_alipay_tells_of_a_refund_by_any_of_its_fields(status: str, given_fields: dict[str, str]) -> None:
    found = _alipay(alipay_notice({"trade_status": status, **given_fields}))
    assert (found.kind, found.order_no, found.refund_state) == ("refund", "A20260101000000000001", "succeeded")
    assert found.refund_no == given_fields.get("out_biz_no")
    # What went back in all, of which nobody can say how much went back this time.
    assert (found.refund_fen, found.fact["refunded_fen"]) == (None, 490 if "refund_fee" in given_fields else None)


@pytest.mark.parametrize("nothing", [{"refund_fee": "0.00"}, {"refund_fee": "", "gmt_refund": "", "out_biz_no": ""}])
def test_a_refund_of_nothing_is_none(nothing: dict[str, str]) -> None:
    assert _alipay(alipay_notice(nothing)).kind == "payment"


def test_alipay_tells_of_an_order_that_nobody_paid() -> None:
    found = _alipay(alipay_notice({"trade_status": "TRADE_CLOSED", "gmt_payment": None}))
    assert (found.kind, found.order_no, found.payment_no, found.amount_fen) == (
        "closed",
        "A20260101000000000001",
        None,
        None,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"trade_status": "WAIT_BUYER_PAY"},
        {"trade_status": None},
        {"trade_status": "TRADE_PENDING"},
        {"notify_type": "dut_user_sign", "seller_id": None},
    ],
)
def test_what_else_alipay_tells(changes: dict[str, str | None]) -> None:
    assert _alipay(alipay_notice(changes)).kind == "other"


def test_events_of_one_trade_have_different_names() -> None:
    told: list[dict[str, str]] = [
        {"trade_status": "TRADE_SUCCESS"},
        {"trade_status": "TRADE_FINISHED"},
        {"trade_status": "TRADE_CLOSED"},
        {"trade_status": "TRADE_SUCCESS", **REFUND},
        {"trade_status": "TRADE_SUCCESS", **REFUND, "out_biz_no": "R2"},
        {"trade_status": "TRADE_SUCCESS", **REFUND, "refund_fee": "9.90"},
        {"trade_status": "TRADE_SUCCESS", "total_amount": "9.91"},
        {"trade_status": "TRADE_SUCCESS", "notify_id": "another"},
        {"trade_status": "TRADE_SUCCESS", "out_trade_no": "another"},
    ]
    names = [_alipay(alipay_notice(changes)).event_key for changes in told]
    assert len(set(names)) == len(told)
    assert all(len(name) <= 128 and name.isascii() for name in names)


def test_a_repetition_has_the_name_of_the_first() -> None:
    again = {"notify_time": "2026-01-01 08:04:05"}
    assert _alipay(alipay_notice(again)).event_key == _alipay(alipay_notice()).event_key


ALIPAY_FORGERIES: list[tuple[bytes, str]] = [
    (alipay_notice(key=STRANGER), "sign"),
    (alipay_notice().replace(b"total_amount=9.90", b"total_amount=0.01"), "sign"),
    (alipay_notice() + b"&total_amount=0.01", "duplicate"),
    (alipay_notice().replace(b"sign_type=RSA2", b"sign_type=RSA"), "sign_type"),
    (alipay_notice({"charset": "GBK"}), "charset"),
    (alipay_notice({"app_id": "2021000000000001"}), "app_id"),
    (alipay_notice({"app_id": None}), "app_id"),
    (alipay_notice({"seller_id": "2088000000000002"}), "seller_id"),
    (alipay_notice({"seller_id": None}), "seller_id"),
    # The order of the checks: whose application it is comes first.
    (alipay_notice({"app_id": "x", "seller_id": "x"}), "app_id"),
    (alipay_notice({"out_trade_no": None}), "shape"),
    (alipay_notice({"out_trade_no": "订单"}), "shape"),
    (alipay_notice({"out_trade_no": "1" * 65}), "shape"),
    (alipay_notice({"trade_no": ""}), "shape"),
    (alipay_notice({"total_amount": "9.901"}), "shape"),
    (alipay_notice({"total_amount": "-9.90"}), "shape"),
    (alipay_notice({"gmt_payment": "yesterday"}), "shape"),
    (alipay_notice({"gmt_payment": "2026-01-01 08:00:01+00:00"}), "shape"),
    (b"\xff\xfe", "form"),
    (b"a=%ff", "form"),
    (b"&".join(b"a%d=1" % number for number in range(200)), "form"),
    (b"a=" + b"1" * 70_000, "size"),
    (b"", "sign_type"),
    (b'{"trade_status":"TRADE_SUCCESS"}', "sign_type"),
]


# Numbers as names: what is sent has another signature in every process.
@pytest.mark.parametrize(("body", "by"), ALIPAY_FORGERIES, ids=range(len(ALIPAY_FORGERIES)))
def test_what_is_no_notice_of_alipay(body: bytes, by: str) -> None:
    assert _by(lambda: _alipay(body)) == by


def test_a_refund_does_not_become_a_payment_by_hiding_its_fields_in_others() -> None:
    # The signed text is the same: what is joined with & may be divided elsewhere.
    sent = dict(parse_qsl(alipay_notice(REFUND).decode(), keep_blank_values=True))
    assert _alipay(urlencode(sent).encode()).kind == "refund"
    sent["gmt_create"] += "".join(f"&{name}={sent.pop(name)}" for name in ("gmt_payment", "gmt_refund"))
    sent["notify_id"] += "".join(f"&{name}={sent.pop(name)}" for name in ("notify_time", "notify_type", "out_biz_no"))
    sent["receipt_amount"] += f"&refund_fee={sent.pop('refund_fee')}"
    assert _by(lambda: _alipay(urlencode(sent).encode())) == "divided"


# -- WeChat Pay


def test_wechat_tells_of_a_payment() -> None:
    found = _wechat(wechat_notice(PAID))
    assert (found.kind, found.order_no, found.payment_no) == (
        "payment",
        "W20260101000000000001",
        "4200000000202601010000000001",
    )
    assert (found.amount_fen, found.currency, found.paid_ms) == (990, "CNY", PAID_MS)
    assert found.fact == {"notify_id": "EV-2018022511223320873", "status": "SUCCESS"}


@pytest.mark.parametrize(
    ("status", "state"), [("SUCCESS", "succeeded"), ("CLOSED", "failed"), ("ABNORMAL", "processing")]
)
def test_wechat_tells_of_a_refund(status: str, state: str) -> None:
    found = _wechat(wechat_notice(REFUNDED | {"refund_status": status}, event_type=f"REFUND.{status}"))
    assert (found.kind, found.refund_no, found.refund_fen) == ("refund", "R20260101000000000001", 490)
    assert (found.refund_state, found.amount_fen, found.fact["status"]) == (state, 990, status)


def test_a_payment_in_another_currency_says_so() -> None:
    amount = {"total": 990, "currency": "USD"}
    assert _wechat(wechat_notice(PAID | {"amount": amount})).currency == "USD"


@pytest.mark.parametrize(
    ("content", "event_type"),
    [(PAID | {"trade_state": "USERPAYING"}, "TRANSACTION.SUCCESS"), (PAID, "TRANSACTION.CLOSED"), (PAID, "COUPON.USE")],
)
def test_what_else_wechat_tells(content: dict[str, Any], event_type: str) -> None:
    assert _wechat(wechat_notice(content, event_type=event_type)).kind == "other"


def test_a_notice_may_be_signed_in_either_mode() -> None:
    body = wechat_notice(PAID)
    assert _wechat(body, wechat_headers(body, key=OLD, serial=OLD_SERIAL)).kind == "payment"
    assert _by(lambda: _wechat(body, wechat_headers(body, key=OLD, serial=EXPIRED_SERIAL))) == "serial"


def test_names_of_headers_have_letters_of_either_case() -> None:
    body = wechat_notice(PAID)
    headers = {name.lower(): value for name, value in wechat_headers(body).items()}
    assert _wechat(body, headers).kind == "payment"


def test_events_of_wechat_have_different_names_and_repetitions_the_same() -> None:
    told = [
        wechat_notice(PAID),
        wechat_notice(PAID, envelope={"id": "another"}),
        wechat_notice(PAID | {"amount": {"total": 991}}),
        wechat_notice(REFUNDED, event_type="REFUND.SUCCESS"),
        wechat_notice(REFUNDED | {"out_refund_no": "R2"}, event_type="REFUND.SUCCESS"),
        wechat_notice(REFUNDED | {"refund_status": "CLOSED"}, event_type="REFUND.SUCCESS"),
    ]
    names = [_wechat(body).event_key for body in told]
    assert len(set(names)) == len(told)
    again = wechat_notice(PAID, envelope={"create_time": "2026-01-01T08:04:05+08:00"})
    assert _wechat(again, wechat_headers(again, late=60)).event_key == names[0]


def _signed(body: bytes, **changes: str) -> dict[str, str]:
    return {**wechat_headers(body), **{f"Wechatpay-{name}": value for name, value in changes.items()}}


BODY = wechat_notice(PAID)
WECHAT_FORGERIES: list[tuple[bytes, Mapping[str, str], str]] = [
    (BODY, {}, "timestamp"),
    (BODY, wechat_headers(BODY, key=STRANGER), "sign"),
    (BODY.replace(b"EV-", b"EW-"), wechat_headers(BODY), "sign"),
    (BODY, _signed(BODY, Signature="WECHATPAY/SIGNTEST/abcdef"), "probe"),
    (BODY, _signed(BODY, Serial="4444444444444444444444444444444444444444"), "serial"),
    (BODY, wechat_headers(BODY, late=300), "stale"),
    (BODY, wechat_headers(BODY, late=-300), "stale"),
    *(
        (body, wechat_headers(body), by)
        for body, by in [
            (wechat_notice(PAID | {"mchid": "1900000002"}), "mchid"),
            (wechat_notice(PAID | {"appid": "wx0000000000000000"}), "appid"),
            (wechat_notice(REFUNDED | {"mchid": None}, event_type="REFUND.SUCCESS"), "mchid"),
            (wechat_notice(PAID, api_key=API_KEY[::-1]), "seal"),
            (wechat_notice(PAID, envelope={"resource": None}), "shape"),
            (wechat_notice(PAID, envelope={"resource": {}}), "algorithm"),
            (wechat_notice(PAID | {"out_trade_no": 1}), "shape"),
            (wechat_notice(PAID | {"amount": 990}), "shape"),
            (wechat_notice(PAID | {"amount": {"total": 9.9}}), "shape"),
            (wechat_notice(PAID | {"amount": {"total": True}}), "shape"),
            (wechat_notice(PAID | {"amount": {"total": -1}}), "shape"),
            (wechat_notice(PAID | {"success_time": "2026-01-01T08:00:01"}), "shape"),
            (wechat_notice(REFUNDED | {"refund_status": "?"}, event_type="REFUND.SUCCESS"), "shape"),
            (b'{"id":"1","id":"2"}', "shape"),
            (b"[" * 30_000, "shape"),
            (b"null", "shape"),
            (b"", "shape"),
            (b"\xff", "shape"),
        ]
    ),
    (b"1" * 70_000, {}, "size"),
]


@pytest.mark.parametrize(("body", "headers", "by"), WECHAT_FORGERIES, ids=range(len(WECHAT_FORGERIES)))
def test_what_is_no_notice_of_wechat(body: bytes, headers: Mapping[str, str], by: str) -> None:
    assert _by(lambda: _wechat(body, headers)) == by


@pytest.mark.parametrize("serial", [PUBLIC_KEY_ID, OLD_SERIAL])
def test_the_key_of_one_mode_does_not_sign_for_the_other(serial: str) -> None:
    assert _by(lambda: _wechat(BODY, wechat_headers(BODY, key=STRANGER, serial=serial))) == "sign"


# -- both


READERS: list[Callable[[bytes, str], Notice]] = [
    lambda body, _: _alipay(body),
    lambda body, value: _wechat(body, dict.fromkeys(_signed(BODY), value)),
    lambda body, value: _wechat(body, _signed(BODY, Nonce=value)),
]


@pytest.mark.parametrize("read", READERS)
@given(body=st.binary(max_size=200), value=st.text(max_size=20))
def test_no_message_crashes(read: Callable[[bytes, str], Notice], body: bytes, value: str) -> None:
    with pytest.raises(Forged):
        read(body, value)
