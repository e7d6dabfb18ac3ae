"""Whoever is killed while something is bought, shared or ended: it happened once or not at all, and is made good."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from atelier.catalog.purchases import SUBSCRIBED_MS
from atelier.contracts import outbox
from atelier.contracts.messages import MARKETPLACE_EXPIRE, MARKETPLACE_SHARE, Contract, Tick
from atelier.kernel.clock import HOUR_MS, now_ms
from tests.crash.test_kills import has_died
from tests.marketplace.buying import Market
from tests.servers import until
from tests.stack import Stack

PRICE = 10
AGENTS = 5
JOBS = 6


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """All roles but the clock: ticks come when a test sends them."""
    made = Stack(database_url, redis_url, tmp_path, env={"ATELIER_WEB_RELAY": "false"})
    made.start("money", "web", "relay", "generation")
    yield made
    made.close()


@pytest.fixture
def market(stack: Stack) -> Market:
    return Market(stack.database)


def person(stack: Stack, *, amount: int = 0) -> tuple[str, dict[str, str]]:
    """Someone new: their id, and the headers that sign in."""
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=amount)
    user_id: str = stack.client.get("/api/auth/profile", headers=headers).json()["id"]
    return user_id, headers


def tick(session: Session, contract: Contract[Tick]) -> None:
    outbox.enqueue(session, contract, Tick(), now_ms=now_ms())


def buy(stack: Stack, headers: dict[str, str], agent_id: str) -> bool:
    """Buy it under a key; False when the web process is gone or going."""
    sent = {**headers, "Idempotency-Key": agent_id}
    try:
        answer = stack.client.post(f"/api/agents/{agent_id}/purchase", headers=sent)
    except httpx.TransportError:
        return False
    assert answer.status_code in {200, 503}, answer.text
    return answer.status_code == 200


def kill_money_at(stack: Stack, point: str, contract: Contract[Tick]) -> None:
    """Have the task killed at this point, and begin anew."""
    stack.processes["money"].kill()
    stack.start("money", fault=f"{point}:kill:1")
    doomed = stack.processes["money"]
    stack.database.transact(tick, contract)
    until(lambda: has_died(doomed), what=f"the task dies at {point}", seconds_max=40)
    doomed.kill()
    stack.start("money")


def assert_whole(stack: Stack) -> None:
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")


@pytest.mark.timeout(200)
def test_web_killed_before_a_purchase_is_committed(stack: Stack, market: Market) -> None:
    creator, _ = person(stack)
    buyer, headers = person(stack, amount=AGENTS * PRICE)
    agents = [market.agent(creator, price=PRICE) for _ in range(AGENTS)]
    stack.processes["web"].kill()
    stack.start("web", fault="purchase.before_commit:kill:3")
    doomed = stack.processes["web"]
    assert [buy(stack, headers, agent_id) for agent_id in agents] == [True, True, False, False, False]
    until(lambda: not doomed.alive, what="the web process is gone")  # It closes its sockets before it is.
    assert (len(market.purchases(buyer)), market.balance(buyer).available) == (2, 3 * PRICE)
    assert_whole(stack)
    stack.start("web")
    assert all(buy(stack, headers, agent_id) for agent_id in agents)
    assert (len(market.purchases(buyer)), market.balance(buyer).available) == (AGENTS, 0)
    assert market.balance(creator).available == AGENTS * 7
    assert_whole(stack)


@pytest.mark.timeout(200)
def test_task_killed_while_it_pays_creators(stack: Stack, market: Market) -> None:
    creator, _ = person(stack)
    _, headers = person(stack, amount=JOBS * PRICE)
    agent_id = market.agent(creator, price_type="pay_per_use", price=PRICE)
    body = {"agentId": agent_id, "inputData": {"prompt": "回声"}}
    for _ in range(JOBS):
        assert stack.client.post("/api/workshop/generate", json=body, headers=headers).status_code == 202
    assert stack.until_finished()["completed"] == JOBS
    kill_money_at(stack, "shares.before_commit", MARKETPLACE_SHARE)
    assert market.balance(creator).available == 0
    stack.database.transact(tick, MARKETPLACE_SHARE)
    until(lambda: market.balance(creator).available, what="the creator is paid")
    assert market.balance(creator).available == JOBS * 7
    assert_whole(stack)


@pytest.mark.proof
@pytest.mark.timeout(200)
def test_task_killed_while_it_renews_subscriptions(stack: Stack, market: Market) -> None:
    creator, _ = person(stack)
    buyers = [person(stack, amount=3 * PRICE)[0] for _ in range(AGENTS)]
    agent_id = market.agent(creator, price_type="subscription", price=PRICE)
    for buyer in buyers:
        purchase_id = market.buy(buyer, agent_id, auto_renew=True).answer["purchase"]["id"]
        market.elapse(purchase_id, SUBSCRIBED_MS - HOUR_MS)
    kill_money_at(stack, "renewals.before_commit", MARKETPLACE_EXPIRE)
    assert {market.balance(buyer).available for buyer in buyers} == {2 * PRICE}
    assert [market.told(buyer) for buyer in buyers] == [[]] * AGENTS
    assert_whole(stack)
    for _ in range(3):
        stack.database.transact(tick, MARKETPLACE_EXPIRE)
    until(lambda: all(market.told(buyer) for buyer in buyers), what="the subscriptions are renewed")
    stack.database.transact(tick, MARKETPLACE_SHARE)
    assert_whole(stack)
    for buyer in buyers:
        assert [kind for kind, _ in market.told(buyer)] == ["subscription_renewed"]
        assert (len(market.purchases(buyer)), market.balance(buyer).available) == (2, PRICE)
        assert market.has(buyer, agent_id)
    assert market.balance(creator).available == 2 * AGENTS * 7


@pytest.mark.proof
@pytest.mark.timeout(200)
def test_task_killed_while_it_ends_subscriptions(stack: Stack, market: Market) -> None:
    creator, _ = person(stack)
    buyer, _ = person(stack, amount=PRICE)
    agent_id = market.agent(creator, price_type="subscription", price=PRICE)
    purchase_id = market.buy(buyer, agent_id).answer["purchase"]["id"]
    market.elapse(purchase_id, SUBSCRIBED_MS + HOUR_MS)
    kill_money_at(stack, "subscriptions.before_commit", MARKETPLACE_EXPIRE)
    assert market.told(buyer) == []
    for _ in range(2):
        stack.database.transact(tick, MARKETPLACE_EXPIRE)
    until(lambda: market.told(buyer), what="the subscription is ended")
    assert_whole(stack)
    assert [kind for kind, _ in market.told(buyer)] == ["subscription_expired"]
