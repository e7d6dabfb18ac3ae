"""Buying agents and earning by them, over HTTP."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from aiohttp import ClientResponse
from sqlalchemy import insert
from sqlalchemy.orm import Session

from atelier.catalog.purchases import SUBSCRIBED_MS
from atelier.generation.events import credits_changed
from atelier.kernel.clock import DAY_MS, HOUR_MS, now_ms, rfc3339
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger.models import EARNINGS
from atelier.marketplace.sharing import Sharer
from tests.live.harness import Person, Served, World, serving, socket
from tests.marketplace.buying import Market

PURCHASE = {"id", "agentId", "purchaseType", "isActive", "expiresAt", "createdAt", "autoRenew", "renewPrice"}
PRICE = 50
NEVER_RENEWED = {"autoRenew": False, "renewPrice": None}
NO_EARNINGS = {"count": 0, "amount": 0, "share": 0}


@dataclass(frozen=True)
class Town:
    """A web role, its marketplace, and the people there."""

    served: Served
    market: Market
    world: World

    def person(self, *, credits: int = 0) -> Person:  # noqa: A002 - the product's word
        """Someone with so many credits."""
        person = self.world.person()
        if credits:
            self.market.topup(person.id, credits)
        return person

    async def ask(
        self, method: str, path: str, body: Any = None, *, who: Person | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Ask; keywords are headers with `_` for `-`."""
        answer = await self.answer(method, path, body, who=who, **headers)
        return answer.status, await answer.json()

    async def answer(
        self, method: str, path: str, body: Any = None, *, who: Person | None = None, **headers: str
    ) -> ClientResponse:
        """The same, unread."""
        sent = {**(who.headers if who else {}), **{name.replace("_", "-"): text for name, text in headers.items()}}
        return await self.served.client.request(method, path, json=body, headers=sent)

    async def buy(self, agent_id: str, who: Person, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Buy an agent."""
        return await self.ask("POST", f"/api/agents/{agent_id}/purchase", body, who=who, **headers)

    async def balance(self, who: Person) -> int:
        """What they may spend."""
        status, found = await self.ask("GET", "/api/payments/credits/balance", who=who)
        assert status == 200
        available: int = found["available"]
        return available

    def use(self, agent_id: str, creator: Person, user: Person, price: int) -> None:
        """A job of the agent ends well."""
        self.market.agent_id, self.market.creator_id = agent_id, creator.id
        assert self.market.complete(self.market.claim_one(self.market.submit(user.id, price)))


@pytest_asyncio.fixture
async def town(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Town]:
    """A running web role."""
    chosen = settings(web_relay=False)
    market = Market(db)
    async with serving(chosen) as served:
        yield Town(served, market, World(db, chosen))


async def test_buying_as_the_front_ends_do(town: Town) -> None:
    creator, buyer = town.person(), town.person(credits=2 * PRICE)
    agent_id = town.market.agent(creator.id)
    status, bought = await town.buy(agent_id, buyer)
    assert (status, bought.keys(), bought["success"]) == (200, {"success", "purchase"}, True)
    purchase = bought["purchase"]
    assert purchase.keys() == PURCHASE
    assert (purchase["agentId"], purchase["purchaseType"], purchase["isActive"]) == (agent_id, "one_time", True)
    assert purchase["expiresAt"] is None
    assert (await town.balance(buyer), await town.balance(creator)) == (PRICE, 35)
    status, again = await town.buy(agent_id, buyer, {"expectedPrice": PRICE})
    assert (status, again["code"], again["error"]) == (400, "ALREADY_PURCHASED", "您已购买该Agent")
    _, history = await town.ask("GET", "/api/payments/credits/history", who=buyer)
    line = history["transactions"][0]
    assert (line["type"], line["amount"], line["balanceAfter"]) == ("purchase", -PRICE, PRICE)
    assert (line["description"], line["relatedId"]) == ("购买Agent: 海报大师", purchase["id"])
    assert line["relatedType"] == "agent_purchase"
    _, history = await town.ask("GET", "/api/payments/credits/history", who=creator)
    line = history["transactions"][0]
    assert (line["type"], line["amount"], line["description"]) == ("share", 35, "创作收入: 海报大师")
    assert town.market.examine().totals == {}


async def test_what_is_refused_says_why(town: Town) -> None:
    creator, poor = town.person(credits=500), town.person(credits=PRICE - 1)
    agent_id = town.market.agent(creator.id)
    status, problem = await town.buy(agent_id, poor)
    assert (status, problem["code"], problem["error"]) == (400, "INSUFFICIENT_CREDITS", "积分不足")
    assert (problem["balance"], problem["required"]) == (PRICE - 1, PRICE)
    status, problem = await town.buy(agent_id, poor, {"expectedPrice": PRICE - 1})
    assert (status, problem["code"], problem["price"]) == (409, "PRICE_CHANGED", PRICE)
    for price_type, code in (("free", "AGENT_IS_FREE"), ("pay_per_use", "AGENT_IS_PAID_PER_USE")):
        status, problem = await town.buy(town.market.agent(creator.id, price_type=price_type), poor)
        assert (status, problem["code"]) == (400, code)
    status, problem = await town.buy(agent_id, creator)
    assert (status, problem["code"]) == (400, "OWN_AGENT")
    unpublished = town.market.agent(creator.id)
    town.market.change(unpublished, status="review")
    for nothing in (new_id(), unpublished):
        status, problem = await town.buy(nothing, poor)
        assert (status, problem["code"], problem["error"]) == (404, "AGENT_NOT_FOUND", "Agent不存在")
    assert (await town.ask("POST", f"/api/agents/{agent_id}/purchase"))[0] == 401
    for body in ({"price": 1}, {"expectedPrice": "50"}, {"expectedPrice": -1}, {"renew": 1}, {"userId": poor.id}):
        status, problem = await town.buy(agent_id, poor, body)
        assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert await town.balance(poor) == PRICE - 1


async def test_a_subscription_is_renewed_under_a_key(town: Town) -> None:
    creator, buyer = town.person(), town.person(credits=5 * PRICE)
    agent_id = town.market.agent(creator.id, price_type="subscription")
    _, first = await town.buy(agent_id, buyer)
    assert first["purchase"]["purchaseType"] == "subscription"
    status, problem = await town.buy(agent_id, buyer, {"renew": True})
    assert (status, problem["details"][0]["path"]) == (400, ["Idempotency-Key"])
    status, second = await town.buy(agent_id, buyer, {"renew": True}, Idempotency_Key="r1")
    assert status == 200
    again = await town.answer(
        "POST", f"/api/agents/{agent_id}/purchase", {"renew": True}, who=buyer, Idempotency_Key="r1"
    )
    assert (again.headers["Idempotency-Replayed"], await again.json()) == ("true", second)
    assert (await town.buy(agent_id, buyer, {}, Idempotency_Key="r1"))[0] == 422
    assert await town.balance(buyer) == 3 * PRICE
    (row,) = [one for one in town.market.purchases(buyer.id) if one["active_slot"]]
    assert second["purchase"]["expiresAt"] == rfc3339(row["expires_ms"])
    assert row["expires_ms"] > now_ms() + 2 * SUBSCRIBED_MS - HOUR_MS


async def test_a_subscription_is_renewed_by_itself_if_its_buyer_says_so(town: Town) -> None:
    creator, buyer = town.person(), town.person(credits=5 * PRICE)
    agent_id = town.market.agent(creator.id, price_type="subscription")
    path = f"/api/agents/{agent_id}/purchase"
    status, problem = await town.ask("PUT", path, {"autoRenew": True}, who=buyer)
    assert (status, problem["code"]) == (409, "NOT_SUBSCRIBED")
    _, bought = await town.buy(agent_id, buyer, {"autoRenew": True})
    assert (bought["purchase"]["autoRenew"], bought["purchase"]["renewPrice"]) == (True, PRICE)
    for _ in range(2):
        status, off = await town.ask("PUT", path, {"autoRenew": False}, who=buyer)
        assert (status, off) == (200, {**bought, "purchase": {**bought["purchase"], **NEVER_RENEWED}})
    status, problem = await town.ask("PUT", path, {"autoRenew": True, "expectedPrice": PRICE - 1}, who=buyer)
    assert (status, problem["code"], problem["price"]) == (409, "PRICE_CHANGED", PRICE)
    assert await town.ask("PUT", path, {"autoRenew": True, "expectedPrice": PRICE}, who=buyer) == (200, bought)
    for body in ({}, {"autoRenew": None}, {"autoRenew": 1}, {"autoRenew": True, "renewPrice": 1}):
        assert (await town.ask("PUT", path, body, who=buyer))[0] == 400
    assert (await town.ask("PUT", path, {"autoRenew": True}, who=creator))[0] == 409
    assert (await town.ask("PUT", path, {"autoRenew": True}))[0] == 401
    town.market.elapse(bought["purchase"]["id"], SUBSCRIBED_MS - HOUR_MS)
    assert await asyncio.to_thread(town.market.renew_due) == 1
    _, found = await town.ask("GET", "/api/purchases", who=buyer)
    assert [(one["isActive"], one["autoRenew"], one["renewPrice"]) for one in found["purchases"]] == [
        (True, True, PRICE),
        (False, False, None),
    ]
    assert await town.balance(buyer) == 3 * PRICE
    town.market.elapse(found["purchases"][0]["id"], SUBSCRIBED_MS + HOUR_MS)
    _, found = await town.ask("GET", "/api/purchases", who=buyer)
    assert {one["autoRenew"] for one in found["purchases"]} == {False}


async def test_twenty_requests_at_once_are_one_purchase(town: Town) -> None:
    creator, buyer = town.person(), town.person(credits=20 * PRICE)
    agent_id = town.market.agent(creator.id)
    answers = await asyncio.gather(*(town.buy(agent_id, buyer) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 19
    assert {body["code"] for status, body in answers if status == 400} == {"ALREADY_PURCHASED"}
    assert (await town.balance(buyer), await town.balance(creator)) == (19 * PRICE, 35)
    other = town.market.agent(creator.id)
    answers = await asyncio.gather(*(town.buy(other, buyer, Idempotency_Key="k") for _ in range(20)))
    assert {status for status, _ in answers} <= {200, 409}
    assert len({body["purchase"]["id"] for status, body in answers if status == 200}) == 1
    assert await town.balance(buyer) == 18 * PRICE
    assert town.market.examine().totals == {}


async def test_the_list_of_what_was_bought(town: Town) -> None:
    creator, buyer = town.person(), town.person(credits=500)
    once, monthly = town.market.agent(creator.id), town.market.agent(creator.id, price_type="subscription", price=20)
    await town.buy(once, buyer)
    _, first = await town.buy(monthly, buyer)
    await town.buy(monthly, buyer, {"renew": True}, Idempotency_Key="a")
    status, found = await town.ask("GET", "/api/purchases?limit=2", who=buyer)
    assert (status, found["pagination"]) == (200, {"page": 1, "limit": 2, "total": 3, "pages": 2})
    newest, renewed = found["purchases"]
    assert newest.keys() == PURCHASE | {"price", "agent"}
    assert (newest["isActive"], renewed["isActive"], newest["price"]) == (True, False, 20)
    assert renewed == {**first["purchase"], "isActive": False, "price": 20, "agent": newest["agent"]}
    assert newest["agent"] == {
        "id": monthly,
        "slug": f"a{monthly[-12:]}",
        "name": "海报大师",
        "status": "published",
        "priceType": "subscription",
        "basePrice": 20,
    }
    town.market.change(once, status="archived")
    _, found = await town.ask("GET", "/api/purchases?limit=2&page=2", who=buyer)
    (oldest,) = found["purchases"]
    assert (oldest["agent"]["status"], oldest["isActive"]) == ("archived", True)
    # That it is over is known without the task that ends it.
    town.market.elapse(newest["id"], 2 * SUBSCRIBED_MS + DAY_MS)
    _, found = await town.ask("GET", "/api/purchases", who=buyer)
    assert [one["isActive"] for one in found["purchases"]] == [False, False, True]
    _, found = await town.ask("GET", "/api/purchases", who=creator)
    assert found["purchases"] == []


async def test_a_creators_statement_and_its_sums(town: Town) -> None:
    creator, user = town.person(), town.person(credits=500)
    used, sold = town.market.agent(creator.id, price_type="pay_per_use", price=10), town.market.agent(creator.id)
    for _ in range(3):
        town.use(used, creator, user, 10)
    await town.buy(sold, user)
    _, summary = await town.ask("GET", "/api/creators/earnings/summary", who=creator)
    assert (summary["pending"], summary["total"]) == (21, {"count": 1, "amount": 50, "share": 35})
    town.market.pay_out()
    status, found = await town.ask("GET", "/api/creators/earnings?limit=3", who=creator)
    assert (status, found["pagination"]["total"]) == (200, 4)
    newest = found["earnings"][0]
    assert newest.keys() == {"type", "agent", "amount", "share", "createdAt", "relatedId", "relatedType"}
    assert (newest["type"], newest["agent"]["id"], newest["amount"], newest["share"]) == ("usage", used, 10, 7)
    _, found = await town.ask("GET", "/api/creators/earnings?limit=3&page=2", who=creator)
    (oldest,) = found["earnings"]
    assert (oldest["type"], oldest["agent"]["id"], oldest["share"]) == ("purchase", sold, 35)
    assert oldest["relatedType"] == "agent_purchase"
    _, summary = await town.ask("GET", "/api/creators/earnings/summary", who=creator)
    everything = {"count": 4, "amount": 80, "share": 56}
    assert [summary[one] for one in ("today", "last30Days", "total")] == [everything] * 3
    assert summary["pending"] == 0
    assert [(one["agent"]["id"], one["total"]["share"]) for one in summary["agents"]] == [(sold, 35), (used, 21)]
    assert await town.balance(creator) == 56
    _, summary = await town.ask("GET", "/api/creators/earnings/summary", who=user)
    assert (summary["total"], summary["pending"], summary["agents"]) == (NO_EARNINGS, 0, [])


async def test_a_statement_of_some_days_and_as_a_table(town: Town) -> None:
    creator, user = town.person(), town.person(credits=500)
    agent_id = town.market.agent(creator.id)
    town.market.change(agent_id, name="=1+1")
    await town.buy(agent_id, user)
    day = {"before": rfc3339(now_ms() - DAY_MS), "after": rfc3339(now_ms() + DAY_MS)}
    for query, total in (
        (f"from={day['before']}&to={day['after']}", 1),
        (f"from={day['after']}", 0),
        (f"to={day['before']}", 0),
    ):
        _, found = await town.ask("GET", f"/api/creators/earnings?{query}", who=creator)
        assert found["pagination"]["total"] == len(found["earnings"]) == total
    assert (await town.ask("GET", "/api/creators/earnings?from=yesterday", who=creator))[0] == 400
    answer = await town.answer("GET", "/api/creators/earnings", who=creator, Accept="text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO((await answer.read()).decode("utf-8-sig")))
    assert (row["type"], row["agentName"], row["amount"], row["share"]) == ("purchase", "'=1+1", "50", "35")


async def test_no_line_of_a_long_table_is_missing(town: Town) -> None:
    creator, number = town.person(), 10_007
    agent_id = town.market.agent(creator.id)
    town.market.db.transact(_paid, creator_id=creator.id, agent_id=agent_id, number=number)
    answer = await town.answer("GET", "/api/creators/earnings", who=creator, Accept="text/csv")
    rows = list(csv.DictReader(io.StringIO((await answer.read()).decode("utf-8-sig"))))
    assert len({row["relatedId"] for row in rows}) == len(rows) == number
    assert sum(int(row["share"]) for row in rows) == 7 * number
    assert [row["createdAt"] for row in rows] == sorted((row["createdAt"] for row in rows), reverse=True)


def _paid(session: Session, *, creator_id: str, agent_id: str, number: int) -> None:
    same = {"ref_type": "job", "creator_id": creator_id, "agent_id": agent_id, "gross": 10, "amount": 7}
    now = now_ms()
    # Several of a millisecond, as a group of them is paid.
    times = [{"ref_id": new_id(), "paid_ms": now - place // 300, "created_ms": now} for place in range(number)]
    session.connection().execute(insert(EARNINGS), [same | one for one in times])


async def test_both_sides_see_their_credits_change_at_once(town: Town) -> None:
    creator, buyer = town.person(), town.person(credits=2 * PRICE)
    agent_id = town.market.agent(creator.id)
    async with socket(town.served, creator) as theirs, socket(town.served, buyer) as mine:
        for ws in (theirs, mine):
            await ws.say(type="subscribe", all=True)
            await ws.until("credits.changed")  # How it stands.
        await town.buy(agent_id, buyer)
        assert (await mine.until("credits.changed"))[-1]["data"]["available"] == PRICE
        assert (await theirs.until("credits.changed"))[-1]["data"]["available"] == 35


async def test_what_a_task_pays_is_told_live(town: Town) -> None:
    creator, user = town.person(), town.person(credits=PRICE)
    town.use(town.market.agent(creator.id, price_type="pay_per_use", price=10), creator, user, 10)

    def tell(account: Any) -> None:
        assert town.world.publisher.publish(account.account_id, [credits_changed(account)])

    sharer = Sharer(database=town.market.db, announce=tell, utc_offset_ms=0)
    async with socket(town.served, creator) as ws:
        await ws.say(type="subscribe", all=True)
        await ws.until("credits.changed")
        assert await asyncio.to_thread(sharer.run) == 1
        assert (await ws.until("credits.changed"))[-1]["data"]["available"] == 7
