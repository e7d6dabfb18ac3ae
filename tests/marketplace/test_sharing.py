"""The task that pays creators: all that is due, each once, whatever it stumbles over."""

from collections import Counter

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from atelier.kernel.database import Database, DatabaseUnavailable
from atelier.ledger.models import ACCOUNTS, EARNINGS
from atelier.ledger.posting import Posted
from atelier.marketplace.sharing import Sharer
from tests.jobs.lifecycle import UTC_OFFSET_MS
from tests.marketplace.buying import Market


@pytest.fixture
def told() -> list[Posted]:
    return []


@pytest.fixture
def sharer(market: Market, told: list[Posted]) -> Sharer:
    return Sharer(database=market.db, announce=told.append, utc_offset_ms=UTC_OFFSET_MS, group=4)


def done(market: Market, creator_id: str, *, number: int = 1, price: int = 10) -> None:
    """So many jobs with this creator's agent ended well."""
    market.creator_id = creator_id
    user_id = market.user(credits=number * price)
    for _ in range(number):
        assert market.complete(market.claim_one(market.submit(user_id, price)))


def test_all_that_is_due_is_paid_group_by_group_and_everyone_told(
    market: Market, sharer: Sharer, told: list[Posted]
) -> None:
    creators = [market.user(), market.user()]
    for creator_id in creators:
        done(market, creator_id, number=7)
    assert (sharer.run(), sharer.run()) == (14, 0)
    assert [market.balance(one).available for one in creators] == [49, 49]
    last = {one.account_id: one.available for one in told}
    assert last == dict.fromkeys(creators, 49)
    assert len(told) <= 5  # An account is told of once for each group, not for each share.
    assert market.examine().totals == {}


def test_after_days_off_everything_is_made_good(market: Market, sharer: Sharer) -> None:
    creator_id = market.user()
    done(market, creator_id, number=9)
    market.db.transact(long_ago)
    assert set(market.examine().totals) == {"share.late"}
    assert market.examine().clean
    assert sharer.run() == 9
    assert market.examine().totals == {}


def long_ago(session: Session) -> None:
    session.execute(update(EARNINGS).values(created_ms=1))


def test_one_who_cannot_be_paid_keeps_nobody_waiting(market: Market, sharer: Sharer, told: list[Posted]) -> None:
    lost, creator_id = market.user(), market.user()
    done(market, lost, number=2)
    done(market, creator_id, number=5)
    market.db.transact(forget, account_id=lost)
    for _ in range(3):
        sharer.run()
    assert market.balance(creator_id).available == 35
    assert Counter(one.account_id for one in told).keys() == {creator_id}
    assert sharer.run() == 0  # What can't be paid is put off and not tried all the time.


def forget(session: Session, *, account_id: str) -> None:
    session.execute(delete(ACCOUNTS).where(ACCOUNTS.c.id == account_id))


def test_a_database_that_is_away_is_for_the_next_tick(told: list[Posted]) -> None:
    gone = Database("mysql://nobody:x@127.0.0.1:1/none", pool_size=1)
    with pytest.raises(DatabaseUnavailable):
        Sharer(database=gone, announce=told.append, utc_offset_ms=0).run()
    assert told == []
