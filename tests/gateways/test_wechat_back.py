"""What WeChat Pay's client makes of refunds and bills."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Refund, ToRefund
from atelier.gateways.wechat import WechatPay
from tests.gateways import counter
from tests.gateways.counter import Reply
from tests.gateways.merchants import NOW_MS, PAID, wechat_client
from tests.gateways.wechat_desk import Desk, refusal, signed

ORDER_NO, PAYMENT_NO, REFUND_NO = PAID["out_trade_no"], PAID["transaction_id"], "R20260101000000000001"
TO_REFUND = ToRefund(
    order_no=ORDER_NO, payment_no=PAYMENT_NO, refund_no=REFUND_NO, amount_fen=490, total_fen=990, reason="不" * 80
)
REFUND = {
    "refund_id": "50000000382019052709732678859",
    "out_refund_no": REFUND_NO,
    "transaction_id": PAYMENT_NO,
    "out_trade_no": ORDER_NO,
    "status": "PROCESSING",
    "amount": {"total": 990, "refund": 490, "payer_total": 990, "payer_refund": 490, "currency": "CNY"},
}


@pytest.fixture
def desk() -> Iterator[Desk]:
    with counter.opened(lambda _: Reply()) as at:
        yield Desk(at)


@pytest.fixture
def wechat(desk: Desk) -> Iterator[WechatPay]:
    client = wechat_client(desk.at.url)
    yield client
    client.close_connections()


# -- paying back


@pytest.mark.parametrize(
    ("told", "state"),
    [("SUCCESS", "succeeded"), ("PROCESSING", "processing"), ("CLOSED", "failed"), ("ABNORMAL", "processing")],
)
def test_a_refund_is_asked_for_and_looked_up(desk: Desk, wechat: WechatPay, told: str, state: Any) -> None:
    desk.answers |= {"POST ": signed(REFUND | {"status": told}), "GET ": signed(REFUND | {"status": told})}
    expected = Refund(refund_no=REFUND_NO, state=state, gateway_no="50000000382019052709732678859", amount_fen=490)
    assert wechat.refund(TO_REFUND) == expected
    assert wechat.query_refund(order_no=ORDER_NO, refund_no=REFUND_NO) == expected
    assert desk.asked == [
        (
            "POST /v3/refund/domestic/refunds",
            {
                "out_trade_no": ORDER_NO,
                "out_refund_no": REFUND_NO,
                "reason": "不" * 26,  # 78 bytes of 80.
                "notify_url": "https://atelier.test/api/payments/webhooks/wechat",
                "amount": {"refund": 490, "total": 990, "currency": "CNY"},
            },
        ),
        (f"GET /v3/refund/domestic/refunds/{REFUND_NO}", None),
    ]


def test_a_refund_that_wechat_does_not_have_is_absent(desk: Desk, wechat: WechatPay) -> None:
    desk.answers["GET "] = refusal(404, "RESOURCE_NOT_EXISTS")
    assert wechat.query_refund(order_no=ORDER_NO, refund_no=REFUND_NO) == Refund(refund_no=REFUND_NO, state="absent")


@pytest.mark.parametrize(
    "changes", [{"out_refund_no": "R2"}, {"out_trade_no": "W2"}, {"status": "?"}, {"amount": {"refund": "490"}}]
)
def test_an_answer_about_another_refund_is_none(desk: Desk, wechat: WechatPay, changes: Mapping[str, Any]) -> None:
    desk.answers |= dict.fromkeys(("GET ", "POST "), signed({**REFUND, **changes}))
    with pytest.raises(GatewayUnknown):
        wechat.refund(TO_REFUND)
    with pytest.raises(GatewayUnknown):
        wechat.query_refund(order_no=ORDER_NO, refund_no=REFUND_NO)


# -- bills

BILL = f"""\ufeff交易时间,微信订单号,商户订单号,交易状态,商户退款单号,退款状态,商品名称,订单金额,申请退款金额
`2026-01-01 08:00:01,`{PAYMENT_NO},`{ORDER_NO},`SUCCESS,`0,`,`a, b,`9.90,`0.00
总交易单数,应结订单总金额
`1,`9.90
""".encode()


def _with_bill(desk: Desk, body: bytes, *, hashed: bytes = BILL, **changes: Any) -> None:
    told = {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(hashed, usedforsecurity=False).hexdigest(),
        # Only the path counts: our signature goes to nobody else.
        "download_url": "https://elsewhere.test/v3/billdownload/file?token=a%2Bb",
    }
    desk.answers["GET /v3/bill/tradebill?"] = signed({**told, **changes})
    desk.answers["GET /v3/billdownload/file?token=a%2Bb"] = Reply(body=body)


def test_a_bill_is_fetched_and_its_hash_compared(desk: Desk, wechat: WechatPay) -> None:
    _with_bill(desk, gzip.compress(BILL))
    with wechat.bill("2026-01-01") as lines:
        [line] = lines
    assert (line.kind, line.order_no, line.payment_no, line.amount_fen) == ("payment", ORDER_NO, PAYMENT_NO, 990)
    assert line.at_ms == NOW_MS + 1_000
    assert desk.asked[0][0] == "GET /v3/bill/tradebill?bill_date=2026-01-01&bill_type=ALL&tar_type=GZIP"


@pytest.mark.parametrize("code", ["NO_STATEMENT_EXIST", "STATEMENT_CREATING"])
def test_a_day_without_a_bill_is_absent(desk: Desk, wechat: WechatPay, code: str) -> None:
    desk.answers["GET "] = refusal(400, code)
    with pytest.raises(GatewayRefused) as caught, wechat.bill("2026-01-01"):
        pass
    assert caught.value.reason == "absent"


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (gzip.compress(BILL.replace(b"9.90", b"0.01")), {}),
        (gzip.compress(BILL), {"hash_type": "MD5"}),
        (gzip.compress(BILL), {"hash_value": None}),
        (gzip.compress(BILL), {"download_url": ""}),
    ],
    ids=["another bill", "another kind of hash", "no hash", "no address"],
)
def test_a_bill_that_is_not_what_was_announced(
    desk: Desk, wechat: WechatPay, body: bytes, changes: Mapping[str, Any]
) -> None:
    _with_bill(desk, body, **changes)
    with pytest.raises(GatewayUnknown), wechat.bill("2026-01-01"):
        pass
