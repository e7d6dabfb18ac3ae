"""The limit of waiting jobs counts what was accepted, never what could not be paid for."""

import pytest

from atelier.generation.errors import TooManyWaiting
from atelier.generation.submit import Accepted
from atelier.kernel.database import Database
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


def test_one_users_limit_is_not_anothers(shop: Workshop) -> None:
    one, other = shop.user(credits=9), shop.user()
    group = [shop.submission(user_id, price) for user_id, price in ((one, 9), (other, 9), (one, 0), (other, 0))]
    assert _kinds([*shop.submit_all(group, waiting_max=1)]) == [Accepted, InsufficientCredits, TooManyWaiting, Accepted]
