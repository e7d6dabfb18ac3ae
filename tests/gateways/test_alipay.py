"""Alipay's client against a gateway that verifies and signs: what is asked, what answers mean, what is not believed."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from atelier.gateways import alipay_wire
from atelier.gateways.alipay import Alipay
from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Refund, ToPay, ToRefund, Trade
from tests.gateways import counter
from tests.gateways.counter import Asked, Counter, Reply, Reset
from tests.gateways.merchants import APP_ID, NOW_MS, OURS, STRANGER, THEIRS, alipay_client

ORDER_NO, TRADE_NO, REFUND_NO = "A20260101000000000001", "2026010122001400000000000001", "R20260101000000000001"
TO_REFUND = ToRefund(
    order_no=ORDER_NO, payment_no=TRADE_NO, refund_no=REFUND_NO, amount_fen=490, total_fen=990, reason="不合适"
)
DONE = {"code": "10000", "msg": "Success"}
NO_TRADE = {"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_NOT_EXIST", "sub_msg": "交易不存在"}
PAID = {**DONE, "out_trade_no": ORDER_NO, "trade_no": TRADE_NO, "total_amount": "9.90", "trade_status": "TRADE_SUCCESS"}
Content = dict[str, str]


def _pay(channel: Any = "page", **changes: Any) -> ToPay:
    fields: dict[str, Any] = {
        "order_no": ORDER_NO,
        "amount_fen": 990,
        "subject": "创意工作坊 100 积分",
        "channel": channel,
        "created_ms": NOW_MS,
        "expires_ms": NOW_MS + 1_800_000,
    }
    return ToPay(**fields | changes)


class Desk:
    """The gateway's side: `answers` by method, each the content or what makes it of what was asked."""

    def __init__(self, at: Counter) -> None:
        self.at = at
        self.answers: dict[str, Content | Callable[[Content], Content]] = {}
        self.asked: list[tuple[str, Content, Content]] = []
        at.reply = self.reply

    def reply(self, asked: Asked) -> Reply:
        pairs = parse_qsl(urlsplit(asked.path).query, keep_blank_values=True)
        given = alipay_wire.verify_request([*pairs, *parse_qsl(asked.body.decode())], OURS.public_key())
        content = json.loads(given["biz_content"])
        self.asked.append((given["method"], content, given))
        answer = self.answers[given["method"]]
        told = answer(content) if callable(answer) else answer
        return Reply(body=alipay_wire.answered(told, method=given["method"], key=THEIRS).encode())


@pytest.fixture
def desk() -> Iterator[Desk]:
    with counter.opened(lambda _: Reply()) as at:
        yield Desk(at)


@pytest.fixture
def alipay(desk: Desk) -> Iterator[Alipay]:
    client = alipay_client(f"{desk.at.url}/alipay/gateway.do")
    yield client
    client.close_connections()


# -- paying


@pytest.mark.parametrize(
    ("channel", "method", "product"),
    [("page", "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"), ("wap", "alipay.trade.wap.pay", "QUICK_WAP_WAY")],
)
def test_a_page_to_pay_is_a_signed_address(channel: str, method: str, product: str) -> None:
    placed = alipay_client().place(_pay(channel, return_url="https://shop.test/paid?a=1&b=2"))
    assert placed.payment_url is not None
    address, _, query = placed.payment_url.partition("?")
    given = alipay_wire.verify_request(parse_qsl(query), OURS.public_key())
    content = json.loads(given["biz_content"])
    assert (address, given["method"], given["app_id"]) == ("https://openapi.alipay.test/gateway.do", method, APP_ID)
    assert given["timestamp"] == "2026-01-01 08:00:00"  # In Beijing, whatever this machine's zone is.
    assert given["notify_url"] == "https://atelier.test/api/payments/webhooks/alipay"
    assert given["return_url"] == "https://shop.test/paid?a=1&b=2"
    assert (content["out_trade_no"], content["total_amount"], content["product_code"]) == (ORDER_NO, "9.90", product)
    assert content["time_expire"] == "2026-01-01 08:30:00"


def test_subjects_have_nothing_that_alipay_forbids() -> None:
    placed = alipay_client().place(_pay(subject='a/b=c&d,"e"\n' + "很" * 200))
    assert placed.payment_url is not None
    content = json.loads(dict(parse_qsl(urlsplit(placed.payment_url).query))["biz_content"])
    assert content["subject"].startswith("a b c d  e  很")
    assert len(content["subject"]) == 127


def test_a_code_to_pay_is_asked_for(desk: Desk, alipay: Alipay) -> None:
    desk.answers["alipay.trade.precreate"] = {**DONE, "out_trade_no": ORDER_NO, "qr_code": "https://qr.alipay.test/1"}
    assert alipay.place(_pay("qr")).code_url == "https://qr.alipay.test/1"
    [(_, content, given)] = desk.asked
    assert (content["total_amount"], given["notify_url"].rpartition("/")[2]) == ("9.90", "alipay")
    # What is public is in the address and what is sold in the body, as the gateway's own libraries do it.
    assert "biz_content" not in desk.at.asked[0].path


def test_a_channel_of_the_other_gateway_is_refused(alipay: Alipay) -> None:
    with pytest.raises(GatewayRefused, match="channel"):
        alipay.place(_pay("native"))


# -- asking


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"trade_status": "TRADE_SUCCESS", "send_pay_date": "2026-01-01 08:00:01"},
            Trade(order_no=ORDER_NO, state="paid", payment_no=TRADE_NO, amount_fen=990, paid_ms=NOW_MS + 1_000),
        ),
        (
            {"trade_status": "TRADE_FINISHED"},
            Trade(order_no=ORDER_NO, state="paid", payment_no=TRADE_NO, amount_fen=990),
        ),
        (
            {"trade_status": "TRADE_CLOSED", "send_pay_date": "2026-01-01 08:00:01"},
            Trade(order_no=ORDER_NO, state="refunded", payment_no=TRADE_NO, amount_fen=990, paid_ms=NOW_MS + 1_000),
        ),
        ({"trade_status": "TRADE_CLOSED"}, Trade(order_no=ORDER_NO, state="closed", amount_fen=990)),
        ({"trade_status": "WAIT_BUYER_PAY"}, Trade(order_no=ORDER_NO, state="pending", amount_fen=990)),
    ],
)
def test_what_became_of_a_trade(desk: Desk, alipay: Alipay, changes: Content, expected: Trade) -> None:
    desk.answers["alipay.trade.query"] = {**PAID, **changes}
    assert alipay.query(ORDER_NO) == expected


def test_a_trade_that_nobody_opened_is_absent(desk: Desk, alipay: Alipay) -> None:
    desk.answers["alipay.trade.query"] = NO_TRADE
    assert alipay.query(ORDER_NO) == Trade(order_no=ORDER_NO, state="absent")


STRANGE: list[Mapping[str, Any]] = [
    {"out_trade_no": "A20260101000000000002"},  # Signed, but for another order: played back.
    {"trade_status": "?"},
    {"trade_status": None},
    {"total_amount": "9.901"},
    {"total_amount": 9.9},
    {"trade_no": ""},
    {"send_pay_date": "soon"},
    {"code": "20000", "sub_code": "isp.unknow-error"},
    {"code": "40002", "sub_code": "isv.invalid-signature"},
    {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"},
    {"code": None},
]


@pytest.mark.parametrize("changes", STRANGE)
def test_what_is_signed_and_still_no_answer(desk: Desk, alipay: Alipay, changes: Mapping[str, Any]) -> None:
    desk.answers["alipay.trade.query"] = {**PAID, **changes}
    with pytest.raises(GatewayUnknown):
        alipay.query(ORDER_NO)


def test_a_business_failure_is_a_no_with_its_code(desk: Desk, alipay: Alipay) -> None:
    desk.answers["alipay.trade.refund"] = {**NO_TRADE, "sub_code": "ACQ.SELLER_BALANCE_NOT_ENOUGH"}
    with pytest.raises(GatewayRefused) as caught:
        alipay.refund(TO_REFUND)
    assert caught.value.reason == "ACQ.SELLER_BALANCE_NOT_ENOUGH"


SIGNED = alipay_wire.answered(PAID, method="alipay.trade.query", key=THEIRS).encode()
UNBELIEVABLE: dict[str, Reply] = {
    "another key": Reply(body=alipay_wire.answered(PAID, method="alipay.trade.query", key=STRANGER).encode()),
    "another method": Reply(body=alipay_wire.answered(PAID, method="alipay.trade.close", key=THEIRS).encode()),
    "tampered": Reply(body=SIGNED.replace(b"9.90", b"0.01")),
    "unsigned": Reply(body=b'{"alipay_trade_query_response":' + json.dumps(PAID).encode() + b"}"),
    "two bodies": Reply(body=SIGNED[:-1] + b',"alipay_trade_query_response":{"code":"10000"}}'),
    "no JSON": Reply(body=b"<html>busy</html>"),
    "deep": Reply(body=b"[" * 100_000),
    "long number": Reply(body=b'{"a":' + b"1" * 10_000 + b"}"),
    "no text": Reply(body=b"\xff\xfe"),
    "nothing": Reply(),
    "5xx": Reply(status=502, body=SIGNED),
    "403": Reply(status=403, body=SIGNED),
    "elsewhere": Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}, body=SIGNED),
    "half": Reply(body=SIGNED[:50], length=len(SIGNED)),
    "too large": Reply(body=SIGNED + b" " * 1_100_000),
    "encoded": Reply(headers={"Content-Encoding": "gzip"}, body=SIGNED),
}


@pytest.mark.parametrize("how", UNBELIEVABLE)
def test_what_is_not_believed(desk: Desk, alipay: Alipay, how: str) -> None:
    desk.at.reply = lambda _: UNBELIEVABLE[how]
    with pytest.raises(GatewayUnknown):
        alipay.query(ORDER_NO)
    assert len(desk.at.asked) == 1  # What may have arrived is not sent again.


def test_a_gateway_that_hangs_or_hangs_up_is_unknown(desk: Desk) -> None:
    def hang(_asked: Asked) -> Reply:
        desk.at.released.wait()
        return Reply()

    def hang_up(_asked: Asked) -> Reply:
        raise Reset

    client = alipay_client(desk.at.url, answer_seconds=0.2)
    for reply in (hang, hang_up):
        desk.at.reply = reply
        with pytest.raises(GatewayUnknown):
            client.query(ORDER_NO)
    client.close_connections()


def test_a_gateway_that_is_not_there_is_unknown() -> None:
    with counter.opened(lambda _: Reply()) as at:
        nowhere = at.url
    client = alipay_client(nowhere, answer_seconds=1)
    with pytest.raises(GatewayUnknown, match="ConnectError"):
        client.query(ORDER_NO)
    client.close_connections()


# -- closing


@pytest.mark.parametrize("status", [DONE | {"out_trade_no": ORDER_NO}, NO_TRADE])
def test_an_order_is_closed_also_when_there_is_no_trade(desk: Desk, alipay: Alipay, status: Content) -> None:
    desk.answers |= {"alipay.trade.close": status, "alipay.trade.query": NO_TRADE}
    alipay.close(ORDER_NO)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"trade_status": "TRADE_CLOSED"}, None),
        ({"trade_status": "TRADE_SUCCESS"}, "paid"),
        ({"trade_status": "TRADE_CLOSED", "send_pay_date": "2026-01-01 08:00:01"}, "paid"),
        ({"trade_status": "WAIT_BUYER_PAY"}, "ACQ.REASON_TRADE_STATUS_INVALID"),
    ],
)
def test_what_can_not_be_closed_is_looked_at(desk: Desk, alipay: Alipay, found: Content, reason: str | None) -> None:
    desk.answers["alipay.trade.close"] = {**NO_TRADE, "sub_code": "ACQ.REASON_TRADE_STATUS_INVALID"}
    desk.answers["alipay.trade.query"] = {**PAID, **found}
    if reason is None:
        alipay.close(ORDER_NO)
    else:
        with pytest.raises(GatewayRefused) as caught:
            alipay.close(ORDER_NO)
        assert caught.value.reason == reason


# -- paying back

REFUNDED = {
    **DONE,
    "out_trade_no": ORDER_NO,
    "trade_no": TRADE_NO,
    "out_request_no": REFUND_NO,
    "refund_amount": "4.90",
    "refund_status": "REFUND_SUCCESS",
}


def test_money_that_moved_is_a_refund(desk: Desk, alipay: Alipay) -> None:
    # `refund_fee` counts what went back before, too.
    desk.answers["alipay.trade.refund"] = {
        **DONE,
        "out_trade_no": ORDER_NO,
        "fund_change": "Y",
        "refund_fee": "9.90",
    }
    assert alipay.refund(TO_REFUND) == Refund(refund_no=REFUND_NO, state="succeeded", amount_fen=490)
    [(_, content, _)] = desk.asked
    assert (content["out_request_no"], content["refund_amount"], content["trade_no"]) == (REFUND_NO, "4.90", TRADE_NO)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (REFUNDED, ("succeeded", 490)),
        (DONE, ("processing", None)),
        ({**REFUNDED, "refund_status": "REFUND_PROCESSING"}, ("processing", 490)),
        ({**REFUNDED, "refund_status": "REFUND_FAIL"}, ("failed", 490)),
    ],
)
def test_a_repeated_refund_is_asked_for(desk: Desk, alipay: Alipay, told: Content, expected: object) -> None:
    desk.answers["alipay.trade.refund"] = {**DONE, "out_trade_no": ORDER_NO, "fund_change": "N"}
    desk.answers["alipay.trade.fastpay.refund.query"] = told
    found = alipay.refund(TO_REFUND)
    assert (found.state, found.amount_fen) == expected


@pytest.mark.parametrize("told", [DONE, NO_TRADE, {**REFUNDED, "refund_status": ""}])
def test_a_refund_that_alipay_does_not_have_is_absent(desk: Desk, alipay: Alipay, told: Content) -> None:
    desk.answers["alipay.trade.fastpay.refund.query"] = told
    assert alipay.query_refund(order_no=ORDER_NO, refund_no=REFUND_NO).state == "absent"


@pytest.mark.parametrize(
    "changes",
    [{"out_request_no": "R2"}, {"out_trade_no": "A2"}, {"refund_status": "?"}, {"refund_amount": "x"}],
)
def test_an_answer_about_another_refund_is_none(desk: Desk, alipay: Alipay, changes: Content) -> None:
    desk.answers["alipay.trade.fastpay.refund.query"] = {**REFUNDED, **changes}
    with pytest.raises(GatewayUnknown):
        alipay.query_refund(order_no=ORDER_NO, refund_no=REFUND_NO)


# -- bills

BILL = """#支付宝业务明细查询
支付宝交易号,商户订单号,业务类型,完成时间,订单金额（元）,退款批次号/请求号
2026010122001400000000000001\t,A20260101000000000001\t,交易,2026-01-01 08:00:01\t,9.90,\t
#列表结束
"""


def _zip(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("20880000_20260101_业务明细.csv", text.encode("gbk"))
    return made.getvalue()


def _with_bill(desk: Desk, bill: Reply, *, address: str | None = None) -> None:
    desk.answers["alipay.data.dataservice.bill.downloadurl.query"] = lambda content: {
        **DONE,
        "bill_download_url": address or f"{desk.at.url}/bill?day={content['bill_date']}",
    }
    desk.at.reply = lambda asked: bill if asked.path.startswith("/bill?") else desk.reply(asked)


def test_a_bill_is_fetched_from_where_alipay_says(desk: Desk, alipay: Alipay) -> None:
    _with_bill(desk, Reply(body=_zip(BILL)))
    with alipay.bill("2026-01-01") as lines:
        [line] = lines
    assert (line.kind, line.order_no, line.payment_no, line.amount_fen) == ("payment", ORDER_NO, TRADE_NO, 990)
    assert line.at_ms == NOW_MS + 1_000
    assert desk.at.asked[-1].path == "/bill?day=2026-01-01"


def test_a_day_without_a_bill_is_absent(desk: Desk, alipay: Alipay) -> None:
    desk.answers["alipay.data.dataservice.bill.downloadurl.query"] = {**NO_TRADE, "sub_code": "isp.bill_not_exist"}
    with pytest.raises(GatewayRefused) as caught, alipay.bill("2026-01-01"):
        pass
    assert caught.value.reason == "absent"


@pytest.mark.parametrize("reply", [Reply(status=404), Reply(status=302), Reply(body=_zip(BILL)[:99], length=9_999)])
def test_a_bill_that_does_not_come_is_unknown(desk: Desk, alipay: Alipay, reply: Reply) -> None:
    _with_bill(desk, reply)
    with pytest.raises(GatewayUnknown), alipay.bill("2026-01-01"):
        pass


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/", "http://[", "https://", "nonsense"])
def test_a_bill_behind_a_strange_address_is_not_fetched(desk: Desk, alipay: Alipay, address: str) -> None:
    _with_bill(desk, Reply(), address=address)
    with pytest.raises(GatewayUnknown), alipay.bill("2026-01-01"):
        pass
    assert len(desk.at.asked) == 1
