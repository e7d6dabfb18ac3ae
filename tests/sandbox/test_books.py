"""The books: they survive a kill, nothing in them is changed, and they know every fen."""

import contextlib
import sqlite3
import stat
from collections.abc import Callable

import pytest

from tests.sandbox.conftest import Merchant, Shop, number
from tests.sandbox_server import SandboxRefused, SandboxServer


def test_what_was_paid_is_told_after_a_kill(sandbox_server: Callable[[], SandboxServer], shop: Shop) -> None:
    sandbox = sandbox_server()
    merchant = Merchant(sandbox)
    merchant.shop = shop
    alipay, wechat = number(), number()
    for order_no, url in ((alipay, merchant.page(alipay)), (wechat, merchant.native(wechat))):
        sandbox.open(url)
        sandbox.fault("hold")
        sandbox.pay(order_no)
    sandbox.until_quiet()
    before, settings = sandbox.books()["trades"], sandbox.settings
    assert shop.told.empty()
    sandbox.kill()
    sandbox.run()
    assert (sandbox.books()["trades"], sandbox.settings) == (before, settings)
    came = sorted((shop.next() for _ in range(2)), key=lambda told: told.body[:1] == b"{")
    assert merchant.alipay_notice(came[0])["out_trade_no"] == alipay
    assert merchant.wechat_notice(came[1])["out_trade_no"] == wechat
    merchant.http.close()


def test_books_are_only_added_to(merchant: Merchant, sandbox: SandboxServer) -> None:
    merchant.native(number())
    with contextlib.closing(sqlite3.connect(sandbox.folder / "books.db")) as books:
        for statement in ("UPDATE trades SET amount_fen = 1", "DELETE FROM trades"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                books.execute(statement)


def test_keys_are_for_their_owner_alone(sandbox: SandboxServer) -> None:
    assert stat.S_IMODE((sandbox.folder / "identity.json").stat().st_mode) == 0o600


def test_totals_are_sums_of_payments_and_refunds(merchant: Merchant, sandbox: SandboxServer) -> None:
    first, second, third = number(), number(), number()
    for order_no in (first, second):
        sandbox.pay_at(merchant.page(order_no))
    sandbox.pay_at(merchant.native(third))
    sandbox.pay(second, again=True)
    sandbox.refund(first, amount_fen=90)
    assert sandbox.books()["totals"] == {
        "alipay": {"paid_fen": 2970, "refunded_fen": 90},
        "wechat": {"paid_fen": 990, "refunded_fen": 0},
    }
    assert len({one["payment_no"] for one in sandbox.trade(second)["payments"]}) == 2


def test_another_amount_than_was_asked_for_may_be_paid(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    order_no = number()
    sandbox.open(merchant.page(order_no))
    sandbox.pay(order_no, amount_fen=1)
    assert merchant.alipay_notice(shop.next())["total_amount"] == "0.01"
    with pytest.raises(SandboxRefused, match="paid"):
        sandbox.pay(order_no)
