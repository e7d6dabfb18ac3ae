"""Buying: paid, shared, handed over, logged and told together, or not at all."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from atelier.catalog import service
from atelier.catalog.errors import AgentNotFound
from atelier.catalog.purchases import SUBSCRIBED_MS
from atelier.catalog.seed_content import HOUSE_ID
from atelier.contracts import idempotency
from atelier.contracts.idempotency import IdempotencyKeyReused, Keyed
from atelier.kernel.clock import DAY_MS, MINUTE_MS, now_ms
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.ledger.errors import InsufficientCredits
from atelier.marketplace.errors import (
    AgentIsFree,
    AgentIsPaidPerUse,
    AlreadyPurchased,
    OwnAgent,
    PriceChanged,
    SubscriptionTooLong,
)
from atelier.marketplace.purchasing import AHEAD_MS_MAX
from tests.ledger.test_races import at_once, kinds
from tests.marketplace.buying import Market, a_wish

PRICE = 50
SLACK_MS = MINUTE_MS


def key(name: str = "k", body: str = "") -> Keyed:
    return idempotency.keyed(user_id="u", route="r", key=name, body=body.encode())


@pytest.fixture
def creator(market: Market) -> str:
    return market.user()


class TestBuying:
    def test_everything_happens_at_once(self, market: Market, creator: str) -> None:
        user_id, agent_id = market.user(credits=80), market.agent(creator)
        bought = market.buy(user_id, agent_id, expected=PRICE)
        (row,) = market.purchases(user_id)
        assert bought.answer == {
            "success": True,
            "purchase": {
                "id": row["id"],
                "agentId": agent_id,
                "purchaseType": "one_time",
                "isActive": True,
                "expiresAt": None,
                "createdAt": row["created_ms"],
                "autoRenew": False,
                "renewPrice": None,
            },
        }
        assert [(one.account_id, one.available) for one in bought.accounts] == [(user_id, 30), (creator, 35)]
        assert (row["price"], row["active_slot"], row["due_ms"], row["ended_ms"]) == (PRICE, 1, None, None)
        assert abs(row["created_ms"] - now_ms()) < SLACK_MS
        assert market.has(user_id, agent_id)
        assert not market.has(creator, agent_id)
        assert market.told(creator) == [("agent_sold", {"agentName": "海报大师", "amount": 35})]
        (logged,) = market.operations()
        assert (logged["user_id"], logged["resource_type"], logged["resource_id"]) == (user_id, "agent", agent_id)
        assert logged["details"] == {"purchaseId": row["id"], "price": PRICE, "purchaseType": "one_time"}
        assert market.examine().totals == {}

    def test_what_the_house_sells_is_the_platforms_and_nobody_is_told(self, market: Market) -> None:
        user_id, agent_id = market.user(credits=80), market.agent(HOUSE_ID)
        bought = market.buy(user_id, agent_id)
        assert [one.account_id for one in bought.accounts] == [user_id]
        assert market.told(HOUSE_ID) == []
        assert market.examine().totals == {}

    def test_a_creator_spends_what_they_have_earned(self, market: Market, creator: str) -> None:
        other = market.user()
        market.buy(market.user(credits=PRICE), market.agent(creator))
        wanted = market.agent(other, price=35)
        bought = market.buy(creator, wanted)
        assert [one.available for one in bought.accounts] == [0, 24]
        assert market.examine().totals == {}

    def test_the_shares_are_whole_credits(self, market: Market) -> None:
        for price, percent, share in ((1, 30, 0), (3, 30, 2), (50, 0, 50), (50, 100, 0)):
            creator = market.user()
            market.buy(market.user(credits=PRICE), market.agent(creator, price=price), percent=percent)
            assert market.balance(creator).available == share
            assert market.told(creator)[0][1]["amount"] == share
        assert market.examine().totals == {}


class TestRefusals:
    def refused(self, market: Market, error: type[Refusal], buy: Callable[[], object]) -> Refusal:
        before = market.db.read(_everything)
        with pytest.raises(error) as caught:
            buy()
        assert market.db.read(_everything) == before
        return caught.value

    def test_of_what_is_not_for_sale(self, market: Market, creator: str) -> None:
        user_id = market.user(credits=100)
        self.refused(market, AgentNotFound, lambda: market.buy(user_id, new_id()))
        unpublished = market.agent(creator)
        for status in ("draft", "review", "archived"):
            market.change(unpublished, status=status)
            self.refused(market, AgentNotFound, lambda: market.buy(user_id, unpublished))
        free, per_use = market.agent(creator, price_type="free"), market.agent(creator, price_type="pay_per_use")
        self.refused(market, AgentIsFree, lambda: market.buy(user_id, free))
        self.refused(market, AgentIsPaidPerUse, lambda: market.buy(user_id, per_use))
        own = market.agent(user_id)
        self.refused(market, OwnAgent, lambda: market.buy(user_id, own))

    def test_of_what_costs_more_than_there_is_or_was_expected(self, market: Market, creator: str) -> None:
        user_id, agent_id = market.user(credits=PRICE - 1), market.agent(creator)
        poor = self.refused(market, InsufficientCredits, lambda: market.buy(user_id, agent_id))
        assert poor.details == {"balance": PRICE - 1, "required": PRICE}
        for expected in (0, PRICE - 1, PRICE + 1):
            wish = a_wish(user_id, agent_id, expected=expected)
            changed = self.refused(market, PriceChanged, partial(market.grant, wish))
            assert changed.details == {"price": PRICE}

    def test_of_what_is_owned_already(self, market: Market, creator: str) -> None:
        user_id, agent_id = market.user(credits=3 * PRICE), market.agent(creator)
        market.buy(user_id, agent_id)
        # That it is theirs is said before anything about money.
        market.change(agent_id, base_price=PRICE + 1)
        for renew in (False, True):
            wish = a_wish(user_id, agent_id, renew=renew, expected=PRICE)
            self.refused(market, AlreadyPurchased, partial(market.grant, wish))

    def test_credits_that_are_held_are_not_spent(self, market: Market, creator: str) -> None:
        user_id, agent_id = market.user(credits=PRICE + 9), market.agent(creator)
        market.submit(user_id, 10)
        self.refused(market, InsufficientCredits, lambda: market.buy(user_id, agent_id))


def _everything(session: Session) -> list[int]:
    tables = ("transfers", "agent_purchases", "earnings", "notifications", "operations", "outbox", "idempotency_keys")
    return [session.execute(text(f"SELECT COUNT(*) FROM {one}")).scalar_one() for one in tables]  # noqa: S608 - names


class TestSubscriptions:
    @pytest.fixture
    def agent_id(self, market: Market, creator: str) -> str:
        return market.agent(creator, price_type="subscription")

    def test_one_lasts_thirty_days_and_no_moment_longer(self, market: Market, agent_id: str) -> None:
        user_id = market.user(credits=PRICE)
        bought = market.buy(user_id, agent_id).answer["purchase"]
        assert bought["purchaseType"] == "subscription"
        assert bought["expiresAt"] == bought["createdAt"] + SUBSCRIBED_MS
        assert market.has(user_id, agent_id)
        market.elapse(bought["id"], SUBSCRIBED_MS - SLACK_MS)
        assert market.has(user_id, agent_id)
        market.elapse(bought["id"], SLACK_MS)
        assert not market.has(user_id, agent_id)

    @pytest.mark.parametrize(("ended", "renew"), [(0, 0), (0, 1), (1, 0), (1, 1)])
    def test_an_expired_one_is_bought_again_whether_or_not_anyone_has_noticed(
        self, market: Market, agent_id: str, ended: int, renew: int
    ) -> None:
        user_id = market.user(credits=2 * PRICE)
        first = market.buy(user_id, agent_id).answer["purchase"]
        market.elapse(first["id"], SUBSCRIBED_MS + DAY_MS)
        assert not ended or market.expire() == 1
        second = market.buy(user_id, agent_id, renew=bool(renew)).answer["purchase"]
        assert second["expiresAt"] == second["createdAt"] + SUBSCRIBED_MS
        assert [row["active_slot"] for row in market.purchases(user_id)] == [None, 1]
        assert market.has(user_id, agent_id)
        assert market.examine().totals == {}

    def test_one_that_runs_goes_on_from_its_end(self, market: Market, agent_id: str) -> None:
        user_id = market.user(credits=3 * PRICE)
        first = market.buy(user_id, agent_id).answer["purchase"]
        with pytest.raises(AlreadyPurchased):
            market.buy(user_id, agent_id)
        second = market.buy(user_id, agent_id, renew=True).answer["purchase"]
        third = market.buy(user_id, agent_id, renew=True).answer["purchase"]
        assert second["expiresAt"] == first["expiresAt"] + SUBSCRIBED_MS
        assert third["expiresAt"] == first["expiresAt"] + 2 * SUBSCRIBED_MS
        rows = market.purchases(user_id)
        assert [(row["active_slot"], row["due_ms"] is None, row["ended_ms"] is None) for row in rows] == [
            (None, True, False),
            (None, True, False),
            (1, False, True),
        ]
        assert (market.balance(user_id).available, market.examine().totals) == (0, {})

    def test_no_further_ahead_than_three_years(self, market: Market, agent_id: str) -> None:
        user_id = market.user(credits=50 * PRICE)
        market.buy(user_id, agent_id)
        for _ in range(1, AHEAD_MS_MAX // SUBSCRIBED_MS):
            market.buy(user_id, agent_id, renew=True)
        with pytest.raises(SubscriptionTooLong):
            market.buy(user_id, agent_id, renew=True)
        assert len(market.purchases(user_id)) == 36
        assert market.examine().totals == {}

    def test_what_became_a_thing_to_buy_for_good_replaces_a_subscription(self, market: Market, agent_id: str) -> None:
        user_id = market.user(credits=2 * PRICE)
        market.buy(user_id, agent_id)
        market.change(agent_id, price_type="one_time")
        with pytest.raises(AlreadyPurchased):
            market.buy(user_id, agent_id)
        bought = market.buy(user_id, agent_id, renew=True).answer["purchase"]
        assert (bought["purchaseType"], bought["expiresAt"]) == ("one_time", None)
        with pytest.raises(AlreadyPurchased):
            market.buy(user_id, agent_id, renew=True)


class TestOnce:
    def test_the_same_key_gets_the_same_answer_whatever_has_changed(self, market: Market, creator: str) -> None:
        user_id, agent_id = market.user(credits=2 * PRICE), market.agent(creator)
        first = market.buy(user_id, agent_id, keyed=key())
        market.change(agent_id, status="archived")
        again = market.buy(user_id, agent_id, keyed=key())
        assert (again.replayed, again.accounts, again.answer) == (True, (), first.answer)
        with pytest.raises(IdempotencyKeyReused):
            market.buy(user_id, agent_id, keyed=key(body="other"))
        assert market.balance(user_id).available == PRICE

    def test_a_commit_whose_answer_was_lost_is_recognised(self, market: Market, creator: str) -> None:
        user_id = market.user(credits=PRICE)
        wish = a_wish(user_id, market.agent(creator))
        first, again = market.grant(wish), market.grant(wish)
        assert (again.answer, again.replayed) == (first.answer, False)
        assert len(market.purchases(user_id)) == 1
        assert market.examine().totals == {}

    @pytest.mark.parametrize("credits", [PRICE, 20 * PRICE])
    def test_twenty_at_once_are_one_purchase_and_one_charge(self, market: Market, creator: str, credits: int) -> None:  # noqa: A002 - the product's word
        user_id, agent_id = market.user(credits=credits), market.agent(creator)
        outcomes = at_once(lambda _: market.buy(user_id, agent_id), threads=20)
        assert kinds(outcomes) == Counter({"Bought": 1, "AlreadyPurchased": 19})
        assert (market.balance(user_id).available, market.balance(creator).available) == (credits - PRICE, 35)
        assert len(market.told(creator)) == len(market.operations()) == len(market.purchases(user_id)) == 1
        assert market.examine().totals == {}

    def test_twenty_at_once_without_the_credits_are_all_refused(self, market: Market, creator: str) -> None:
        user_id, agent_id = market.user(credits=PRICE - 1), market.agent(creator)
        outcomes = at_once(lambda _: market.buy(user_id, agent_id), threads=20)
        assert kinds(outcomes) == Counter({"InsufficientCredits": 20})
        assert market.examine().totals == {}

    def test_twenty_agents_at_once_are_as_many_as_the_credits_reach_for(self, market: Market, creator: str) -> None:
        user_id, agents = market.user(credits=7 * PRICE + 49), [market.agent(creator) for _ in range(20)]
        outcomes = at_once(lambda number: market.buy(user_id, agents[number]), threads=20)
        assert kinds(outcomes) == Counter({"Bought": 7, "InsufficientCredits": 13})
        assert market.balance(user_id).available == 49
        assert market.examine().totals == {}

    def test_twenty_people_at_once_are_twenty_purchases(self, market: Market, creator: str) -> None:
        agent_id, people = market.agent(creator), [market.user(credits=PRICE) for _ in range(20)]
        outcomes = at_once(lambda number: market.buy(people[number], agent_id), threads=20)
        assert kinds(outcomes) == Counter({"Bought": 20})
        assert market.balance(creator).available == 20 * 35
        assert {market.balance(one).available for one in people} == {0}
        assert market.examine().totals == {}

    def test_renewals_at_once_each_count_and_those_of_one_key_once(self, market: Market, creator: str) -> None:
        user_id = market.user(credits=100 * PRICE)
        agent_id = market.agent(creator, price_type="subscription")
        first = market.buy(user_id, agent_id).answer["purchase"]
        outcomes = at_once(
            lambda number: market.buy(user_id, agent_id, renew=True, keyed=key(str(number % 4))), threads=12
        )
        assert kinds(outcomes) == Counter({"Bought": 12})
        (active,) = [row for row in market.purchases(user_id) if row["active_slot"]]
        assert active["expires_ms"] == first["expiresAt"] + 4 * SUBSCRIBED_MS
        assert market.balance(user_id).available == 95 * PRICE
        assert market.examine().totals == {}

    def test_who_buys_while_it_is_archived_gets_it_or_nothing(self, market: Market, creator: str) -> None:
        agents = [market.agent(creator) for _ in range(8)]
        user_id = market.user(credits=8 * PRICE)

        def buy_or_archive(number: int) -> object:
            if number % 2:
                return market.db.transact(service.archive, agent_id=agents[number // 2], now_ms=now_ms())
            return market.buy(user_id, agents[number // 2])

        outcomes = at_once(buy_or_archive, threads=16)
        assert set(kinds(outcomes)) <= {"Bought", "NoneType", "AgentNotFound"}
        assert market.balance(user_id).available == (8 - kinds(outcomes)["Bought"]) * PRICE
        assert sum(market.has(user_id, one) for one in agents) == kinds(outcomes)["Bought"]
        assert market.examine().totals == {}

    def test_the_price_is_the_one_at_that_moment(self, market: Market, creator: str) -> None:
        agent_id, people = market.agent(creator), [market.user(credits=100) for _ in range(14)]

        def buy_or_change(number: int) -> object:
            if number >= 14:
                market.change(agent_id, base_price=PRICE + number)
                return None
            return market.buy(people[number], agent_id, expected=PRICE)

        outcomes = at_once(buy_or_change, threads=16)
        assert set(kinds(outcomes)) <= {"Bought", "NoneType", "PriceChanged"}
        paid = [100 - market.balance(one).available for one in people]
        assert sorted(paid) == [0] * kinds(outcomes)["PriceChanged"] + [PRICE] * kinds(outcomes)["Bought"]
        assert market.examine().totals == {}
