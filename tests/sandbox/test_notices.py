"""Notices: how often they come, and in how many ways they come wrong."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from atelier.gateways import wechat_wire
from atelier.gateways.errors import Forged
from sandbox.postman import SCHEDULES, is_taken, next_due
from tests.sandbox.conftest import Merchant, Shop, Told, number
from tests.sandbox_server import SandboxServer
from tests.servers import free_port

MINUTE_MS = 60_000


def ordered(merchant: Merchant, provider: str) -> str:
    """An order that a payer looks at."""
    order_no = number()
    merchant.sandbox.open(merchant.page(order_no) if provider == "alipay" else merchant.native(order_no))
    return order_no


def read(merchant: Merchant, provider: str, told: Told) -> Mapping[str, Any]:
    return merchant.alipay_notice(told) if provider == "alipay" else merchant.wechat_notice(told)


both = pytest.mark.parametrize("provider", ["alipay", "wechat"])


# -- schedules


def test_the_schedules_are_those_of_the_gateways() -> None:
    assert [one // MINUTE_MS for one in SCHEDULES["alipay"]] == [4, 10, 10, 60, 120, 360, 900]
    assert [one // 1000 for one in SCHEDULES["wechat"]][:7] == [15, 15, 30, 180, 600, 1200, 1800]
    assert {name: sum(waits) // MINUTE_MS for name, waits in SCHEDULES.items()} == {"alipay": 1464, "wechat": 1444}
    assert next_due("wechat", attempts=1, last_ms=0, speed=10) == 1_500
    assert next_due("alipay", attempts=8, last_ms=0, speed=1) is None


@pytest.mark.parametrize(
    ("provider", "status", "answer", "taken"),
    [
        ("alipay", 200, b"success", True),
        ("alipay", 200, b"SUCCESS", False),
        ("alipay", 200, b"success\n", False),
        ("alipay", 201, b"success", False),
        ("wechat", 200, b"", True),
        ("wechat", 204, b"", True),
        ("wechat", 202, b"", False),
        ("wechat", 500, b"", False),
    ],
)
def test_only_the_right_answer_ends_it(provider: Any, status: int, answer: bytes, taken: bool) -> None:  # noqa: FBT001
    assert is_taken(provider, status, answer) is taken


@both
def test_a_notice_comes_again_until_it_is_taken(
    merchant: Merchant, sandbox: SandboxServer, shop: Shop, provider: str
) -> None:
    shop.answers = [(500, b""), (200, b"fail") if provider == "alipay" else (302, b"")]
    order_no = ordered(merchant, provider)
    sandbox.pay(order_no)
    came, ahead_ms = [shop.next()], 0
    for wait_ms in SCHEDULES["alipay" if provider == "alipay" else "wechat"][:2]:
        sandbox.until_quiet()
        assert shop.told.empty()
        ahead_ms += wait_ms
        sandbox.set(ahead_ms=ahead_ms)
        came.append(shop.next())
    sandbox.until_quiet()
    (notice,) = sandbox.notices(order_no)
    assert [one["outcome"] for one in notice["attempts"]] == ["refused", "refused", "taken"]
    named = "notify_id" if provider == "alipay" else "id"
    names = {dict(one.form)[named] if provider == "alipay" else json.loads(one.body)[named] for one in came}
    assert names == {notice["key"]}


def test_speed_makes_minutes_of_hours(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    shop.answers = [(500, b"")] * 20
    sandbox.set(speed=1_000_000)
    order_no = ordered(merchant, "alipay")
    sandbox.pay(order_no)
    sandbox.until_quiet()
    (notice,) = sandbox.notices(order_no)
    assert (len(notice["attempts"]), notice["attempts"][-1]["last"]) == (8, 1)


@pytest.mark.parametrize("mode", ["public_key", "certificate", "mixed"])
def test_wechat_signs_notices_by_the_key_that_is_set(
    merchant: Merchant, sandbox: SandboxServer, shop: Shop, mode: str
) -> None:
    sandbox.set(wechat_notices=mode)
    sandbox.fault("duplicate", copies=30)
    sandbox.pay(ordered(merchant, "wechat"))
    serials = {shop.next().headers["Wechatpay-Serial"] for _ in range(30)}
    by_key = {merchant.identity.wechat_public_key_id}
    expected = {"public_key": serials == by_key, "certificate": not serials & by_key, "mixed": len(serials) == 2}
    assert expected[mode]


# -- faults


def by(merchant: Merchant, provider: str, told: Told) -> str:
    with pytest.raises(Forged) as forged:
        read(merchant, provider, told)
    return forged.value.by


@pytest.mark.parametrize(
    ("provider", "fault", "options", "reason"),
    [
        ("alipay", "wrong_key", {}, "sign"),
        ("alipay", "tamper", {"field": "total_amount", "value": "0.01"}, "sign"),
        ("alipay", "repeat", {"field": "total_amount", "value": "0.01"}, "duplicate"),
        ("alipay", "sign_type", {}, "sign_type"),
        ("alipay", "unsigned", {}, "sign"),
        ("alipay", "probe", {}, "sign"),
        ("wechat", "wrong_key", {}, "sign"),
        ("wechat", "tamper", {"field": "event_type", "value": "x"}, "sign"),
        ("wechat", "tamper", {"field": "resource.ciphertext"}, "sign"),
        ("wechat", "stale", {}, "stale"),
        ("wechat", "probe", {}, "probe"),
        ("wechat", "serial", {}, "serial"),
        ("wechat", "unsigned", {}, "sign"),
    ],
)
def test_a_forged_notice_is_followed_by_a_true_one(
    merchant: Merchant,
    sandbox: SandboxServer,
    *,
    shop: Shop,
    provider: str,
    fault: str,
    options: dict[str, Any],
    reason: str,
) -> None:
    shop.answers = [(400, b"no")]
    sandbox.set(speed=1_000_000)
    sandbox.fault(fault, provider=provider, **options)
    order_no = ordered(merchant, provider)
    sandbox.pay(order_no)
    assert by(merchant, provider, shop.next()) == reason
    assert read(merchant, provider, shop.next())["out_trade_no"] == order_no
    sandbox.until_quiet()
    assert [one["faults"] for one in sandbox.notices(order_no)[0]["attempts"]] == [fault, ""]


@pytest.mark.parametrize(
    ("provider", "field", "value"),
    [
        ("alipay", "app_id", "2021000000000001"),
        ("alipay", "seller_id", "2088000000000001"),
        ("alipay", "total_amount", "0.01"),
        ("wechat", "mchid", "1900000001"),
        ("wechat", "appid", "wx0000000000000001"),
        ("wechat", "amount.total", 1),
        ("wechat", "amount.currency", "USD"),
    ],
)
def test_a_notice_may_be_signed_and_wrong(
    merchant: Merchant, sandbox: SandboxServer, shop: Shop, *, provider: str, field: str, value: Any
) -> None:
    sandbox.fault("change", field=field, value=value)
    sandbox.pay(ordered(merchant, provider))
    found: Any = read(merchant, provider, shop.next())
    for name in field.split("."):
        found = found[name]
    assert found == value


def test_a_member_may_be_there_twice_under_a_good_signature(
    merchant: Merchant, sandbox: SandboxServer, shop: Shop
) -> None:
    sandbox.fault("repeat", field="event_type", value="REFUND.SUCCESS")
    sandbox.pay(ordered(merchant, "wechat"))
    told = shop.next()
    assert read(merchant, "wechat", told)
    assert json.loads(told.body)["event_type"] == "REFUND.SUCCESS"
    assert told.body.count(b'"event_type"') == 2


@both
def test_a_notice_may_come_many_times_at_once(
    merchant: Merchant, sandbox: SandboxServer, shop: Shop, provider: str
) -> None:
    sandbox.fault("duplicate", copies=10)
    order_no = ordered(merchant, provider)
    sandbox.pay(order_no)
    assert {read(merchant, provider, shop.next())["out_trade_no"] for _ in range(10)} == {order_no}
    sandbox.until_quiet()
    assert (shop.told.empty(), len(sandbox.notices(order_no)[0]["attempts"])) == (True, 1)


@both
def test_a_notice_may_never_come(merchant: Merchant, sandbox: SandboxServer, shop: Shop, provider: str) -> None:
    sandbox.fault("drop", order_no=(lost := ordered(merchant, provider)))
    other = ordered(merchant, provider)
    for order_no in (lost, other):
        sandbox.pay(order_no)
    sandbox.set(ahead_ms=48 * 60 * MINUTE_MS)
    sandbox.until_quiet()
    assert read(merchant, provider, shop.next())["out_trade_no"] == other
    assert shop.told.empty()
    (notice,) = sandbox.notices(lost)
    assert notice["attempts"][0]["outcome"] == "dropped"
    sandbox.send(notice["id"])
    assert read(merchant, provider, shop.next())["out_trade_no"] == lost


def test_a_notice_may_be_lost_once_or_come_later(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    sandbox.fault("lose")
    order_no = ordered(merchant, "alipay")
    sandbox.pay(order_no)
    sandbox.until_quiet()
    sandbox.fault("delay", seconds=300)
    sandbox.set(ahead_ms=4 * MINUTE_MS)
    sandbox.until_quiet()
    assert shop.told.empty()
    sandbox.set(ahead_ms=10 * MINUTE_MS)
    assert read(merchant, "alipay", shop.next())["out_trade_no"] == order_no


def test_closed_may_come_before_paid(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    sandbox.fault("closed_first")
    sandbox.pay(ordered(merchant, "alipay"))
    statuses = [read(merchant, "alipay", shop.next())["trade_status"] for _ in range(2)]
    assert statuses == ["TRADE_CLOSED", "TRADE_SUCCESS"]


def test_a_refund_may_be_told_before_its_payment(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    sandbox.fault("after_refund", notice="payment")
    order_no = ordered(merchant, "alipay")
    sandbox.pay(order_no)
    sandbox.until_quiet()
    sandbox.refund(order_no, amount_fen=100)
    first, second = (read(merchant, "alipay", shop.next()) for _ in range(2))
    assert ("refund_fee" in first, "refund_fee" in second) == (True, False)


def test_a_held_notice_waits_until_it_is_sent(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    sandbox.fault("hold")
    order_no = ordered(merchant, "wechat")
    sandbox.pay(order_no)
    sandbox.until_quiet()
    (notice,) = sandbox.notices(order_no)
    assert (shop.told.empty(), notice["attempts"]) == (True, [])
    sandbox.send(notice["id"])
    assert read(merchant, "wechat", shop.next())["out_trade_no"] == order_no


def test_a_fault_may_strike_by_chance(merchant: Merchant, sandbox: SandboxServer) -> None:
    sandbox.fault("drop", rate=0.5)
    orders = [ordered(merchant, "alipay") for _ in range(30)]
    for order_no in orders:
        sandbox.pay(order_no)
    sandbox.until_quiet()
    outcomes = [one["attempts"][0]["outcome"] for one in sandbox.books()["notices"]]
    assert (len(outcomes), set(outcomes)) == (30, {"dropped", "taken"})


def test_alipay_tells_of_payers_who_look(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    sandbox.control("waiting", order_no=ordered(merchant, "alipay"))
    assert read(merchant, "alipay", shop.next())["trade_status"] == "WAIT_BUYER_PAY"


def test_who_is_not_there_is_tried_again(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    sandbox.open(merchant.native(order_no, notify_url=f"http://127.0.0.1:{free_port()}/nobody"))
    sandbox.pay(order_no)
    sandbox.until_quiet()
    assert [one["outcome"] for one in sandbox.notices(order_no)[0]["attempts"]] == ["unreachable"]
    sandbox.set(ahead_ms=SCHEDULES["wechat"][0])
    sandbox.until_quiet()
    assert len(sandbox.notices(order_no)[0]["attempts"]) == 2


def test_what_is_sealed_is_sealed_by_the_merchants_key(merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> None:
    sandbox.pay(ordered(merchant, "wechat"))
    resource = json.loads(shop.next().body)["resource"]
    with pytest.raises(Forged, match="seal"):
        wechat_wire.opened(resource, api_key=b"0" * 32)
