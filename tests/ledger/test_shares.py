"""What is paid for an agent is shared to the credit, once: the platform's part at once, the creator's soon after."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, now_ms
from atelier.kernel.database import Database, is_duplicate
from atelier.kernel.ids import new_id
from atelier.ledger import earnings, shares
from atelier.ledger import service as ledger
from atelier.ledger.errors import InsufficientCredits, NoAccount
from atelier.ledger.models import CLEARING, EARNING_DAYS, EARNINGS, PLATFORM, TRANSFERS
from atelier.ledger.posting import Posted
from atelier.ledger.service import Purchase
from atelier.ledger.shares import Paid
from tests.jobs.lifecycle import UTC_OFFSET_MS, Workshop, terms
from tests.ledger.test_races import at_once

PRICE = 10


@pytest.fixture
def shop(database_url: str) -> Iterator[Workshop]:
    """A creator's agent, and room for many threads."""
    db = Database(database_url, pool_size=16)
    shop = Workshop(db)
    shop.creator_id = shop.user()
    yield shop
    db.close()


def done(shop: Workshop, user_id: str, *, price: int = PRICE, used: int | None = None) -> str:
    """A job that ended well."""
    job_id = shop.submit(user_id, price)
    assert shop.complete(shop.claim_one(job_id), used=used)
    return job_id


def a_purchase(user_id: str, amount: int, *, creator_id: str | None, percent: int = 30) -> Purchase:
    return Purchase(
        purchase_id=new_id(),
        transfer_id=new_id(),
        share_id=new_id(),
        user_id=user_id,
        amount=amount,
        note="海报大师",
        terms=terms(creator_id=creator_id, percent=percent),
    )


def bought(shop: Workshop, one: Purchase, *, at_ms: int | None = None) -> list[Posted]:
    return shop.db.transact(ledger.purchase, one, now_ms=at_ms or now_ms(), utc_offset_ms=UTC_OFFSET_MS)


def shared(session: Session, ref_id: str) -> dict[str, tuple[str, str, int]]:
    """The shares of a thing: from where, to where, how much."""
    columns = TRANSFERS.c
    rows = session.execute(select(TRANSFERS).where(columns.ref_id == ref_id, columns.kind == "share")).mappings()
    return {row["key"]: (row["debit_id"], row["credit_id"], row["amount"]) for row in rows}


def earned(session: Session) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(select(EARNINGS).order_by(EARNINGS.c.ref_id)).mappings()]


def days(session: Session) -> list[tuple[object, ...]]:
    return [tuple(row) for row in session.execute(select(EARNING_DAYS).order_by(EARNING_DAYS.c.day_ms))]


class TestParts:
    @given(st.integers(1, 10**12), st.integers(0, 100))
    def test_they_add_up_and_the_platforms_is_never_less_than_agreed(self, amount: int, percent: int) -> None:
        paid = Paid(
            thing="job:1",
            ref_type="job",
            ref_id="1",
            note=None,
            amount=amount,
            terms=terms(creator_id="c", percent=percent),
        )
        assert paid.earning
        assert paid.platform_amount + paid.earning.amount == amount
        assert min(paid.platform_amount, paid.earning.amount) >= 0
        assert amount * percent <= 100 * paid.platform_amount < amount * percent + 100

    @pytest.mark.parametrize(
        ("amount", "percent", "platform"),
        [(1, 30, 1), (2, 30, 1), (3, 30, 1), (4, 30, 2), (10, 30, 3), (100, 30, 30), (7, 0, 0), (7, 100, 7), (1, 1, 1)],
    )
    def test_small_ones(self, amount: int, percent: int, platform: int) -> None:
        assert shares.platform_part(amount, percent=percent) == platform


class TestCaptures:
    def test_the_platform_has_its_part_at_once_and_the_creator_when_it_is_paid_out(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        job_id = done(shop, user_id)
        assert shop.creator_id
        assert shop.db.read(shared, job_id) == {f"share:job:{job_id}:platform": (CLEARING, PLATFORM, 3)}
        (line,) = shop.db.read(earned)
        assert (line["ref_id"], line["gross"], line["amount"]) == (job_id, 10, 7)
        assert (line["due_ms"], line["paid_ms"]) == (0, None)
        assert (shop.balance(shop.creator_id).balance, shop.examine().totals) == (0, {})
        paid = shop.pay_out()
        assert (paid.number, [one.balance for one in paid.accounts]) == (1, [7])
        assert shop.db.read(shared, job_id) == {
            f"share:job:{job_id}:platform": (CLEARING, PLATFORM, 3),
            f"share:job:{job_id}:creator": (CLEARING, shop.creator_id, 7),
        }
        (line,) = shop.db.read(earned)
        assert line["due_ms"] is None
        assert abs(line["paid_ms"] - now_ms()) < MINUTE_MS
        assert (shop.balance(shop.creator_id).available, shop.examine().totals) == (7, {})
        assert shop.pay_out().number == 0

    def test_what_is_taken_is_shared_and_not_what_was_held(self, shop: Workshop) -> None:
        job_id = done(shop, shop.user(credits=100), used=4)
        shop.pay_out()
        assert sorted(one[2] for one in shop.db.read(shared, job_id).values()) == [2, 2]
        assert shop.examine().totals == {}

    def test_the_houses_agents_earn_the_platform_everything(self, db: Database) -> None:
        shop = Workshop(db)
        job_id = done(shop, shop.user(credits=100))
        assert db.read(shared, job_id) == {f"share:job:{job_id}:platform": (CLEARING, PLATFORM, 10)}
        assert db.read(earned) == []
        assert shop.examine().totals == {}

    def test_a_share_of_nothing_is_no_transfer(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        taken, free, failed = done(shop, user_id, price=1), done(shop, user_id, price=0), shop.submit(user_id, 5)
        assert shop.fail(shop.claim_one(failed))
        untaken = done(shop, user_id, used=0)
        assert shop.pay_out().number == 1
        assert list(shop.db.read(shared, taken)) == [f"share:job:{taken}:platform"]
        assert [shop.db.read(shared, one) for one in (free, failed, untaken)] == [{}, {}, {}]
        assert [(line["gross"], line["amount"]) for line in shop.db.read(earned)] == [(1, 0)]
        assert shop.examine().totals == {}

    def test_nothing_is_captured_without_saying_who_shares_in_it(self, shop: Workshop) -> None:
        claimed = shop.claim_one(shop.submit(shop.user(credits=100), PRICE))
        nobody = shop.completion(claimed)
        with pytest.raises(AssertionError, match="nobody shares"):
            shop.settle(replace(nobody, terms=None))
        assert shop.examine().totals == {}

    def test_a_creator_who_uses_their_own_agent_pays_and_earns_as_with_anyone(self, shop: Workshop) -> None:
        assert shop.creator_id
        shop.topup(shop.creator_id, 20)
        done(shop, shop.creator_id)
        shop.pay_out()
        assert shop.balance(shop.creator_id).available == 20 - 10 + 7
        assert shop.examine().totals == {}


class TestPayingOut:
    def test_many_are_paid_together_the_oldest_first(self, shop: Workshop) -> None:
        users, creators = [shop.user(credits=1_000) for _ in range(3)], [shop.user() for _ in range(3)]
        made: dict[str, int] = dict.fromkeys(creators, 0)
        for number in range(30):
            shop.creator_id = creators[number % 3]
            done(shop, users[number // 3 % 3], price=number)
            made[creators[number % 3]] += number - -(-number * 30 // 100)
        assert shop.pay_out(number=7).number == 7
        assert shop.examine().totals == {}
        paid = shop.pay_out()
        assert paid.number == 29 - 7  # the one that cost nothing is not shared
        assert {one: shop.balance(one).balance for one in creators} == made
        assert {one.account_id: one.balance for one in paid.accounts} == made
        assert shop.examine().totals == {}

    def test_tasks_that_pay_at_once_pay_each_share_once(self, shop: Workshop) -> None:
        users = [shop.user(credits=100) for _ in range(4)]
        for number in range(40):
            done(shop, users[number % 4])
        paid = at_once(lambda _: shop.pay_out(number=3).number, threads=16)
        assert [one for one in paid if isinstance(one, Exception)] == []
        assert sum(one for one in paid if isinstance(one, int)) == 40
        assert shop.creator_id
        assert shop.balance(shop.creator_id).balance == 40 * 7
        assert shop.examine().totals == {}

    def test_settlements_and_payments_of_one_creator_do_not_disturb_each_other(self, shop: Workshop) -> None:
        users = [shop.user(credits=100) for _ in range(16)]

        def work(number: int) -> int:
            for _ in range(4):
                done(shop, users[number], price=5)
                shop.pay_out(number=5)
            return number

        assert at_once(work, threads=16) == list(range(16))
        shop.pay_out()
        assert shop.creator_id
        assert shop.balance(shop.creator_id).balance == 64 * 3
        assert shop.examine().totals == {}

    def test_a_share_that_was_paid_already_is_refused_by_its_key(self, shop: Workshop) -> None:
        done(shop, shop.user(credits=100))
        shop.pay_out()
        shop.db.transact(_owed_again)
        with pytest.raises(IntegrityError) as caught:
            shop.pay_out()
        assert is_duplicate(caught.value)
        assert shop.creator_id
        assert shop.balance(shop.creator_id).balance == 7

    def test_who_cannot_be_paid_is_put_off_and_waits_alone(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        kept, shop.creator_id = shop.creator_id, new_id()
        lost = done(shop, user_id)
        with pytest.raises(NoAccount):
            shop.pay_out()
        shop.creator_id = kept
        done(shop, user_id)
        shop.db.transact(earnings.put_off, ref_id=lost, wait_ms=HOUR_MS)
        assert shop.pay_out().number == 1
        assert shop.db.read(earnings.due, limit=10) == []

    def test_a_day_is_the_operators(self, shop: Workshop) -> None:
        midnight = 1_760_000_000_000 // DAY_MS * DAY_MS - UTC_OFFSET_MS
        user_id = shop.user(credits=1_000)
        one = a_purchase(user_id, 10, creator_id=shop.creator_id)
        bought(shop, one, at_ms=midnight - 1)
        for number in range(3):
            again = a_purchase(user_id, 20, creator_id=shop.creator_id)
            again = replace(again, terms=replace(again.terms, agent_id=one.terms.agent_id))
            bought(shop, again, at_ms=midnight + number)
        agent_id = one.terms.agent_id
        assert shop.db.read(days) == [
            (shop.creator_id, midnight - DAY_MS, agent_id, 1, 10, 7),
            (shop.creator_id, midnight, agent_id, 3, 60, 42),
        ]


def _owed_again(session: Session) -> None:
    session.execute(update(EARNINGS).values(due_ms=0, paid_ms=None))


class TestPurchases:
    def test_all_of_it_is_shared_in_one_transaction(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        one = a_purchase(user_id, 51, creator_id=shop.creator_id)
        assert [(each.account_id, each.balance) for each in bought(shop, one)] == [(user_id, 49), (shop.creator_id, 35)]
        thing = f"share:purchase:{one.purchase_id}"
        assert shop.db.read(shared, one.purchase_id) == {
            f"{thing}:creator": (CLEARING, shop.creator_id, 35),
            f"{thing}:platform": (CLEARING, PLATFORM, 16),
        }
        (line,) = shop.db.read(earned)
        assert (line["ref_type"], line["gross"], line["amount"], line["due_ms"]) == ("agent_purchase", 51, 35, None)
        assert shop.examine().totals == {"purchase.made": 1}  # This is the ledger alone: nobody has the agent.

    @pytest.mark.parametrize(("percent", "keys"), [(0, ["creator"]), (100, ["platform"])])
    def test_a_share_of_nothing_is_no_transfer(self, shop: Workshop, percent: int, keys: list[str]) -> None:
        one = a_purchase(shop.user(credits=100), 9, creator_id=shop.creator_id, percent=percent)
        bought(shop, one)
        assert [key.rpartition(":")[2] for key in shop.db.read(shared, one.purchase_id)] == keys

    def test_one_credit_too_few_is_refused_without_a_trace(self, shop: Workshop) -> None:
        user_id = shop.user(credits=50)
        one = a_purchase(user_id, 51, creator_id=shop.creator_id)
        with pytest.raises(InsufficientCredits):
            bought(shop, one)
        assert shop.creator_id
        assert (shop.balance(user_id).available, shop.balance(shop.creator_id).balance) == (50, 0)
        assert (shop.db.read(shared, one.purchase_id), shop.db.read(earned)) == ({}, [])
        assert shop.examine().totals == {}

    def test_the_same_purchase_is_refused_by_its_key(self, shop: Workshop) -> None:
        one = a_purchase(shop.user(credits=100), 30, creator_id=shop.creator_id)
        bought(shop, one)
        again = a_purchase(one.user_id, 30, creator_id=shop.creator_id)
        with pytest.raises(IntegrityError) as caught:
            bought(shop, replace(again, purchase_id=one.purchase_id))
        assert is_duplicate(caught.value)

    def test_two_creators_who_buy_from_each_other_all_the_time_both_get_through(self, shop: Workshop) -> None:
        pair = [shop.user(credits=1_000), shop.user(credits=1_000)]

        def trade(number: int) -> int:
            buyer, seller = pair[number % 2], pair[1 - number % 2]
            return len(bought(shop, a_purchase(buyer, 10, creator_id=seller)))

        assert at_once(trade, threads=16) == [2] * 16
        assert [shop.balance(one).balance for one in pair] == [1_000 - 80 + 56] * 2
        assert set(shop.examine().totals) == {"purchase.made"}
