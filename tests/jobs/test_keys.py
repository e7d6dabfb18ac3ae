"""What is submitted with an API key counts against it: never past its limit, and to the credit."""

from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from atelier.accounts.api_keys import NewKey
from atelier.accounts.errors import KeyCreditsExhausted, KeyEnded, KeyLimitTooLow
from atelier.generation.submit import Accepted
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Unauthorized
from atelier.kernel.ids import new_id
from atelier.ledger.errors import InsufficientCredits
from tests.jobs import keys
from tests.jobs.lifecycle import Workshop

THREADS = 50


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


def kinds(outcomes: list[Any]) -> list[type[object]]:
    return [type(one) for one in outcomes]


def spent(shop: Workshop, key: NewKey) -> tuple[int, int]:
    """What its jobs hold, and what they have used."""
    shown = keys.read(shop.db, key)
    return shown.credits_held, shown.credits_used


def test_fifty_at_once_never_pass_the_limit(shop: Workshop) -> None:
    user_id = shop.user(credits=1_000)
    key = keys.make(shop.db, user_id, limit=100)
    submissions = [shop.submission(user_id, 3, key_id=key.id) for _ in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = [outcome for group in pool.map(shop.submit_all, [[one] for one in submissions]) for outcome in group]
    assert Counter(kinds(outcomes)) == {Accepted: 33, KeyCreditsExhausted: 17}
    assert spent(shop, key) == (99, 0)
    assert shop.balance(user_id).held == 99
    (refusal,) = {str(one.details) for one in outcomes if isinstance(one, KeyCreditsExhausted)}
    assert refusal == str({"limit": 100, "spent": 99, "required": 3})
    assert not shop.examine().findings


def test_a_group_is_judged_in_order_key_by_key(shop: Workshop) -> None:
    user_id = shop.user(credits=1_000)
    one, other, free = (keys.make(shop.db, user_id, limit=limit) for limit in (10, 5, None))
    asked = ((one, 6), (other, 6), (one, 5), (free, 500), (one, 4), (other, 5), (one, 0), (one, 1))
    outcomes = shop.submit_all([shop.submission(user_id, price, key_id=key.id) for key, price in asked])
    refused = KeyCreditsExhausted
    assert kinds(outcomes) == [Accepted, refused, refused, Accepted, Accepted, Accepted, Accepted, refused]
    assert [spent(shop, key) for key in (one, other, free)] == [(10, 0), (5, 0), (500, 0)]


def test_what_its_user_cannot_pay_for_takes_nothing_of_the_key(shop: Workshop) -> None:
    user_id = shop.user(credits=5)
    key = keys.make(shop.db, user_id, limit=10)
    outcomes = shop.submit_all([shop.submission(user_id, price, key_id=key.id) for price in (8, 3, 2, 1)])
    assert kinds(outcomes) == [InsufficientCredits, Accepted, Accepted, InsufficientCredits]
    assert spent(shop, key) == (5, 0)


def test_every_end_of_a_job_gives_back_what_it_did_not_use(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    key = keys.make(shop.db, user_id, limit=40)
    done, failed, canceled, late = (shop.submission(user_id, 10, key_id=key.id) for _ in range(4))
    shop.submit_all([done, failed, canceled, late])
    assert isinstance(shop.submit_all([shop.submission(user_id, 1, key_id=key.id)])[0], KeyCreditsExhausted)
    claimed = shop.claim_one(done.job_id)
    assert shop.complete(claimed, used=4)
    assert not shop.complete(claimed, used=4), "once more changes nothing"
    assert spent(shop, key) == (30, 4)
    assert shop.fail(shop.claim_one(failed.job_id))
    assert shop.cancel(canceled.job_id, user_id).done
    shop.outlive(late.job_id)
    assert len(shop.sweep()) == 1
    assert spent(shop, key) == (0, 4)
    assert isinstance(shop.submit_all([shop.submission(user_id, 36, key_id=key.id)])[0], Accepted)
    assert not shop.examine().findings


def test_a_key_that_has_ended_meanwhile_spends_nothing(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    revoked, expired = keys.make(shop.db, user_id), keys.make(shop.db, user_id, expires_ms=now_ms() - 1)
    keys.revoke(shop.db, revoked)
    nobodys = replace(keys.new_key(user_id))
    submissions = [shop.submission(user_id, 1, key_id=key.id) for key in (revoked, expired, nobodys)]
    assert kinds(shop.submit_all(submissions)) == [Unauthorized] * 3
    assert shop.balance(user_id).held == 0


def test_jobs_of_a_revoked_key_go_on_and_are_counted(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    key = keys.make(shop.db, user_id, limit=10)
    one = shop.submission(user_id, 10, key_id=key.id)
    shop.submit_all([one])
    keys.revoke(shop.db, key)
    assert shop.complete(shop.claim_one(one.job_id), used=7)
    assert spent(shop, key) == (0, 7)


def test_a_limit_is_never_below_what_is_spent(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    key = keys.make(shop.db, user_id)
    shop.submit_all([shop.submission(user_id, 10, key_id=key.id)])
    with pytest.raises(KeyLimitTooLow) as refused:
        keys.change(shop.db, key, credit_limit=9)
    assert refused.value.details == {"credits_held": 10, "credits_used": 0}
    assert keys.change(shop.db, key, credit_limit=10).credit_limit == 10
    assert keys.change(shop.db, key, credit_limit=None).credit_limit is None
    keys.revoke(shop.db, key)
    with pytest.raises(KeyEnded):
        keys.change(shop.db, key, credit_limit=11)


def test_the_database_itself_refuses_more_than_the_limit(shop: Workshop) -> None:
    keys.make(shop.db, shop.user(), limit=10)
    for change in (
        "UPDATE api_keys SET credits_held = 11",
        "UPDATE api_keys SET credits_used = -1",
        "UPDATE api_keys SET credits_held = 6, credits_used = 5",
    ):
        with pytest.raises(DBAPIError, match="ck_api_keys_credit"):
            shop.db.transact(_execute, statement=change)


def test_a_transaction_whose_commit_was_in_doubt_counts_once(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    key = keys.make(shop.db, user_id)
    one = shop.submission(user_id, 10, key_id=key.id)
    assert kinds(shop.submit_all([one]) + shop.submit_all([one])) == [Accepted] * 2
    assert spent(shop, key) == (10, 0)
    keys.keep(shop.db, key)
    assert spent(shop, key) == (10, 0), "a key that is made again is the same"


def test_who_comes_without_a_key_costs_no_statement_more(shop: Workshop) -> None:
    user_id = shop.user(credits=1_000)
    key = keys.make(shop.db, user_id)
    with _statements(shop.db) as about_keys:
        plain = [shop.submission(user_id, 1) for _ in range(5)]
        shop.submit_all(plain)
        shop.settle(*(shop.completion(claimed) for claimed in shop.claim(*(one.job_id for one in plain))))
        assert about_keys == []
        group = [shop.submission(user_id, 1, key_id=key.id) for _ in range(5)]
        shop.submit_all(group)
        assert len(about_keys) == 2
        shop.settle(*(shop.completion(claimed) for claimed in shop.claim(*(one.job_id for one in group))))
        assert len(about_keys) == 3
    assert spent(shop, key) == (0, 5)


@contextmanager
def _statements(db: Database) -> Generator[list[str]]:
    """The statements about keys, as they are executed."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "api_keys" in statement:
            seen.append(statement)

    event.listen(db.writer, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db.writer, "before_cursor_execute", note)


def _execute(session: Session, *, statement: str) -> None:
    session.execute(text(statement))


def test_a_retry_counts_against_the_key_that_asks_for_it(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    first, second = keys.make(shop.db, user_id), keys.make(shop.db, user_id)
    one = shop.submission(user_id, 10, key_id=first.id)
    shop.submit_all([one])
    assert shop.fail(shop.claim_one(one.job_id))
    again = replace(shop.submission(user_id, 10, key_id=second.id), job_id=new_id(), retry_of=one.job_id)
    shop.submit_all([again])
    assert (spent(shop, first), spent(shop, second)) == ((0, 0), (10, 0))
    assert shop.job(again.job_id)["key_id"] == second.id
