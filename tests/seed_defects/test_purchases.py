"""Buying agents: A57 to A72, and who may generate without having bought: A79."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from atelier.catalog.models import AGENTS
from atelier.catalog.purchases import SUBSCRIBED_MS
from atelier.kernel.clock import DAY_MS, HOUR_MS
from atelier.kernel.database import is_check_violation
from atelier.kernel.ids import new_id
from atelier.marketplace import downloads
from tests.marketplace.buying import Market
from tests.seed_defects.conftest import Got, Shop

PRICE = 50
HISTORY = "/api/payments/credits/history"


@dataclass(frozen=True)
class User:
    """Someone who is signed in."""

    shop: Shop
    id: str
    token: str

    @classmethod
    async def new(cls, shop: Shop, *, amount: int = 0, role: str = "user") -> "User":
        """Someone with so many credits."""
        token = await shop.token(f"u{new_id()[-12:]}", amount=amount, role=role)
        profile = await shop.ask("GET", "/api/auth/profile", token=token)
        return cls(shop, profile.body["id"], token)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Got:
        """Ask as this user."""
        return await self.shop.ask(method, path, body, token=self.token, **headers)

    async def buy(self, agent_id: str, body: Any = None, **headers: str) -> Got:
        """Buy an agent."""
        return await self.ask("POST", f"/api/agents/{agent_id}/purchase", body, **headers)

    async def balance(self) -> int:
        """What there is to spend."""
        return int((await self.ask("GET", "/api/payments/credits/balance")).body["available"])

    async def generate(self, agent_id: str) -> Got:
        """Submit a job."""
        return await self.ask("POST", "/api/workshop/generate", {"agentId": agent_id, "inputData": {"prompt": "回声"}})


@dataclass(frozen=True)
class Stall:
    """A creator with something to sell."""

    market: Market
    creator: User

    def agent(self, price_type: str = "one_time", *, price: int = PRICE) -> str:
        """A published agent."""
        return self.market.agent(self.creator.id, price_type=price_type, price=price)


@pytest.fixture
def market(shop: Shop) -> Market:
    return Market(shop.db)


async def stall(shop: Shop, market: Market) -> Stall:
    return Stall(market, await User.new(shop))


async def test_A57_parallel_requests_are_one_purchase_and_one_charge(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=20 * PRICE)
    agent_id = seller.agent()
    answers = await asyncio.gather(*(buyer.buy(agent_id) for _ in range(20)))
    assert sorted(one.status for one in answers) == [200] + [400] * 19
    refused = next(one.body for one in answers if one.status == 400)
    assert (refused["code"], refused["error"]) == ("ALREADY_PURCHASED", "您已购买该Agent")
    assert await buyer.balance() == 19 * PRICE
    assert len(market.purchases(buyer.id)) == 1


async def test_A58_no_order_of_requests_makes_a_balance_negative(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=3 * PRICE + 1)
    agents = [seller.agent() for _ in range(20)]
    answers = await asyncio.gather(*(buyer.buy(agent_id) for agent_id in agents))
    assert sorted(one.status for one in answers) == [200] * 3 + [400] * 17
    assert {one.body["code"] for one in answers if one.status == 400} == {"INSUFFICIENT_CREDITS"}
    assert await buyer.balance() == 1
    assert market.examine().totals == {}


async def test_A59_price_and_publication_are_those_of_the_moment_of_payment(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=500)
    agent_id = seller.agent()
    market.change(agent_id, base_price=60)
    changed = await buyer.buy(agent_id, {"expectedPrice": PRICE})
    assert (changed.status, changed.body["code"], changed.body["price"]) == (409, "PRICE_CHANGED", 60)
    market.change(agent_id, status="archived")
    gone = await buyer.buy(agent_id, {"expectedPrice": 60})
    assert (gone.status, gone.body["error"]) == (404, "Agent不存在")
    assert await buyer.balance() == 500
    market.change(agent_id, status="published")
    assert (await buyer.buy(agent_id, {"expectedPrice": 60})).status == 200
    assert await buyer.balance() == 440


async def test_A60_the_statement_has_the_balance_after_each_line(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=10 * PRICE)
    agents = [seller.agent() for _ in range(10)]
    await asyncio.gather(*(buyer.buy(agent_id) for agent_id in agents))
    lines = (await buyer.ask("GET", f"{HISTORY}?limit=50")).body["transactions"]
    bought = [line["balanceAfter"] for line in lines if line["type"] == "purchase"]
    assert bought == [number * PRICE for number in range(10)]


async def test_A61_who_let_a_subscription_expire_can_buy_it_again(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=2 * PRICE)
    agent_id = seller.agent("subscription")
    first = (await buyer.buy(agent_id)).body["purchase"]
    assert (await buyer.generate(agent_id)).status == 202
    market.elapse(first["id"], SUBSCRIBED_MS + HOUR_MS)
    refused = await buyer.generate(agent_id)
    assert (refused.status, refused.body["error"]) == (403, "您还未购买该Agent")
    assert (await buyer.buy(agent_id)).status == 200
    assert (await buyer.generate(agent_id)).status == 202


@pytest.mark.parametrize(("price_type", "code"), [("free", "AGENT_IS_FREE"), ("pay_per_use", "AGENT_IS_PAID_PER_USE")])
async def test_A62_only_what_has_to_be_bought_can_be(shop: Shop, market: Market, price_type: str, code: str) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=500)
    refused = await buyer.buy(seller.agent(price_type))
    assert (refused.status, refused.body["code"]) == (400, code)
    assert await buyer.balance() == 500


async def test_A63_nothing_is_for_sale_without_a_price(shop: Shop, market: Market) -> None:
    agent_id = (await stall(shop, market)).agent()
    for price in (None, 0, -1):
        with pytest.raises(DBAPIError) as caught:
            market.change(agent_id, base_price=price)
        assert is_check_violation(caught.value)


async def test_A64_a_subscription_is_extended_from_its_end(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=3 * PRICE)
    agent_id = seller.agent("subscription")
    await buyer.buy(agent_id)
    assert (await buyer.buy(agent_id)).body["code"] == "ALREADY_PURCHASED"
    assert (await buyer.buy(agent_id, {"renew": True}, Idempotency_Key="a")).status == 200
    first, second = market.purchases(buyer.id)
    assert first["expires_ms"] == first["created_ms"] + SUBSCRIBED_MS
    assert second["expires_ms"] == first["expires_ms"] + SUBSCRIBED_MS
    assert await buyer.balance() == PRICE


async def test_A65_what_the_buyer_pays_the_creator_and_the_platform_get(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=PRICE)
    await buyer.buy(seller.agent())
    assert (await buyer.balance(), await seller.creator.balance()) == (0, 35)
    (line,) = (await seller.creator.ask("GET", "/api/creators/earnings")).body["earnings"]
    assert (line["amount"], line["share"]) == (PRICE, 35)
    assert market.examine().totals == {}


async def test_A66_nobody_buys_their_own_agent(shop: Shop, market: Market) -> None:
    creator = await User.new(shop, amount=500)
    refused = await creator.buy(market.agent(creator.id))
    assert (refused.status, refused.body["code"]) == (400, "OWN_AGENT")
    assert await creator.balance() == 500


async def test_A67_a_purchase_is_a_purchase_in_the_statement(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=PRICE)
    bought = (await buyer.buy(seller.agent())).body["purchase"]
    line = (await buyer.ask("GET", HISTORY)).body["transactions"][0]
    assert (line["type"], line["amount"], line["balanceAfter"]) == ("purchase", -PRICE, 0)
    assert (line["relatedId"], line["relatedType"]) == (bought["id"], "agent_purchase")
    assert line["description"] == "购买Agent: 海报大师"


async def test_A68_downloads_are_counted_apart_from_the_money(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=PRICE)
    agent_id = seller.agent()
    before = shop.db.read(agent_row, agent_id)
    await buyer.buy(agent_id)
    assert shop.db.read(agent_row, agent_id) == before  # The row that everyone reads is not written by a purchase.
    downloads.count(shop.db)
    assert shop.db.read(agent_row, agent_id)["downloads_count"] == before["downloads_count"] + 1


def agent_row(session: Session, agent_id: str) -> dict[str, Any]:
    return dict(session.execute(select(AGENTS).where(AGENTS.c.id == agent_id)).mappings().one())


async def test_A69_what_is_logged_and_told_is_part_of_the_purchase(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=PRICE)
    agent_id = seller.agent()
    assert (await buyer.buy(agent_id)).status == 200
    (logged,) = market.operations()
    assert (logged["user_id"], logged["resource_id"], logged["details"]["price"]) == (buyer.id, agent_id, PRICE)
    assert market.told(seller.creator.id) == [("agent_sold", {"agentName": "海报大师", "amount": 35})]
    assert (await buyer.buy(seller.agent())).status == 400
    assert len(market.operations()) == len(market.told(seller.creator.id)) == 1


async def test_A71_a_request_that_is_sent_twice_under_one_key_is_answered_twice_and_done_once(
    shop: Shop, market: Market
) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=2 * PRICE)
    agent_id = seller.agent()
    first, again = [await buyer.buy(agent_id, Idempotency_Key="k") for _ in range(2)]
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (200, first.body, "true")
    assert await buyer.balance() == PRICE


async def test_A72_what_expires_is_ended_and_what_was_paid_can_be_given_back(shop: Shop, market: Market) -> None:
    seller, buyer = await stall(shop, market), await User.new(shop, amount=PRICE)
    bought = (await buyer.buy(seller.agent("subscription"))).body["purchase"]
    market.elapse(bought["id"], SUBSCRIBED_MS + DAY_MS)
    assert market.expire() == 1
    assert (await buyer.ask("GET", "/api/purchases")).body["purchases"][0]["isActive"] is False
    assert market.told(buyer.id) == [("subscription_expired", {"agentName": "海报大师"})]
    admin = await User.new(shop, role="admin")
    path = f"/api/admin/users/{buyer.id}/credits"
    given = await admin.ask("POST", path, {"amount": PRICE, "reason": "退款"}, Idempotency_Key="refund")
    assert given.status in {200, 201}, given.text
    assert await buyer.balance() == PRICE
    assert market.examine().totals == {}


async def test_A79_what_is_paid_per_use_or_ones_own_is_used_without_a_purchase(shop: Shop, market: Market) -> None:
    seller, user = await stall(shop, market), await User.new(shop, amount=PRICE)
    assert (await user.generate(seller.agent("pay_per_use", price=1))).status == 202
    assert (await user.generate(seller.agent("free"))).status == 202
    for price_type in ("one_time", "subscription"):
        agent_id = seller.agent(price_type)
        refused = await user.generate(agent_id)
        assert (refused.status, refused.body["error"]) == (403, "您还未购买该Agent")
        assert (await seller.creator.generate(agent_id)).status == 202
