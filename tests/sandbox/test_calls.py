"""How calls go wrong, and what of them was done all the same."""

from typing import Any

import httpx
import pytest

from atelier.gateways.errors import Forged
from tests.sandbox.conftest import Merchant, number
from tests.sandbox_server import SandboxRefused, SandboxServer

REFUNDS = "/v3/refund/domestic/refunds"


def paid(merchant: Merchant, provider: str) -> str:
    order_no = number()
    merchant.sandbox.pay_at(merchant.page(order_no) if provider == "alipay" else merchant.native(order_no))
    return order_no


def refund(merchant: Merchant, provider: str, order_no: str) -> Any:
    if provider == "alipay":
        return merchant.alipay("alipay.trade.refund", out_trade_no=order_no, refund_amount="1.00", out_request_no="r1")
    amount = {"refund": 100, "total": 990, "currency": "CNY"}
    return merchant.wechat("POST", REFUNDS, {"out_trade_no": order_no, "out_refund_no": "r1", "amount": amount})


both = pytest.mark.parametrize("provider", ["alipay", "wechat"])


@both
@pytest.mark.parametrize(
    ("fault", "alipay", "wechat"),
    [("error", "20000", (500, "SYSTEM_ERROR")), ("limit", "40005", (429, "FREQUENCY_LIMITED"))],
)
def test_nothing_is_done_when_it_says_try_again(
    merchant: Merchant, sandbox: SandboxServer, *, provider: str, fault: str, alipay: str, wechat: tuple[int, str]
) -> None:
    order_no = paid(merchant, provider)
    sandbox.fault(fault, call="refund", provider=provider)
    said = refund(merchant, provider, order_no)
    if provider == "alipay":
        assert said["code"] == alipay
    else:
        assert (said.status_code, said.json()["code"]) == wechat
    assert sandbox.trade(order_no)["refunds"] == []
    refund(merchant, provider, order_no)
    assert sandbox.trade(order_no)["refunded_fen"] == 100


@both
def test_an_answer_may_be_lost_after_it_was_done(merchant: Merchant, sandbox: SandboxServer, provider: str) -> None:
    order_no = paid(merchant, provider)
    sandbox.fault("lost", call="refund")
    with pytest.raises(httpx.TransportError):
        refund(merchant, provider, order_no)
    assert sandbox.trade(order_no)["refunded_fen"] == 100
    refund(merchant, provider, order_no)
    assert sandbox.trade(order_no)["refunded_fen"] == 100


@both
def test_a_call_may_hang_or_meet_something_in_between(
    merchant: Merchant, sandbox: SandboxServer, provider: str
) -> None:
    order_no = paid(merchant, provider)
    sandbox.fault("hang", call="refund", seconds=0.05)
    with pytest.raises(httpx.TransportError):
        refund(merchant, provider, order_no)
    sandbox.fault("http", call="refund", status=503)
    with pytest.raises(Forged):
        refund(merchant, provider, order_no)
    assert sandbox.trade(order_no)["refunds"] == []


@both
@pytest.mark.parametrize("fault", ["forged", "garbled", "bare", "old"])
def test_an_answer_may_be_done_and_not_to_be_believed(
    merchant: Merchant, sandbox: SandboxServer, provider: str, fault: str
) -> None:
    order_no = paid(merchant, provider)
    sandbox.fault(fault, call="refund")
    if (provider, fault) == ("alipay", "old"):  # Alipay's answers have no time.
        refund(merchant, provider, order_no)
    else:
        with pytest.raises(Forged):
            refund(merchant, provider, order_no)
    assert sandbox.trade(order_no)["refunded_fen"] == 100


def test_a_refusal_may_be_made_up(merchant: Merchant, sandbox: SandboxServer) -> None:
    sandbox.fault("refuse", call="query", code="RULE_LIMIT", status=403)
    assert merchant.wechat_query(paid(merchant, "wechat"))["code"] == "RULE_LIMIT"
    sandbox.fault("refuse", call="query", code="ACQ.SYSTEM_ERROR")
    found = merchant.alipay("alipay.trade.query", out_trade_no=paid(merchant, "alipay"))
    assert found["sub_code"] == "ACQ.SYSTEM_ERROR"


@both
def test_an_answer_may_be_late(merchant: Merchant, sandbox: SandboxServer, provider: str) -> None:
    order_no = paid(merchant, provider)
    sandbox.fault("late", call="refund", seconds=0.01)
    refund(merchant, provider, order_no)
    assert sandbox.trade(order_no)["refunded_fen"] == 100


def test_alipay_may_take_a_refund_and_not_say_how_it_ends(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = paid(merchant, "alipay")
    sandbox.fault("held", call="refund")
    assert refund(merchant, "alipay", order_no)["fund_change"] == "N"
    asked = {"out_trade_no": order_no, "out_request_no": "r1"}
    assert "refund_status" not in merchant.alipay("alipay.trade.fastpay.refund.query", **asked)
    sandbox.control("end_refund", refund_no="r1")
    found = merchant.alipay("alipay.trade.fastpay.refund.query", **asked)
    assert found["refund_status"] == "REFUND_SUCCESS"


@pytest.mark.parametrize("fault", [{"kind": "nothing"}, {"kind": "error", "call": "nothing"}, {}])
def test_there_are_no_other_faults(sandbox: SandboxServer, fault: dict[str, str]) -> None:
    with pytest.raises(SandboxRefused, match="no such"):
        sandbox.control("faults", **fault)
