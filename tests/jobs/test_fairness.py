"""Who is next: one job of each user in turn, as many at once as their window allows, and nobody is forgotten."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.generation.submit import Accepted
from atelier.jobs import controls, explain
from atelier.jobs.lane_models import CONTROLS, LANES, PAUSED, PROVIDER, QUEUE
from atelier.jobs.models import JOBS
from atelier.jobs.picking import SPARE
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from tests.jobs.floor import Floor, reopen
from tests.jobs.lifecycle import Workshop

TEXT = "generation.text"


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


def submit(
    shop: Workshop, user_id: str, number: int = 1, *, priority: str = "normal", provider: str = "echo"
) -> list[str]:
    group = [replace(shop.submission(user_id, 0), priority=priority, provider=provider) for _ in range(number)]
    assert all(isinstance(one, Accepted) for one in shop.submit_all(group))
    return [one.job_id for one in group]


def finish(shop: Workshop, floor: Floor, job_id: str) -> None:
    assert shop.complete(floor.running.pop(job_id))


def drain(shop: Workshop, floor: Floor) -> list[str]:
    """Run everything to its end without a sweeper; the ids in the order in which they began."""
    order: list[str] = []
    while begun := floor.fill():
        order += [one.id for one in begun]
        for one in begun:
            finish(shop, floor, one.id)
    return order


class TestRounds:
    def test_the_next_free_slot_is_the_other_users(self, shop: Workshop) -> None:
        rich, other = shop.user(), shop.user()
        floor = Floor(shop.db, slots=4, window=100)
        submit(shop, rich, 300)
        first = floor.fill()
        assert [one.user_id for one in first] == [rich] * 4
        (theirs,) = submit(shop, other)
        assert floor.fill() == []
        finish(shop, floor, first[0].id)
        assert [one.id for one in floor.fill()] == [theirs]

    def test_users_take_turns(self, shop: Workshop) -> None:
        users = [shop.user() for _ in range(3)]
        for user_id, number in zip(users, (5, 3, 1), strict=True):
            submit(shop, user_id, number)
        floor = Floor(shop.db, slots=1, window=100)
        order = [shop.job(job_id)["user_id"] for job_id in drain(shop, floor)]
        assert len(order) == 9
        assert set(order[:3]) == set(users)
        assert Counter(order[3:5]) == Counter(users[:2])
        assert Counter(order[5:7]) == Counter(users[:2])
        assert order[7:] == users[:1] * 2

    def test_many_places_at_once_are_dealt_out_evenly(self, shop: Workshop) -> None:
        users = [shop.user() for _ in range(3)]
        for user_id in users:
            submit(shop, user_id, 20)
        floor = Floor(shop.db, slots=12, window=100)
        assert Counter(one.user_id for one in floor.fill()) == dict.fromkeys(users, 4)

    def test_a_priority_is_a_head_start_among_ones_own_jobs(self, shop: Workshop) -> None:
        user_id = shop.user()
        low, normal, high = (submit(shop, user_id, priority=name)[0] for name in ("low", "normal", "high"))
        shop.db.transact(_age, job_id=low, ms=21 * 60_000)
        assert drain(shop, Floor(shop.db, slots=1, window=1)) == [low, high, normal]

    def test_who_has_jobs_of_many_providers_gets_one_turn(self, shop: Workshop) -> None:
        rich, other = shop.user(), shop.user()
        mine = [submit(shop, rich, 5, provider=provider) for provider in ("echo", "other")]
        theirs = submit(shop, other, 4)
        order = drain(shop, Floor(shop.db, slots=1, window=9))
        assert sum(job_id in theirs for job_id in order[:8]) == 4
        for of_provider in mine:
            assert sum(job_id in of_provider for job_id in order[:8]) == 2

    def test_a_clock_that_is_set_back_changes_nobodys_turn(self, shop: Workshop) -> None:
        users = [shop.user() for _ in range(3 * SPARE)]
        for user_id in users:
            submit(shop, user_id, 4)
        floor = Floor(shop.db, slots=1, window=9)

        def served(count: int) -> Counter[str]:
            took = Counter[str]()
            for _ in range(count):
                (one,) = floor.fill()
                took[one.user_id] += 1
                finish(shop, floor, one.id)
            return took

        assert served(len(users)) == dict.fromkeys(users, 1)
        shop.db.transact(_as_if_served_later, ms=3_600_000)
        assert served(2 * len(users)) == dict.fromkeys(users, 2)

    def test_many_places_are_dealt_out_evenly_whoever_has_many_providers(self, shop: Workshop) -> None:
        rich, other = shop.user(), shop.user()
        for provider in ("echo", "other"):
            submit(shop, rich, 20, provider=provider)
        submit(shop, other, 20)
        floor = Floor(shop.db, slots=12, window=100)
        assert Counter(one.user_id for one in floor.fill()) == {rich: 6, other: 6}


class TestWindow:
    def test_a_user_has_so_many_at_once_and_none_is_forgotten(self, shop: Workshop) -> None:
        user_id = shop.user()
        jobs = submit(shop, user_id, 9)
        floor = Floor(shop.db, slots=8, window=2)
        order = [one.id for one in floor.fill()]
        assert order == jobs[:2]
        assert len(floor.messages) == 0, "messages that find no place are dropped"
        while floor.running:
            finish(shop, floor, next(iter(floor.running)))
            order += [one.id for one in floor.fill()]
            assert len(floor.running) <= 2
        assert order == jobs

    def test_a_window_is_one_queues(self, shop: Workshop) -> None:
        user_id = shop.user()
        submit(shop, user_id, 2)
        picture = shop.submit(user_id, 0, kind="image")
        floor = Floor(shop.db, slots=8, window=1)
        assert {one.kind for one in floor.fill()} == {"text", "image"}
        assert picture in floor.running

    def test_a_window_holds_whoever_takes_at_the_same_time(self, shop: Workshop) -> None:
        users = [shop.user() for _ in range(3)]
        jobs = [job_id for user_id in users for job_id in submit(shop, user_id, 12)]
        floor = Floor(shop.db, slots=100, window=2)
        with ThreadPoolExecutor(8) as pool:
            taken = [one for found in pool.map(floor.take, jobs) for one in found]
        assert Counter(one.user_id for one in taken) == dict.fromkeys(users, 2)
        assert len({one.id for one in taken}) == 6

    def test_one_that_fails_makes_room(self, shop: Workshop) -> None:
        user_id = shop.user()
        jobs = submit(shop, user_id, 3)
        floor = Floor(shop.db, slots=8, window=1)
        (first,) = floor.fill()
        assert floor.put_back(first, wait_ms=60_000)
        assert [one.id for one in floor.fill()] == [jobs[1]]


class TestControls:
    def test_a_paused_queue_starts_nothing_and_loses_nothing(self, shop: Workshop) -> None:
        jobs = submit(shop, shop.user(), 3)
        hold(shop, QUEUE, TEXT, PAUSED)
        floor = Floor(shop.db, slots=8, window=100)
        assert floor.fill() == []
        resume(shop, QUEUE, TEXT)
        assert [one.id for one in floor.fill()] == jobs

    def test_a_paused_provider_keeps_nobody_elses_jobs_waiting(self, shop: Workshop) -> None:
        user_id = shop.user()
        waiting, going = submit(shop, user_id, 2), submit(shop, user_id, 2, provider="other")
        hold(shop, PROVIDER, "echo", PAUSED)
        floor = Floor(shop.db, slots=8, window=100)
        assert sorted(one.id for one in floor.fill()) == going
        resume(shop, PROVIDER, "echo")
        assert sorted(one.id for one in floor.fill()) == waiting

    def test_so_many_of_a_provider_run_at_once(self, shop: Workshop) -> None:
        users = [shop.user() for _ in range(3)]
        for user_id in users:
            submit(shop, user_id, 3)
        shop.db.transact(controls.limit, provider="echo", in_flight_max=2, per_minute=None, burst=1, now_ms=now_ms())
        floor = Floor(shop.db, slots=8, window=100)
        begun = len(floor.fill())
        while floor.running:
            assert len(floor.running) == min(2, 9 - begun + len(floor.running))
            finish(shop, floor, next(iter(floor.running)))
            begun += len(floor.fill())
        assert begun == 9

    def test_so_many_of_a_provider_start_in_a_minute(self, shop: Workshop) -> None:
        submit(shop, shop.user(), 5)
        shop.db.transact(controls.limit, provider="echo", in_flight_max=None, per_minute=60, burst=2, now_ms=now_ms())
        floor = Floor(shop.db, slots=8, window=100)
        assert len(floor.fill()) == 2
        control = shop.db.read(controls.standing)[PROVIDER, "echo"]
        assert control.owed
        assert 0 < control.invited_ms - now_ms() <= 1_000
        for _ in range(3):
            shop.db.transact(_let_pass, ms=1_000)
            assert len(floor.fill()) == 1

    def test_a_provider_that_asks_for_patience_is_left_alone(self, shop: Workshop) -> None:
        jobs = submit(shop, shop.user(), 3)
        floor = Floor(shop.db, slots=1, window=100)
        (first,) = floor.fill()
        shop.db.transact(controls.cool, provider="echo", wait_ms=60_000, code="PROVIDER_THROTTLED")
        assert floor.put_back(first, wait_ms=60_000)
        assert floor.fill() == []
        assert blocked_by(shop, jobs[2]) == "provider_capacity"
        shop.db.transact(_let_pass, ms=60_001)
        floor.slots = 8
        assert sorted(one.id for one in floor.fill()) == jobs
        assert shop.job(jobs[0])["attempts"] == 1, "what was turned away was no attempt"

    def test_a_provider_that_fails_is_closed_then_tried_by_one(self, shop: Workshop) -> None:
        jobs = submit(shop, shop.user(), 4)
        for _ in range(controls.FAILURES_MAX):
            assert (
                not shop.db.read(controls.standing)
                .get((PROVIDER, "echo"), controls.Control(kind="", name=""))
                .closed_ms
            )
            shop.db.transact(controls.failed, provider="echo", code="PROVIDER_UNAVAILABLE")
        floor = Floor(shop.db, slots=8, window=100)
        assert floor.fill() == []
        shop.db.transact(_let_pass, ms=controls.CLOSED_MS + 1)
        assert [one.id for one in floor.fill()] == jobs[:1]
        assert shop.db.transact(controls.succeeded, provider="echo")
        resume(shop, PROVIDER, "echo")
        assert len(floor.fill()) == 3

    def test_each_failure_closes_it_for_longer_up_to_ten_minutes(self, shop: Workshop) -> None:
        lengths: list[int] = []
        for _ in range(controls.FAILURES_MAX + 7):
            shop.db.transact(controls.failed, provider="echo", code="PROVIDER_UNAVAILABLE")
            closed_ms = shop.db.read(controls.standing)[PROVIDER, "echo"].closed_ms
            lengths.append(round((closed_ms - now_ms()) / 30_000) if closed_ms else 0)
            shop.db.transact(_let_pass, ms=max(0, closed_ms - now_ms()) + 1)
        assert lengths == [0, 0, 0, 0, 1, 2, 4, 8, 16, 20, 20, 20]


class TestExplaining:
    def test_positions_count_rounds(self, shop: Workshop) -> None:
        rich, other = shop.user(), shop.user()
        many, few = submit(shop, rich, 5), submit(shop, other, 2)
        line = shop.db.read(explain.line, queue=TEXT, window=2)
        assert [line.position(job_id, user_id=rich) for job_id in many] == [1, 3, 4, 5, 6]
        assert [line.position(job_id, user_id=other) for job_id in few] == [1, 3]
        assert line.position("later", user_id=other) == 5

    def test_a_submission_is_told_the_same(self, shop: Workshop) -> None:
        rich, other = shop.user(), shop.user()
        submit(shop, rich, 5)
        (accepted,) = shop.submit_all([shop.submission(other, 0)])
        assert isinstance(accepted, Accepted)
        assert accepted.answer["queuePosition"] == 1

    def test_each_reason_has_its_word(self, shop: Workshop) -> None:
        user_id, other = shop.user(), shop.user()
        first, second, third = submit(shop, user_id, 3)
        (theirs,) = submit(shop, other)
        floor = Floor(shop.db, slots=1, window=1)
        floor.fill()
        assert blocked_by(shop, second if first in floor.running else theirs) in {"user_window", "waiting_for_worker"}
        floor.slots = 8
        floor.fill()
        assert blocked_by(shop, third) == "user_window"
        assert floor.put_back(floor.running[first], wait_ms=60_000)
        assert blocked_by(shop, first) == "retry_backoff"
        assert blocked_by(shop, third) == "waiting_for_worker"
        hold(shop, PROVIDER, "echo", PAUSED)
        assert blocked_by(shop, third) == "provider_capacity"
        hold(shop, QUEUE, TEXT, PAUSED)
        assert blocked_by(shop, third) == "queue_paused"


def hold(shop: Workshop, kind: str, name: str, state: str) -> None:
    shop.db.transact(controls.hold, kind=kind, name=name, state=state, reason="test", now_ms=now_ms())


def resume(shop: Workshop, kind: str, name: str) -> None:
    shop.db.transact(reopen, kind=kind, name=name, reason=None, window=100, now_ms=now_ms())


def blocked_by(shop: Workshop, job_id: str) -> str:
    job = shop.job(job_id)
    line = shop.db.read(explain.line, queue=job["queue"], window=1)
    return line.blocked_by(user_id=job["user_id"], provider=job["provider"], run_after_ms=job["run_after_ms"])


def _as_if_served_later(session: Session, *, ms: int) -> None:
    """The turns of all lanes, as a clock tells them that is ahead of the present one."""
    session.connection().execute(update(LANES).values(turn_ms=LANES.c.turn_ms + ms))


def _age(session: Session, *, job_id: str, ms: int) -> None:
    session.connection().execute(update(JOBS).where(JOBS.c.id == job_id).values(rank_ms=JOBS.c.rank_ms - ms))


def _let_pass(session: Session, *, ms: int) -> None:
    """So much time passes for controls, waiting jobs and messages."""
    C = CONTROLS.c  # noqa: N806 - columns
    for column in (C.paced_ms, C.closed_ms, C.invited_ms):
        session.connection().execute(update(CONTROLS).where(column > 0).values({column: column - ms}))
    session.connection().execute(
        update(JOBS).where(JOBS.c.run_after_ms > 0).values(run_after_ms=JOBS.c.run_after_ms - ms)
    )
    session.connection().execute(
        update(outbox.TABLE)
        .where(outbox.TABLE.c.available_ms > 0)
        .values(available_ms=outbox.TABLE.c.available_ms - ms)
    )
