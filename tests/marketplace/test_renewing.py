"""Subscriptions are renewed by themselves, from the balance, at no more than was agreed to, and once."""

from operator import itemgetter
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.catalog import renewals
from atelier.catalog.errors import AgentArchived, AgentNotFound
from atelier.catalog.models import PURCHASES
from atelier.catalog.purchases import REMINDED_MS, SUBSCRIBED_MS
from atelier.catalog.seed_content import HOUSE_ID
from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, now_ms, rfc3339
from atelier.kernel.database import is_check_violation, is_duplicate
from atelier.kernel.ids import new_id
from atelier.ledger import service as ledger
from atelier.ledger.models import ACCOUNTS, TRANSFERS
from atelier.marketplace import renewing
from atelier.marketplace.errors import NotASubscription, NotSubscribed, PriceChanged
from atelier.marketplace.renewing import Rules
from tests.jobs.lifecycle import PLATFORM_PERCENT, UTC_OFFSET_MS
from tests.ledger.test_races import at_once
from tests.marketplace.buying import Market

PRICE = 50
SHARE = 35
NAME = "海报大师"


@pytest.fixture
def creator(market: Market) -> str:
    return market.user()


@pytest.fixture
def agent_id(market: Market, creator: str) -> str:
    return market.agent(creator, price_type="subscription")


def subscribed(
    market: Market,
    agent_id: str,
    *,
    left_ms: int = HOUR_MS,
    credits: int = PRICE,  # noqa: A002 - the product's word
    on: bool = True,
) -> tuple[str, str]:
    """A user with so many credits and a subscription that has so long to run, and its id."""
    user_id = market.user(credits=PRICE + credits)
    bought = market.buy(user_id, agent_id, auto_renew=on).answer["purchase"]
    market.elapse(bought["id"], SUBSCRIBED_MS - left_ms)
    return user_id, bought["id"]


def told(market: Market, user_id: str) -> list[str]:
    return [kind for kind, _ in market.told(user_id)]


def transfers(session: Session, *, purchase_id: str) -> dict[str, int]:
    """What was moved for a purchase, by key."""
    columns = TRANSFERS.c
    rows = session.execute(select(columns.key, columns.amount).where(columns.ref_id == purchase_id))
    return {key.replace(purchase_id, "<id>"): amount for key, amount in rows}


def change(session: Session, *, purchase_id: str, columns: dict[str, Any]) -> None:
    session.execute(update(PURCHASES).where(PURCHASES.c.id == purchase_id).values(columns))


class TestRenewing:
    def test_it_is_a_purchase_of_its_own_that_runs_on_from_the_end(
        self, market: Market, agent_id: str, creator: str
    ) -> None:
        user_id, first_id = subscribed(market, agent_id)
        assert market.renew_due() == 1
        first, second = market.purchases(user_id)
        assert (first["active_slot"], first["due_ms"], first["renew_price"]) == (None, None, None)
        assert (second["active_slot"], second["price"], second["follows_id"]) == (1, PRICE, first_id)
        assert second["expires_ms"] == first["expires_ms"] + SUBSCRIBED_MS
        assert (second["renew_price"], second["due_ms"]) == (PRICE, second["expires_ms"] - REMINDED_MS)
        assert market.balance(user_id).available == 0
        assert market.balance(creator).available == 2 * SHARE
        paid = market.db.read(transfers, purchase_id=second["id"])
        assert paid == market.db.read(transfers, purchase_id=first_id) != {}
        renewed = {"agentName": NAME, "amount": PRICE, "expiresAt": rfc3339(second["expires_ms"])}
        assert market.told(user_id) == [("subscription_renewed", renewed)]
        assert told(market, creator) == ["agent_sold", "agent_sold"]
        assert {one.account_id for one in market.announced} == {user_id, creator}
        logged = market.operations()[-1]
        assert (logged["user_id"], logged["details"]["automatic"]) == (user_id, True)
        assert market.examine().totals == {}

    def test_not_before_the_last_day_and_not_after_the_end(self, market: Market, agent_id: str) -> None:
        early, purchase_id = subscribed(market, agent_id, left_ms=DAY_MS + MINUTE_MS)
        late, _ = subscribed(market, agent_id, left_ms=-MINUTE_MS)
        assert market.renew_due() == 0
        market.elapse(purchase_id, 2 * MINUTE_MS)
        assert (market.renew_due(), market.renew_due()) == (1, 0)
        assert market.expire() == 1
        assert (told(market, early), told(market, late)) == (["subscription_renewed"], ["subscription_expired"])
        assert (market.balance(early).available, market.balance(late).available) == (0, PRICE)

    def test_nobody_who_has_not_agreed_is_charged(self, market: Market, agent_id: str) -> None:
        user_id, _ = subscribed(market, agent_id, on=False)
        other, _ = subscribed(market, agent_id)
        market.agree(other, agent_id, on=False)
        assert market.renew_due() == 0
        assert [market.balance(one).available for one in (user_id, other)] == [PRICE, PRICE]

    def test_period_after_period(self, market: Market, agent_id: str) -> None:
        user_id, purchase_id = subscribed(market, agent_id, credits=3 * PRICE)
        for _ in range(3):
            assert (market.renew_due(), market.renew_due()) == (1, 0)
            purchase_id = market.purchases(user_id)[-1]["id"]
            market.elapse(purchase_id, SUBSCRIBED_MS)
        assert market.renew_due() == 0
        assert told(market, user_id)[-1] == "subscription_unpaid"
        assert len(market.purchases(user_id)) == 4
        assert market.balance(user_id).available == 0
        assert market.examine().totals == {}

    def test_a_lower_price_is_paid_and_the_agreement_stays(self, market: Market, agent_id: str) -> None:
        user_id, _ = subscribed(market, agent_id)
        market.change(agent_id, base_price=20)
        assert market.renew_due() == 1
        newest = market.purchases(user_id)[-1]
        assert (newest["price"], newest["renew_price"]) == (20, PRICE)
        assert market.balance(user_id).available == PRICE - 20

    def test_what_the_house_sells_is_renewed_too(self, market: Market) -> None:
        house = market.agent(HOUSE_ID, price_type="subscription")
        user_id, _ = subscribed(market, house)
        assert market.renew_due() == 1
        assert market.balance(user_id).available == 0
        assert market.examine().totals == {}


class TestObstacles:
    def test_without_credits_it_is_said_once_and_tried_until_the_end(self, market: Market, agent_id: str) -> None:
        user_id, purchase_id = subscribed(market, agent_id, credits=PRICE - 1)
        assert (market.renew_due(), market.renew_due()) == (0, 0)
        ((kind, data),) = market.told(user_id)
        assert (kind, data["amount"], data["agentName"]) == ("subscription_unpaid", PRICE, NAME)
        market.topup(user_id, 1)
        assert market.renew_due() == 1
        assert told(market, user_id) == ["subscription_unpaid", "subscription_renewed"]
        newest = market.purchases(user_id)[-1]
        assert newest["renewal_told"] == 0
        market.elapse(newest["id"], SUBSCRIBED_MS)
        assert market.renew_due() == 0
        assert told(market, user_id)[2:] == ["subscription_unpaid"]
        market.elapse(newest["id"], 2 * HOUR_MS)
        assert (market.renew_due(), market.expire()) == (0, 1)
        assert told(market, user_id)[3:] == ["subscription_expired"]
        assert purchase_id != newest["id"]
        assert market.examine().totals == {}

    def test_a_price_that_has_risen_needs_another_word(self, market: Market, agent_id: str) -> None:
        user_id, _ = subscribed(market, agent_id, credits=2 * PRICE)
        market.change(agent_id, base_price=60)
        assert (market.renew_due(), market.renew_due()) == (0, 0)
        ((kind, data),) = market.told(user_id)
        assert (kind, data["amount"], data["agreed"]) == ("subscription_price_risen", 60, PRICE)
        assert market.balance(user_id).available == 2 * PRICE
        with pytest.raises(PriceChanged):
            market.agree(user_id, agent_id, expected=PRICE)
        assert market.agree(user_id, agent_id, expected=60).renew_price == 60
        market.change(agent_id, base_price=70)
        assert market.renew_due() == 0
        assert told(market, user_id) == ["subscription_price_risen"] * 2
        market.change(agent_id, base_price=60)
        assert market.renew_due() == 1
        assert market.balance(user_id).available == 2 * PRICE - 60

    @pytest.mark.parametrize("changed", [{"status": "archived"}, {"price_type": "one_time"}, {"price_type": "free"}])
    def test_what_is_not_offered_any_more_is_not_renewed(
        self, market: Market, agent_id: str, changed: dict[str, Any]
    ) -> None:
        user_id, purchase_id = subscribed(market, agent_id)
        market.change(agent_id, **changed)
        assert (market.renew_due(), market.renew_due()) == (0, 0)
        assert told(market, user_id) == ["subscription_withdrawn"]
        assert market.has(user_id, agent_id)
        market.elapse(purchase_id, DAY_MS)
        assert (market.renew_due(), market.expire()) == (0, 1)
        assert told(market, user_id) == ["subscription_withdrawn", "subscription_expired"]
        assert market.balance(user_id).available == PRICE

    def test_one_after_another_as_far_as_the_credits_reach(self, market: Market, creator: str) -> None:
        agents = [market.agent(creator, price_type="subscription", price=price) for price in (30, 40, 20)]
        user_id = market.user(credits=90 + 60)
        for number, agent_id in enumerate(agents):
            bought = market.buy(user_id, agent_id, auto_renew=True).answer["purchase"]
            market.elapse(bought["id"], SUBSCRIBED_MS - (number + 1) * HOUR_MS)
        assert market.renew_due() == 2
        assert market.balance(user_id).available == 10
        assert sorted(told(market, user_id)) == ["subscription_renewed", "subscription_renewed", "subscription_unpaid"]
        assert market.examine().totals == {}

    def test_what_is_earned_in_the_group_may_be_spent_in_it(self, market: Market) -> None:
        seller, buyer = market.user(credits=PRICE), market.user(credits=2 * PRICE)
        theirs, others = (market.agent(one, price_type="subscription") for one in (seller, market.user()))
        dear, cheap = market.buy(buyer, theirs, auto_renew=True), market.buy(seller, others, auto_renew=True)
        market.change(others, base_price=30)
        market.elapse(dear.answer["purchase"]["id"], SUBSCRIBED_MS - HOUR_MS)
        market.elapse(cheap.answer["purchase"]["id"], SUBSCRIBED_MS - 2 * HOUR_MS)
        # What was earned by the first sale is gone, so that only the renewal's share can pay.
        market.db.transact(_spend, market, seller, SHARE)
        assert market.renew_due() == 2
        assert market.balance(seller).available == SHARE - 30
        assert market.examine().totals == {}

    def test_who_may_not_spend_is_not_charged(self, market: Market, agent_id: str) -> None:
        disabled, unproved, proved = (subscribed(market, agent_id)[0] for _ in range(3))
        market.db.transact(_account, disabled, status="disabled", email_verified_ms=1)
        market.db.transact(_account, unproved, status="active", email_verified_ms=None)
        market.db.transact(_account, proved, status="active", email_verified_ms=1)
        assert market.renew_due(needs_verification=True) == 1
        assert [market.balance(one).available for one in (disabled, unproved, proved)] == [PRICE, PRICE, 0]
        assert market.renew_due() == 1
        assert [market.balance(one).available for one in (disabled, unproved)] == [PRICE, 0]
        assert told(market, disabled) == []

    def test_one_that_is_broken_does_not_stop_the_others(self, market: Market, agent_id: str) -> None:
        users = [subscribed(market, agent_id)[0] for _ in range(3)]
        market.db.transact(_without_account, users[1])
        assert market.renew_due() == 2
        assert [len(market.purchases(one)) for one in users] == [2, 1, 2]


def _spend(session: Session, market: Market, user_id: str, amount: int) -> None:
    ledger.consume(session, market.entry(user_id, amount, "consume"), now_ms=now_ms())


def _account(session: Session, user_id: str, *, status: str, email_verified_ms: int | None) -> None:
    name = f"u{user_id[-12:]}"
    row: dict[str, Any] = {
        "id": user_id, "email": name, "email_key": name, "username": name, "username_key": name, "password_hash": "-",
        "display_name": name, "role": "user", "status": status, "token_version": 0, "settings": {},
        "email_verified_ms": email_verified_ms, "created_ms": 1, "updated_ms": 1,
    }  # fmt: skip
    session.execute(insert(User), row)


def _without_account(session: Session, user_id: str) -> None:
    session.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == user_id).values(kind="system"))


class TestAgreeing:
    def test_the_switch_is_off_until_the_buyer_turns_it_on(self, market: Market, agent_id: str) -> None:
        user_id = market.user(credits=PRICE)
        bought = market.buy(user_id, agent_id).answer["purchase"]
        assert (bought["autoRenew"], bought["renewPrice"]) == (False, None)
        assert market.agree(user_id, agent_id).renew_price == PRICE
        assert market.agree(user_id, agent_id).renew_price == PRICE
        assert market.agree(user_id, agent_id, on=False).renew_price is None
        logged = [one["details"] for one in market.operations("SUBSCRIPTION_AUTO_RENEW")]
        assert logged == [
            {"purchaseId": bought["id"], "autoRenew": True, "renewPrice": PRICE},
            {"purchaseId": bought["id"], "autoRenew": False, "renewPrice": None},
        ]

    def test_an_extension_leaves_it_as_it_is_unless_it_says_otherwise(self, market: Market, agent_id: str) -> None:
        user_id = market.user(credits=4 * 60)
        market.buy(user_id, agent_id, auto_renew=True)
        market.change(agent_id, base_price=60)
        extended = market.buy(user_id, agent_id, renew=True).answer["purchase"]
        assert (extended["autoRenew"], extended["renewPrice"]) == (True, 60)
        ended = market.buy(user_id, agent_id, renew=True, auto_renew=False).answer["purchase"]
        assert ended["autoRenew"] is False
        rows = market.purchases(user_id)
        assert [one["follows_id"] for one in rows] == [None, rows[0]["id"], rows[1]["id"]]

    def test_who_comes_back_later_has_not_agreed_again(self, market: Market, agent_id: str) -> None:
        user_id, _ = subscribed(market, agent_id, left_ms=-HOUR_MS)
        assert market.buy(user_id, agent_id).answer["purchase"]["autoRenew"] is False

    def test_what_is_refused(self, market: Market, agent_id: str, creator: str) -> None:
        user_id = market.user(credits=5 * PRICE)
        once = market.agent(creator)
        with pytest.raises(NotASubscription):
            market.buy(user_id, once, auto_renew=True)
        market.buy(user_id, once, auto_renew=False)
        with pytest.raises(NotSubscribed):
            market.agree(user_id, once)
        with pytest.raises(NotSubscribed):
            market.agree(user_id, agent_id)
        with pytest.raises(AgentNotFound):
            market.agree(user_id, new_id())
        bought = market.buy(user_id, agent_id, auto_renew=True).answer["purchase"]
        market.change(agent_id, status="archived")
        with pytest.raises(AgentArchived):
            market.agree(user_id, agent_id)
        assert market.agree(user_id, agent_id, on=False).renew_price is None
        market.change(agent_id, status="published", price_type="one_time")
        with pytest.raises(NotASubscription):
            market.agree(user_id, agent_id)
        market.elapse(bought["id"], SUBSCRIBED_MS + HOUR_MS)
        with pytest.raises(NotSubscribed):
            market.agree(user_id, agent_id, on=False)


class TestReminders:
    def remind(self, market: Market, agent_id: str, *, on: bool = True) -> tuple[str, str]:
        user_id, purchase_id = subscribed(market, agent_id, left_ms=REMINDED_MS - MINUTE_MS, on=on)
        return user_id, purchase_id

    def test_they_say_whether_it_will_be_renewed_and_for_how_much(self, market: Market, agent_id: str) -> None:
        renewed, purchase_id = self.remind(market, agent_id)
        ended, _ = self.remind(market, agent_id, on=False)
        market.change(agent_id, base_price=40)
        assert (market.expire(), market.expire()) == (2, 0)
        ((kind, data),) = market.told(renewed)
        assert (kind, data["amount"]) == ("subscription_renewing", 40)
        assert told(market, ended) == ["subscription_expiring"]
        market.elapse(purchase_id, REMINDED_MS - HOUR_MS)
        assert (market.renew_due(), market.expire()) == (1, 0)
        assert told(market, renewed) == ["subscription_renewing", "subscription_renewed"]

    def test_of_an_obstacle_they_tell_in_place_of_the_last_day(self, market: Market, agent_id: str) -> None:
        user_id, purchase_id = self.remind(market, agent_id)
        market.change(agent_id, base_price=60)
        assert market.expire() == 1
        market.elapse(purchase_id, REMINDED_MS - HOUR_MS)
        assert (market.renew_due(), market.renew_due(), market.expire()) == (0, 0, 0)
        assert told(market, user_id) == ["subscription_price_risen"]
        market.change(agent_id, status="archived")
        assert market.renew_due() == 0
        assert told(market, user_id) == ["subscription_price_risen", "subscription_withdrawn"]

    def test_nobody_is_reminded_of_what_they_were_told_already(self, market: Market, agent_id: str) -> None:
        user_id, _ = subscribed(market, agent_id)
        market.change(agent_id, status="archived")
        assert (market.renew_due(), market.expire()) == (0, 1)
        assert told(market, user_id) == ["subscription_withdrawn"]


class TestOnce:
    def test_however_many_tasks_there_are(self, market: Market, agent_id: str, creator: str) -> None:
        users = [subscribed(market, agent_id, credits=5 * PRICE)[0] for _ in range(12)]
        found = at_once(lambda _: market.renew_due(group=5), threads=8)
        assert [one for one in found if isinstance(one, Exception)] == []
        assert sum(one for one in found if isinstance(one, int)) == 12
        assert {market.balance(one).available for one in users} == {4 * PRICE}
        assert {tuple(told(market, one)) for one in users} == {("subscription_renewed",)}
        assert market.balance(creator).available == 24 * SHARE
        assert market.examine().totals == {}

    def test_beside_buyers_who_extend_and_change_their_minds(self, market: Market, agent_id: str) -> None:
        users = [subscribed(market, agent_id, credits=5 * PRICE)[0] for _ in range(6)]

        def meddle(number: int) -> object:
            user_id = users[number // 3]
            if number % 3 == 0:
                return market.renew_due(group=4)
            if number % 3 == 1:
                return market.buy(user_id, agent_id, renew=True)
            return market.agree(user_id, agent_id, on=False)

        outcomes = at_once(meddle, threads=18)
        assert [one for one in outcomes if isinstance(one, Exception)] == []
        for user_id in users:
            rows = sorted(market.purchases(user_id), key=itemgetter("expires_ms"))
            assert market.balance(user_id).available == (6 - len(rows)) * PRICE
            assert [one["follows_id"] for one in rows[1:]] == [one["id"] for one in rows[:-1]]
            assert [one["active_slot"] for one in rows] == [None] * (len(rows) - 1) + [1]
            assert rows[-1]["renew_price"] is None
        assert market.examine().totals == {}

    def test_an_attempt_that_runs_again_finds_nothing_to_do(self, market: Market, agent_id: str) -> None:
        user_id, _ = subscribed(market, agent_id, credits=3 * PRICE)
        (near,) = market.db.read(renewals.near, after=None, limit=9)
        attempts = [renewing.attempt(near)]
        rules = Rules(platform_percent=PLATFORM_PERCENT, utc_offset_ms=UTC_OFFSET_MS, needs_verification=False)
        done = [market.db.transact(renewing.renew_some, attempts, rules=rules, now_ms=now_ms()) for _ in range(2)]
        assert [one.number for one in done] == [1, 0]
        assert market.balance(user_id).available == 2 * PRICE

    def test_the_database_refuses_a_second_follower_and_a_switch_where_nothing_runs(
        self, market: Market, agent_id: str
    ) -> None:
        user_id, first_id = subscribed(market, agent_id)
        other_id = subscribed(market, agent_id)[1]
        assert market.renew_due() == 2
        with pytest.raises(IntegrityError) as twice:
            market.db.transact(change, purchase_id=other_id, columns={"follows_id": first_id})
        assert is_duplicate(twice.value)
        with pytest.raises(DBAPIError) as ended:
            market.db.transact(change, purchase_id=first_id, columns={"renew_price": PRICE})
        assert is_check_violation(ended.value)
        assert market.has(user_id, agent_id)
