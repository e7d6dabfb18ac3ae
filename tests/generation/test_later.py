"""Jobs whose provider finishes later: handed over once, parked, looked at, and ended by whoever notices."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from atelier.jobs import parking, states, upstream
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.providers.contract import GenerationRequest
from atelier.providers.errors import Throttled
from atelier.providers.fake_kling import FakeKling
from atelier.providers.kling.adapter import Kling
from atelier.providers.later import Status
from tests.generation.faraway import PRICE, Faraway
from tests.servers import until


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


def look(away: Faraway, job_id: str) -> None:
    """Look at a job now, by a poller that has just begun and remembers nothing."""
    away.shop.db.transact(parking.wake, job_ids=[job_id])
    poller = away.another_poller()
    poller.round(seconds=0.1)
    poller.close()


def fetched(away: Faraway, job_id: str, *, times: int) -> None:
    """Look until files have been fetched so often."""

    def enough() -> bool:
        look(away, job_id)
        return away.fake.books.calls["fetch"] >= times

    until(enough, what=f"files have been fetched {times} times")
    assert away.fake.books.calls["fetch"] == times


def put_back(away: Faraway, job_id: str) -> None:
    """Look until the job waits for its next attempt."""

    def waits() -> bool:
        look(away, job_id)
        return bool(away.shop.job(job_id)["state"] == "pending")

    until(waits, what="the job waits again")


class Crowded(Kling):
    """A provider that has no room for what it has taken: what fails there failed for that."""

    @override
    def poll(self, upstream_ids: Sequence[str]) -> Mapping[str, Status]:
        told = super().poll(upstream_ids)
        return {one: replace(status, failure=status.failure and Throttled()) for one, status in told.items()}


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

    def test_the_key_of_what_was_taken_on_is_the_one_that_is_looked_for(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.failing = 1.0
        job_id = a_parked_job(away)
        put_back(away, job_id)
        fake.faults.failing = 0.0
        away.shop.hasten(job_id)
        lost = away.shop.claim_one(job_id)
        second = f"job:{job_id}:2"
        assert away.shop.db.transact(upstream.calling, job_id=job_id, fence=lost.fence, key=second)
        away.kling.submit(GenerationRequest(provider_key=second, attempt=2, model="", prompt="松鼠"))
        away.shop.lapse(job_id)
        away.shop.sweep(queue="generation.video")
        fake.faults.deaf = 1.0
        away.work(job_id)
        fake.faults.deaf = 0.0
        *_, third = away.attempts(job_id)
        assert (third["submit_state"], third["provider_key"]) == ("unknown", second)
        away.ended(job_id)
        assert_whole(away, job_id)


class TestLooking:
    def test_a_task_that_failed_is_generated_anew_under_a_key_of_its_own(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.failing = 1.0
        job_id = a_parked_job(away)
        fake.faults.failing = 0.0
        away.ended(job_id)
        assert [one["provider_key"] for one in away.attempts(job_id)] == [f"job:{job_id}", f"job:{job_id}:2"]
        assert_whole(away, job_id)

    def test_a_task_that_ended_for_want_of_room_is_generated_anew_and_counts_as_no_attempt(
        self, db: Database, settings: Callable[..., Settings], fake: FakeKling, tmp_path: Path
    ) -> None:
        away = Faraway(db, settings(backoff_ms=1, lease_seconds=3), fake, tmp_path, kind=Crowded)
        fake.faults.failing = 1.0
        job_id = a_parked_job(away)
        fake.faults.failing = 0.0
        job = away.ended(job_id)
        first, second = away.attempts(job_id)
        assert (first["submit_state"], first["outcome"]) == ("ended", "PROVIDER_THROTTLED")
        assert (second["provider_key"], second["number"]) == (f"job:{job_id}:2", 1)
        assert (job["attempts"], job["fence"]) == (1, 2)
        assert set(fake.books.submitted.values()) == {1}
        assert_whole(away, job_id)
        away.close()

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


class TestFetching:
    def test_a_file_of_a_provider_that_is_away_is_fetched_as_often_as_it_takes(
        self, away: Faraway, fake: FakeKling
    ) -> None:
        fake.faults.shut = 1.0
        job_id = a_parked_job(away)
        fetched(away, job_id, times=5)
        (attempt,) = away.attempts(job_id)
        assert (attempt["submit_state"], attempt["outcome"], attempt["misses"]) == ("accepted", None, 0)
        fake.faults.shut = 0.0
        look(away, job_id)
        assert len(away.attempts(job_id)) == 1
        assert_whole(away, job_id)

    def test_a_result_that_is_no_good_may_be_good_the_next_time(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.spoiled = 1.0
        job_id = a_parked_job(away)
        fetched(away, job_id, times=2)
        (attempt,) = away.attempts(job_id)
        assert (attempt["submit_state"], attempt["misses"]) == ("accepted", 2)
        assert away.shop.job(job_id)["held"] == PRICE
        fake.faults.spoiled = 0.0
        look(away, job_id)
        assert len(away.attempts(job_id)) == 1
        assert_whole(away, job_id)

    def test_one_that_stays_so_is_given_up_and_generated_anew(self, away: Faraway, fake: FakeKling) -> None:
        fake.faults.spoiled = 1.0
        job_id = a_parked_job(away)
        fetched(away, job_id, times=3)
        assert away.shop.job(job_id)["state"] == "pending"
        (first,) = away.attempts(job_id)
        assert (first["submit_state"], first["outcome"]) == ("ended", "PROVIDER_BAD_ANSWER")
        fake.faults.spoiled = 0.0
        away.ended(job_id)
        assert fake.books.generations() == {f"job:{job_id}": 1, f"job:{job_id}:2": 1}
        assert away.shop.job(job_id)["state"] == "completed"
        assert away.shop.examine().totals == {}

    def test_a_poller_that_died_after_giving_it_up_is_followed_by_one_that_does(
        self, away: Faraway, fake: FakeKling
    ) -> None:
        fake.faults.spoiled = 1.0
        job_id = a_parked_job(away)
        fetched(away, job_id, times=2)
        away.shop.db.transact(upstream.note, job_id=job_id, fence=1, submitted=upstream.ENDED)
        look(away, job_id)
        assert away.shop.job(job_id)["state"] == "pending"
        assert fake.books.calls["fetch"] == 3

    def test_a_job_without_a_good_result_fails_in_the_end_and_costs_nothing(
        self, away: Faraway, fake: FakeKling
    ) -> None:
        fake.faults.spoiled = 1.0
        user_id = away.shop.user(credits=PRICE)
        job_id = away.submit(user_id)
        for attempt in (1, 2, 3):
            away.shop.hasten(job_id)
            away.work(job_id)
            fetched(away, job_id, times=3 * attempt)
        job = away.shop.job(job_id)
        assert (job["state"], job["error_code"], job["used"]) == ("failed", "PROVIDER_BAD_ANSWER", 0)
        assert away.shop.balance(user_id).available == PRICE
        assert set(fake.books.generations().values()) == {1}
        assert len(fake.books.generations()) == 3
        assert away.shop.examine().totals == {}
