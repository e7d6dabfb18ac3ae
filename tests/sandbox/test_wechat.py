"""WeChat Pay's side: what it takes, what it refuses, what it says."""

import base64
import gzip
import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from atelier.gateways import keys
from tests.sandbox.conftest import Merchant, Shop, later, number
from tests.sandbox_server import SandboxRefused, SandboxServer

NATIVE = "/v3/pay/transactions/native"
REFUNDS = "/v3/refund/domestic/refunds"


def test_a_code_is_read_paid_told_and_queried(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    url = merchant.native(order_no)
    assert merchant.wechat_query(order_no)["trade_state"] == "NOTPAY"
    sandbox.pay_at(url)
    told = merchant.wechat_notice(shop.next())
    assert (told["out_trade_no"], told["trade_state"], told["amount"]["total"]) == (order_no, "SUCCESS", 990)
    assert (told["mchid"], told["appid"]) == (merchant.identity.wechat_mchid, merchant.identity.wechat_appid)
    found = merchant.wechat_query(order_no)
    assert (found["trade_state"], found["transaction_id"]) == ("SUCCESS", told["transaction_id"])
    path = f"/v3/pay/transactions/id/{told['transaction_id']}?mchid={merchant.identity.wechat_mchid}"
    assert merchant.wechat("GET", path).json()["out_trade_no"] == order_no


def test_what_the_merchant_did_not_sign_is_refused(merchant: Merchant) -> None:
    body = json.dumps(merchant.order(number())).encode()
    good = merchant.wechat_headers("POST", NATIVE, body)
    for headers, sent in (
        (good, body + b" "),
        (good | {"Authorization": good["Authorization"].replace(merchant.identity.wechat_serial, "00")}, body),
        (good | {"Authorization": good["Authorization"].replace(merchant.identity.wechat_mchid, "1900")}, body),
        (good | {"Authorization": ""}, body),
        (merchant.wechat_headers("POST", "/v3/pay/transactions/h5", body), body),
    ):
        answer = merchant.http.post(NATIVE, content=sent, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")
        assert answer.headers["Wechatpay-Signature"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": {"total": 0}}, "PARAM_ERROR"),
        ({"amount": {"total": "990"}}, "PARAM_ERROR"),
        ({"amount": {"total": 9.9}}, "PARAM_ERROR"),
        ({"amount": {"total": 990, "currency": "USD"}}, "PARAM_ERROR"),
        ({"amount": None}, "PARAM_ERROR"),
        ({"out_trade_no": "short"}, "PARAM_ERROR"),
        ({"out_trade_no": "x" * 33}, "PARAM_ERROR"),
        ({"notify_url": "http://shop.example/notices"}, "PARAM_ERROR"),
        ({"notify_url": "https://shop.example/notices?a=1"}, "PARAM_ERROR"),
        ({"description": ""}, "PARAM_ERROR"),
        ({"time_expire": "2020-01-01T00:00:00+08:00"}, "PARAM_ERROR"),
        ({"time_expire": "tomorrow"}, "PARAM_ERROR"),
        ({"mchid": "1900000001"}, "APPID_MCHID_NOT_MATCH"),
    ],
)
def test_orders_that_make_no_sense_are_refused(merchant: Merchant, change: dict[str, Any], code: str) -> None:
    answer = merchant.wechat("POST", NATIVE, merchant.order(number()) | change)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_one_number_is_one_order(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    assert merchant.native(order_no) == merchant.native(order_no)
    other = merchant.wechat("POST", NATIVE, merchant.order(order_no, fen=1))
    assert (other.status_code, other.json()["code"]) == (400, "INVALID_REQUEST")
    sandbox.pay(order_no)
    paid = merchant.wechat("POST", NATIVE, merchant.order(order_no))
    assert paid.json()["code"] == "ORDERPAID"


def test_a_page_for_telephones_goes_back_where_it_is_told(merchant: Merchant) -> None:
    scene = {"payer_client_ip": "198.51.100.7", "h5_info": {"type": "Wap"}}
    body = merchant.order(number(), scene_info=scene)
    url = merchant.wechat("POST", "/v3/pay/transactions/h5", body).json()["h5_url"]
    back = "&redirect_url=https%3A%2F%2Fshop.example%2Forders"
    page = merchant.sandbox.pay_at(f"{url}?x=1{back}")
    assert 'content="1;url=https://shop.example/orders"' in page
    without = merchant.wechat("POST", "/v3/pay/transactions/h5", merchant.order(number()))
    assert without.json()["code"] == "PARAM_ERROR"


def test_a_page_inside_wechat_pays_with_what_the_merchant_signed(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    body = merchant.order(order_no, payer={"openid": "o-somebody"})
    prepay_id = merchant.wechat("POST", "/v3/pay/transactions/jsapi", body).json()["prepay_id"]
    parts = (merchant.identity.wechat_appid, "1700000000", "nonce", f"prepay_id={prepay_id}")
    signed = keys.sign("".join(f"{part}\n" for part in parts).encode(), merchant.wechat_key)
    called = dict(zip(("appId", "timeStamp", "nonceStr", "package"), parts, strict=True))
    with pytest.raises(SandboxRefused, match="paySign"):
        sandbox.control("jsapi", **called, signType="RSA", paySign=signed[::-1])
    sandbox.control("jsapi", **called, signType="RSA", paySign=signed)
    assert merchant.wechat_query(order_no)["payer"] == {"openid": "o-somebody"}


def test_what_is_closed_or_expired_can_not_be_paid(merchant: Merchant, sandbox: SandboxServer) -> None:
    closed, expired = number(), number()
    merchant.native(closed)
    merchant.native(expired, time_expire=later(minutes=5).isoformat(timespec="seconds"))
    body = {"mchid": merchant.identity.wechat_mchid}
    path = f"/v3/pay/transactions/out-trade-no/{closed}/close"
    assert (merchant.wechat("POST", path, body).status_code, merchant.wechat("POST", path, body).status_code) == (
        204,
        400,
    )
    sandbox.set(ahead_ms=6 * 60 * 1000)
    for order_no in (closed, expired):
        assert merchant.wechat_query(order_no)["trade_state"] == "CLOSED"
        with pytest.raises(SandboxRefused, match="closed"):
            sandbox.pay(order_no)
    sandbox.pay(closed, late=True)
    assert merchant.wechat_query(closed)["trade_state"] == "SUCCESS"
    assert merchant.wechat("POST", path, body).json()["code"] == "ORDERPAID"


def wanted(order_no: str, refund_no: str, fen: int, **more: Any) -> dict[str, Any]:
    amount = {"refund": fen, "total": 990, "currency": "CNY"}
    return {"out_trade_no": order_no, "out_refund_no": refund_no, "amount": amount, **more}


def test_money_goes_back_once_for_each_number(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    merchant.native(order_no)
    assert merchant.wechat("POST", REFUNDS, wanted(order_no, "r1", 1)).json()["code"] == "INVALID_REQUEST"
    sandbox.pay(order_no)
    shop.next()
    body = wanted(order_no, "r1", 400, notify_url=shop.url)
    assert [merchant.wechat("POST", REFUNDS, body).json()["status"] for _ in range(2)] == ["PROCESSING", "SUCCESS"]
    told = merchant.wechat_notice(shop.next())
    assert (told["out_refund_no"], told["refund_status"], told["amount"]["refund"]) == ("r1", "SUCCESS", 400)
    assert merchant.wechat_query(order_no)["trade_state"] == "REFUND"
    for number_, fen, code in (("r1", 399, "INVALID_REQUEST"), ("r2", 591, "NOT_ENOUGH")):
        assert merchant.wechat("POST", REFUNDS, wanted(order_no, number_, fen)).json()["code"] == code
    assert merchant.wechat("GET", f"{REFUNDS}/r1").json()["status"] == "SUCCESS"
    assert merchant.wechat("GET", f"{REFUNDS}/r9").json()["code"] == "RESOURCE_NOT_EXISTS"


def test_a_refund_may_take_its_time_or_fail(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    merchant.native(order_no)
    sandbox.pay(order_no)
    shop.next()
    for fault in ("held", "abnormal"):
        sandbox.fault(fault, call="refund")
        merchant.wechat("POST", REFUNDS, wanted(order_no, fault, 100, notify_url=shop.url))
    assert merchant.wechat_notice(shop.next())["refund_status"] == "ABNORMAL"
    assert merchant.wechat("GET", f"{REFUNDS}/abnormal").json()["status"] == "ABNORMAL"
    assert merchant.wechat("GET", f"{REFUNDS}/held").json()["status"] == "PROCESSING"
    sandbox.control("end_refund", refund_no="held", state="SUCCESS")
    assert merchant.wechat_notice(shop.next())["refund_status"] == "SUCCESS"
    assert merchant.wechat("GET", f"{REFUNDS}/held").json()["status"] == "SUCCESS"


def test_a_bill_has_a_hash_and_back_ticks(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    merchant.native(order_no)
    sandbox.pay(order_no)
    merchant.wechat("POST", REFUNDS, wanted(order_no, "r1", 150))
    path = f"/v3/bill/tradebill?bill_date={later():%Y-%m-%d}&bill_type=ALL&tar_type=GZIP"
    assert merchant.wechat("GET", path).json()["code"] == "STATEMENT_CREATING"
    tomorrow = later(days=1).replace(hour=10, minute=0, second=5)
    sandbox.set(ahead_ms=int((tomorrow - later()) / timedelta(milliseconds=1)))
    bill = merchant.wechat("GET", path).json()
    parts = urlsplit(str(bill["download_url"]))
    where = f"{parts.path}?{parts.query}"
    assert merchant.http.get(where).status_code == 401
    got = merchant.http.get(where, headers=merchant.wechat_headers("GET", where, b""))
    table = gzip.decompress(got.content)
    assert "Wechatpay-Signature" not in got.headers
    assert hashlib.sha1(table, usedforsecurity=False).hexdigest() == bill["hash_value"]
    rows = [line.split(",") for line in table.decode("utf-8-sig").splitlines() if f"`{order_no}" in line]
    assert [(row[9], row[12], row[16]) for row in rows] == [
        ("`SUCCESS", "`9.90", "`0.00"),
        ("`REFUND", "`0.00", "`1.50"),
    ]
    old = path.replace(f"{later():%Y-%m-%d}", "2020-01-01")
    assert merchant.wechat("GET", old).json()["code"] == "INVALID_REQUEST"


def test_certificates_are_sealed_and_change(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    def certificates() -> dict[str, str]:
        api_key = merchant.identity.wechat_api_key.encode()
        found: dict[str, str] = {}
        for one in merchant.wechat("GET", "/v3/certificates", **ask_key).json()["data"]:
            seal = one["encrypt_certificate"]
            raw = base64.b64decode(seal["ciphertext"])
            opened = AESGCM(api_key).decrypt(seal["nonce"].encode(), raw, seal["associated_data"].encode())
            found[one["serial_no"]] = opened.decode()
        return found

    ask_key = {"Wechatpay-Serial": merchant.identity.wechat_public_key_id}
    before = certificates()
    sandbox.control("rotate")
    sandbox.set(wechat_notices="certificate")
    (new,) = set(certificates()) - set(before)
    order_no = number()
    merchant.wechat("POST", NATIVE, merchant.order(order_no), **ask_key)
    sandbox.pay(order_no)
    assert shop.next().headers["Wechatpay-Serial"] == new
    merchant.wechat_public[new] = keys.public_key(certificates()[new])


def test_answers_are_signed_by_the_key_that_is_asked_for(merchant: Merchant) -> None:
    identity = merchant.identity
    answer = merchant.wechat("GET", "/v3/certificates", **{"Wechatpay-Serial": identity.wechat_public_key_id})
    assert answer.headers["Wechatpay-Serial"] == identity.wechat_public_key_id
    assert merchant.wechat("GET", "/v3/certificates").headers["Wechatpay-Serial"] in merchant.wechat_public
