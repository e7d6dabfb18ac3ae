"""Others' libraries agree with ours, in both directions: what one signs or seals, the other verifies or opens.

Only where they are right: python-alipay-sdk cuts answers at braces inside strings and forgets that empty values are
left out of requests, wechatpayv3 does not look at the age of a message. Ours are tested for that elsewhere.
"""

import importlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from atelier.gateways import alipay_wire, keys, wechat_wire
from atelier.gateways.errors import Forged
from atelier.gateways.port import ToPay
from tests.gateways import counter
from tests.gateways.counter import Reply
from tests.gateways.merchants import (
    API_KEY,
    APP_ID,
    APPID,
    MCHID,
    NOW_MS,
    OLD,
    OLD_SERIAL,
    OURS,
    PAID,
    PUBLIC_KEY_ID,
    REFUNDED,
    SERIAL,
    STRANGER,
    THEIRS,
    alipay_client,
    alipay_notice,
    certificate_pem,
    private_pem,
    public_pem,
    wechat_client,
    wechat_headers,
    wechat_notice,
)

# Neither of them has types; what they take and give is text.
alipay_sdk: Any = importlib.import_module("alipay")
wechat_sdk: Any = importlib.import_module("wechatpayv3")
wechat_sdk_wire: Any = importlib.import_module("wechatpayv3.utils")

FEW = settings(max_examples=20)
METHOD = "alipay.trade.query"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="{}"), min_size=1, max_size=20)
NAMES = st.from_regex(r"[a-z_]{2,10}", fullmatch=True).filter(lambda name: name not in {"sign", "sign_type"})


def _alipay(ours: RSAPrivateKey, theirs: RSAPrivateKey) -> Any:
    return alipay_sdk.AliPay(
        appid=APP_ID, app_private_key_string=private_pem(ours), alipay_public_key_string=public_pem(theirs)
    )


# The library as the merchant's side, and as the gateway's.
ALIPAY, ALIPAY_GATEWAY = _alipay(OURS, THEIRS), _alipay(THEIRS, OURS)


def _wechat(ours: RSAPrivateKey, **more: Any) -> Any:
    return wechat_sdk.WeChatPay(
        wechatpay_type=wechat_sdk.WeChatPayType.NATIVE,
        mchid=MCHID,
        private_key=private_pem(ours),
        cert_serial_no=SERIAL,
        appid=APPID,
        apiv3_key=API_KEY.decode(),
        **more,
    )


WECHAT = _wechat(OURS, public_key=public_pem(THEIRS), public_key_id=PUBLIC_KEY_ID)


# -- Alipay


@FEW
@given(parameters=st.dictionaries(NAMES, TEXT, max_size=5))
def test_requests_have_the_same_signature(parameters: dict[str, str]) -> None:
    whole = {**parameters, "sign_type": "RSA2"}
    theirs = parse_qsl(ALIPAY.sign_data(dict(whole)), keep_blank_values=True)
    assert dict(theirs) == alipay_wire.signed(whole, OURS)
    assert alipay_wire.verify_request(theirs, OURS.public_key())["sign_type"] == "RSA2"


def test_a_page_to_pay_of_theirs_is_a_request_to_our_gateway() -> None:
    query = ALIPAY.api_alipay_trade_page_pay("100 积分", "A1", "9.90", return_url="https://shop.test/?a=1&b=2")
    given_parameters = alipay_wire.verify_request(parse_qsl(query), OURS.public_key())
    assert json.loads(given_parameters["biz_content"])["out_trade_no"] == "A1"


def test_a_page_to_pay_of_ours_has_the_signature_that_they_make() -> None:
    order = ToPay(
        order_no="A1", amount_fen=990, subject="100 积分", channel="page", created_ms=NOW_MS, expires_ms=NOW_MS
    )
    address = alipay_client().place(order).payment_url
    assert address is not None
    given_parameters = dict(parse_qsl(urlsplit(address).query))
    sign = given_parameters.pop("sign")
    assert dict(parse_qsl(ALIPAY.sign_data(given_parameters)))["sign"] == sign


@FEW
@given(fields=st.dictionaries(NAMES, st.one_of(TEXT, st.just("")), max_size=5))
def test_a_notice_that_our_gateway_signs_verifies_with_them(fields: dict[str, str]) -> None:
    told = alipay_wire.noticed(fields, THEIRS)
    sign = told.pop("sign")
    assert ALIPAY.verify(dict(told), sign) is True
    assert ALIPAY.verify(told | {"total_amount": "0.01"}, sign) is False


@FEW
@given(fields=st.dictionaries(NAMES, st.one_of(TEXT, st.just("")), max_size=5))
def test_a_notice_that_they_sign_verifies_with_us(fields: dict[str, str]) -> None:
    told = {**fields, "charset": "utf-8"}
    sign = dict(parse_qsl(ALIPAY_GATEWAY.sign_data(dict(told)), keep_blank_values=True))["sign"]
    whole = [*told.items(), ("sign_type", "RSA2"), ("sign", sign)]
    assert alipay_wire.notice(whole, THEIRS.public_key())["charset"] == "utf-8"
    with pytest.raises(Forged, match="sign"):
        alipay_wire.notice([*whole, ("total_amount_", "0.01")], THEIRS.public_key())


def test_whole_notices_are_believed_by_both_or_by_none() -> None:
    for body, is_good in ((alipay_notice(), True), (alipay_notice(key=STRANGER), False)):
        told = dict(parse_qsl(body.decode(), keep_blank_values=True))
        sign = told.pop("sign")
        assert ALIPAY.verify(told, sign) is is_good


@FEW
@given(content=st.dictionaries(NAMES, st.one_of(TEXT, st.integers()), max_size=5))
def test_answers_of_our_gateway_verify_with_them(content: dict[str, Any]) -> None:
    raw, name = alipay_wire.answered(content, method=METHOD, key=THEIRS), "alipay_trade_query_response"
    assert ALIPAY._verify_and_return_sync_response(raw, name) == content
    forged = alipay_wire.answered(content, method=METHOD, key=STRANGER)
    with pytest.raises(alipay_sdk.exceptions.AliPayValidationError):
        ALIPAY._verify_and_return_sync_response(forged, name)


@FEW
@given(content=st.dictionaries(NAMES, st.one_of(TEXT, st.integers()), max_size=5))
def test_answers_that_they_sign_verify_with_us(content: dict[str, Any]) -> None:
    inner = json.dumps(content, indent=1)
    raw = f'{{"alipay_trade_query_response": {inner}, "sign": "{ALIPAY_GATEWAY._sign(inner)}"}}'
    assert alipay_wire.answer(raw, method=METHOD, key=THEIRS.public_key()) == content


# -- WeChat Pay


@pytest.mark.parametrize(("method", "content"), [("GET", None), ("POST", {"mchid": MCHID, "description": "100 积分"})])
def test_requests_that_they_sign_verify_with_us(method: str, content: Mapping[str, str] | None) -> None:
    path = f"/v3/pay/transactions/out-trade-no/W1?mchid={MCHID}"
    header = wechat_sdk_wire.build_authorization(path, method, MCHID, SERIAL, OURS, data=content)
    body = json.dumps(content).encode() if content else b""
    seconds = int(header.partition('timestamp="')[2].partition('"')[0])
    key = OURS.public_key()
    found = wechat_wire.verify_request(header, method=method, path=path, body=body, key=key, now=seconds)
    assert (found["mchid"], found["serial_no"]) == (MCHID, SERIAL)


def test_requests_that_our_client_sends_verify_with_them() -> None:
    with counter.opened(lambda _: Reply(status=500)) as at:
        client = wechat_client(at.url)
        for call in (lambda: client.query("W1"), lambda: client.close("W1")):
            with pytest.raises(Exception, match="wechat: status 500"):
                call()
        client.close_connections()
    for asked in at.asked:
        parts = dict(re.findall(r'(\w+)="([^"]*)"', asked.headers["Authorization"]))
        signed = "\n".join((asked.method, asked.path, parts["timestamp"], parts["nonce_str"], asked.body.decode()))
        timestamp, _, rest = signed.partition("\n")
        nonce, _, rest = rest.partition("\n")
        # Their function takes three lines; what follows the second is one to it.
        assert wechat_sdk_wire.rsa_verify(timestamp, nonce, rest, parts["signature"], OURS.public_key())


@pytest.mark.parametrize(
    ("content", "event"), [(PAID, "TRANSACTION.SUCCESS"), (REFUNDED, "REFUND.SUCCESS")], ids=["payment", "refund"]
)
def test_notices_of_our_gateway_are_opened_by_them(content: dict[str, Any], event: str) -> None:
    body = wechat_notice(content, event_type=event)
    assert WECHAT.callback(wechat_headers(body), body)["resource"] == content
    assert WECHAT.callback(wechat_headers(body, key=STRANGER), body) is None
    assert WECHAT.callback(wechat_headers(body), body.replace(b"EV-", b"EW-")) is None


def test_platform_certificates_are_found_by_the_same_serial_number(tmp_path: Any) -> None:
    (tmp_path / "one.pem").write_text(certificate_pem(OLD, OLD_SERIAL))
    theirs, body = _wechat(OURS, cert_dir=str(tmp_path)), wechat_notice(PAID)
    headers = wechat_headers(body, key=OLD, serial=OLD_SERIAL)
    assert theirs.callback(headers, body)["resource"] == PAID
    assert [one.serial for one in keys.certificates(certificate_pem(OLD, OLD_SERIAL))] == [OLD_SERIAL]
    assert wechat_client().notice(headers, body, now_ms=NOW_MS).kind == "payment"


@FEW
@given(content=st.dictionaries(TEXT, TEXT, max_size=4), associated=TEXT)
def test_what_is_sealed_is_opened_by_them(content: dict[str, str], associated: str) -> None:
    sealed = wechat_wire.sealed(content, api_key=API_KEY, nonce="0123456789ab", associated=associated)
    opened = wechat_sdk_wire.aes_decrypt(sealed["nonce"], sealed["ciphertext"], associated, API_KEY.decode())
    assert json.loads(opened) == content
    assert wechat_sdk_wire.aes_decrypt(sealed["nonce"], sealed["ciphertext"], associated, "x" * 32) is None


@FEW
@given(body=TEXT, nonce=TEXT)
def test_answers_that_they_sign_verify_with_us_and_the_reverse(body: str, nonce: str) -> None:
    seconds = NOW_MS // 1000
    made = wechat_wire.signed(body.encode(), key=THEIRS, serial=PUBLIC_KEY_ID, timestamp=seconds, nonce=nonce)
    theirs = wechat_sdk_wire.rsa_sign(THEIRS, f"{seconds}\n{nonce}\n{body}\n")
    assert made["Wechatpay-Signature"] == theirs
    wechat_wire.verify(made, body.encode(), platform={PUBLIC_KEY_ID: THEIRS.public_key()}, now=seconds)
    assert wechat_sdk_wire.rsa_verify(str(seconds), nonce, body, theirs, THEIRS.public_key())
    assert not wechat_sdk_wire.rsa_verify(str(seconds), nonce, body, theirs, STRANGER.public_key())


def test_parameters_for_a_browser_have_the_signature_that_they_make() -> None:
    answer = json.dumps({"prepay_id": "wx2026"}).encode()
    order = ToPay(
        order_no="W1",
        amount_fen=990,
        subject="100 积分",
        channel="jsapi",
        created_ms=NOW_MS,
        expires_ms=NOW_MS,
        openid="oUpF8uMuAJO",
    )
    with counter.opened(lambda _: Reply(headers=wechat_headers(answer), body=answer)) as at:
        client = wechat_client(at.url)
        made = client.place(order).parameters
        client.close_connections()
    assert made is not None
    assert WECHAT.sign([made[name] for name in ("appId", "timeStamp", "nonceStr", "package")]) == made["paySign"]
