"""What lost attempts have stored is removed, and nothing that anybody may ask for."""

from collections.abc import Callable

import pytest

from atelier.generation import artifacts, collecting
from atelier.jobs.service import Claimed
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.providers.contract import GenerationResult, Output
from atelier.storage.port import Storage
from tests.jobs.lifecycle import Workshop

PICTURE = GenerationResult(outputs=(Output(type="image", content_type="image/png", data=b"a picture"),))
LATER_MS = 3 * HOUR_MS


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


@pytest.fixture
def collect(shop: Workshop, storage: Storage) -> Callable[..., int]:
    def go(*, later_ms: int = LATER_MS) -> int:
        return collecting.collect(shop.db, storage=storage, now_ms=now_ms() + later_ms)

    return go


def store(storage: Storage, claimed: Claimed) -> str:
    """What this attempt has made; its key."""
    (output,) = artifacts.keep(storage, PICTURE, folder=f"outputs/{claimed.id}/{claimed.fence}")["outputs"]
    key: str = output["key"]
    return key


def abandoned(shop: Workshop, storage: Storage, job_id: str) -> str:
    """Let an attempt at the job store something and die; its key."""
    key = store(storage, shop.claim_one(job_id))
    shop.lapse(job_id)
    return key


def keys(storage: Storage) -> set[str]:
    return set(storage.keys("outputs", limit=1_000))


def test_only_the_winner_stays(shop: Workshop, storage: Storage, collect: Callable[..., int]) -> None:
    user_id = shop.user(credits=100)
    job_id = shop.submit(user_id, 5, kind="image")
    lost = [abandoned(shop, storage, job_id) for _ in range(2)]
    winner = shop.claim_one(job_id)
    won = store(storage, winner)
    assert shop.complete(winner)
    foreign = f"outputs/{job_id}/readme.txt"
    storage.put(foreign, b"another program's")
    assert (collect(later_ms=HOUR_MS), keys(storage)) == (0, {*lost, won, foreign}), "a zombie may still be storing"
    assert (collect(), keys(storage)) == (2, {won, foreign})
    assert collect() == 0


def test_what_ended_without_a_result_keeps_nothing(
    shop: Workshop, storage: Storage, collect: Callable[..., int]
) -> None:
    user_id = shop.user(credits=100)
    half_stored, given_up = (shop.claim_one(shop.submit(user_id, 5, kind="image")) for _ in range(2))
    for claimed in (half_stored, given_up):
        store(storage, claimed)
    assert shop.settle(shop.failure(half_stored, error_code="STORAGE_UNAVAILABLE")) != [None]
    shop.cancel(given_up.id, user_id)
    shop.lapse(given_up.id)
    assert [one.state for one in shop.sweep(queue="generation.image")] == ["canceled"]
    assert (collect(), keys(storage)) == (2, set())


def test_whom_a_provider_refuses_has_stored_nothing_to_look_for(
    shop: Workshop, storage: Storage, collect: Callable[..., int]
) -> None:
    refused = shop.claim_one(shop.submit(shop.user(credits=5), 5, kind="image"))
    unexpected = store(storage, refused)
    assert shop.fail(refused)
    assert (collect(), keys(storage)) == (0, {unexpected})


def test_nothing_is_taken_from_jobs_that_go_on(shop: Workshop, storage: Storage, collect: Callable[..., int]) -> None:
    user_id = shop.user(credits=100)
    job_id = shop.submit(user_id, 5, kind="image")
    old = abandoned(shop, storage, job_id)
    running = store(storage, shop.claim_one(job_id))
    assert (collect(later_ms=1_000 * HOUR_MS), keys(storage)) == (0, {old, running})


def test_jobs_that_ended_in_one_moment_are_all_looked_at(
    shop: Workshop, storage: Storage, collect: Callable[..., int]
) -> None:
    user_id = shop.user()
    submissions = [shop.submission(user_id, 0, kind="image") for _ in range(collecting.JOBS_PER_ROUND + 30)]
    shop.submit_all(submissions)
    claims = [one for each in submissions for one in shop.claim(each.job_id)]
    for claimed in (claims[0], claims[-1]):
        store(storage, claimed)
    shop.settle(*(shop.failure(one, error_code="INTERNAL") for one in claims))
    assert (collect(), keys(storage)) == (2, set())
    assert collect() == 0
