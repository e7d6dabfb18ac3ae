"""Many threads at one balance: whatever the order, nothing is spent twice and nothing is refused for nothing."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.database import Database, is_check_violation, is_duplicate
from atelier.kernel.ids import new_id
from atelier.ledger import service as ledger
from atelier.ledger.errors import HoldResolved, InsufficientCredits
from atelier.ledger.service import Entry, Hold, Resolution
from tests.jobs.lifecycle import Workshop, terms

R = TypeVar("R")
THREADS = 50


@pytest.fixture
def shop(database_url: str) -> Iterator[Workshop]:
    db = Database(database_url, pool_size=16)
    yield Workshop(db)
    db.close()


def at_once(work: Callable[[int], R], *, threads: int = THREADS) -> list[R | Exception]:
    """What each of the threads got, all of them let go in the same moment."""
    start = threading.Barrier(threads)

    def run(number: int) -> R | Exception:
        start.wait(timeout=20)
        try:
            return work(number)
        except Exception as error:  # noqa: BLE001 - what each thread got is judged afterwards
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def a_hold(user_id: str, amount: int) -> Hold:
    ref_id = new_id()
    return Hold(
        transfer_id=new_id(),
        key=f"hold:thing:{ref_id}",
        user_id=user_id,
        amount=amount,
        ref_type="thing",
        ref_id=ref_id,
    )


def kinds(outcomes: list[R | Exception]) -> Counter[str]:
    return Counter(type(one).__name__ for one in outcomes)


@pytest.mark.parametrize(("credits", "price"), [(100, 5), (103, 5), (7, 2), (4, 5)])
def test_a_balance_buys_exactly_as_often_as_it_reaches(shop: Workshop, credits: int, price: int) -> None:  # noqa: A002 - the product's word
    user_id = shop.user(credits=credits)
    outcomes = at_once(lambda _: shop.db.transact(ledger.consume, shop.entry(user_id, price, "consume"), now_ms=1))
    bought = credits // price
    assert kinds(outcomes) == Counter({"Posted": bought, "InsufficientCredits": THREADS - bought})
    assert shop.balance(user_id).available == credits - bought * price
    assert shop.examine().totals == {}


def test_jobs_of_one_user_submitted_at_once_are_held_exactly_as_often_as_the_balance_reaches(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    outcomes = at_once(lambda _: shop.submit(user_id, 5))
    assert kinds(outcomes) == Counter({"str": 20, "InsufficientCredits": 30})
    assert shop.balance(user_id).available == 0
    assert shop.examine().totals == {}


def test_groups_that_name_the_same_users_in_any_order_all_get_through(shop: Workshop) -> None:
    users = [shop.user(credits=1_000) for _ in range(6)]

    def hold_and_capture(number: int) -> int:
        mine = users[number % 6 :] + users[: number % 6]
        holds = [a_hold(user_id, 1 + number % 3) for user_id in (mine if number % 2 else reversed(mine))]
        shop.db.transact(ledger.hold, holds, now_ms=1)
        ends = [Resolution(transfer_id=new_id(), hold_key=hold.key, amount=1, terms=terms()) for hold in holds]
        return len(shop.db.transact(ledger.resolve, ends, now_ms=2))

    assert at_once(hold_and_capture) == [6] * THREADS
    assert {shop.balance(user_id).balance for user_id in users} == {1_000 - THREADS}
    assert shop.examine().totals == {}


@pytest.mark.parametrize("others", [0, 90])
def test_a_hold_that_many_end_at_once_ends_once(shop: Workshop, others: int) -> None:
    user_id = shop.user(credits=100)
    hold = a_hold(user_id, 10)
    shop.db.transact(ledger.hold, [hold, *([a_hold(user_id, others)] if others else [])], now_ms=1)

    def end(number: int) -> object:
        taken = None if number % 2 else 10
        one = Resolution(transfer_id=new_id(), hold_key=hold.key, amount=taken, terms=terms())
        return shop.db.transact(ledger.resolve, [one], now_ms=2)

    outcomes = at_once(end, threads=20)
    assert kinds(outcomes) == Counter({"list": 1, HoldResolved.__name__: 19})
    assert shop.balance(user_id).held == others
    assert shop.examine().totals == {}


def test_a_movement_that_many_write_under_one_key_is_written_once(shop: Workshop) -> None:
    user_id = shop.user()

    def pay(_: int) -> object:
        entry = Entry(transfer_id=new_id(), key="topup:order:1", user_id=user_id, amount=50)
        return shop.db.transact(ledger.topup, entry, now_ms=1)

    outcomes = at_once(pay, threads=20)
    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert len(refused) == 19
    assert all(isinstance(one, IntegrityError) and is_duplicate(one) for one in refused)
    assert shop.balance(user_id).balance == 50


class TestConstraints:
    """What stands behind the arithmetic, if a bug should pass it."""

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE accounts SET debits_posted = 101 WHERE id = :user",
            "UPDATE accounts SET debits_pending = 101 WHERE id = :user",
            "UPDATE accounts SET debits_pending = 60, debits_posted = 41 WHERE id = :user",
            "UPDATE accounts SET credits_posted = -1 WHERE id = :user",
            "UPDATE accounts SET debits_pending = -1 WHERE id = :user",
            "UPDATE transfers SET amount = -1 WHERE account_id = :user",
            "UPDATE transfers SET debit_id = credit_id WHERE account_id = :user",
            "UPDATE transfers SET kind = 'capture' WHERE account_id = :user",
            "UPDATE transfers SET pending_id = 'x' WHERE account_id = :user",
        ],
    )
    def test_the_database_itself_refuses(self, shop: Workshop, statement: str) -> None:
        user_id = shop.user(credits=100)

        def change(session: Session) -> None:
            session.execute(text(statement), {"user": user_id})

        with pytest.raises(DBAPIError) as caught:
            shop.db.transact(change)
        assert is_check_violation(caught.value)
        assert shop.examine().totals == {}

    def test_system_accounts_carry_no_counters_and_so_no_limit(self, shop: Workshop) -> None:
        def drain(session: Session) -> None:
            session.execute(text("UPDATE accounts SET debits_posted = 5 WHERE id = 'system:bonus'"))

        shop.db.transact(drain)
        assert shop.examine().totals == {"account.available": 1, "account.posted": 1}


def test_an_overdrawn_balance_names_what_there_was_and_what_it_takes(shop: Workshop) -> None:
    user_id = shop.user(credits=4)
    with pytest.raises(InsufficientCredits) as caught:
        shop.submit(user_id, 5)
    assert (caught.value.details, caught.value.code) == ({"balance": 4, "required": 5}, "INSUFFICIENT_CREDITS")
