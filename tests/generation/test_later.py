"""Jobs whose provider finishes later: handed over once, parked, looked at, and ended by whoever notices."""

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atelier.jobs import states, upstream
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.providers.contract import GenerationRequest
from atelier.providers.fake_kling import FakeKling
from tests.generation.faraway import PRICE, Faraway


@pytest.fixture
def fake() -> Iterator[FakeKling]:
    with FakeKling(seconds=lambda: 0.2) as running:
        yield running


@pytest.fixture
def away(db: Database, settings: Callable[..., Settings], fake: FakeKling, tmp_path: Path) -> Iterator[Faraway]:
    made = Faraway(db, settings(backoff_ms=1, lease_seconds=3), fake, tmp_path)
    yield made
    made.close()


def test_a_job_is_parked_and_completed_when_the_provider_is_done(away: Faraway) -> None:
    user_id = away.shop.user(credits=PRICE)
    job_id = away.submit(user_id)
    away.work(job_id)
    job = away.shop.job(job_id)
    assert (job["state"], job["lease_ms"], job["owner"], job["fence"]) == ("running", None, None, 1)
    assert job["poll_ms"] is not None
    (attempt,) = away.attempts(job_id)
    assert (attempt["submit_state"], attempt["provider_key"]) == ("accepted", f"job:{job_id}")
    assert away.shop.examine().totals == {}

    job = away.ended(job_id)
    assert (job["state"], job["used"], job["attempts"], job["poll_ms"]) == ("completed", PRICE, 1, None)
    assert away.generations == 1
    assert away.shop.balance(user_id).spent == PRICE
    assert away.shop.examine().totals == {}


def a_parked_job(away: Faraway) -> str:
    """A job that the provider has."""
    job_id = away.submit(away.shop.user(credits=PRICE))
    away.work(job_id)
    return job_id


def assert_whole(away: Faraway, *job_ids: str) -> None:
    """All ended well, by one generation each, and nothing that the doctor minds."""
    assert {away.shop.job(job_id)["state"] for job_id in job_ids} == {"completed"}
    assert away.generations == 1
    assert away.shop.examine().totals == {}


class TestHandingOver:
    def test_a_request_whose_answer_was_lost_is_found_and_not_sent_again(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.unanswered = 1.0
        job_id = a_parked_job(away)
        (attempt,) = away.attempts(job_id)
        assert (attempt["submit_state"], attempt["upstream_id"]) == ("unknown", None)
        assert away.shop.job(job_id)["held"] == PRICE
        away.ended(job_id)
        assert fake.books.submitted[f"job:{job_id}"] == 1
        assert_whole(away, job_id)

    def test_a_request_that_was_not_taken_is_sent_again_once_that_is_certain(
        self, away: Faraway, fake: FakeKling
    ) -> None:
        fake.faults.broken = 1.0
        job_id = a_parked_job(away)
        assert away.attempts(job_id)[0]["submit_state"] == "unknown"
        fake.faults.broken = 0.0
        away.ended(job_id)
        first, second = away.attempts(job_id)
        assert (first["submit_state"], first["outcome"]) == ("absent", "PROVIDER_NOT_TAKEN")
        assert first["misses"] == 0
        assert (second["submit_state"], second["outcome"]) == ("accepted", "completed")
        assert_whole(away, job_id)

    def test_a_request_that_arrives_late_is_taken_on(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.late, fake.faults.late_seconds = 1.0, 0.1
        job_id = a_parked_job(away)
        away.ended(job_id)
        assert len(away.attempts(job_id)) == 1
        assert_whole(away, job_id)

    def test_one_that_arrives_after_it_was_sent_again_is_refused(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.late, fake.faults.late_seconds = 1.0, math.inf
        job_id = a_parked_job(away)
        fake.faults.late = 0.0
        away.ended(job_id)
        fake.deliver()
        assert fake.books.submitted[f"job:{job_id}"] == 2
        assert_whole(away, job_id)

    def test_a_worker_that_died_after_sending_leaves_it_to_the_next(self, away: Faraway, fake: FakeKling) -> None:
        job_id = away.submit(away.shop.user(credits=PRICE))
        lost = away.shop.claim_one(job_id)
        assert away.shop.db.transact(upstream.calling, job_id=job_id, fence=lost.fence, key=f"job:{job_id}")
        away.kling.submit(GenerationRequest(provider_key=f"job:{job_id}", attempt=1, model="", prompt="松鼠"))
        away.shop.lapse(job_id)
        away.shop.sweep(queue="generation.video")
        away.work(job_id)
        assert fake.books.submitted[f"job:{job_id}"] == 1
        assert away.attempts(job_id)[1]["submit_state"] == "accepted"
        away.ended(job_id)
        assert_whole(away, job_id)

    def test_what_the_provider_refuses_for_good_fails_and_costs_nothing(self, away: Faraway, fake: FakeKling) -> None:
        fake.api_key = "another"
        user_id = away.shop.user(credits=PRICE)
        job_id = away.submit(user_id)
        away.work(job_id)
        (attempt,) = away.attempts(job_id)
        assert (attempt["submit_state"], attempt["outcome"]) == ("rejected", "PROVIDER_MISCONFIGURED")
        assert fake.books.generations() == {}


class TestLooking:
    def test_a_task_that_failed_is_generated_anew_under_a_key_of_its_own(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.failing = 1.0
        job_id = a_parked_job(away)
        fake.faults.failing = 0.0
        away.ended(job_id)
        assert [one["provider_key"] for one in away.attempts(job_id)] == [f"job:{job_id}", f"job:{job_id}:2"]
        assert_whole(away, job_id)

    def test_a_provider_that_has_forgotten_it_is_believed_after_a_while(self, away: Faraway, fake: FakeKling) -> None:
        job_id = a_parked_job(away)
        fake.restart(keep=False)
        away.ended(job_id)
        first, second = away.attempts(job_id)
        assert (first["submit_state"], first["outcome"]) == ("absent", "PROVIDER_TASK_LOST")
        assert second["outcome"] == "completed"
        assert_whole(away, job_id)

    def test_nothing_is_lost_while_the_provider_is_away(self, away: Faraway, fake: FakeKling) -> None:
        job_ids = [a_parked_job(away) for _ in range(5)]
        fake.faults.deaf = 1.0
        away.poll(seconds=0.6)
        asked = fake.books.calls["look"]
        assert asked < 8, "it is asked less and less often"
        assert {away.shop.job(job_id)["state"] for job_id in job_ids} == {"running"}
        fake.faults.deaf = 0.0
        fake.restart(keep=True)
        for job_id in job_ids:
            away.ended(job_id)
        assert_whole(away, *job_ids)

    def test_two_pollers_share_the_jobs(self, away: Faraway) -> None:
        job_ids = [a_parked_job(away) for _ in range(12)]
        other = away.another_poller()
        twin = threading.Thread(target=other.round, kwargs={"seconds": 5.0})
        twin.start()
        for job_id in job_ids:
            away.ended(job_id)
        other.stop()
        twin.join()
        other.close()
        assert_whole(away, *job_ids)

    def test_a_job_that_is_canceled_ends_at_the_next_look(self, away: Faraway, fake: FakeKling) -> None:
        fake.seconds = lambda: 600.0
        user_id = away.shop.user(credits=PRICE)
        job_id = away.submit(user_id)
        away.work(job_id)
        assert not away.shop.cancel(job_id, user_id).done
        assert away.ended(job_id)["state"] == "canceled"
        assert away.shop.balance(user_id).available == PRICE
        fake.finish(f"job:{job_id}")
        away.poll()
        assert away.shop.job(job_id)["state"] == "canceled"
        assert away.shop.examine().totals == {}

    def test_a_deadline_ends_it(self, away: Faraway, fake: FakeKling) -> None:
        fake.seconds = lambda: 600.0
        job_id = a_parked_job(away)
        away.too_late(job_id)
        job = away.ended(job_id)
        assert (job["state"], job["error_code"]) == ("failed", "DEADLINE_EXCEEDED")

    @pytest.mark.parametrize("canceled", [False, True])
    def test_the_sweeper_ends_it_when_nobody_looks(self, away: Faraway, canceled: bool) -> None:  # noqa: FBT001 - parameter
        user_id = away.shop.user(credits=PRICE)
        job_id = away.submit(user_id)
        away.work(job_id)
        if canceled:
            away.shop.cancel(job_id, user_id)
        assert away.shop.sweep(queue="generation.video") == []
        away.too_late(job_id)
        (swept,) = away.shop.sweep(queue="generation.video")
        assert swept.state == ("canceled" if canceled else "failed")
        assert away.shop.balance(user_id).available == PRICE
        away.poll()
        assert away.shop.job(job_id)["state"] == swept.state
        assert away.shop.examine().totals == {}

    def test_events_go_on_being_numbered_whoever_looks(self, away: Faraway) -> None:
        job_id = a_parked_job(away)
        running = away.shop.job(job_id)["seq"]
        assert running == states.first_seq(1)
        assert states.look_seq(1, since_ms=0) > running
        looks = [states.look_seq(1, since_ms=ms) for ms in (0, 499, 500, 1_000, DAY_MS, 10 * DAY_MS)]
        assert looks == sorted(looks)
        assert looks[-1] + states.LOOK_EVENTS < states.first_seq(2)
        assert away.ended(job_id)["seq"] > running
