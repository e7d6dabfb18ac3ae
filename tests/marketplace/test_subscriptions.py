"""Subscriptions end by themselves; their users are told, once each time."""

import pytest

from atelier.catalog.purchases import REMINDED_MS, SUBSCRIBED_MS
from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, now_ms, rfc3339
from atelier.kernel.ids import new_id
from atelier.marketplace import subscriptions
from tests.ledger.test_races import at_once
from tests.marketplace.buying import Market

PRICE = 50


@pytest.fixture
def agent_id(market: Market) -> str:
    return market.agent(market.user(), price_type="subscription")


def subscribed(market: Market, agent_id: str, *, left_ms: int = SUBSCRIBED_MS) -> tuple[str, str]:
    """A user whose subscription has so long to run, and its id."""
    user_id = market.user(credits=10 * PRICE)
    purchase_id: str = market.buy(user_id, agent_id).answer["purchase"]["id"]
    market.elapse(purchase_id, SUBSCRIBED_MS - left_ms)
    return user_id, purchase_id


def kinds(market: Market, user_id: str) -> list[str]:
    return [kind for kind, _ in market.told(user_id)]


def test_reminded_three_days_before_and_told_at_the_end(market: Market, agent_id: str) -> None:
    user_id, purchase_id = subscribed(market, agent_id, left_ms=REMINDED_MS + MINUTE_MS)
    assert market.expire() == 0
    market.elapse(purchase_id, 2 * MINUTE_MS)
    assert (market.expire(), market.expire()) == (1, 0)
    (row,) = market.purchases(user_id)
    assert market.told(user_id) == [
        ("subscription_expiring", {"agentName": "海报大师", "expiresAt": rfc3339(row["expires_ms"])})
    ]
    assert (row["active_slot"], market.has(user_id, agent_id)) == (1, True)
    market.elapse(purchase_id, REMINDED_MS)
    assert not market.has(user_id, agent_id)
    assert (market.expire(), market.expire()) == (1, 0)
    assert market.told(user_id)[1:] == [("subscription_expired", {"agentName": "海报大师"})]
    (row,) = market.purchases(user_id)
    assert (row["active_slot"], row["due_ms"]) == (None, None)
    assert row["ended_ms"] is not None
    assert market.examine().totals == {}


def test_nobody_is_reminded_of_what_is_over_or_told_of_what_was_renewed(market: Market, agent_id: str) -> None:
    late, _ = subscribed(market, agent_id, left_ms=-5 * DAY_MS)
    renewed, first = subscribed(market, agent_id, left_ms=DAY_MS)
    assert market.expire() == 2
    assert (kinds(market, late), kinds(market, renewed)) == (["subscription_expired"], ["subscription_expiring"])
    market.buy(renewed, agent_id, renew=True)
    market.elapse(first, 2 * DAY_MS)
    assert market.expire() == 0
    assert market.has(renewed, agent_id)
    assert kinds(market, renewed) == ["subscription_expiring"]


def test_what_is_bought_for_good_never_ends(market: Market) -> None:
    user_id, agent_id = market.user(credits=PRICE), market.agent(market.user())
    purchase_id = market.buy(user_id, agent_id).answer["purchase"]["id"]
    market.elapse(purchase_id, 4_000 * DAY_MS)
    assert market.expire() == 0
    assert market.has(user_id, agent_id)


def test_many_are_dealt_with_in_groups_and_each_once_however_many_tasks_there_are(
    market: Market, agent_id: str
) -> None:
    users = [subscribed(market, agent_id, left_ms=-HOUR_MS)[0] for _ in range(25)]
    assert set(market.examine().totals) <= {"purchase.over"}

    def expire(_: int) -> int:
        notice_ids = [new_id() for _ in range(4)]
        return market.db.transact(subscriptions.expire_some, notice_ids=notice_ids, now_ms=now_ms())

    found = at_once(expire, threads=10)
    assert sum(one for one in found if isinstance(one, int)) == 25
    assert {tuple(kinds(market, one)) for one in users} == {("subscription_expired",)}
    assert market.examine().totals == {}


def test_who_renews_while_it_ends_has_it(market: Market, agent_id: str) -> None:
    users = [subscribed(market, agent_id, left_ms=-MINUTE_MS)[0] for _ in range(8)]

    def renew_or_expire(number: int) -> object:
        return market.expire() if number % 2 else market.buy(users[number // 2], agent_id)

    outcomes = at_once(renew_or_expire, threads=16)
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert all(market.has(one, agent_id) for one in users)
    assert {market.balance(one).available for one in users} == {8 * PRICE}
    assert market.examine().totals == {}
