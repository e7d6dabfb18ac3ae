"""Buying credits as the front ends do, at gateways that sign, keep books and send notices, on both databases."""

import re
from collections.abc import Iterator

import pytest

from atelier.onboarding import operator
from tests.contract import front_end
from tests.contract.conftest import Place
from tests.contract.front_end import ID, MOMENT, PAGINATION, PASSWORD, TRANSACTION, FrontEnd, Json, assert_keys
from tests.contract.seed_routes import drives
from tests.sandbox_server import SandboxServer
from tests.servers import until
from tests.stack import Stack

PURCHASE = "/api/payments/credits/purchase"
PACKAGE = {"id", "name", "price", "priceFen", "credits", "version"}
ORDERED = {
    *("orderId", "orderNo", "paymentUrl", "codeUrl", "qrSvg", "parameters", "amount", "amountFen", "credits"),
    "expiresAt",
}
ORDER = {
    *("id", "orderNo", "type", "status", "totalAmount", "totalFen", "currency", "creditsAmount", "items"),
    *("paymentMethod", "paymentId", "paidAt", "refundedFen", "expiresAt", "createdAt"),
}
REFUND = {
    *("id", "refundNo", "orderId", "status", "amount", "amountFen", "credits", "creditsTaken", "external", "reason"),
    *("adminId", "gatewayNo", "errorCode", "tries", "createdAt", "finishedAt"),
}


@pytest.fixture(scope="module")
def stack(place: Place, shared_sandbox: SandboxServer) -> Iterator[Stack]:
    shared_sandbox.reset()
    environment = {**shared_sandbox.environment, "FRONTEND_URL": "https://shop.test"}
    made = Stack(place.database_url, place.redis_url, place.folder, env=environment)
    made.start("money", "web")
    yield made
    assert made.diagnosis() == []
    made.close()


def _someone(stack: Stack, name: str, *, role: str = "user") -> FrontEnd:
    operator.create_user(stack.database, email=f"{name}@example.com", username=name, password=PASSWORD, role=role)
    person = FrontEnd(stack, name)
    person.login()
    return person


@pytest.fixture(scope="module")
def mei(stack: Stack) -> FrontEnd:
    """Signed in, without a credit."""
    return _someone(stack, "mei")


@pytest.fixture(scope="module")
def boss(stack: Stack) -> FrontEnd:
    """An administrator."""
    return _someone(stack, "boss", role="admin")


def _package(person: FrontEnd) -> Json:
    listed = FrontEnd(person.stack, "visitor").call("GET", "/api/payments/credits/packages")
    assert_keys(listed, expected={"packages"})
    for one in listed["packages"]:
        assert_keys(one, expected=PACKAGE)
        assert one["price"] * 100 == one["priceFen"]
    return dict(listed["packages"][0])


def _paid(person: FrontEnd, order_id: str) -> Json:
    """The order, once the notice of its payment has been settled."""

    path = f"/api/payments/orders/{order_id}"
    until(lambda: person.call("GET", path)["status"] == "paid", what="the notice came and was settled")
    order: Json = person.call("GET", path)
    return order


@drives("GET /api/payments/credits/packages", "POST /api/payments/credits/purchase", "GET /api/payments/orders")
@drives("GET /api/payments/orders/{orderId}", "POST /api/payments/webhooks/alipay")
def test_a_package_is_paid_at_alipay(mei: FrontEnd, shared_sandbox: SandboxServer) -> None:
    package, before = _package(mei), mei.balance()["available"]
    body = {"packageId": package["id"], "paymentMethod": "alipay", "returnUrl": "https://shop.test/paid"}
    forbidden = {**body, "returnUrl": "https://evil.test/paid"}
    mei.refused("POST", PURCHASE, forbidden, (400, "RETURN_URL_FORBIDDEN", "不允许的返回地址"))
    made = mei.call("POST", PURCHASE, body, Idempotency_Key="first")
    assert_keys(made, expected=ORDERED)
    assert re.fullmatch(r"[0-9A-Za-z]{6,32}", made["orderNo"])
    assert (made["amount"], made["amountFen"], made["credits"]) == (
        *(package["price"], package["priceFen"]),
        package["credits"],
    )
    assert mei.call("POST", PURCHASE, body, Idempotency_Key="first") == made
    order = mei.call("GET", f"/api/payments/orders/{made['orderId']}")
    assert_keys(order, expected=ORDER)
    assert (order["status"], order["items"], order["paymentId"], order["paidAt"]) == ("pending", [package], None, None)

    shared_sandbox.pay_at(made["paymentUrl"])
    order = _paid(mei, made["orderId"])
    _heard(shared_sandbox, made["orderNo"], "/api/payments/webhooks/alipay")
    assert MOMENT.fullmatch(order["paidAt"])
    assert (order["totalAmount"], order["totalFen"], order["currency"]) == (
        package["price"],
        package["priceFen"],
        "CNY",
    )
    assert mei.balance()["available"] == before + package["credits"]
    line = mei.call("GET", "/api/payments/credits/history?limit=1")["transactions"][0]
    assert_keys(line, expected=TRANSACTION)
    assert (line["type"], line["amount"], line["relatedId"]) == ("topup", package["credits"], order["id"])
    listed = mei.call("GET", "/api/payments/orders?status=paid")
    assert_keys(listed, expected={"orders", "pagination"})
    assert_keys(listed["pagination"], expected=PAGINATION)
    assert [one["id"] for one in listed["orders"]] == [order["id"]]


def _heard(sandbox: SandboxServer, order_no: str, path: str) -> None:
    """The gateway is the front end of this one: it was answered as it hopes to be."""
    sandbox.until_quiet()
    attempts = [attempt for notice in sandbox.notices(order_no) for attempt in notice["attempts"]]
    assert [one["outcome"] for one in attempts] == ["taken"]
    front_end.SERVED.append(("POST", path))


@drives("POST /api/payments/orders/{orderId}/pay", "POST /api/payments/orders/{orderId}/cancel")
@drives("POST /api/payments/webhooks/wechat")
def test_a_code_is_paid_at_wechat(mei: FrontEnd, shared_sandbox: SandboxServer) -> None:
    body = {"packageId": _package(mei)["id"], "paymentMethod": "wechat"}
    given_up = mei.call("POST", PURCHASE, body)
    made = mei.call("POST", PURCHASE, body)
    assert (made["paymentUrl"], made["qrSvg"][:4]) == (None, "<svg")
    link = mei.call("POST", f"/api/payments/orders/{made['orderId']}/pay")
    assert_keys(link, expected=ORDERED)
    assert link["orderNo"] == made["orderNo"]
    path = f"/api/payments/orders/{given_up['orderId']}"
    assert mei.call("POST", f"{path}/cancel")["status"] == "closed"
    mei.refused("POST", f"{path}/pay", None, (409, "ORDER_NOT_PENDING", "订单已支付或已关闭"))
    shared_sandbox.pay_at(link["codeUrl"])
    assert _paid(mei, made["orderId"])["paymentMethod"] == "wechat"
    _heard(shared_sandbox, made["orderNo"], "/api/payments/webhooks/wechat")


@drives("GET /api/admin/packages", "POST /api/admin/packages", "PUT /api/admin/packages/{packageId}")
@drives("POST /api/admin/orders/{orderId}/refund")
def test_an_administrator_offers_packages_and_pays_back(
    mei: FrontEnd, boss: FrontEnd, shared_sandbox: SandboxServer
) -> None:
    body = {"nameZh": "春节套餐", "nameEn": "Spring", "priceFen": 880, "credits": 90, "position": 1, "reason": "活动"}
    offered = boss.call("POST", "/api/admin/packages", body, status=201)
    path = f"/api/admin/packages/{offered['id']}"
    assert boss.call("PUT", path, {**body, "credits": 100})["version"] == 2
    assert offered["id"] in [one["id"] for one in boss.call("GET", "/api/admin/packages")["packages"]]
    made = mei.call("POST", PURCHASE, {"packageId": offered["id"], "paymentMethod": "alipay", "expectedFen": 880})
    shared_sandbox.pay_at(made["paymentUrl"])
    _paid(mei, made["orderId"])
    before = mei.balance()["available"]
    refunding = f"/api/admin/orders/{made['orderId']}/refund"
    mei.refused("POST", refunding, {"reason": "x"}, (403, "FORBIDDEN", "权限不足"))
    refund = boss.call("POST", refunding, {"amountFen": 440, "reason": "用户申请退款"}, status=202)["refund"]
    assert_keys(refund, expected=REFUND)
    assert ID.fullmatch(refund["id"])
    assert mei.balance()["available"] == before - 50

    def refunded() -> bool:
        order = mei.call("GET", f"/api/payments/orders/{made['orderId']}")
        return (order["status"], order["refundedFen"]) == ("partially_refunded", 440)

    assert until(refunded, what="the money went back")
    assert shared_sandbox.trade(made["orderNo"])["refunded_fen"] == 440
