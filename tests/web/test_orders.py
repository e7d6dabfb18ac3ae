"""Buying credits over HTTP, with gateways that answer, refuse, and say nothing."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger import queries as balances
from atelier.orders import seeding
from atelier.orders.models import ORDERS
from tests.live.harness import Person, Served, World, serving, socket
from tests.payments.booth import Booth, Mood

STANDARD = list(seeding.OFFERED)[1]
ORDERED = {
    *("orderId", "orderNo", "paymentUrl", "codeUrl", "qrSvg", "parameters", "amount", "amountFen", "credits"),
    "expiresAt",
}
ORDER = {
    *("id", "orderNo", "type", "status", "totalAmount", "totalFen", "currency", "creditsAmount", "items"),
    *("paymentMethod", "paymentId", "paidAt", "refundedFen", "expiresAt", "createdAt"),
}
PENDING_MAX = 3
# For what no database decides.
one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class Shop:
    """A web role with two gateways, and the people there."""

    served: Served
    world: World
    alipay: Booth
    wechat: Booth

    async def answer(
        self, method: str, path: str, body: Any = None, *, who: Person | None = None, **headers: str
    ) -> ClientResponse:
        """Ask; keywords are headers with `_` for `-`."""
        sent = {**(who.headers if who else {}), **{name.replace("_", "-"): text for name, text in headers.items()}}
        return await self.served.client.request(method, path, json=body, headers=sent)

    async def ask(self, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, Any]:
        """Ask and read."""
        answer = await self.answer(method, path, body, **how)
        return answer.status, await answer.json()

    async def buy(self, who: Person, method: str = "alipay", key: str = "", **body: Any) -> tuple[int, Any]:
        """Order the standard package."""
        asked = {"packageId": STANDARD, "paymentMethod": method, **body}
        how = {"Idempotency_Key": key} if key else {}
        return await self.ask("POST", "/api/payments/credits/purchase", asked, who=who, **how)

    async def order(self, who: Person, order_id: str) -> Any:
        """The order as its owner sees it."""
        status, found = await self.ask("GET", f"/api/payments/orders/{order_id}", who=who)
        assert status == 200
        return found

    async def act(self, verb: str, who: Person, order_id: str, body: Any = None) -> tuple[int, Any]:
        """Cancel it or pay it."""
        return await self.ask("POST", f"/api/payments/orders/{order_id}/{verb}", body, who=who)

    def orders(self) -> list[dict[str, Any]]:
        """Every order, the oldest first."""
        return self.world.db.read(_rows)

    def available(self, who: Person) -> int:
        """What they may spend."""
        return self.world.db.read(balances.balance, user_id=who.id).available

    def elapse(self, order_id: str, ms: int) -> None:
        """Let time pass for an order."""
        self.world.db.transact(_earlier, order_id=order_id, ms=ms)


def _rows(session: Session) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(select(ORDERS).order_by(ORDERS.c.id)).mappings()]


def _earlier(session: Session, *, order_id: str, ms: int) -> None:
    sooner = {"expires_ms": ORDERS.c.expires_ms - ms, "created_ms": ORDERS.c.created_ms - ms}
    session.execute(update(ORDERS).where(ORDERS.c.id == order_id).values(sooner))


def _logged(session: Session) -> list[tuple[str, str, dict[str, Any]]]:
    columns = oplog.TABLE.c
    found = select(columns.action, columns.resource_id, columns.details).order_by(columns.id)
    return [(row.action, row.resource_id, row.details) for row in session.execute(found)]


@pytest_asyncio.fixture
async def shop(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Shop]:
    """A running web role."""
    chosen = settings(
        web_relay=False,
        pending_orders_max=PENDING_MAX,
        return_urls="https://shop.test/paid",
        payment_answer_seconds=0.5,
    )
    db.transact(seeding.seed, now_ms=now_ms())
    alipay, wechat = Booth("alipay"), Booth("wechat")
    async with serving(chosen, gateways={"alipay": alipay, "wechat": wechat}) as served:
        yield Shop(served, World(db, chosen), alipay, wechat)


async def test_buying_credits_as_the_front_ends_do(shop: Shop) -> None:
    mei = shop.world.person()
    status, listed = await shop.ask("GET", "/api/payments/credits/packages")
    assert (status, len(listed["packages"])) == (200, 4)
    package = listed["packages"][1]
    assert package == {
        "id": STANDARD,
        "name": "标准套餐",
        "price": 49.0,
        "priceFen": 4_900,
        "credits": 550,
        "version": 1,
    }
    status, made = await shop.buy(mei, returnUrl="https://shop.test/paid/thanks?from=alipay")
    assert (status, made.keys()) == (200, ORDERED)
    assert (made["amount"], made["amountFen"], made["credits"]) == (49.0, 4_900, 550)
    assert made["paymentUrl"].startswith("https://pay.test/page")
    assert re.fullmatch(r"[0-9A-Za-z]{32}", made["orderNo"])
    order = await shop.order(mei, made["orderId"])
    assert order.keys() == ORDER
    assert order == {
        "id": made["orderId"],
        "orderNo": made["orderNo"],
        "type": "credits_purchase",
        "status": "pending",
        "totalAmount": 49.0,
        "totalFen": 4_900,
        "currency": "CNY",
        "creditsAmount": 550,
        "items": [package],
        "paymentMethod": "alipay",
        "paymentId": None,
        "paidAt": None,
        "refundedFen": 0,
        "expiresAt": made["expiresAt"],
        "createdAt": order["createdAt"],
    }
    (told,) = shop.alipay.placed
    assert (told.order_no, told.amount_fen, told.subject) == (made["orderNo"], 4_900, "标准套餐（550积分）")
    assert told.return_url == "https://shop.test/paid/thanks?from=alipay"
    assert shop.world.db.read(_logged) == [
        (
            "ORDER_CREATE",
            made["orderId"],
            {"orderNo": made["orderNo"], "amountFen": 4_900, "credits": 550, "paymentMethod": "alipay"},
        )
    ]


@one_engine
async def test_each_way_of_paying(shop: Shop) -> None:
    mei = shop.world.person()
    _, made = await shop.buy(mei, "wechat")
    assert (made["paymentUrl"], made["parameters"]) == (None, None)
    assert made["codeUrl"].startswith("weixin://wxpay/")
    assert ET.fromstring(made["qrSvg"]).tag.endswith("svg")  # noqa: S314 - our own
    _, made = await shop.buy(mei, "alipay", channel="qr")
    assert made["qrSvg"]
    status, problem = await shop.buy(mei, "wechat", channel="jsapi")
    assert (status, problem["details"][0]["path"]) == (400, ["openid"])
    _, made = await shop.buy(mei, "wechat", channel="jsapi", openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")
    assert made["parameters"]["package"].startswith("prepay_id=")
    assert (made["paymentUrl"], made["codeUrl"], made["qrSvg"]) == (None, None, None)
    assert [one.openid for one in shop.wechat.placed] == [None, "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"]
    status, problem = await shop.act("pay", mei, made["orderId"])
    assert (status, problem["details"][0]["path"]) == (400, ["openid"])
    status, again = await shop.act("pay", mei, made["orderId"], {"openid": "another"})
    assert (status, again["orderNo"]) == (200, made["orderNo"])
    assert again["parameters"] != made["parameters"]
    lin = shop.world.person()
    _, made = await shop.buy(lin, "wechat", channel="h5")
    assert made["paymentUrl"].startswith("https://pay.test/h5")
    assert shop.wechat.placed[-1].address == "127.0.0.1"


@one_engine
async def test_what_is_refused_orders_nothing(shop: Shop) -> None:
    mei = shop.world.person()
    for nothing in (new_id(), "nonsense", "套餐"):
        status, problem = await shop.buy(mei, packageId=nothing)
        assert (status, problem["code"], problem["error"]) == (404, "PACKAGE_NOT_FOUND", "套餐不存在")
    for method, channel in (("alipay", "native"), ("wechat", "page")):
        status, problem = await shop.buy(mei, method, channel=channel)
        assert (status, problem["code"], problem["error"]) == (400, "PAYMENT_METHOD_UNSUPPORTED", "不支持的支付方式")
    status, problem = await shop.buy(mei, "paypal")
    assert (status, problem["code"], problem["error"]) == (400, "VALIDATION_FAILED", "输入数据无效")
    status, problem = await shop.buy(mei, expectedFen=4_800)
    assert (status, problem["code"], problem["priceFen"]) == (409, "PRICE_CHANGED", 4_900)
    for url in (
        "https://shop.test",
        "https://evil.test/paid",
        "https://shop.test.evil.test/paid",
        "javascript:alert(1)",
    ):
        status, problem = await shop.buy(mei, returnUrl=url)
        assert (status, problem["code"]) == (400, "RETURN_URL_FORBIDDEN")
    status, problem = await shop.ask(
        "POST", "/api/payments/credits/purchase", {"packageId": STANDARD, "paymentMethod": "alipay"}
    )
    assert (status, problem["error"]) == (401, "未授权")
    assert (shop.orders(), shop.alipay.placed, shop.wechat.placed) == ([], [], [])


async def test_twenty_requests_with_one_key_are_one_order(shop: Shop) -> None:
    mei = shop.world.person()
    answers = await asyncio.gather(*(shop.buy(mei, key="k") for _ in range(20)))
    assert {status for status, _ in answers} <= {200, 409}
    assert {body["code"] for status, body in answers if status == 409} <= {"IDEMPOTENCY_IN_PROGRESS"}
    told = [body for status, body in answers if status == 200]
    assert told
    assert all(body == told[0] for body in told)
    (order,) = shop.orders()
    assert (order["id"], len(shop.alipay.placed)) == (told[0]["orderId"], 1)
    status, problem = await shop.buy(mei, key="k", channel="wap")
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    await shop.act("cancel", mei, order["id"])
    assert await shop.buy(mei, key="k") == (200, told[0])


@one_engine
@pytest.mark.parametrize(
    ("mood", "status", "code"),
    [
        ("refused", 502, "GATEWAY_REFUSED"),
        ("unheard", 503, "GATEWAY_UNKNOWN"),
        ("lost", 503, "GATEWAY_UNKNOWN"),
        ("broken", 500, "INTERNAL"),
    ],
)
async def test_a_gateway_that_fails_strands_no_order(shop: Shop, mood: Mood, status: int, code: str) -> None:
    mei = shop.world.person()
    shop.alipay.moods.append(mood)
    found, problem = await shop.buy(mei, key="k")
    (order,) = shop.orders()
    assert (found, problem["code"], order["state"]) == (status, code, "pending")
    if code != "INTERNAL":
        assert (problem["orderId"], problem["orderNo"]) == (order["id"], order["order_no"])
    found, link = await shop.act("pay", mei, order["id"])
    assert (found, link["orderNo"]) == (200, order["order_no"])
    answer = await shop.answer(
        "POST",
        "/api/payments/credits/purchase",
        {"packageId": STANDARD, "paymentMethod": "alipay"},
        who=mei,
        Idempotency_Key="k",
    )
    made = await answer.json()
    assert (answer.status, answer.headers["Idempotency-Replayed"]) == (200, "true")
    assert (made["orderId"], made["orderNo"]) == (order["id"], order["order_no"])
    assert await shop.buy(mei, key="k") == (200, made)
    assert len(shop.orders()) == 1
    assert len(shop.alipay.placed) == (3 if mood == "lost" else 2)


async def test_a_key_whose_order_is_over_makes_no_second_one(shop: Shop) -> None:
    mei = shop.world.person()
    shop.alipay.moods.append("unheard")
    _, problem = await shop.buy(mei, key="k")
    await shop.act("cancel", mei, problem["orderId"])
    status, problem = await shop.buy(mei, key="k")
    assert (status, problem["code"], problem["error"]) == (409, "ORDER_NOT_PENDING", "订单已支付或已关闭")
    assert len(shop.orders()) == 1


@one_engine
async def test_a_gateway_that_hangs_holds_up_nobody_else(shop: Shop) -> None:
    mei = shop.world.person()
    shop.alipay.gate.clear()
    hanging = asyncio.create_task(shop.buy(mei))
    status, made = await shop.buy(mei, "wechat")
    assert status == 200
    status, problem = await hanging
    assert (status, problem["code"], problem["error"]) == (503, "GATEWAY_UNKNOWN", "支付渠道暂时没有答复")
    shop.alipay.gate.set()
    status, link = await shop.act("pay", mei, problem["orderId"])
    assert (status, link["orderNo"]) == (200, problem["orderNo"])
    assert made["orderNo"] != link["orderNo"]


async def test_only_so_many_orders_wait_for_their_payment(shop: Shop) -> None:
    mei = shop.world.person()
    answers = await asyncio.gather(*(shop.buy(mei, key=f"k{number}") for number in range(3 * PENDING_MAX)))
    made = [body for status, body in answers if status == 200]
    refused = [body for status, body in answers if status != 200]
    assert len(made) == len(shop.orders()) == PENDING_MAX
    assert {(one["status"], one["code"]) for one in refused} == {(429, "TOO_MANY_PENDING_ORDERS")}
    body = {"packageId": STANDARD, "paymentMethod": "alipay"}
    answer = await shop.answer("POST", "/api/payments/credits/purchase", body, who=mei)
    assert (answer.status, (await answer.json())["error"]) == (429, "待支付订单过多，请先支付或取消")
    assert 29 * 60 < int(answer.headers["Retry-After"]) <= 30 * 60
    assert (await shop.buy(shop.world.person()))[0] == 200
    assert (await shop.act("cancel", mei, made[0]["orderId"]))[0] == 200
    shop.elapse(made[1]["orderId"], HOUR_MS)
    assert [(await shop.buy(mei))[0] for _ in range(3)] == [200, 200, 429]


async def test_canceling(shop: Shop) -> None:
    mei = shop.world.person()
    _, made = await shop.buy(mei)
    status, order = await shop.act("cancel", mei, made["orderId"])
    assert (status, order["status"], order.keys()) == (200, "closed", ORDER)
    assert shop.alipay.states == {made["orderNo"]: "closed"}
    assert await shop.act("cancel", mei, made["orderId"]) == (200, order)
    status, problem = await shop.act("pay", mei, made["orderId"])
    assert (status, problem["code"], problem["status"]) == (409, "ORDER_NOT_PENDING", 409)
    assert shop.world.db.read(_logged)[1:] == [
        ("ORDER_CLOSE", made["orderId"], {"orderNo": made["orderNo"], "reason": "canceled"})
    ]
    _, made = await shop.buy(mei)
    shop.alipay.moods.append("unheard")
    status, problem = await shop.act("cancel", mei, made["orderId"])
    assert (status, problem["code"]) == (503, "GATEWAY_UNKNOWN")
    assert (await shop.order(mei, made["orderId"]))["status"] == "pending"


async def test_canceling_what_is_being_paid_credits_it(shop: Shop) -> None:
    mei = shop.world.person()
    _, made = await shop.buy(mei)
    shop.alipay.meanwhile = shop.alipay.pay
    async with socket(shop.served, mei) as events:
        await events.say(type="subscribe", all=True)
        await events.until("credits.changed")  # How it stands.
        status, problem = await shop.act("cancel", mei, made["orderId"])
        assert (status, problem["code"], problem["orderStatus"]) == (409, "ORDER_NOT_PENDING", "paid")
        assert (await events.until("credits.changed"))[-1]["data"]["available"] == 550
    order = await shop.order(mei, made["orderId"])
    assert (order["status"], order["paymentId"]) == ("paid", f"P{made['orderNo']}")
    assert order["paidAt"]
    assert shop.available(mei) == 550
    status, problem = await shop.act("cancel", mei, made["orderId"])
    assert (status, problem["orderStatus"]) == (409, "paid")
    assert shop.available(mei) == 550


async def test_an_order_that_is_over_cannot_be_paid(shop: Shop) -> None:
    mei = shop.world.person()
    _, made = await shop.buy(mei)
    shop.elapse(made["orderId"], HOUR_MS)
    status, problem = await shop.act("pay", mei, made["orderId"])
    assert (status, problem["code"], problem["orderStatus"]) == (409, "ORDER_NOT_PENDING", "closed")
    assert len(shop.alipay.placed) == 1


async def test_orders_are_their_owners(shop: Shop) -> None:
    mei, lin = shop.world.person(), shop.world.person()
    _, first = await shop.buy(mei)
    _, second = await shop.buy(mei, "wechat")
    await shop.act("cancel", mei, first["orderId"])
    for ask in (
        shop.ask("GET", f"/api/payments/orders/{first['orderId']}", who=lin),
        shop.act("cancel", lin, second["orderId"]),
        shop.act("pay", lin, second["orderId"]),
    ):
        status, problem = await ask
        assert (status, problem["code"], problem["error"]) == (404, "ORDER_NOT_FOUND", "订单不存在")
    _, nothing = await shop.ask("GET", "/api/payments/orders", who=lin)
    assert nothing == {"orders": [], "pagination": {"page": 1, "limit": 20, "total": 0, "pages": 0}}
    _, all_ = await shop.ask("GET", "/api/payments/orders", who=mei)
    assert [one["id"] for one in all_["orders"]] == [second["orderId"], first["orderId"]]
    assert all_["orders"][0] == await shop.order(mei, second["orderId"])
    _, closed = await shop.ask("GET", "/api/payments/orders?status=closed&type=credits_purchase&limit=1", who=mei)
    assert ([one["id"] for one in closed["orders"]], closed["pagination"]["total"]) == ([first["orderId"]], 1)
    path = f"/api/payments/orders/{second['orderId']}"
    answer = await shop.answer("GET", path, who=mei, Accept_Language="en")
    assert (await answer.json())["items"][0]["name"] == "Standard"
    again = await shop.answer("GET", path, who=mei, Accept_Language="en", If_None_Match=answer.headers["ETag"])
    assert (again.status, await again.read()) == (304, b"")
    assert (await shop.answer("GET", path, who=mei, If_None_Match=answer.headers["ETag"])).status == 200
