"""WeChat Pay's client against a gateway that verifies and signs: what is asked, what is answered, what is believed."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from structlog.testing import capture_logs

from atelier.gateways import keys
from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import ToPay, ToRefund, Trade
from atelier.gateways.wechat import WechatPay
from tests.gateways import counter
from tests.gateways.counter import Asked, Reply, Reset
from tests.gateways.merchants import (
    APPID,
    EXPIRED_SERIAL,
    MCHID,
    NOW_MS,
    OLD,
    OLD_SERIAL,
    OURS,
    PAID,
    STRANGER,
    wechat_client,
)
from tests.gateways.wechat_desk import Desk, refusal, signed

ORDER_NO, PAYMENT_NO, REFUND_NO = PAID["out_trade_no"], PAID["transaction_id"], "R20260101000000000001"
TO_REFUND = ToRefund(
    order_no=ORDER_NO, payment_no=PAYMENT_NO, refund_no=REFUND_NO, amount_fen=490, total_fen=990, reason="不合适"
)
PATH = f"/v3/pay/transactions/out-trade-no/{ORDER_NO}?mchid={MCHID}"


def _pay(channel: Any = "native", **changes: Any) -> ToPay:
    fields: dict[str, Any] = {
        "order_no": ORDER_NO,
        "amount_fen": 990,
        "subject": "创意工作坊 100 积分",
        "channel": channel,
        "created_ms": NOW_MS,
        "expires_ms": NOW_MS + 1_800_000,
    }
    return ToPay(**fields | changes)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with counter.opened(lambda _: Reply()) as at:
        yield Desk(at)


@pytest.fixture
def wechat(desk: Desk) -> Iterator[WechatPay]:
    client = wechat_client(desk.at.url)
    yield client
    client.close_connections()


# -- paying


def test_a_code_to_pay_is_asked_for(desk: Desk, wechat: WechatPay) -> None:
    desk.answers["POST /v3/pay/transactions/native"] = signed({"code_url": "weixin://wxpay/bizpayurl?pr=1"})
    assert wechat.place(_pay(subject="很" * 100)).code_url == "weixin://wxpay/bizpayurl?pr=1"
    assert desk.asked[0][1] == {
        "appid": APPID,
        "mchid": MCHID,
        "description": "很" * 42,  # 126 bytes.
        "out_trade_no": ORDER_NO,
        "time_expire": "2026-01-01T08:30:00+08:00",
        "notify_url": "https://atelier.test/api/payments/webhooks/wechat",
        "amount": {"total": 990, "currency": "CNY"},
    }


@pytest.mark.parametrize(
    ("return_url", "expected"),
    [
        (None, "https://wx.test/h5?prepay_id=1"),
        ("https://shop.test/?a=1", "https://wx.test/h5?prepay_id=1&redirect_url=https%3A%2F%2Fshop.test%2F%3Fa%3D1"),
    ],
)
def test_a_page_for_a_telephone_is_asked_for(
    desk: Desk, wechat: WechatPay, return_url: str | None, expected: str
) -> None:
    desk.answers["POST /v3/pay/transactions/h5"] = signed({"h5_url": "https://wx.test/h5?prepay_id=1"})
    assert wechat.place(_pay("h5", address="203.0.113.7", return_url=return_url)).payment_url == expected
    assert desk.asked[0][1]["scene_info"] == {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}


def test_a_page_inside_wechat_gets_signed_parameters(desk: Desk, wechat: WechatPay) -> None:
    desk.answers["POST /v3/pay/transactions/jsapi"] = signed({"prepay_id": "wx2026"})
    given = wechat.place(_pay("jsapi", openid="oUpF8uMuAJO")).parameters
    assert given is not None
    assert desk.asked[0][1]["payer"] == {"openid": "oUpF8uMuAJO"}
    assert (given["appId"], given["package"], given["signType"]) == (APPID, "prepay_id=wx2026", "RSA")
    lines = "".join(f"{given[name]}\n" for name in ("appId", "timeStamp", "nonceStr", "package"))
    assert keys.is_signed(lines.encode(), given["paySign"], OURS.public_key())


@pytest.mark.parametrize(("channel", "reason"), [("h5", "payer"), ("jsapi", "payer"), ("page", "channel")])
def test_what_can_not_be_placed_is_refused_without_a_call(
    desk: Desk, wechat: WechatPay, channel: str, reason: str
) -> None:
    with pytest.raises(GatewayRefused) as caught:
        wechat.place(_pay(channel))
    assert (caught.value.reason, desk.asked) == (reason, [])


@pytest.mark.parametrize("content", [{}, {"code_url": ""}, {"code_url": 1}, []])
def test_an_answer_without_a_code_is_none(desk: Desk, wechat: WechatPay, content: object) -> None:
    desk.answers["POST /v3/pay/transactions/native"] = signed(content)
    with pytest.raises(GatewayUnknown):
        wechat.place(_pay())


# -- asking


@pytest.mark.parametrize(
    ("told", "state"),
    [("SUCCESS", "paid"), ("REFUND", "refunded")],
)
def test_what_was_paid(desk: Desk, wechat: WechatPay, told: str, state: Any) -> None:
    desk.answers[f"GET {PATH}"] = signed(PAID | {"trade_state": told})
    assert wechat.query(ORDER_NO) == Trade(
        order_no=ORDER_NO, state=state, payment_no=PAYMENT_NO, amount_fen=990, paid_ms=NOW_MS + 1_000
    )


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("NOTPAY", "pending"),
        ("USERPAYING", "pending"),
        ("PAYERROR", "pending"),
        ("CLOSED", "closed"),
        ("REVOKED", "closed"),
    ],
)
def test_what_was_not_paid(desk: Desk, wechat: WechatPay, told: str, state: Any) -> None:
    unpaid = {"mchid": MCHID, "appid": APPID, "out_trade_no": ORDER_NO, "trade_state": told}
    desk.answers[f"GET {PATH}"] = signed(unpaid)
    assert wechat.query(ORDER_NO) == Trade(order_no=ORDER_NO, state=state)


@pytest.mark.parametrize("code", ["ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"])
def test_an_order_that_wechat_does_not_have_is_absent(desk: Desk, wechat: WechatPay, code: str) -> None:
    desk.answers[f"GET {PATH}"] = refusal(404, code)
    assert wechat.query(ORDER_NO).state == "absent"


@pytest.mark.parametrize("order_no", ["a|b*c_d-e", "a b/c?d"])
def test_numbers_are_signed_as_they_are_sent(desk: Desk, wechat: WechatPay, order_no: str) -> None:
    desk.answers["GET /v3/pay/transactions/out-trade-no/"] = refusal(404, "ORDER_NOT_EXIST")
    assert wechat.query(order_no).state == "absent"
    assert desk.asked[0][0].count("/") == 5


STRANGE: list[Mapping[str, Any]] = [
    {"out_trade_no": "W20260101000000000002"},
    {"mchid": "1900000002"},
    {"trade_state": "?"},
    {"trade_state": None},
    {"transaction_id": None},
    {"amount": None},
    {"amount": {"total": "990"}},
    {"success_time": "yesterday"},
]


@pytest.mark.parametrize("changes", STRANGE)
def test_what_is_signed_and_still_no_answer(desk: Desk, wechat: WechatPay, changes: Mapping[str, Any]) -> None:
    desk.answers[f"GET {PATH}"] = signed({**PAID, **changes})
    with pytest.raises(GatewayUnknown):
        wechat.query(ORDER_NO)


GOOD = signed(PAID)
UNBELIEVABLE: dict[str, Reply] = {
    "another key": signed(PAID, key=STRANGER),
    "expired certificate": signed(PAID, key=OLD, serial=EXPIRED_SERIAL),
    "unknown serial": signed(PAID, serial="4444"),
    "played back": signed(PAID, late=300),
    "tampered": Reply(headers=GOOD.headers, body=GOOD.body.replace(b"990", b"001")),
    "unsigned": Reply(body=GOOD.body),
    "unsigned 204": Reply(status=204),
    "no JSON": signed("busy"),
    "nothing": signed(None),
    "5xx": refusal(500, "SYSTEM_ERROR"),
    "too many": refusal(429, "FREQUENCY_LIMITED"),
    "not verified": refusal(401, "SIGN_ERROR"),
    "undecided": refusal(403, "SYSTEM_ERROR"),
    "a stranger's no": refusal(404, "ORDER_NOT_EXIST", key=STRANGER),
    "a wall between us": Reply(status=403, body=b"<html>blocked</html>"),
    "a no without a code": Reply(status=404, body=b"{}"),
    "elsewhere": Reply(status=307, headers={"Location": "http://127.0.0.1:9/"}, body=GOOD.body),
    "half": Reply(headers=GOOD.headers, body=GOOD.body[:50], length=len(GOOD.body)),
    "too large": signed(PAID | {"more": "x" * 1_100_000}),
    "encoded": Reply(headers={**GOOD.headers, "Content-Encoding": "gzip"}, body=GOOD.body),
}


@pytest.mark.parametrize("how", UNBELIEVABLE)
def test_what_is_not_believed(desk: Desk, wechat: WechatPay, how: str) -> None:
    desk.answers["GET "] = UNBELIEVABLE[how]
    with pytest.raises(GatewayUnknown):
        wechat.query(ORDER_NO)
    assert len(desk.asked) == 1  # What may have arrived is not sent again.


def test_a_platform_certificate_signs_answers_too(desk: Desk, wechat: WechatPay) -> None:
    desk.answers[f"GET {PATH}"] = signed(PAID, key=OLD, serial=OLD_SERIAL)
    assert wechat.query(ORDER_NO).state == "paid"


def test_a_no_may_come_without_a_signature(desk: Desk, wechat: WechatPay) -> None:
    desk.answers["POST "] = Reply(status=403, body=b'{"code":"NOT_ENOUGH","message":"x"}')
    with pytest.raises(GatewayRefused) as caught:
        wechat.refund(TO_REFUND)
    assert caught.value.reason == "NOT_ENOUGH"


def test_a_gateway_that_hangs_or_hangs_up_is_unknown(desk: Desk) -> None:
    def hang(_asked: Asked) -> Reply:
        desk.at.released.wait()
        return Reply()

    def hang_up(_asked: Asked) -> Reply:
        raise Reset

    client = wechat_client(desk.at.url, answer_seconds=0.2)
    for reply in (hang, hang_up):
        desk.at.reply = reply
        with pytest.raises(GatewayUnknown):
            client.query(ORDER_NO)
    client.close_connections()


def test_an_answer_that_trickles_is_given_up(desk: Desk) -> None:
    client = wechat_client(desk.at.url, answer_seconds=0.3)
    desk.answers["GET "] = Reply(headers=GOOD.headers, body=GOOD.body, drip_seconds=0.05)
    began = time.monotonic()
    with pytest.raises(GatewayUnknown, match="took too long"):
        client.query(ORDER_NO)
    assert time.monotonic() - began < 0.05 * len(GOOD.body)  # It was still coming.
    client.close_connections()


def test_threads_share_a_client(desk: Desk, wechat: WechatPay) -> None:
    def reply(asked: Asked) -> Reply:
        order_no = asked.path.rpartition("/")[2].partition("?")[0]
        return signed(PAID | {"out_trade_no": order_no})

    desk.at.reply = reply
    wanted = [f"W{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        assert [one.order_no for one in threads.map(wechat.query, wanted)] == wanted


def test_failures_say_nothing_about_payers_and_keys(desk: Desk, wechat: WechatPay) -> None:
    desk.answers["POST "] = refusal(400, "PARAM_ERROR")
    with capture_logs() as logged, pytest.raises(GatewayRefused) as caught:
        wechat.place(_pay("jsapi", openid="oUpF8uMuAJO"))
    assert logged == [
        {
            "event": "gateway.failed",
            "log_level": "warning",
            "provider": "wechat",
            "call": "v3/pay/transactions/jsapi",
            "status": 400,
            "reason": "PARAM_ERROR",
        }
    ]
    assert "oUpF8" not in repr(caught.value)
    assert str(OURS.private_numbers().d) not in repr(wechat.__dict__)
    assert "0123456789abcdef" not in repr(wechat.__dict__)


# -- closing


@pytest.mark.parametrize("reply", [signed(None, 204), refusal(404, "ORDER_NOT_EXIST"), refusal(400, "ORDER_CLOSED")])
def test_an_order_is_closed_also_when_there_is_none(desk: Desk, wechat: WechatPay, reply: Reply) -> None:
    desk.answers["POST "] = reply
    desk.answers["GET "] = signed({"mchid": MCHID, "out_trade_no": ORDER_NO, "trade_state": "CLOSED"})
    wechat.close(ORDER_NO)
    assert desk.asked[0] == (f"POST /v3/pay/transactions/out-trade-no/{ORDER_NO}/close", {"mchid": MCHID})


@pytest.mark.parametrize(("state", "reason"), [("SUCCESS", "paid"), ("REFUND", "paid"), ("USERPAYING", "ORDERPAID")])
def test_what_can_not_be_closed_is_looked_at(desk: Desk, wechat: WechatPay, state: str, reason: str) -> None:
    desk.answers |= {"POST ": refusal(400, "ORDERPAID"), "GET ": signed(PAID | {"trade_state": state})}
    with pytest.raises(GatewayRefused) as caught:
        wechat.close(ORDER_NO)
    assert caught.value.reason == reason
