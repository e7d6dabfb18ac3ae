"""Any order of what buyers, creators, workers and the clock can do, against a model that fits on two pages.

The model knows nothing of SQL. Time is made to pass by moving every purchase back by whole days.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test
from sqlalchemy import update
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.catalog.errors import AgentArchived, AgentNotFound
from atelier.catalog.models import PURCHASES
from atelier.generation.errors import NotPurchased
from atelier.generation.submit import Accepted
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.ledger import queries
from atelier.ledger.errors import InsufficientCredits
from atelier.marketplace import earnings
from atelier.marketplace.errors import (
    AgentIsFree,
    AgentIsPaidPerUse,
    AlreadyPurchased,
    NotASubscription,
    NotSubscribed,
    OwnAgent,
    PriceChanged,
    SubscriptionTooLong,
)
from tests.bounds import of_machine
from tests.jobs.lifecycle import UTC_OFFSET_MS, terms
from tests.marketplace.buying import Market

LONGEST_DAYS = 3 * 365


@dataclass
class Agent:
    creator: str
    kind: str
    price: int
    published: bool = True


@dataclass
class Person:
    available: int = 0
    spent: int = 0
    owed: list[int] = field(default_factory=list[int])
    earned: Counter[str] = field(default_factory=Counter[str])
    told: Counter[str] = field(default_factory=Counter[str])


@dataclass
class Right:
    """What a purchase gives: `days` are None for ever."""

    days: int | None
    reminded: bool = False
    agreed: int | None = None
    told: set[str] = field(default_factory=set[str])


class Trade(RuleBasedStateMachine):
    """Rules are what people and scheduled tasks do."""

    market: Market
    people = Bundle("people")
    agents = Bundle("agents")
    prices = st.integers(1, 40)

    def __init__(self) -> None:
        super().__init__()
        self.persons: dict[str, Person] = {}
        self.offers: dict[str, Agent] = {}
        self.rights: dict[tuple[str, str], Right] = {}
        self.queue: list[tuple[str, str, int]] = []
        self.percent = 30
        self.paid = 0

    @initialize(target=people)
    def people_with_credits(self) -> object:
        return multiple(self._person(400), self._person(400), self._person(50))

    @initialize(target=agents)
    def agents_to_begin_with(self) -> object:
        creator = self._person(0)
        kinds = ("subscription", "subscription", "one_time", "pay_per_use", "pay_per_use")
        return multiple(*(self._agent(creator, kind, 7) for kind in kinds))

    @rule(target=people, credits=st.integers(0, 200))
    def person(self, credits: int) -> str:  # noqa: A002 - the product's word
        return self._person(credits)

    def _person(self, credits: int) -> str:  # noqa: A002 - the product's word
        user_id = self.market.user(credits=credits)
        self.persons[user_id] = Person(available=credits)
        return user_id

    @rule(
        target=agents,
        creator=people,
        kind=st.sampled_from(["one_time", "subscription", "subscription", "pay_per_use", "pay_per_use", "free"]),
        price=prices,
    )
    def agent(self, creator: str, kind: str, price: int) -> str:
        return self._agent(creator, kind, price)

    def _agent(self, creator: str, kind: str, price: int) -> str:
        agent_id = self.market.agent(creator, price_type=kind, price=price)
        self.offers[agent_id] = Agent(creator=creator, kind=kind, price=price)
        return agent_id

    @rule(agent_id=agents, published=st.booleans())
    def publish(self, agent_id: str, published: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        self.market.change(agent_id, status="published" if published else "archived")
        self.offers[agent_id].published = published

    @rule(agent_id=agents, price=prices)
    def reprice(self, agent_id: str, price: int) -> None:
        if self.offers[agent_id].kind in {"one_time", "subscription"}:
            self.market.change(agent_id, base_price=price)
            self.offers[agent_id].price = price

    @rule(percent=st.integers(0, 100))
    def change_terms(self, percent: int) -> None:
        self.percent = percent

    # -- buying

    @rule(user_id=people, agent_id=agents)
    def wish(self, user_id: str, agent_id: str) -> None:
        self._buy(user_id, agent_id)

    @rule(user_id=people, agent_id=agents)
    def wish_for_good(self, user_id: str, agent_id: str) -> None:
        self._buy(user_id, agent_id, auto_renew=True)

    @rule(user_id=people, agent_id=agents)
    def go_on(self, user_id: str, agent_id: str) -> None:
        self._buy(user_id, agent_id, renew=True)

    @rule(user_id=people, agent_id=agents, renew=st.booleans(), off=st.sampled_from([None, 0, 1]))
    def buy(self, user_id: str, agent_id: str, renew: bool, off: int | None) -> None:  # noqa: FBT001 - as above
        self._buy(user_id, agent_id, renew=renew, off=off)

    def _buy(
        self, user_id: str, agent_id: str, *, renew: bool = False, off: int | None = None, auto_renew: bool = False
    ) -> None:
        offer = self.offers[agent_id]
        refused = self._refused(user_id, agent_id, renew=renew, off=off, auto_renew=auto_renew)
        expected = None if off is None else offer.price + off
        wish: dict[str, Any] = {"expected": expected, "renew": renew, "auto_renew": auto_renew or None}
        if refused:
            with pytest.raises(refused):
                self.market.buy(user_id, agent_id, percent=self.percent, **wish)
            return
        self.market.buy(user_id, agent_id, percent=self.percent, **wish)
        earlier = self.rights.get((user_id, agent_id))
        goes_on = self._may_use(user_id, agent_id) and earlier is not None and earlier.agreed is not None
        agreed = offer.price if offer.kind == "subscription" and (auto_renew or goes_on) else None
        self._sold(user_id, agent_id, Right(self._days(user_id, agent_id), agreed=agreed))

    def _sold(self, user_id: str, agent_id: str, right: Right) -> None:
        offer = self.offers[agent_id]
        self.rights[user_id, agent_id] = right
        self._spend(user_id, offer.price)
        self._earn(offer.creator, agent_id, self._share(offer.price))
        self.persons[offer.creator].told["agent_sold"] += 1
        self.paid += offer.price

    @rule(user_id=people, agent_id=agents, on=st.booleans())
    def agree(self, user_id: str, agent_id: str, on: bool) -> None:  # noqa: FBT001 - as above
        offer, right = self.offers[agent_id], self.rights.get((user_id, agent_id))
        if right is None or right.days is None or right.days <= 0:
            with pytest.raises(NotSubscribed if offer.published else AgentNotFound):
                self.market.agree(user_id, agent_id, on=on)
            return
        if on and not offer.published:
            with pytest.raises(AgentArchived):
                self.market.agree(user_id, agent_id)
            return
        self.market.agree(user_id, agent_id, on=on)
        agreed = offer.price if on else None
        if agreed != right.agreed:
            right.agreed, right.told = agreed, set()

    def _refused(
        self, user_id: str, agent_id: str, *, renew: bool, off: int | None, auto_renew: bool
    ) -> type[Refusal] | None:
        offer, right = self.offers[agent_id], self.rights.get((user_id, agent_id))
        runs = right is not None and (right.days is None or right.days > 0)
        days = self._days(user_id, agent_id)
        reasons: list[tuple[bool, type[Refusal]]] = [
            (not offer.published, AgentNotFound),
            (offer.creator == user_id, OwnAgent),
            (offer.kind == "free", AgentIsFree),
            (offer.kind == "pay_per_use", AgentIsPaidPerUse),
            (runs and (not renew or (right is not None and right.days is None)), AlreadyPurchased),
            (bool(off), PriceChanged),
            (auto_renew and offer.kind == "one_time", NotASubscription),
            (days is not None and days > LONGEST_DAYS, SubscriptionTooLong),
            (self.persons[user_id].available < offer.price, InsufficientCredits),
        ]
        return next((error for is_so, error in reasons if is_so), None)

    def _days(self, user_id: str, agent_id: str) -> int | None:
        """How long a purchase would reach."""
        if self.offers[agent_id].kind == "one_time":
            return None
        right = self.rights.get((user_id, agent_id))
        return 30 + max(0, right.days or 0 if right else 0)

    # -- using

    @rule(user_id=people, agent_id=agents, well=st.sampled_from([True, True, False]))
    def use(self, user_id: str, agent_id: str, well: bool) -> None:  # noqa: FBT001 - as above
        offer = self.offers[agent_id]
        price = offer.price if offer.kind == "pay_per_use" else 0
        needs_purchase = offer.kind in {"one_time", "subscription"} and offer.creator != user_id
        self.market.agent_id, self.market.creator_id = agent_id, offer.creator
        request = replace(self.market.submission(user_id, price), needs_purchase=needs_purchase)
        (outcome,) = self.market.submit_all([request])
        if needs_purchase and not self._may_use(user_id, agent_id):
            assert isinstance(outcome, NotPurchased)
            return
        if self.persons[user_id].available < price:
            assert isinstance(outcome, InsufficientCredits)
            return
        assert isinstance(outcome, Accepted)
        claimed = self.market.claim_one(request.job_id)
        if not well:
            assert self.market.fail(claimed)
            return
        agreed = terms(creator_id=offer.creator, agent_id=agent_id, percent=self.percent)
        assert self.market.settle(replace(self.market.completion(claimed), terms=agreed)) != [None]
        if price:
            self._spend(user_id, price)
            self.queue.append((offer.creator, agent_id, self._share(price)))
            self.paid += price

    def _may_use(self, user_id: str, agent_id: str) -> bool:
        right = self.rights.get((user_id, agent_id))
        return right is not None and (right.days is None or right.days > 0)

    def _share(self, amount: int) -> int:
        return amount * (100 - self.percent) // 100

    def _spend(self, user_id: str, amount: int) -> None:
        self.persons[user_id].available -= amount
        self.persons[user_id].spent += amount

    def _earn(self, creator: str, agent_id: str, amount: int) -> None:
        self.persons[creator].available += amount
        self.persons[creator].earned[agent_id] += amount

    # -- what the clock does

    @rule(number=st.integers(1, 3))
    def pay_out(self, number: int) -> None:
        due, self.queue = self.queue[:number], self.queue[number:]
        assert self.market.pay_out(number=number).number == len(due)
        for creator, agent_id, amount in due:
            self._earn(creator, agent_id, amount)

    @rule(days=st.sampled_from([1, 2, 9, 26, 27, 28, 29, 29, 30, 31]))
    def days_pass(self, days: int) -> None:
        self.market.db.transact(_earlier, ms=days * DAY_MS)
        for right in self.rights.values():
            if right.days is not None:
                right.days -= days

    @rule()
    def renew(self) -> None:
        """Whose last day has begun; one after the other, as far as the credits reach."""
        in_order = self._in_order_of_their_ends()
        number = self.market.renew_due(percent=self.percent)
        for (user_id, agent_id), right in in_order:
            if right.days != 1 or right.agreed is None:
                continue
            offer = self.offers[agent_id]
            obstacle = self._obstacle(offer, right, available=self.persons[user_id].available)
            if obstacle is None:
                self._sold(user_id, agent_id, Right(31, agreed=right.agreed))
                self.persons[user_id].told["subscription_renewed"] += 1
                number -= 1
            elif obstacle not in right.told:
                self.persons[user_id].told[obstacle] += 1
                right.told.add(obstacle)
        assert number == 0

    def _in_order_of_their_ends(self) -> list[tuple[tuple[str, str], Right]]:
        ends = {
            (row["user_id"], row["agent_id"]): (row["expires_ms"] or 0, row["id"])
            for user_id in self.persons
            for row in self.market.purchases(user_id)
        }
        return sorted(self.rights.items(), key=lambda one: ends[one[0]])

    def _obstacle(self, offer: Agent, right: Right, *, available: int | None = None) -> str | None:
        assert right.agreed is not None
        if not offer.published:
            return "subscription_withdrawn"
        if offer.price > right.agreed:
            return "subscription_price_risen"
        return "subscription_unpaid" if available is not None and available < offer.price else None

    @rule()
    def expire(self) -> None:
        self.market.expire()
        for (user_id, agent_id), right in self.rights.items():
            if right.days is None or right.days < -9_000:
                continue
            if right.days <= 0:
                self.persons[user_id].told["subscription_expired"] += 1
                right.days = -10_000
            elif right.days <= 3 and not right.reminded:
                self._remind(user_id, self.offers[agent_id], right)

    def _remind(self, user_id: str, offer: Agent, right: Right) -> None:
        right.reminded = True
        if right.agreed is None:
            self.persons[user_id].told["subscription_expiring"] += 1
            return
        obstacle = self._obstacle(offer, right)
        if obstacle not in right.told:
            self.persons[user_id].told[obstacle or "subscription_renewing"] += 1
        if obstacle is not None:
            right.told.add(obstacle)

    # -- what must be so

    @override
    def teardown(self) -> None:
        for user_id, person in self.persons.items():
            balance = self.market.balance(user_id)
            assert (balance.available, balance.held, balance.spent) == (person.available, 0, person.spent)
            assert Counter(kind for kind, _ in self.market.told(user_id)) == person.told
            self._check_earnings(user_id, person)
        for user_id, agent_id in self.rights:
            assert self.market.has(user_id, agent_id) == self._may_use(user_id, agent_id)
        report = self.market.examine()
        # Days that the test made pass are noticed only when the clock says so.
        assert set(report.totals) <= {"purchase.over"}, report.findings

    def _check_earnings(self, user_id: str, person: Person) -> None:
        summary = self.market.db.read(
            earnings.summary, creator_id=user_id, now_ms=now_ms(), utc_offset_ms=UTC_OFFSET_MS
        )
        assert summary.owed == sum(amount for creator, _, amount in self.queue if creator == user_id)
        assert summary.total.ever == summary.total.month
        assert {agent.id: spans.ever.amount for agent, spans in summary.agents} == person.earned
        lines, total = self.market.db.read(
            queries.earned_lines, creator_id=user_id, from_ms=None, until_ms=None, offset=0, limit=1_000
        )
        assert (sum(one.amount for one in lines), total) == (summary.total.ever.amount, summary.total.ever.number)


def _earlier(session: Session, *, ms: int) -> None:
    columns = PURCHASES.c
    moved = {name: columns[name] - ms for name in ("created_ms", "expires_ms", "due_ms")}
    session.execute(update(PURCHASES).values(moved))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "number", "steps"), [("sqlite", 10, 40), ("mariadb", 4, 40)], indirect=["engine"])
def test_purchases_and_shares_agree_with_the_model(
    db: Database, restore: Callable[[], None], number: int, steps: int
) -> None:
    class Fresh(Trade):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.market = Market(db)

    run_state_machine_as_test(Fresh, settings=of_machine(number, steps=steps))
