"""The verbs of a job's life: who may change it, and that everyone else changes nothing."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from atelier.generation import sweep
from atelier.jobs import arrivals, controls, queries, service, states
from atelier.jobs.arrivals import Found
from atelier.jobs.errors import JobFinished, JobNotFound
from atelier.jobs.queries import Filter
from atelier.kernel.clock import SECOND_MS, now_ms
from atelier.kernel.database import Database, is_check_violation
from atelier.kernel.ids import new_id
from tests.jobs.lifecycle import LEASE_MS, REPUBLISH_MS, Workshop

R = TypeVar("R")


@pytest.fixture
def shop(database_url: str) -> Iterator[Workshop]:
    db = Database(database_url, pool_size=16)
    yield Workshop(db)
    db.close()


def at_once(work: Callable[[int], R], *, threads: int = 20) -> list[R]:
    start = threading.Barrier(threads)

    def run(number: int) -> R:
        start.wait(timeout=20)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def near(ms: int, *, ahead: int = 0) -> bool:
    return abs(ms - ahead - now_ms()) < 10 * SECOND_MS


class TestClaims:
    def test_a_claim_takes_the_job_for_a_lease_under_a_new_fence(self, shop: Workshop) -> None:
        user_id = shop.user(credits=9)
        job_id = shop.submit(user_id, 5)
        claimed = shop.claim_one(job_id)
        assert (claimed.id, claimed.user_id, claimed.fence, claimed.attempts, claimed.held) == (
            job_id,
            user_id,
            1,
            1,
            5,
        )
        assert (claimed.input, claimed.config, claimed.cancel_requested) == ({"prompt": "松鼠"}, {}, False)
        job = shop.job(job_id)
        assert (job["state"], job["fence"], job["seq"], job["attempts"]) == ("running", 1, 1_000_001, 1)
        assert job["lease_ms"] == job["sweep_ms"] == claimed.claimed_ms + LEASE_MS
        assert near(job["started_ms"])
        assert shop.db.read(queries.attempts, job_id=job_id) == [(1, "echo", None)]

    def test_a_duplicate_message_claims_nothing(self, shop: Workshop) -> None:
        job_id = shop.submit(shop.user(), 0)
        shop.claim_one(job_id)
        before = shop.job(job_id)
        assert shop.claim(job_id) == []
        assert shop.claim(new_id()) == []
        assert shop.job(job_id) == before

    def test_of_many_at_once_one_gets_each_job(self, shop: Workshop) -> None:
        user_id = shop.user()
        job_ids = [shop.submit(user_id, 0) for _ in range(12)]

        def claim(number: int) -> list[str]:
            return [one.id for one in shop.claim(*job_ids[number % 4 : number % 4 + 9])]

        claimed = [job_id for got in at_once(claim) for job_id in got]
        assert sorted(claimed) == sorted(job_ids)
        assert all(shop.job(job_id)["fence"] == 1 for job_id in job_ids)

    def test_a_job_that_is_not_due_stays(self, shop: Workshop) -> None:
        job_id = shop.submit(shop.user(), 0)
        assert shop.put_back(shop.claim_one(job_id), wait_ms=60_000)
        assert shop.claim(job_id) == []
        shop.hasten(job_id)
        assert shop.claim_one(job_id).fence == 2

    def test_an_abandoned_job_is_taken_over_and_its_zombie_changes_nothing(self, shop: Workshop) -> None:
        user_id = shop.user(credits=5)
        job_id = shop.submit(user_id, 5)
        zombie = shop.claim_one(job_id)
        shop.lapse(job_id)
        heir = shop.claim_one(job_id)
        assert (heir.fence, heir.attempts) == (2, 2)
        before = shop.job(job_id)
        assert shop.renew(zombie) is None
        assert not shop.complete(zombie)
        assert not shop.fail(zombie)
        assert not shop.put_back(zombie)
        assert shop.job(job_id) == before
        assert shop.balance(user_id).held == 5
        assert shop.complete(heir)
        assert not shop.complete(heir)
        assert shop.balance(user_id).spent == 5
        outcomes = [outcome for *_, outcome in shop.db.read(queries.attempts, job_id=job_id)]
        assert outcomes == ["WORKER_LOST", "completed"]

    def test_the_last_attempt_is_the_last(self, shop: Workshop) -> None:
        job_id = shop.submit(shop.user(), 0, attempts_max=1)
        shop.claim_one(job_id)
        shop.lapse(job_id)
        assert shop.claim(job_id) == []
        (swept,) = shop.sweep()
        assert (swept.state, swept.error_code, swept.seq) == ("failed", "WORKER_LOST", 2_000_001)

    def test_an_attempt_that_a_shutdown_cut_short_does_not_count(self, shop: Workshop) -> None:
        job_id = shop.submit(shop.user(), 0, attempts_max=1)
        assert shop.put_back(shop.claim_one(job_id), refund=1)
        assert shop.claim_one(job_id).attempts == 1


class TestHeartbeats:
    def test_a_heartbeat_moves_the_lease_and_tells_of_a_cancellation(self, shop: Workshop) -> None:
        user_id = shop.user()
        job_id = shop.submit(user_id, 0)
        claimed = shop.claim_one(job_id, lease_ms=1_000)
        pulse = shop.renew(claimed)
        assert pulse is not None
        assert (pulse.cancel_requested, pulse.expired) == (False, False)
        assert near(shop.job(job_id)["lease_ms"], ahead=LEASE_MS)
        assert not shop.cancel(job_id, user_id).done
        later = shop.renew(claimed)
        assert later is not None
        assert later.cancel_requested

    def test_many_leases_are_renewed_together_and_no_other(self, shop: Workshop) -> None:
        user_id = shop.user()
        claims = [shop.claim_one(shop.submit(user_id, 0), lease_ms=1_000) for _ in range(5)]
        held = [service.Held(job_id=one.id, fence=one.fence + (one is claims[0])) for one in claims[:4]]
        shop.db.transact(service.renew, held=held, lease_ms=LEASE_MS)
        renewed = [near(shop.job(one.id)["lease_ms"], ahead=LEASE_MS) for one in claims]
        assert renewed == [False, True, True, True, False]

    def test_a_deadline_that_passes_is_told(self, shop: Workshop) -> None:
        claimed = shop.claim_one(shop.submit(shop.user(), 0))
        shop.db.transact(change_job, job_id=claimed.id, values="deadline_ms = 1")
        pulse = shop.renew(claimed)
        assert pulse is not None
        assert pulse.expired


class TestEnds:
    def test_an_end_is_written_with_everything_that_belongs_to_it(self, shop: Workshop) -> None:
        user_id = shop.user(credits=9)
        job_id = shop.submit(user_id, 5)
        assert shop.complete(shop.claim_one(job_id), used=3)
        job = shop.job(job_id)
        assert (job["state"], job["used"], job["seq"], job["fence"]) == ("completed", 3, 1_000_002, 1)
        assert (job["lease_ms"], job["sweep_ms"], job["owner"]) == (None, None, None)
        assert near(job["finished_ms"])
        assert (shop.balance(user_id).balance, shop.balance(user_id).held) == (6, 0)
        stored = shop.db.read(queries.stored, job_id=job_id, user_id=user_id)
        assert stored is not None
        assert stored.result == {"outputs": [{"type": "text", "text": "松鼠"}]}

    def test_settlements_that_come_together_are_each_judged(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        claims = [shop.claim_one(shop.submit(user_id, 5)) for _ in range(6)]
        shop.lapse(claims[1].id)
        shop.claim_one(claims[1].id)
        shop.fail(claims[3])
        ends = [
            shop.completion(one, used=number) if number < 5 else shop.failure(one) for number, one in enumerate(claims)
        ]
        settled = shop.settle(*ends)
        assert [one is not None for one in settled] == [True, False, True, False, True, True]
        assert [shop.job(one.id)["state"] for one in claims] == [
            "completed",
            "running",
            "completed",
            "failed",
            "completed",
            "failed",
        ]
        assert (shop.balance(user_id).spent, shop.balance(user_id).held) == (0 + 2 + 4, 5)
        assert shop.examine().totals == {}

    def test_of_many_ends_at_once_one_counts(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        claimed = shop.claim_one(shop.submit(user_id, 5))
        ended = at_once(lambda number: shop.complete(claimed, used=4) if number % 2 else shop.fail(claimed))
        assert sum(ended) == 1
        assert shop.balance(user_id).held == 0
        assert shop.balance(user_id).spent in {0, 4}
        assert shop.examine().totals == {}

    def test_a_worker_and_a_sweeper_that_meet_do_not_both_win(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        claims = [shop.claim_one(shop.submit(user_id, 5, attempts_max=1)) for _ in range(10)]
        for one in claims:
            shop.lapse(one.id)

        def meet(number: int) -> int:
            return len(shop.sweep()) if number % 2 else sum(shop.complete(one) for one in claims)

        assert sum(at_once(meet, threads=6)) == 10
        assert shop.balance(user_id).held == 0
        assert shop.examine().totals == {}

    def test_a_claim_that_came_back_to_life_is_not_swept(self, shop: Workshop) -> None:
        user_id = shop.user(credits=5)
        claimed = shop.claim_one(shop.submit(user_id, 5))
        shop.lapse(claimed.id)
        (seen,) = shop.db.read(queries.overdue, queue="generation.text", state=states.RUNNING, limit=5)
        assert seen.id == claimed.id
        shop.renew(claimed)
        assert shop.db.read(queries.overdue, queue="generation.text", state=states.RUNNING, limit=5) == []
        for one in (
            seen,
            replace(seen, cancel_requested=True),
            replace(seen, past_deadline=True),
            replace(seen, attempts=seen.attempts_max),
        ):
            swept = shop.db.transact(sweep.take_over, one, transfer_id=new_id(), now_ms=now_ms(), republish_ms=1)
            assert swept is None
        assert (shop.job(claimed.id)["state"], shop.balance(user_id).held) == ("running", 5)
        assert shop.complete(claimed)

    def test_canceling_waits_for_the_worker_and_the_sweeper_finishes_it(self, shop: Workshop) -> None:
        user_id = shop.user(credits=5)
        job_id = shop.submit(user_id, 5)
        shop.claim_one(job_id)
        assert not shop.cancel(job_id, user_id).done
        shop.lapse(job_id)
        (swept,) = shop.sweep()
        assert swept.state == "canceled"
        assert shop.balance(user_id).available == 5
        with pytest.raises(JobFinished):
            shop.cancel(job_id, user_id)
        with pytest.raises(JobNotFound):
            shop.cancel(job_id, new_id())

    def test_a_job_canceled_and_claimed_at_once_is_one_or_the_other(self, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        job_ids = [shop.submit(user_id, 5) for _ in range(12)]

        def meet(number: int) -> list[str]:
            if number % 2:
                return [one.id for one in shop.claim(*job_ids)]
            return [job_id for job_id in job_ids if shop.cancel(job_id, user_id).done]

        taken = sorted(job_id for got in at_once(meet, threads=2) for job_id in got)
        assert taken == sorted(job_ids)
        running = [job_id for job_id in job_ids if shop.job(job_id)["state"] == "running"]
        assert shop.balance(user_id).held == 5 * len(running)
        assert shop.examine().totals == {}

    def test_a_waiting_job_ends_when_its_deadline_has_passed(self, shop: Workshop) -> None:
        user_id = shop.user(credits=5)
        job_id = shop.submit(user_id, 5)
        shop.outlive(job_id)
        assert [(one.state, one.error_code) for one in shop.sweep()] == [("failed", "DEADLINE_EXCEEDED")]
        assert shop.balance(user_id).available == 5


class TestPublishing:
    def test_a_job_is_published_again_once_per_look(self, shop: Workshop) -> None:
        job_id = shop.submit(shop.user(), 0)

        def note(_number: int) -> bool:
            return shop.db.transact(service.republish, job_id=job_id, fence=0, publishes=0, wait_ms=60_000)

        assert sum(at_once(note, threads=8)) == 1
        job = shop.job(job_id)
        assert job["publishes"] == 1
        assert near(job["sweep_ms"], ahead=60_000)

    def test_waits_double_and_end_at_ten_minutes(self) -> None:
        waits = [states.republish_ms(base_ms=REPUBLISH_MS, publishes=number) for number in range(8)]
        assert waits == [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000, 600_000]
        assert states.republish_ms(base_ms=1, publishes=10_000) == 600_000
        assert [states.backoff_ms(base_ms=1_000, attempts=one, jitter=0.5) for one in (1, 2, 3, 4)] == [
            1_000,
            2_000,
            4_000,
            8_000,
        ]
        assert (
            states.backoff_ms(base_ms=1_000, attempts=1, jitter=0),
            states.backoff_ms(base_ms=1_000, attempts=1, jitter=1),
        ) == (750, 1_250)
        assert states.backoff_ms(base_ms=60_000, attempts=20, jitter=1) == 600_000


class TestQueries:
    def test_a_page_is_the_users_own_newest_first_and_filtered(self, shop: Workshop) -> None:
        user_id, other = shop.user(), shop.user()
        jobs = [shop.submit(user_id, 0, kind=kind) for kind in ("text", "image", "text", "audio")]
        shop.submit(other, 0)
        assert shop.complete(shop.claim_one(jobs[0]))

        def ids(**wanted: Any) -> list[str]:
            found, total = shop.db.read(queries.page, Filter(user_id=user_id, **wanted), offset=0, limit=10)
            assert total == len(found)
            return [one.id for one in found]

        assert ids() == jobs[::-1]
        assert ids(kind="text") == [jobs[2], jobs[0]]
        assert ids(state="completed") == [jobs[0]]
        assert ids(kind="text", state="pending") == [jobs[2]]
        assert ids(project_id=new_id()) == []
        assert ids(from_ms=now_ms() - 60_000, until_ms=now_ms() + 60_000) == jobs[::-1]
        assert ids(from_ms=now_ms() + 60_000) == ids(until_ms=now_ms() - 60_000) == []
        found, total = shop.db.read(queries.page, Filter(user_id=user_id), offset=1, limit=2)
        assert ([one.id for one in found], total) == ([jobs[2], jobs[1]], 4)

    def test_what_a_submission_finds_is_counted_by_user_and_by_queue(self, shop: Workshop) -> None:
        user_id, other = shop.user(), shop.user()
        jobs = [shop.submit(one, 0) for one in (user_id, other, user_id, user_id)]
        shop.submit(user_id, 0, kind="image")

        def there(job_id: str, *, crowded: Sequence[str] = ()) -> Found:
            queues = ("generation.text", "generation.image", "generation.video")
            known = {"user_ids": {user_id, other}, "queues": queues, "crowded": crowded}
            return shop.db.read(arrivals.look, job_ids=[job_id], **known)

        found = there(jobs[0])
        assert found.waiting == {
            (user_id, "generation.text"): 3,
            (user_id, "generation.image"): 1,
            (other, "generation.text"): 1,
        }
        assert found.lanes == {"generation.text": 2, "generation.image": 1, "generation.video": 0}
        assert (found.written, found.is_draining) == ({jobs[0]}, False)
        assert abs(found.now_ms - now_ms()) < 60_000
        assert [there(job_id).older["generation.text"] for job_id in jobs] == [0, 1, 2, 3]
        assert there(new_id(), crowded=["generation.text"]).older == {"generation.image": 1, "generation.video": 0}
        assert there(new_id()).written == set()
        shop.claim_one(jobs[0])
        assert there(jobs[3]).older["generation.text"] == 2
        shop.db.transact(controls.hold, kind="provider", name="kling", state="draining", reason=None, now_ms=now_ms())
        assert there(new_id()).is_draining

    def test_a_long_queue_is_counted_to_a_thousand(self, shop: Workshop) -> None:
        user_id, queue = shop.user(), "generation.text"
        shop.submit_all([shop.submission(user_id, 0) for _ in range(1_000)])

        def older(job_id: str) -> int | None:
            return shop.db.read(arrivals.look, job_ids=[job_id], user_ids=[user_id], queues=[queue]).older.get(queue)

        assert older(new_id()) == 1_000
        last = shop.submit(user_id, 0)
        assert older(last) == 1_000
        assert older(new_id()) is None

    def test_a_stranger_reads_nothing(self, shop: Workshop) -> None:
        job_id = shop.submit(shop.user(), 0)
        assert shop.db.read(queries.stored, job_id=job_id, user_id=shop.user()) is None


@pytest.mark.parametrize(
    "change",
    ["state = 'lost'", "attempts = attempts_max + 1, fence = 9", "fence = -1", "used = held + 1", "attempts = 1"],
)
def test_the_database_itself_refuses(shop: Workshop, change: str) -> None:
    job_id = shop.submit(shop.user(), 0)
    with pytest.raises(DBAPIError) as caught:
        shop.db.transact(change_job, job_id=job_id, values=change)
    assert is_check_violation(caught.value)


def change_job(session: Session, *, job_id: str, values: str) -> None:
    session.execute(text(f"UPDATE jobs SET {values} WHERE id = :id"), {"id": job_id})  # noqa: S608 - constants of this module
