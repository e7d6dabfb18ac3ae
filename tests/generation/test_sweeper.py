"""The sweeper goes on whatever one job is like, and whatever stands in front."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from atelier.generation import sweep
from atelier.generation import sweeper as sweeping
from atelier.generation.cancel import cancel
from atelier.generation.sweeper import Sweeper
from atelier.jobs import queries, service
from atelier.kernel.clock import MINUTE_MS, SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.live.publisher import Publisher
from tests.jobs.lifecycle import Workshop


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


@pytest.fixture
def sweeper(settings: Callable[..., Settings], db: Database, redis_url: str) -> Sweeper:
    return Sweeper(settings=settings(), database=db, publisher=Publisher(redis_url))


def test_a_job_that_cannot_be_swept_keeps_nobody_waiting(shop: Workshop, sweeper: Sweeper) -> None:
    user_id = shop.user(credits=10)
    broken, sound = (shop.submit(user_id, 5, attempts_max=1) for _ in range(2))
    for job_id in (broken, sound):
        shop.claim_one(job_id)
        shop.lapse(job_id)
    shop.db.transact(
        lambda session: session.execute(
            text("UPDATE transfers SET kind = 'bonus' WHERE ref_id = :job"), {"job": broken}
        )
    )
    sweeper.sweep({})
    assert (shop.job(broken)["state"], shop.job(sound)["state"]) == ("running", "failed")


def test_a_deadline_is_kept_behind_any_number_of_waiting_jobs(shop: Workshop, sweeper: Sweeper) -> None:
    user_id = shop.user(credits=5)
    for _ in range(sweeping.ROUND_MAX // 40 + 1):
        shop.submit_all([shop.submission(user_id, 0) for _ in range(40)])
    late = shop.submit(user_id, 5)

    def make_due(session: Session) -> None:
        session.execute(text("UPDATE jobs SET sweep_ms = 1 WHERE id <> :job"), {"job": late})
        session.execute(text("UPDATE jobs SET deadline_ms = 1, sweep_ms = 2 WHERE id = :job"), {"job": late})

    shop.db.transact(make_due)
    done = sweeper.sweep({"generation.text": 10_000})
    assert done["expired"] == 1
    assert (shop.job(late)["state"], shop.balance(user_id).held) == ("failed", 0)


def test_a_long_wait_does_not_outlast_the_deadline(shop: Workshop) -> None:
    """A job that waits for a retry, or to be published again, is looked at when its time is over, not long after."""
    user_id = shop.user(credits=10)
    again, lost = (shop.submit(user_id, 5) for _ in range(2))
    claimed = shop.claim_one(again)
    deadline_ms = now_ms() + 20 * SECOND_MS
    shop.db.transact(lambda session: session.execute(text("UPDATE jobs SET deadline_ms = :at"), {"at": deadline_ms}))
    assert shop.db.transact(
        service.put_back,
        job_id=again,
        fence=claimed.fence,
        wait_ms=5 * MINUTE_MS,
        republish_ms=30 * SECOND_MS,
        seq=claimed.fence * 1_000_000 + 2,
        error_code="PROVIDER_THROTTLED",
    )
    shop.db.transact(
        lambda session: session.execute(text("UPDATE jobs SET sweep_ms = 1 WHERE id = :job"), {"job": lost})
    )
    (overdue,) = shop.db.read(queries.overdue, queue="generation.text", state="pending", limit=10)
    assert shop.db.transact(sweep.republish, [overdue], now_ms=now_ms(), base_ms=30 * SECOND_MS) == 1
    assert {shop.job(job_id)["sweep_ms"] for job_id in (again, lost)} == {deadline_ms}


def test_what_a_long_queue_put_off_is_published_as_soon_as_the_queue_is_gone(shop: Workshop, sweeper: Sweeper) -> None:
    job_id = shop.submit(shop.user(), 0)
    shop.db.transact(
        lambda session: session.execute(text("UPDATE jobs SET sweep_ms = 1 WHERE id = :job"), {"job": job_id})
    )
    assert sweeper.sweep({"generation.text": 10_000})["republished"] == 0
    assert sweeper.sweep({})["republished"] == 1


def test_a_retry_does_not_forget_that_its_job_was_canceled(shop: Workshop) -> None:
    user_id = shop.user(credits=5)
    job_id = shop.submit(user_id, 5)
    claimed = shop.claim_one(job_id)
    asked = shop.db.transact(cancel, job_id=job_id, user_id=user_id, transfer_id=new_id(), now_ms=now_ms())
    assert not asked.done
    assert not shop.put_back(claimed)
    assert shop.job(job_id)["state"] == "running"
