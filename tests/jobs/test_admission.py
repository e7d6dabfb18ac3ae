"""The limit of waiting jobs counts what was accepted, never what could not be paid for."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from atelier.generation.errors import TooManyWaiting
from atelier.generation.submit import Accepted
from atelier.jobs import arrivals, places
from atelier.jobs.arrivals import Found
from atelier.jobs.lanes import LaneKey
from atelier.jobs.places import Newcomer
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.ledger.errors import InsufficientCredits
from tests.jobs.lifecycle import Workshop


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


def _kinds(outcomes: list[Accepted | Exception]) -> list[type[object]]:
    return [type(one) for one in outcomes]


def test_the_places_are_taken_in_order_and_the_rest_is_refused(shop: Workshop) -> None:
    user_id = shop.user(credits=100)
    group = [shop.submission(user_id, 1) for _ in range(5)]
    outcomes = shop.submit_all(group, waiting_max=3)
    assert _kinds([*outcomes]) == [Accepted] * 3 + [TooManyWaiting] * 2


def test_what_cannot_be_paid_for_takes_no_place(shop: Workshop) -> None:
    user_id = shop.user(credits=3)
    prices = (50, 1, 60, 1, 70, 1, 0)
    outcomes = shop.submit_all([shop.submission(user_id, price) for price in prices], waiting_max=3)
    refused, taken = InsufficientCredits, Accepted
    assert _kinds([*outcomes]) == [refused, taken, refused, taken, refused, taken, TooManyWaiting]


@pytest.mark.parametrize("price", [0, 1])
def test_simultaneous_submissions_of_one_user_are_counted_one_by_one(database_url: str, price: int) -> None:
    database = Database(database_url, pool_size=16)
    shop, at_once = Workshop(database), Barrier(12)
    user_id = shop.user(credits=100)
    shop.submit(user_id, price)  # Then there is a lane, which nobody has to make.

    def submit(_number: int) -> list[Accepted | Refusal]:
        group = [shop.submission(user_id, price) for _ in range(5)]
        at_once.wait()
        return shop.submit_all(group, waiting_max=4)

    with ThreadPoolExecutor(12) as threads:
        outcomes = [one for group in threads.map(submit, range(12)) for one in group]
    assert sum(isinstance(one, Accepted) for one in outcomes) == 3
    assert database.read(arrivals.waiting, user_ids=[user_id]) == {(user_id, "generation.text"): 4}
    assert shop.examine().totals == {}
    database.close()


def test_large_groups_of_one_user_are_counted_one_by_one_from_afar(database_url: str) -> None:
    database = Database(database_url, pool_size=16)
    shop, at_once = Workshop(database), Barrier(8)
    user_id = shop.user()
    shop.submit_all([shop.submission(user_id, 0) for _ in range(300)], waiting_max=1_000)

    def submit(_number: int) -> int:
        group = [shop.submission(user_id, 0) for _ in range(100)]
        at_once.wait()
        return sum(isinstance(one, Accepted) for one in shop.submit_all(group, waiting_max=1_000))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(submit, range(8))) == 700
    database.close()


@pytest.mark.parametrize("priority", ["high", "normal"])
def test_a_position_is_no_less_than_nothing(shop: Workshop, priority: str) -> None:
    user_id, queue = shop.user(), "generation.text"
    # What waits is counted after what is older: others have submitted in between.
    there = Found(waiting={(user_id, queue): 50}, older={queue: 10}, lanes={queue: 1})
    new = Newcomer(new_id(), LaneKey(queue, user_id, "echo"), priority)
    (position,) = shop.db.read(places.positions, [new], there=there).values()
    assert position == (0 if priority == "high" else 50)


def test_one_users_limit_is_not_anothers(shop: Workshop) -> None:
    one, other = shop.user(credits=9), shop.user()
    group = [shop.submission(user_id, price) for user_id, price in ((one, 9), (other, 9), (one, 0), (other, 0))]
    assert _kinds([*shop.submit_all(group, waiting_max=1)]) == [Accepted, InsufficientCredits, TooManyWaiting, Accepted]
