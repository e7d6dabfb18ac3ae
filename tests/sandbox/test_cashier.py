"""The cashier as a browser sees it."""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest

from atelier.gateways import alipay_wire
from tests.sandbox.conftest import Merchant, number
from tests.sandbox_server import SandboxServer

ENGLISH, CHINESE = {"Accept-Language": "en-GB,en"}, {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


def test_the_page_shows_what_is_to_be_paid_in_two_languages(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    url = sandbox.open(merchant.page(order_no))
    page = merchant.http.get(url, headers=ENGLISH)
    assert all(words in page.text for words in ("Sandbox cashier · Alipay", "¥9.90", order_no, "Pay now", "Fail"))
    assert all(words in merchant.http.get(url, headers=CHINESE).text for words in ("沙箱收银台", "支付宝", "立即支付"))
    assert "Pay now" in merchant.http.get(f"{url}?lang=en", headers=CHINESE).text


def test_the_page_loads_nothing_but_its_own_style(merchant: Merchant, sandbox: SandboxServer) -> None:
    page = merchant.http.get(sandbox.open(merchant.page(number())))
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"<script|<style|style=|https?://", page.text)
    assert re.findall(r'(?:href|src)="([^"]+)"', page.text) == ["/cashier.css"]
    assert merchant.http.get("/cashier.css").headers["Content-Type"].startswith("text/css")


def test_what_the_merchant_says_is_text(merchant: Merchant) -> None:
    page = merchant.http.get(merchant.native(number(), description="<b>&\"'100"))
    assert "<b>" not in page.text
    assert "&lt;b&gt;&amp;" in page.text


def test_paying_leads_back_to_the_shop_with_a_signature(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    page = sandbox.pay_at(merchant.page(order_no, return_url="https://shop.example/orders?from=alipay"))
    found = re.search(r'content="1;url=([^"]+)"', page)
    assert found
    parts = urlsplit(found[1].replace("&amp;", "&"))
    pairs = [one for one in parse_qsl(parts.query, keep_blank_values=True) if one != ("from", "alipay")]
    assert (parts.netloc, parts.path) == ("shop.example", "/orders")
    assert alipay_wire.notice(pairs, merchant.alipay_public)["out_trade_no"] == order_no


def test_the_way_back_is_no_script(merchant: Merchant, sandbox: SandboxServer) -> None:
    page = sandbox.pay_at(merchant.page(number(), return_url="javascript:alert(1)"))
    assert "javascript" not in page


def test_failing_leaves_the_order_to_be_paid(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    url = merchant.native(order_no)
    assert "支付失败，请重试" in sandbox.pay_at(url, "fail")
    assert merchant.wechat_query(order_no)["trade_state"] == "NOTPAY"
    assert "支付成功" in sandbox.pay_at(url)


@pytest.mark.parametrize("first", ["pay", "close"])
def test_a_button_that_comes_too_late_shows_what_is(merchant: Merchant, sandbox: SandboxServer, first: str) -> None:
    order_no = number()
    url = sandbox.open(merchant.page(order_no))
    sandbox.pay_at(url, first)
    for button in ("pay", "fail", "close"):
        page = merchant.http.post(f"{urlsplit(url).path}/{button}", headers=ENGLISH, follow_redirects=True).text
        assert ("Paid" if first == "pay" else "The order is closed") in page
        assert "<button" not in page
    assert len(sandbox.trade(order_no)["payments"]) == (1 if first == "pay" else 0)


def test_nobody_finds_a_page_by_guessing(merchant: Merchant, sandbox: SandboxServer) -> None:
    tokens = {urlsplit(sandbox.open(merchant.page(number()))).path.rpartition("/")[2] for _ in range(3)}
    assert min(map(len, tokens)) == 32
    assert merchant.http.get("/cashier/unknown").status_code == 404
    assert merchant.http.post("/cashier/unknown/pay").status_code == 404
