"""Administrators find orders and have money paid back, over HTTP."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from atelier.generation import doctor
from atelier.kernel.clock import HOUR_MS, now_ms, rfc3339
from atelier.kernel.ids import new_id
from tests.administration.conftest import Office
from tests.live.harness import Person
from tests.payments.desk import Desk

REASON = {"reason": "用户申请退款"}
PRICE = 1_000


@pytest.fixture
def desk(office: Office) -> Desk:
    return Desk(office.world.db)


async def refund(office: Office, order_id: str, body: Any = None, *, key: str = "") -> tuple[int, Any]:
    headers = {"Idempotency_Key": key} if key else {}
    path = f"/api/admin/orders/{order_id}/refund"
    return await office.ask("POST", path, {**REASON, **(body or {})}, who=None, **headers)


async def test_orders_are_found_by_what_they_are(office: Office, desk: Desk) -> None:
    mei, li = office.person(), office.person()
    paid = desk.order(mei.id)
    waiting = desk.order(mei.id, paid=False)
    other = desk.order(li.id, provider="wechat")
    soon, past = rfc3339(now_ms() + HOUR_MS), rfc3339(now_ms() - HOUR_MS)
    for query, found in (
        ("", [other, waiting, paid]),
        (f"userId={mei.id}", [waiting, paid]),
        ("status=pending", [waiting]),
        ("paymentMethod=wechat", [other]),
        (f"orderNo={paid.order_no}", [paid]),
        (f"from={past}&to={soon}&limit=1", [other]),
        (f"from={soon}", []),
        (f"to={past}", []),
        (f"userId={new_id()}", []),
    ):
        status, answer = await office.ask("GET", f"/api/admin/orders?{query}")
        assert (status, [one["id"] for one in answer["orders"]]) == (200, [one.id for one in found]), query
    status, answer = await office.ask("GET", f"/api/admin/orders/{paid.id}")
    assert status == 200
    assert (answer["userId"], answer["status"], answer["totalFen"], answer["totalAmount"]) == (
        mei.id,
        "paid",
        PRICE,
        10,
    )
    assert (answer["refundableFen"], answer["refunds"], answer["cases"]) == (PRICE, [], [])
    _, answer = await office.ask("GET", f"/api/admin/orders/{waiting.id}")
    assert answer["refundableFen"] == 0
    for path in (new_id(), f"{new_id()}/refunds"):
        status, problem = await office.ask("GET", f"/api/admin/orders/{path}")
        assert (status, problem["code"]) == (404, "ORDER_NOT_FOUND")


async def test_a_part_goes_back_and_then_the_rest(office: Office, desk: Desk) -> None:
    someone = office.person()
    order = desk.order(someone.id)
    desk.spend(someone.id, 80)
    status, answer = await refund(office, order.id, {"amountFen": 400})
    assert (status, answer["success"]) == (202, True)
    made = answer["refund"]
    assert (made["status"], made["amountFen"], made["amount"], made["reason"]) == (
        "requested",
        400,
        4,
        REASON["reason"],
    )
    assert (made["credits"], made["creditsTaken"], made["adminId"]) == (40, 20, office.admin.id)
    _, shown = await office.ask("GET", f"/api/payments/orders/{order.id}", who=someone)
    assert (shown["status"], shown["refundedFen"]) == ("refunding", 0)
    assert desk.work(made["id"])
    _, shown = await office.ask("GET", f"/api/payments/orders/{order.id}", who=someone)
    assert (shown["status"], shown["refundedFen"]) == ("partially_refunded", 400)
    status, answer = await refund(office, order.id)
    assert (status, answer["refund"]["amountFen"]) == (202, 600)
    assert desk.work(answer["refund"]["id"])
    _, shown = await office.ask("GET", f"/api/payments/orders/{order.id}", who=someone)
    assert (shown["status"], shown["refundedFen"]) == ("refunded", PRICE)
    _, listed = await office.ask("GET", f"/api/admin/orders/{order.id}/refunds")
    assert [(one["amountFen"], one["status"], one["tries"]) for one in listed["refunds"]] == [
        (400, "succeeded", 1),
        (600, "succeeded", 1),
    ]
    _, log = await office.ask("GET", f"/api/admin/audit?resourceId={order.id}&action=ADMIN_ORDER_REFUND")
    assert [one["details"]["amountFen"] for one in log["operations"]] == [600, 400]


async def test_what_is_refused(office: Office, desk: Desk) -> None:
    order = desk.order(office.person().id)
    unpaid = desk.order(office.person().id, paid=False)
    for order_id, body, refusal in (
        (new_id(), {}, (404, "ORDER_NOT_FOUND")),
        (unpaid.id, {}, (409, "ORDER_NOT_REFUNDABLE")),
        (order.id, {"amountFen": PRICE + 1}, (400, "REFUND_TOO_LARGE")),
        (order.id, {"amountFen": 0}, (400, "VALIDATION_FAILED")),
        (order.id, {"reason": ""}, (400, "VALIDATION_FAILED")),
    ):
        status, problem = await refund(office, order_id, body)
        assert (status, problem["code"]) == refusal
    assert desk.messages() == 0
    assert desk.operations() == []


async def test_a_failed_one_is_seen_with_its_case(office: Office, desk: Desk) -> None:
    order = desk.order(office.person().id)
    _, answer = await refund(office, order.id)
    desk.till.moods.append("refused")
    assert desk.work(answer["refund"]["id"])
    _, shown = await office.ask("GET", f"/api/admin/orders/{order.id}")
    assert (shown["status"], shown["refundableFen"]) == ("paid", PRICE)
    assert [(one["status"], one["errorCode"]) for one in shown["refunds"]] == [("failed", "NOT_ENOUGH")]
    assert [(one["kind"], one["status"]) for one in shown["cases"]] == [("refund_failed", "open")]


async def test_the_same_request_twice_is_one_refund(office: Office, desk: Desk) -> None:
    order = desk.order(office.person().id)
    answers = await asyncio.gather(*(refund(office, order.id, {"amountFen": 400}, key="once") for _ in range(5)))
    assert {status for status, _ in answers} == {202}
    assert len({answer["refund"]["id"] for _, answer in answers}) == 1
    assert desk.now(order).refunding_fen == 400
    status, problem = await refund(office, order.id, {"amountFen": 401}, key="once")
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_two_administrators_pay_everything_back_once(office: Office, desk: Desk) -> None:
    someone = office.person()
    order = desk.order(someone.id)
    answers = await asyncio.gather(*(refund(office, order.id) for _ in range(6)))
    assert Counter(status for status, _ in answers) == Counter({202: 1, 409: 5})
    assert desk.balance(someone.id).available == 0
    assert desk.db.snapshot(doctor.examine, now_ms=now_ms()).totals == {}


async def test_what_is_owed_stands_beside_the_balance(office: Office, desk: Desk, someone: Person) -> None:
    async def balance() -> Any:
        status, answer = await office.ask("GET", "/api/payments/credits/balance", who=someone)
        assert status == 200
        return answer

    order = desk.order(someone.id)
    desk.spend(someone.id, 150)
    assert await balance() == {"balance": 50, "held": 0, "available": 50}
    desk.back(order)
    assert await balance() == {"balance": 0, "held": 0, "available": 0, "debt": 50}
    _, shown = await office.ask("GET", f"/api/admin/users/{someone.id}")
    assert shown["credits"]["debt"] == 50
    desk.order(someone.id)
    assert await balance() == {"balance": 50, "held": 0, "available": 50}
    _, history = await office.ask("GET", "/api/payments/credits/history", who=someone)
    lines = [(one["type"], one["amount"], one["description"]) for one in history["transactions"][:3]]
    assert lines == [
        ("clawback", -50, f"退款扣回积分 {order.order_no}"),
        ("topup", 100, f"充值积分 {desk.orders_of(someone.id)[-1]}"),
        ("clawback", -50, f"退款扣回积分 {order.order_no}"),
    ]


async def test_a_refund_that_failed_is_in_the_statement(office: Office, desk: Desk, someone: Person) -> None:
    order = desk.order(someone.id)
    desk.till.moods.append("refused")
    desk.work(desk.want(order))
    _, history = await office.ask("GET", "/api/payments/credits/history", who=someone)
    assert [(one["type"], one["amount"]) for one in history["transactions"][:2]] == [
        ("restore", 100),
        ("clawback", -100),
    ]
