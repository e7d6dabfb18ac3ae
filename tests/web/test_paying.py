"""Orders and the sandbox of both gateways: what we place can be paid there, and what it does is ours to know."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.ledger import queries as balances
from atelier.orders import seeding
from tests.live.harness import Person, Served, World, serving
from tests.sandbox_server import SandboxServer

PACKAGE = next(iter(seeding.OFFERED))
PRICE_FEN, CREDITS = 990, 100
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
Fault = dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """A web role whose gateways are in the sandbox, and someone who buys."""

    served: Served
    world: World
    sandbox: SandboxServer
    mei: Person

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Ask as the buyer."""
        sent = {**self.mei.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        async with self.served.client.request(method, path, json=body, headers=sent) as answer:
            return answer.status, await answer.json()

    async def buy(self, provider: str, key: str = "k", **body: Any) -> tuple[int, Any]:
        """Order the cheapest package."""
        asked = {"packageId": PACKAGE, "paymentMethod": provider, **body}
        return await self.ask("POST", "/api/payments/credits/purchase", asked, Idempotency_Key=key)

    async def act(self, verb: str, order_id: str) -> tuple[int, Any]:
        """Cancel it or pay it."""
        return await self.ask("POST", f"/api/payments/orders/{order_id}/{verb}")

    @property
    def available(self) -> int:
        """What the buyer has."""
        return self.world.db.read(balances.balance, user_id=self.mei.id).available

    def trades(self) -> list[tuple[str, int, str]]:
        """What the sandbox knows: number, fen, and what became of it."""
        return [(one["order_no"], one["amount_fen"], one["state"]) for one in self.sandbox.books()["trades"]]


@pytest_asyncio.fixture
async def shop(db: Database, settings: Callable[..., Settings], sandbox: SandboxServer) -> AsyncIterator[Shop]:
    """Nobody tells it of payments: it has to ask."""
    chosen = settings(
        web_relay=False,
        payment_answer_seconds=1,
        return_urls="https://shop.test",
        pending_orders_max=50,
        **sandbox.settings,
    )
    db.transact(seeding.seed, now_ms=now_ms())
    sandbox.fault("drop", on="notice", left=None)
    world = World(db, chosen)
    async with serving(chosen) as served:
        yield Shop(served, world, sandbox, world.person())


def pay(sandbox: SandboxServer, made: Any) -> None:
    """Do what the payer does with what the shop gives."""
    if made["parameters"]:
        sandbox.control("jsapi", **made["parameters"])
    else:
        sandbox.pay_at(made["paymentUrl"] or made["codeUrl"])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_every_link_leads_to_its_order(shop: Shop) -> None:
    ways: Sequence[tuple[str, Fault]] = (
        ("alipay", {"returnUrl": "https://shop.test/done"}),
        ("alipay", {"channel": "wap"}),
        ("alipay", {"channel": "qr"}),
        ("wechat", {}),
        ("wechat", {"channel": "h5"}),
        ("wechat", {"channel": "jsapi", "openid": OPENID}),
    )
    for number, (provider, body) in enumerate(ways):
        status, made = await shop.buy(provider, f"k{number}", **body)
        assert status == 200, made
        status, link = await shop.act("pay", made["orderId"]) if "openid" not in body else (200, made)
        assert (status, link["orderNo"]) == (200, made["orderNo"])
        pay(shop.sandbox, link)
        trade = shop.sandbox.trade(made["orderNo"])
        assert (trade["paid_fen"], trade["provider"]) == (PRICE_FEN, provider), trade
        status, problem = await shop.act("cancel", made["orderId"])
        assert (status, problem["orderStatus"]) == (409, "paid")
        assert shop.available == (number + 1) * CREDITS


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "error"}, 503, "GATEWAY_UNKNOWN"),
        ({"kind": "hang"}, 503, "GATEWAY_UNKNOWN"),
        ({"kind": "lost"}, 503, "GATEWAY_UNKNOWN"),
        ({"kind": "forged"}, 503, "GATEWAY_UNKNOWN"),
        ({"kind": "http", "status": 502}, 503, "GATEWAY_UNKNOWN"),
        ({"kind": "refuse", "code": "INVALID_REQUEST", "status": 400}, 502, "GATEWAY_REFUSED"),
    ],
    ids=["error", "hang", "lost", "forged", "http", "refuse"],
)
async def test_a_sick_gateway_strands_no_order(shop: Shop, fault: Fault, status: int, code: str) -> None:
    shop.sandbox.fault(**fault, on="call", call="place")
    found, problem = await shop.buy("wechat")
    assert (found, problem["code"]) == (status, code), problem
    found, made = await shop.buy("wechat")
    assert (found, made["orderId"], made["orderNo"]) == (200, problem["orderId"], problem["orderNo"])
    assert await shop.buy("wechat") == (200, made)
    assert shop.trades() == [(made["orderNo"], PRICE_FEN, "unseen")]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_canceling_closes_it_there_too(shop: Shop) -> None:
    _, made = await shop.buy("wechat")
    shop.sandbox.fault("hang", on="call", call="close")
    status, problem = await shop.act("cancel", made["orderId"])
    assert (status, problem["code"]) == (503, "GATEWAY_UNKNOWN")
    assert shop.trades() == [(made["orderNo"], PRICE_FEN, "unseen")]
    shop.sandbox.fault("lost", on="call", call="close")
    status, problem = await shop.act("cancel", made["orderId"])
    assert (status, problem["code"]) == (503, "GATEWAY_UNKNOWN")
    status, order = await shop.act("cancel", made["orderId"])
    assert (status, order["status"], shop.trades()) == (200, "closed", [(made["orderNo"], PRICE_FEN, "closed")])
    status, problem = await shop.act("pay", made["orderId"])
    assert (status, problem["orderStatus"]) == (409, "closed")
