"""The sweeper goes on whatever one job is like, and whatever stands in front."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from atelier.generation import sweeper as sweeping
from atelier.generation.cancel import cancel
from atelier.generation.sweeper import Sweeper
from atelier.kernel.clock import now_ms
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


def test_a_retry_does_not_forget_that_its_job_was_canceled(shop: Workshop) -> None:
    user_id = shop.user(credits=5)
    job_id = shop.submit(user_id, 5)
    claimed = shop.claim_one(job_id)
    asked = shop.db.transact(cancel, job_id=job_id, user_id=user_id, transfer_id=new_id(), now_ms=now_ms())
    assert not asked.done
    assert not shop.put_back(claimed)
    assert shop.job(job_id)["state"] == "running"
