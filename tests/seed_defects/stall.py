"""A shop with both gateways: orders are placed in books of the test, and notices are signed as the real ones are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from atelier.gateways.port import Gateway, Notice, ProviderName
from atelier.kernel.clock import now_ms
from atelier.orders import seeding
from tests.gateways import merchants
from tests.payments.booth import Booth
from tests.payments.counter import Counter
from tests.seed_defects.conftest import Got, Shop

BUY = "/api/payments/credits/purchase"
ALIPAY, WECHAT = "/api/payments/webhooks/alipay", "/api/payments/webhooks/wechat"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
STANDARD = list(seeding.OFFERED)[1]
PRICE, FEN, CREDITS = "49.00", 4_900, 550


class SignedBooth(Booth):
    """One whose notices are read by the product's own client of that gateway."""

    def __init__(self, name: ProviderName) -> None:
        super().__init__(name)
        self._client: Gateway = merchants.alipay_client() if name == "alipay" else merchants.wechat_client()

    @override
    def notice(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:
        return self._client.notice(headers, body, now_ms=now_ms)


@dataclass(frozen=True)
class Stall:
    """The running role, what a front end does there, and what gateways tell it."""

    shop: Shop
    counter: Counter
    alipay: SignedBooth
    wechat: SignedBooth

    async def buy(self, token: str, method: str = "alipay", *, key: str = "", **more: Any) -> Got:
        """Order the standard package."""
        body = {"packageId": STANDARD, "paymentMethod": method, **more}
        return await self.shop.ask("POST", BUY, body, token=token, **({"Idempotency_Key": key} if key else {}))

    async def order(self, token: str, method: str = "alipay") -> dict[str, Any]:
        """The answer to an order that went well."""
        got = await self.buy(token, method)
        assert got.status == 200, got.text
        made: dict[str, Any] = got.body
        return made

    async def see(self, token: str, made: Mapping[str, Any]) -> dict[str, Any]:
        """The order as its owner sees it."""
        found: dict[str, Any] = (
            await self.shop.ask("GET", f"/api/payments/orders/{made['orderId']}", token=token)
        ).body
        return found

    async def balance(self, token: str) -> int:
        """What they may spend."""
        available: int = (await self.shop.ask("GET", "/api/payments/credits/balance", token=token)).body["available"]
        return available

    async def by_alipay(
        self, order_no: str | None, *, more: bytes = b"", weak: bool = False, **fields: str | None
    ) -> Got:
        """A notice of Alipay, signed; `more` is put behind it, and `weak` claims an older kind of signature."""
        changes = {"total_amount": PRICE, "trade_no": f"T{order_no}", "notify_id": f"N{order_no}", **fields}
        body = merchants.alipay_notice({"out_trade_no": order_no, **changes})
        sent = body.replace(b"=RSA2", b"=RSA") if weak else body
        return await self.shop.ask("POST", ALIPAY, sent + more, Content_Type=FORM)

    async def by_wechat(self, order_no: str, **content: Any) -> Got:
        """A notice of WeChat Pay, signed and sealed now."""
        amount = {"total": FEN, "payer_total": FEN, "currency": "CNY", "payer_currency": "CNY"}
        paid = {**merchants.PAID, "out_trade_no": order_no, "transaction_id": f"4{order_no[:20]}", "amount": amount}
        body = merchants.wechat_notice({**paid, **content})
        elapsed = merchants.NOW_MS // 1000 - now_ms() // 1000
        headers = {
            name.replace("-", "_"): value for name, value in merchants.wechat_headers(body, late=elapsed).items()
        }
        return await self.shop.ask("POST", WECHAT, body, Content_Type=JSON, **headers)

    def settle(self) -> list[str]:
        """What the worker makes of everything that waits."""
        waiting = [event["id"] for event in self.counter.events() if event["due_ms"] is not None]
        settled = [self.counter.settle(event_id) for event_id in waiting]
        return [one.outcome for one in settled if one]

    def cases(self) -> list[str]:
        """What a person has to look at, or may."""
        return [case["kind"] for case in self.counter.cases()]
