"""Alipay's side: what it takes, what it refuses, what it says."""

import io
import zipfile
from datetime import timedelta
from typing import Any

import pytest

from atelier.gateways import alipay_wire
from tests.sandbox.conftest import Merchant, Shop, later, number
from tests.sandbox_server import SandboxRefused, SandboxServer

DAY_MS = 24 * 60 * 60 * 1000
CLOSED = "ACQ.REASON_TRADE_STATUS_INVALID"


def test_a_page_is_opened_paid_told_and_queried(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    page = merchant.page(order_no)
    assert merchant.alipay("alipay.trade.query", out_trade_no=order_no)["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    sandbox.open(page)
    assert merchant.alipay("alipay.trade.query", out_trade_no=order_no)["trade_status"] == "WAIT_BUYER_PAY"
    sandbox.pay_at(page)
    told = merchant.alipay_notice(shop.next())
    assert (told["out_trade_no"], told["trade_status"], told["total_amount"]) == (order_no, "TRADE_SUCCESS", "9.90")
    assert (told["app_id"], told["seller_id"]) == (merchant.identity.alipay_app_id, merchant.identity.alipay_seller_id)
    found = merchant.alipay("alipay.trade.query", out_trade_no=order_no)
    assert (found["code"], found["trade_status"], found["trade_no"]) == ("10000", "TRADE_SUCCESS", told["trade_no"])
    assert merchant.alipay("alipay.trade.query", trade_no=told["trade_no"])["out_trade_no"] == order_no


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sign": "AAAA"}, "isv.invalid-signature"),
        ({"sign_type": "RSA"}, "isv.invalid-signature"),
        ({"biz_content": '{"out_trade_no":"other"}'}, "isv.invalid-signature"),
        ({"app_id": "2021000000000000"}, "isv.invalid-app-id"),
        ({"method": "alipay.fund.trans.uni.transfer"}, "isv.invalid-method"),
    ],
)
def test_what_the_merchant_did_not_sign_is_refused(merchant: Merchant, change: dict[str, str], code: str) -> None:
    parameters = merchant.alipay_parameters("alipay.trade.query", {"out_trade_no": number()}) | change
    answer = merchant.http.post("/alipay/gateway.do", data=parameters)
    method = "error" if code == "isv.invalid-method" else "alipay.trade.query"
    found = alipay_wire.answer(answer.text, method=method, key=merchant.alipay_public)
    assert (found["code"], found["sub_code"]) == ("40002", code)


def test_a_parameter_that_is_there_twice_is_refused(merchant: Merchant) -> None:
    parameters = merchant.alipay_parameters("alipay.trade.query", {"out_trade_no": number()})
    answer = merchant.http.post("/alipay/gateway.do", params={"charset": "utf-8"}, data=parameters)
    assert "isv.invalid-parameter" in answer.text


def test_a_clock_in_another_zone_is_refused(merchant: Merchant) -> None:
    stamp = f"{later(hours=-8):%Y-%m-%d %H:%M:%S}"
    parameters = merchant.alipay_parameters("alipay.trade.query", {"out_trade_no": number()}, timestamp=stamp)
    assert "isv.invalid-timestamp" in merchant.http.post("/alipay/gateway.do", data=parameters).text


@pytest.mark.parametrize("amount", ["0", "0.00", "-1", "9.999", "1e2", "１", "", "1000000000.00"])
def test_amounts_that_are_none_are_refused(merchant: Merchant, amount: str) -> None:
    with_amount = {"out_trade_no": number(), "total_amount": amount, "subject": "x"}
    assert merchant.alipay("alipay.trade.precreate", **with_amount)["sub_code"] == "ACQ.INVALID_PARAMETER"


def test_one_number_is_one_amount(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    first, again = sandbox.open(merchant.page(order_no)), sandbox.open(merchant.page(order_no))
    assert first == again
    with pytest.raises(SandboxRefused, match=r"ACQ\.CONTEXT_INCONSISTENT"):
        sandbox.open(merchant.page(order_no, amount="0.01"))
    sandbox.pay(order_no)
    with pytest.raises(SandboxRefused, match=r"ACQ\.TRADE_HAS_SUCCESS"):
        sandbox.open(merchant.page(order_no))


def test_every_way_of_paying_leads_to_the_cashier(merchant: Merchant) -> None:
    biz = {"out_trade_no": number(), "total_amount": "1.00", "subject": "x"}
    found = merchant.alipay("alipay.trade.precreate", **biz)
    assert "Pay now" in merchant.http.get(found["qr_code"], headers={"Accept-Language": "en"}).text
    biz = {**biz, "out_trade_no": number(), "product_code": "QUICK_WAP_WAY"}
    parameters = merchant.alipay_parameters("alipay.trade.wap.pay", biz)
    answer = merchant.http.get("/alipay/gateway.do", params=parameters, follow_redirects=True)
    assert "/cashier/" in str(answer.url)


def test_what_expires_can_not_be_paid(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    page = merchant.page(order_no, time_expire=f"{later(minutes=5):%Y-%m-%d %H:%M:%S}")
    sandbox.open(page)
    sandbox.set(ahead_ms=6 * 60 * 1000)
    told = merchant.alipay_notice(shop.next())
    assert (told["trade_status"], "gmt_payment" in told) == ("TRADE_CLOSED", False)
    with pytest.raises(SandboxRefused, match="closed"):
        sandbox.pay(order_no)
    assert merchant.alipay("alipay.trade.query", out_trade_no=order_no)["trade_status"] == "TRADE_CLOSED"


def test_what_is_closed_is_told_once_and_stays_closed(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    assert merchant.alipay("alipay.trade.close", out_trade_no=order_no)["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    page = merchant.page(order_no)
    sandbox.open(page)
    assert merchant.alipay("alipay.trade.close", out_trade_no=order_no)["code"] == "10000"
    assert merchant.alipay_notice(shop.next())["trade_status"] == "TRADE_CLOSED"
    assert merchant.alipay("alipay.trade.close", out_trade_no=order_no)["sub_code"] == CLOSED
    with pytest.raises(SandboxRefused, match=r"ACQ\.TRADE_HAS_CLOSE"):
        sandbox.open(page)


def refund(merchant: Merchant, order_no: str, amount: str, refund_no: str) -> dict[str, Any]:
    return merchant.alipay("alipay.trade.refund", out_trade_no=order_no, refund_amount=amount, out_request_no=refund_no)


def test_money_goes_back_once_for_each_number(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    sandbox.open(merchant.page(order_no))
    assert refund(merchant, order_no, "1.00", "r1")["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    sandbox.pay(order_no)
    shop.next()
    answers = [refund(merchant, order_no, *one) for one in (("4.00", "r1"), ("4.00", "r1"), ("5.90", "r2"))]
    assert [(one["fund_change"], one["refund_fee"]) for one in answers] == [("Y", "4.00"), ("N", "4.00"), ("Y", "9.90")]
    first, second = (merchant.alipay_notice(shop.next()) for _ in range(2))
    assert [first[name] for name in ("trade_status", "refund_fee", "out_biz_no")] == ["TRADE_SUCCESS", "4.00", "r1"]
    assert [second[name] for name in ("trade_status", "refund_fee", "out_biz_no")] == ["TRADE_CLOSED", "9.90", "r2"]
    assert refund(merchant, order_no, "3.00", "r1")["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert refund(merchant, order_no, "0.01", "r3")["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    asked = {"out_trade_no": order_no, "out_request_no": "r1"}
    found = merchant.alipay("alipay.trade.fastpay.refund.query", **asked)
    assert (found["refund_status"], found["refund_amount"]) == ("REFUND_SUCCESS", "4.00")
    nothing = merchant.alipay("alipay.trade.fastpay.refund.query", **{**asked, "out_request_no": "r9"})
    assert (nothing["code"], "refund_status" in nothing) == ("10000", False)


def test_months_later_nothing_goes_back(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    sandbox.pay_at(merchant.page(order_no))
    shop.next()
    sandbox.control("finish", order_no=order_no)
    assert merchant.alipay_notice(shop.next())["trade_status"] == "TRADE_FINISHED"
    assert refund(merchant, order_no, "1.00", "r1")["sub_code"] == "ACQ.TRADE_HAS_FINISHED"


def test_a_bill_is_there_the_next_morning_for_half_a_minute(merchant: Merchant, sandbox: SandboxServer) -> None:
    paid, never = number(), number()
    sandbox.pay_at(merchant.page(paid))
    sandbox.open(merchant.page(never))
    refund(merchant, paid, "1.50", "r1")
    today, tomorrow = later(), later(days=1).replace(hour=10, minute=0, second=5)
    asked = {"bill_type": "trade", "bill_date": f"{today:%Y-%m-%d}"}
    bill = "alipay.data.dataservice.bill.downloadurl.query"
    assert merchant.alipay(bill, **asked)["sub_code"] == "isp.bill_not_exist"
    ahead_ms = int((tomorrow - today) / timedelta(milliseconds=1))
    sandbox.set(ahead_ms=ahead_ms)
    url = merchant.alipay(bill, **asked)["bill_download_url"]
    with zipfile.ZipFile(io.BytesIO(merchant.http.get(url).content)) as archive:
        details, _ = archive.namelist()
        assert details.encode("cp437").decode("gbk").endswith("业务明细.csv")
        lines = archive.read(details).decode("gbk").splitlines()
    rows = [line.split(",") for line in lines if line.split(",")[1:2] == [f"{paid}\t"]]
    assert [(row[2], row[11]) for row in rows] == [("交易", "9.90"), ("退款", "-1.50")]
    assert never not in "".join(lines)
    sandbox.set(ahead_ms=ahead_ms + 31_000)
    assert merchant.http.get(url).status_code == 404
    empty = merchant.alipay(bill, bill_type="trade", bill_date=f"{later(days=-9):%Y-%m-%d}")
    assert empty["sub_code"] == "isp.bill_not_exist"
