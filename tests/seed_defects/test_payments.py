"""A99 to A127: buying credits, and the gateways' notices."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.contracts.messages import PAYMENTS_SETTLE
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.notifications.models import Notification
from atelier.orders import seeding
from atelier.orders import service as orders
from atelier.orders.models import ORDERS, PACKAGES
from atelier.orders.payment_models import EVENTS
from atelier.payments.watching import Watcher
from tests.live.harness import serving
from tests.payments.counter import Counter
from tests.payments.desk import Desk
from tests.seed_defects.conftest import Shop
from tests.seed_defects.stall import CREDITS, FEN, PRICE, STANDARD, SignedBooth, Stall

ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest_asyncio.fixture
async def stall(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Stall]:
    """A running web role with packages and both gateways, and no worker."""
    chosen = settings(web_relay=False, return_urls="https://shop.test/paid", pending_orders_max=3)
    db.transact(seeding.seed, now_ms=now_ms())
    alipay, wechat = SignedBooth("alipay"), SignedBooth("wechat")
    async with serving(chosen, gateways={"alipay": alipay, "wechat": wechat}) as served:
        yield Stall(Shop(served, db, chosen), Counter(db), alipay, wechat)


@pytest_asyncio.fixture
async def mei(stall: Stall) -> str:
    """Her token; she has nothing."""
    return await stall.shop.token("mei")


def _logged(session: Session) -> list[str]:
    columns = oplog.TABLE.c
    return list(session.connection().scalars(select(columns.action).where(columns.resource_type == "order")))


def _notified(session: Session) -> list[str]:
    return list(session.connection().scalars(select(Notification.__table__.c.kind)))


def _number(session: Session) -> int:
    return int(session.connection().execute(select(func.count()).select_from(ORDERS)).scalar_one())


def _events(session: Session) -> str:
    return str(session.connection().execute(select(EVENTS)).all())


# -- ordering


@ONE_DATABASE
@pytest.mark.parametrize(
    "url", ["https://evil.test/paid", "//evil.test", "https://shop.test@evil.test/paid", "javascript:alert(1)"]
)
async def test_A99_nobody_is_sent_elsewhere_after_paying(stall: Stall, mei: str, url: str) -> None:
    got = await stall.buy(mei, returnUrl=url)
    assert (got.status, got.body["code"]) == (400, "RETURN_URL_FORBIDDEN")
    assert stall.shop.db.read(_number) == 0


@ONE_DATABASE
async def test_A100_order_numbers_are_short_plain_and_unlike_each_other(stall: Stall, mei: str) -> None:
    first, second = [(await stall.order(mei))["orderNo"] for _ in range(2)]
    assert all(re.fullmatch(r"[0-9A-Za-z]{6,32}", one) for one in (first, second))
    assert sum(a == b for a, b in zip(first[-16:], second[-16:], strict=True)) < 10


@ONE_DATABASE
async def test_A101_an_order_whose_gateway_did_not_answer_can_still_be_paid(stall: Stall, mei: str) -> None:
    stall.alipay.moods.append("unheard")
    got = await stall.buy(mei)
    assert (got.status, got.body["code"]) == (503, "GATEWAY_UNKNOWN")
    again = await stall.shop.ask("POST", f"/api/payments/orders/{got.body['orderId']}/pay", token=mei)
    assert (again.status, again.body["orderNo"]) == (200, got.body["orderNo"])
    assert stall.shop.db.read(_number) == 1


async def test_A102_one_key_is_one_order(stall: Stall, mei: str) -> None:
    first, second = [await stall.buy(mei, key="k") for _ in range(2)]
    assert (second.status, second.body) == (200, first.body)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert stall.shop.db.read(_number) == 1


@ONE_DATABASE
async def test_A103_prices_are_whole_fen(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    assert (made["amountFen"], type(made["amountFen"]), made["amount"]) == (FEN, int, 49.0)
    admin = await stall.shop.token("boss", role="admin")
    body = {"nameZh": "半分", "nameEn": "Half", "priceFen": 990.5, "credits": 100, "position": 1, "reason": "试试"}
    got = await stall.shop.ask("POST", "/api/admin/packages", body, token=admin)
    assert (got.status, got.body["details"][0]["path"]) == (400, ["priceFen"])


async def test_A104_only_some_orders_wait_and_a_late_payment_is_credited_once(stall: Stall, mei: str) -> None:
    made = [await stall.order(mei) for _ in range(3)]
    got = await stall.buy(mei)
    assert (got.status, got.body["code"]) == (429, "TOO_MANY_PENDING_ORDERS")
    assert made[0]["expiresAt"] > (await stall.see(mei, made[0]))["createdAt"]
    stall.shop.db.transact(orders.close, order_id=made[0]["orderId"], now_ms=now_ms())
    await stall.by_alipay(made[0]["orderNo"])
    assert (stall.settle(), stall.cases()) == (["late"], ["late_payment"])
    assert await stall.balance(mei) == CREDITS


@ONE_DATABASE
async def test_A105_wechat_is_paid_by_a_code(stall: Stall, mei: str) -> None:
    made = await stall.order(mei, "wechat")
    assert made["paymentUrl"] is None
    assert made["codeUrl"].startswith("weixin://wxpay/")
    assert made["qrSvg"].startswith("<svg")


async def test_A106_an_order_and_its_log_are_written_together(stall: Stall, mei: str) -> None:
    stall.alipay.moods.append("broken")
    assert (await stall.buy(mei)).status == 500
    assert (stall.shop.db.read(_number), stall.shop.db.read(_logged)) == (1, ["ORDER_CREATE"])


@ONE_DATABASE
async def test_A107_what_is_not_sold_or_not_for_that_price_is_not_ordered(stall: Stall, mei: str) -> None:
    got = await stall.buy(mei, expectedFen=FEN - 1)
    assert (got.status, got.body["code"], got.body["priceFen"]) == (409, "PRICE_CHANGED", FEN)
    retired = update(PACKAGES).where(PACKAGES.c.id == STANDARD).values(active=0)
    stall.shop.db.transact(lambda session: session.connection().execute(retired).rowcount)
    assert (await stall.buy(mei)).body["code"] == "PACKAGE_NOT_FOUND"
    assert stall.shop.db.read(_number) == 0


@ONE_DATABASE
async def test_A108_bad_input_is_400(stall: Stall, mei: str) -> None:
    bodies: list[dict[str, Any]] = [{"method": "paypal"}, {"packageId": 5}, {"surprise": 1}, {"packageId": ""}]
    for body in bodies:
        got = await stall.buy(mei, **body)
        assert (got.status, got.body["code"]) == (400, "VALIDATION_FAILED")


# -- notices of Alipay


@ONE_DATABASE
async def test_A109_a_parameter_that_comes_twice_is_refused(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    for more in (b"&total_amount=0.01", b"&out_trade_no=other", b"&sign=AA"):
        assert (await stall.by_alipay(made["orderNo"], more=more)).status == 400
    assert stall.counter.events() == []


@ONE_DATABASE
async def test_A110_only_the_strong_signature_is_read(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    assert (await stall.by_alipay(made["orderNo"], weak=True)).status == 400
    assert (await stall.by_alipay(made["orderNo"])).text == "success"


async def test_A111_a_notice_is_for_us_and_for_an_order_of_this_gateway(stall: Stall, mei: str) -> None:
    made = await stall.order(mei, "wechat")
    assert (await stall.by_alipay(made["orderNo"], app_id="2021999999999999")).status == 400
    assert (await stall.by_alipay(made["orderNo"], seller_id="2088999999999999")).status == 400
    assert (await stall.by_alipay(made["orderNo"])).text == "success"
    assert (stall.settle(), stall.cases()) == (["unknown_order"], ["unknown_order"])
    assert await stall.balance(mei) == 0


@pytest.mark.parametrize("amount", ["48.99", "49.01", "0.01", "4900.00"])
@ONE_DATABASE
async def test_A112_another_amount_is_never_credited(stall: Stall, mei: str, amount: str) -> None:
    made = await stall.order(mei)
    await stall.by_alipay(made["orderNo"], total_amount=amount)
    assert (stall.settle(), await stall.balance(mei)) == (["wrong_amount"], 0)
    assert stall.cases() == ["wrong_amount"]


async def test_A113_both_words_for_paid_are_paid_and_no_others(stall: Stall, mei: str) -> None:
    finished, closed, refunded = [await stall.order(mei) for _ in range(3)]
    await stall.by_alipay(finished["orderNo"], trade_status="TRADE_FINISHED")
    await stall.by_alipay(closed["orderNo"], trade_status="TRADE_CLOSED", gmt_payment=None)
    await stall.by_alipay(refunded["orderNo"], refund_fee=PRICE, gmt_refund="2026-01-01 09:00:00.000")
    stall.settle()
    states = [(await stall.see(mei, one))["status"] for one in (finished, closed, refunded)]
    assert (states, await stall.balance(mei)) == (["paid", "closed", "pending"], CREDITS)


async def test_A114_a_notice_ten_times_at_once_is_one_payment(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    got = await asyncio.gather(*(stall.by_alipay(made["orderNo"], notify_id=f"N{n // 2}") for n in range(10)))
    assert {one.text for one in got} == {"success"}
    stall.settle()
    assert await stall.balance(mei) == CREDITS


async def test_A115_what_was_refunded_or_closed_is_not_simply_paid(stall: Stall, mei: str) -> None:
    desk = Desk(stall.shop.db)
    order = desk.order(desk.user())
    desk.back(order)
    assert desk.pay(order).outcome == "known"
    assert (desk.now(order).state, desk.balance(order.user_id).available) == ("refunded", 0)
    made = await stall.order(mei)
    stall.shop.db.transact(orders.close, order_id=made["orderId"], now_ms=now_ms())
    await stall.by_alipay(made["orderNo"])
    assert (stall.settle(), stall.cases()) == (["late"], ["late_payment"])


async def test_A116_the_statement_adds_up_whatever_happens_meanwhile(stall: Stall) -> None:
    token = await stall.shop.token("lin", amount=20)
    made = await stall.order(token)
    await stall.by_alipay(made["orderNo"])
    spending = [
        stall.shop.ask("POST", "/credits/consume", {"amount": 1, "action": "video"}, token=token) for _ in range(5)
    ]
    await asyncio.gather(asyncio.to_thread(stall.settle), *spending)
    lines = (await stall.shop.ask("GET", "/api/payments/credits/history", token=token)).body["transactions"]
    assert lines[0]["balanceAfter"] == await stall.balance(token) == 20 + CREDITS - 5
    for newer, older in pairwise(lines):
        assert newer["balanceAfter"] - newer["amount"] == older["balanceAfter"]


async def test_A117_one_payment_pays_one_order(stall: Stall, mei: str) -> None:
    first, second = [await stall.order(mei) for _ in range(2)]
    for one in (first, second):
        await stall.by_alipay(one["orderNo"], trade_no="T1")
    assert sorted(stall.settle()) == ["credited", "payment_reused"]
    assert (await stall.balance(mei), stall.cases()) == (CREDITS, ["payment_reused"])


@ONE_DATABASE
async def test_A118_the_answer_is_the_word_that_alipay_waits_for(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    for _ in range(2):
        got = await stall.by_alipay(made["orderNo"])
        assert (got.status, got.text, got.headers["Content-Type"].partition(";")[0]) == (200, "success", "text/plain")


async def test_A119_the_user_is_told_in_the_transaction_that_credits(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    await stall.by_alipay(made["orderNo"])
    stall.settle()
    assert stall.shop.db.read(_notified) == ["payment_received"]
    assert stall.shop.db.read(_logged) == ["ORDER_CREATE", "PAYMENT_SUCCESS"]
    await stall.by_alipay(made["orderNo"], notify_id="again")
    assert (stall.settle(), stall.shop.db.read(_notified)) == (["known"], ["payment_received"])


@ONE_DATABASE
async def test_A120_a_notice_without_an_order_is_no_crash(stall: Stall) -> None:
    assert (await stall.by_alipay(None)).status == 400
    assert stall.counter.events() == []


@ONE_DATABASE
async def test_A121_only_forms_of_some_size_are_read(stall: Stall) -> None:
    path = "/api/payments/webhooks/alipay"
    assert (await stall.shop.ask("POST", path, b"{}", Content_Type="application/json")).status == 415
    large = b"a=" + b"b" * 200_000
    assert (await stall.shop.ask("POST", path, large, Content_Type="application/x-www-form-urlencoded")).status == 413


@ONE_DATABASE
async def test_A122_nothing_about_the_payer_is_kept(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    await stall.by_alipay(made["orderNo"], buyer_id="2088canary", buyer_logon_id="canary@example.com")
    assert len(stall.counter.events()) == 1
    assert "canary" not in stall.shop.db.read(_events)


async def test_A123_money_for_no_order_is_acknowledged_and_looked_at(stall: Stall) -> None:
    assert (await stall.by_alipay("A20260101000000000099")).text == "success"
    assert (stall.settle(), stall.cases()) == (["unknown_order"], ["unknown_order"])


async def test_A124_a_notice_is_only_stored_and_settled_by_a_worker(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    await stall.by_alipay(made["orderNo"])
    assert ((await stall.see(mei, made))["status"], await stall.balance(mei)) == ("pending", 0)
    assert len(stall.counter.messages(PAYMENTS_SETTLE.name)) == 1
    assert stall.settle() == ["credited"]
    assert ((await stall.see(mei, made))["status"], await stall.balance(mei)) == ("paid", CREDITS)


# -- what was not there at all


async def test_A125_wechat_credits_too(stall: Stall, mei: str) -> None:
    made = await stall.order(mei, "wechat")
    assert (await stall.by_wechat(made["orderNo"])).status == 204
    assert (stall.settle(), await stall.balance(mei)) == (["credited"], CREDITS)


async def test_A126_a_payment_that_nobody_told_of_is_found_and_can_go_back(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    stall.alipay.pay(made["orderNo"])
    due = update(ORDERS).where(ORDERS.c.id == made["orderId"]).values(query_ms=1)
    stall.shop.db.transact(lambda session: session.connection().execute(due).rowcount)
    told: list[Any] = []
    assert Watcher(database=stall.shop.db, gateways={"alipay": stall.alipay}, announce=told.append).run() == 1
    assert (len(told), await stall.balance(mei)) == (1, CREDITS)
    admin = await stall.shop.token("boss", role="admin")
    path = f"/api/admin/orders/{made['orderId']}/refund"
    got = await stall.shop.ask("POST", path, {"reason": "用户申请"}, token=admin, Idempotency_Key=new_id())
    assert (got.status, await stall.balance(mei)) == (202, 0)


@ONE_DATABASE
async def test_A127_an_amount_that_is_missing_is_not_nothing(stall: Stall, mei: str) -> None:
    made = await stall.order(mei)
    for amount in (None, "", "4.9e1", "-49.00", "NaN"):
        got = await stall.by_alipay(made["orderNo"], total_amount=amount)
        assert (got.status, got.text) == (400, "fail"), amount
    assert (stall.counter.events(), await stall.balance(mei)) == ([], 0)
