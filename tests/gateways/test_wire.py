"""Signatures of both gateways: what is signed verifies, what is changed does not, and nothing that is sent crashes."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st

from atelier.gateways import alipay_wire, keys, money, wechat_wire
from atelier.gateways.errors import Forged
from atelier.gateways.keys import BadKey
from atelier.gateways.money import BadAmount
from atelier.gateways.wechat_wire import Merchant

OURS, THEIRS, STRANGER = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(3))
API_KEY = b"0123456789abcdef0123456789abcdef"
NOW = 1_700_000_000
METHOD = "alipay.trade.query"
NOTICE = {
    "notify_time": "2026-01-01 08:00:00",
    "notify_type": "trade_status_sync",
    "notify_id": "n-1",
    "app_id": "2021000000000000",
    "charset": "utf-8",
    "version": "1.0",
    "trade_no": "t-1",
    "out_trade_no": "o-1",
    "total_amount": "9.90",
    "trade_status": "TRADE_SUCCESS",
    "subject": "100 积分 & more=1",
    "body": "",
}
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


def _noticed(parameters: dict[str, str], key: RSAPrivateKey = THEIRS) -> list[tuple[str, str]]:
    """As it arrives: through a form and back."""
    return parse_qsl(urlencode(alipay_wire.noticed(parameters, key)), keep_blank_values=True)


# -- keys


def test_keys_in_every_form_that_is_handed_out() -> None:
    private = OURS.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    traditional = OURS.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = OURS.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for text in (base64.encodebytes(private).decode(), traditional.decode()):
        signature = keys.sign(b"x", keys.private_key(text))
        assert keys.is_signed(b"x", signature, keys.public_key(base64.b64encode(public).decode()))


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN PUBLIC KEY-----", base64.b64encode(b"\x30\x00").decode()])
@pytest.mark.parametrize("read", [keys.private_key, keys.public_key])
def test_what_is_no_key(text: str, read: Callable[[str], object]) -> None:
    with pytest.raises(BadKey):
        read(text)


def test_a_short_key_is_none() -> None:
    short = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - to be refused
    pem = short.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(BadKey):
        keys.public_key(pem.decode())


@given(signature=st.one_of(TEXT, st.binary(max_size=300).map(lambda raw: base64.b64encode(raw).decode())))
def test_no_signature_crashes(signature: str) -> None:
    assert keys.is_signed(b"x", signature, OURS.public_key()) is False


# -- Alipay


@given(parameters=st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), TEXT, max_size=6))
def test_a_request_verifies_as_it_was_signed(parameters: dict[str, str]) -> None:
    wanted = {**parameters, "sign_type": "RSA2"}
    wanted.pop("sign", None)
    sent = alipay_wire.signed(wanted, OURS)
    arrived = parse_qsl(urlencode(sent), keep_blank_values=True)
    found = alipay_wire.verify_request(arrived, OURS.public_key())
    assert {name: value for name, value in found.items() if name != "sign"} == {
        name: value for name, value in wanted.items() if value
    }
    with pytest.raises(Forged):
        alipay_wire.verify_request(arrived, STRANGER.public_key())


def test_a_notice_verifies_with_its_empty_values_and_without() -> None:
    assert alipay_wire.notice(_noticed(NOTICE), THEIRS.public_key())["total_amount"] == "9.90"
    filled = {name: value for name, value in NOTICE.items() if value}
    without = [*_noticed(filled), ("body", "")]
    assert alipay_wire.notice(without, THEIRS.public_key())["body"] == ""


@pytest.mark.parametrize("name", sorted({*NOTICE, "sign"} - {"charset"}))
def test_no_part_of_a_notice_can_be_changed(name: str) -> None:
    changed = [(one, value + "1" if one == name else value) for one, value in _noticed(NOTICE)]
    with pytest.raises(Forged, match="sign"):
        alipay_wire.notice(changed, THEIRS.public_key())


Sent = list[tuple[str, str]]
FORGERIES: list[tuple[Callable[[Sent], Sent], str]] = [
    (lambda sent: [*sent, ("total_amount", "0.01")], "duplicate"),
    (lambda sent: [("total_amount", "0.01"), *sent], "duplicate"),
    (lambda sent: [(n, "RSA" if n == "sign_type" else v) for n, v in sent], "sign_type"),
    (lambda sent: [one for one in sent if one[0] != "sign_type"], "sign_type"),
    (lambda sent: [one for one in sent if one[0] != "sign"], "sign"),
    (lambda sent: [(n, "GBK" if n == "charset" else v) for n, v in sent], "charset"),
    (lambda sent: [*sent, ("extra", "1")], "sign"),
    (lambda _: [], "sign_type"),
]


@pytest.mark.parametrize(("change", "by"), FORGERIES)
def test_forged_notices(change: Callable[[Sent], Sent], by: str) -> None:
    with pytest.raises(Forged) as caught:
        alipay_wire.notice(change(_noticed(NOTICE)), THEIRS.public_key())
    assert caught.value.by == by


@given(
    content=st.dictionaries(
        TEXT, st.one_of(TEXT, st.integers(-9, 9), st.lists(TEXT, max_size=2), st.just('}"{')), max_size=5
    )
)
def test_an_answer_is_verified_over_its_exact_text(content: dict[str, Any]) -> None:
    raw = alipay_wire.answered(content, method=METHOD, key=THEIRS)
    assert alipay_wire.answer(raw, method=METHOD, key=THEIRS.public_key()) == content
    spaced = raw.replace('"sign":', ' "other" : [ "}" ] , "sign" : ')
    assert alipay_wire.answer(spaced, method=METHOD, key=THEIRS.public_key()) == content


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"alipay_trade_query_response":{}}',
        '{"alipay_trade_query_response":{},"sign":"x"}',
        '{"alipay_trade_query_response":{},"sign":null}',
        '{"alipay_trade_query_response":"x","sign":"x"}',
        '{"sign":"x"',
    ],
)
def test_answers_that_nobody_signed(raw: str) -> None:
    with pytest.raises(Forged):
        alipay_wire.answer(raw, method=METHOD, key=THEIRS.public_key())


def test_an_answer_with_two_bodies_is_forged() -> None:
    raw = alipay_wire.answered({"code": "40004"}, method=METHOD, key=THEIRS)
    twice = raw[:-1] + ',"alipay_trade_query_response":{"code":"10000"}}'
    with pytest.raises(Forged, match="duplicate"):
        alipay_wire.answer(twice, method=METHOD, key=THEIRS.public_key())
    changed = raw.replace("40004", "10000")
    with pytest.raises(Forged):
        alipay_wire.answer(changed, method=METHOD, key=THEIRS.public_key())


# -- WeChat Pay


BODY = json.dumps({"id": "1", "resource": {}}, ensure_ascii=False).encode()
SERIAL = "PUB_KEY_ID_0000000000000000000000000000000"
PLATFORM = {SERIAL: THEIRS.public_key(), "5157F09EFDC096DE15EBE81A47057A72": STRANGER.public_key()}


def _headers(**changes: str) -> dict[str, str]:
    made = wechat_wire.signed(BODY, key=THEIRS, serial=SERIAL, timestamp=NOW, nonce="n0nce")
    return made | {f"Wechatpay-{name.replace('_', '-')}": value for name, value in changes.items()}


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("POST", BODY)])
def test_a_request_to_wechat_verifies_as_it_was_signed(method: str, body: bytes) -> None:
    merchant = Merchant(mchid="1900000001", serial="444F", key=OURS)
    path = "/v3/pay/transactions/out-trade-no/o-1?mchid=1900000001"
    header = wechat_wire.authorization(merchant, method=method, path=path, body=body, timestamp=NOW, nonce="abc")
    verify: Callable[..., dict[str, str]] = wechat_wire.verify_request
    good = {"method": method, "path": path, "body": body, "key": OURS.public_key(), "now": NOW}
    assert verify(header, **good)["mchid"] == "1900000001"
    bad = {"method": "PUT", "path": path + "1", "body": body + b" ", "key": STRANGER.public_key()}
    for name, value in bad.items():
        with pytest.raises(Forged, match="sign"):
            verify(header, **(good | {name: value}))
    with pytest.raises(Forged, match="stale"):
        verify(header, **(good | {"now": NOW + 300}))


def test_both_kinds_of_platform_keys_are_good_at_once() -> None:
    wechat_wire.verify(_headers(), BODY, platform=PLATFORM, now=NOW)
    by_certificate = wechat_wire.signed(
        BODY, key=STRANGER, serial="5157F09EFDC096DE15EBE81A47057A72", timestamp=NOW, nonce="n"
    )
    wechat_wire.verify(by_certificate, BODY, platform=PLATFORM, now=NOW + 299)


@pytest.mark.parametrize("told", ["0A57F09EFDC096DE", "A57F09EFDC096DE", "0a57f09efdc096de"])
def test_a_serial_number_is_a_number_however_it_is_written(told: str) -> None:
    platform = {f"{0x0A57F09EFDC096DE:X}": STRANGER.public_key()}
    headers = wechat_wire.signed(BODY, key=STRANGER, serial=told, timestamp=NOW, nonce="n")
    wechat_wire.verify(headers, BODY, platform=platform, now=NOW)


@pytest.mark.parametrize(
    ("changes", "body", "now", "by"),
    [
        ({}, BODY + b" ", NOW, "sign"),
        ({"Nonce": "other"}, BODY, NOW, "sign"),
        ({"Serial": "5157F09EFDC096DE15EBE81A47057A72"}, BODY, NOW, "sign"),
        ({"Serial": "0000"}, BODY, NOW, "serial"),
        ({"Signature": ""}, BODY, NOW, "sign"),
        ({"Signature": "WECHATPAY/SIGNTEST/abc"}, BODY, NOW, "probe"),
        ({"Signature_Type": "WECHATPAY2-SM2-WITH-SM3"}, BODY, NOW, "scheme"),
        ({"Timestamp": "x"}, BODY, NOW, "timestamp"),
        ({"Timestamp": "9" * 40}, BODY, NOW, "timestamp"),
        ({}, BODY, NOW + 300, "stale"),
        ({}, BODY, NOW - 300, "stale"),
    ],
)
def test_forged_messages_of_wechat(changes: dict[str, str], body: bytes, now: int, by: str) -> None:
    with pytest.raises(Forged) as caught:
        wechat_wire.verify(_headers(**changes), body, platform=PLATFORM, now=now)
    assert caught.value.by == by


def test_a_message_without_headers_is_forged() -> None:
    with pytest.raises(Forged):
        wechat_wire.verify({}, BODY, platform=PLATFORM, now=NOW)


@given(document=st.dictionaries(TEXT, st.one_of(TEXT, st.integers()), max_size=5), associated=TEXT)
def test_what_is_sealed_is_opened(document: dict[str, Any], associated: str) -> None:
    resource = wechat_wire.sealed(document, api_key=API_KEY, nonce="0123456789ab", associated=associated)
    assert wechat_wire.opened(resource, api_key=API_KEY) == document


@pytest.mark.parametrize("name", ["ciphertext", "nonce", "associated_data", "algorithm"])
@pytest.mark.parametrize("value", ["", "x", "AAAA", None])
def test_a_broken_seal(name: str, value: str | None) -> None:
    resource: dict[str, Any] = dict(
        wechat_wire.sealed({"a": 1}, api_key=API_KEY, nonce="0123456789ab", associated="transaction")
    )
    with pytest.raises(Forged):
        wechat_wire.opened({**resource, name: value}, api_key=API_KEY)
    with pytest.raises(Forged):
        wechat_wire.opened({one: kept for one, kept in resource.items() if one != name}, api_key=API_KEY)


# -- amounts


@given(amount=st.integers(0, money.FEN_MAX))
def test_fen_and_yuan_are_the_same_money(amount: int) -> None:
    assert money.fen(money.yuan(amount)) == amount


@pytest.mark.parametrize(("text", "expected"), [("9.90", 990), ("9.9", 990), ("10", 1_000), ("0.01", 1), ("0", 0)])
def test_amounts_of_gateways(text: str, expected: int) -> None:
    assert money.fen(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.", ".5", "1.234", "01", "1e3", "1,000", " 1", "١", "NaN", "0x1", "1.00\n"]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(BadAmount):
        money.fen(text)
