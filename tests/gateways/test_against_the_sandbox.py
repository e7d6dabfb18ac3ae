"""Both clients, made from settings as the product makes them, against the sandbox: it verifies all that they send."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from atelier.gateways.choose import gateways_of
from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Channel, Gateway, Placed, ToPay, ToRefund
from atelier.gateways.times import from_plain, plain
from atelier.kernel import settings
from atelier.kernel.clock import DAY_MS, MINUTE_MS, now_ms
from tests.sandbox_server import SandboxServer

CHANNELS = [
    *(("alipay", one) for one in ("page", "wap", "qr")),
    *(("wechat", one) for one in ("native", "h5", "jsapi")),
]
FIRST: Mapping[str, Channel] = {"alipay": "page", "wechat": "native"}
both = pytest.mark.parametrize("provider", ["alipay", "wechat"])


@pytest.fixture
def gateways(sandbox: SandboxServer, tmp_path: Path) -> Iterator[Mapping[str, Gateway]]:
    made = gateways_of(settings.load(data_dir=tmp_path, payment_answer_seconds=5, **sandbox.settings))
    yield made
    for gateway in made.values():
        gateway.close_connections()


def _order(provider: str, channel: Channel | None = None) -> ToPay:
    now = now_ms()
    return ToPay(
        order_no=f"T{secrets.token_hex(12)}",
        amount_fen=990,
        subject='100 积分, "多" & more=1/2',
        channel=channel or FIRST[provider],
        created_ms=now,
        expires_ms=now + 30 * MINUTE_MS,
        return_url="https://shop.test/paid?a=1",
        address="203.0.113.7",
        openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    )


def _pay(sandbox: SandboxServer, placed: Placed) -> None:
    if placed.parameters is not None:
        sandbox.control("jsapi", **placed.parameters)
    else:
        sandbox.pay_at(placed.payment_url or placed.code_url or "")


def _paid(sandbox: SandboxServer, gateway: Gateway) -> tuple[str, str]:
    order = _order(gateway.name)
    _pay(sandbox, gateway.place(order))
    payment_no = gateway.query(order.order_no).payment_no
    assert payment_no is not None
    return order.order_no, payment_no


def _back(order_no: str, payment_no: str, refund_no: str, amount_fen: int = 490) -> ToRefund:
    return ToRefund(
        order_no=order_no,
        payment_no=payment_no,
        refund_no=refund_no,
        amount_fen=amount_fen,
        total_fen=990,
        reason="不合适",
    )


@pytest.mark.parametrize(("provider", "channel"), CHANNELS)
def test_an_order_is_paid_in_every_way(
    sandbox: SandboxServer, gateways: Mapping[str, Gateway], provider: str, channel: Channel
) -> None:
    gateway, order = gateways[provider], _order(provider, channel)
    assert gateway.query(order.order_no).state == "absent"
    gateway.place(order)
    _pay(sandbox, gateway.place(order))  # Asked again, another way to pay the same order.
    found = gateway.query(order.order_no)
    assert (found.state, found.amount_fen, found.currency) == ("paid", 990, "CNY")
    assert found.paid_ms is not None
    assert abs(found.paid_ms - now_ms()) < MINUTE_MS
    with pytest.raises(GatewayRefused, match="paid"):
        gateway.close(order.order_no)


@both
def test_an_order_is_closed_once_and_again(gateways: Mapping[str, Gateway], provider: str) -> None:
    gateway, order = gateways[provider], _order(provider, "qr" if provider == "alipay" else "native")
    gateway.close(order.order_no)  # Nobody has heard of it.
    gateway.place(order)
    for _ in range(2):
        gateway.close(order.order_no)
        assert gateway.query(order.order_no).state in ("closed", "absent")


@both
def test_money_goes_back_once_for_each_number(
    sandbox: SandboxServer, gateways: Mapping[str, Gateway], provider: str
) -> None:
    gateway = gateways[provider]
    order_no, payment_no = _paid(sandbox, gateway)
    refund_no = f"R{order_no}"
    assert gateway.query_refund(order_no=order_no, refund_no=refund_no).state == "absent"
    for _ in range(3):
        assert gateway.refund(_back(order_no, payment_no, refund_no)).state in ("succeeded", "processing")
    found = gateway.query_refund(order_no=order_no, refund_no=refund_no)
    assert (found.state, found.amount_fen) == ("succeeded", 490)
    assert sandbox.trade(order_no)["refunded_fen"] == 490
    with pytest.raises(GatewayRefused):
        gateway.refund(_back(order_no, payment_no, f"S{order_no}", 990))
    gateway.refund(_back(order_no, payment_no, f"S{order_no}", 500))
    assert gateway.query(order_no).state == "refunded"


@both
@pytest.mark.parametrize("fault", ["lost", "forged", "garbled", "bare"])
def test_a_refund_without_a_good_answer_is_unknown_and_done_once(
    sandbox: SandboxServer, gateways: Mapping[str, Gateway], provider: str, fault: str
) -> None:
    gateway = gateways[provider]
    order_no, payment_no = _paid(sandbox, gateway)
    sandbox.fault(fault, call="refund", provider=provider)
    with pytest.raises(GatewayUnknown):
        gateway.refund(_back(order_no, payment_no, f"R{order_no}"))
    assert gateway.refund(_back(order_no, payment_no, f"R{order_no}")).state == "succeeded"
    assert sandbox.trade(order_no)["refunded_fen"] == 490


@both
@pytest.mark.parametrize("fault", ["error", "limit", "http", "forged", "garbled", "bare"])
def test_what_the_sandbox_gets_wrong_is_unknown(
    sandbox: SandboxServer, gateways: Mapping[str, Gateway], provider: str, fault: str
) -> None:
    order_no, _ = _paid(sandbox, gateways[provider])
    more = {"status": 502} if fault == "http" else {}
    sandbox.fault(fault, call="query", provider=provider, **more)
    with pytest.raises(GatewayUnknown):
        gateways[provider].query(order_no)
    assert gateways[provider].query(order_no).state == "paid"


@both
def test_a_bill_names_what_was_paid_and_what_went_back(
    sandbox: SandboxServer, gateways: Mapping[str, Gateway], provider: str
) -> None:
    gateway = gateways[provider]
    order_no, payment_no = _paid(sandbox, gateway)
    gateway.refund(_back(order_no, payment_no, f"R{order_no}"))
    paid_ms = gateway.query(order_no).paid_ms
    assert paid_ms is not None
    day = plain(paid_ms)[:10]
    with pytest.raises(GatewayRefused) as caught, gateway.bill(day):
        pass
    assert caught.value.reason == "absent"
    sandbox.set(ahead_ms=2 * DAY_MS)
    with gateway.bill(day) as lines:
        found = [(one.kind, one.order_no, one.payment_no, one.amount_fen, one.refund_no) for one in lines]
    assert found == [
        ("payment", order_no, payment_no, 990, None),
        ("refund", order_no, payment_no, 490, f"R{order_no}"),
    ]
    sandbox.fault("garbled", call="download", provider=provider)
    with pytest.raises((GatewayRefused, GatewayUnknown)), gateway.bill(day) as lines:
        list(lines)
    with pytest.raises(GatewayRefused, match="absent"), gateway.bill(plain(from_plain(f"{day} 00:00:00") - 1)[:10]):
        pass


@pytest.mark.parametrize(
    "missing", [("wechat_certificates",), ("wechat_public_key", "wechat_public_key_id")], ids=["key", "certificate"]
)
def test_one_kind_of_platform_key_is_enough(sandbox: SandboxServer, tmp_path: Path, missing: tuple[str, ...]) -> None:
    chosen = {**sandbox.settings, **dict.fromkeys(missing, "")}
    gateway = gateways_of(settings.load(data_dir=tmp_path, **chosen))["wechat"]
    order_no, _ = _paid(sandbox, gateway)
    assert gateway.query(order_no).state == "paid"
    gateway.close_connections()
