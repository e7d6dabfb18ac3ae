"""Jobs that are put together from steps: every step once, one price or nothing, and one end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from atelier.contracts.messages import ADVANCE, RUN
from atelier.generation import composed, composing, expiring
from atelier.generation.workflow import Order, Step, Workflow
from atelier.jobs import queries, states
from atelier.jobs.errors import JobIsStep
from atelier.jobs.queries import Filter
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.events import Event
from tests.generation.families import DIAMOND, PRICE, STEPS, Families

COMPOSE, TEXT = RUN["compose"].name, RUN["text"].name
WHOLE = "last(first()+left()+right())"


@pytest.fixture
def families(db: Database, settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Families]:
    made = Families(db, settings(backoff_ms=1, attempts_max=2), tmp_path)
    yield made
    made.close()


def assert_free(families: Families, user_id: str) -> None:
    """Nothing was taken, nothing is held, and the doctor has nothing to say."""
    balance = families.shop.balance(user_id)
    assert (balance.balance, balance.held, balance.spent) == (PRICE, 0, 0)
    assert families.shop.examine().totals == {}


def test_every_step_is_made_once_and_the_price_is_taken_once(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id)
    families.take_first(COMPOSE)
    job = families.shop.job(job_id)
    assert (job["state"], job["lease_ms"], job["owner"], job["queue"]) == ("running", None, None, "generation.compose")
    assert families.steps(job_id) == {"first": "pending"}
    assert families.shop.examine().totals == {}

    families.drain()
    job = families.shop.job(job_id)
    assert (job["state"], job["used"], job["attempts"]) == ("completed", PRICE, 1)
    assert families.steps(job_id) == dict.fromkeys(("first", "left", "right", "last"), "completed")
    assert {one["held"] for one in families.children(job_id).values()} == {0}
    assert families.text(job_id) == WHOLE
    assert families.shop.balance(user_id).spent == PRICE
    assert families.shop.examine().totals == {}


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_steps_have_the_place_of_what_they_are_steps_of(families: Families, priority: str) -> None:
    one = replace(families.shop.submission(families.shop.user(credits=PRICE), PRICE), priority=priority)
    families.shop.submit_all([one])
    families.drain()
    parent, steps = families.shop.job(one.job_id), families.children(one.job_id)
    assert parent["rank_ms"] == states.rank_ms(created_ms=parent["created_ms"], priority=priority)
    assert {step["rank_ms"] for step in steps.values()} == {parent["rank_ms"]}
    assert steps.keys() == set(STEPS)


def test_without_a_step_that_is_not_required_the_others_go_on(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id, fails=["right"])
    families.drain()
    assert families.shop.job(job_id)["state"] == "completed"
    assert families.text(job_id) == "last(first()+left())"
    assert families.shop.balance(user_id).spent == PRICE
    assert families.shop.examine().totals == {}


@pytest.mark.parametrize("step", ["first", "left", "last"])
def test_with_a_required_step_everything_fails_and_nothing_is_paid(families: Families, step: str) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id, fails=[step])
    families.drain()
    job = families.shop.job(job_id)
    assert (job["state"], job["error_code"], job["used"]) == ("failed", "PROVIDER_REJECTED", 0)
    assert "running" not in families.steps(job_id).values()
    assert_free(families, user_id)


def test_a_failed_step_ends_its_siblings(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id, fails=["left"])
    for contract in (COMPOSE, TEXT, ADVANCE.name, TEXT):
        families.take_first(contract)
    assert families.steps(job_id) == {"first": "completed", "left": "failed", "right": "pending"}
    families.take_first(ADVANCE.name)
    assert families.steps(job_id)["right"] == "canceled"
    assert families.shop.job(job_id)["state"] == "failed"
    families.drain()
    assert_free(families, user_id)


class TestCanceling:
    def test_before_it_has_begun(self, families: Families) -> None:
        user_id = families.shop.user(credits=PRICE)
        job_id = families.submit(user_id)
        assert families.shop.cancel(job_id, user_id).done
        families.drain()
        assert families.children(job_id) == {}
        assert_free(families, user_id)

    def test_while_steps_wait(self, families: Families) -> None:
        user_id = families.shop.user(credits=PRICE)
        job_id = families.submit(user_id)
        families.take_first(COMPOSE)
        assert not families.shop.cancel(job_id, user_id).done
        families.take_first(ADVANCE.name)
        assert families.shop.job(job_id)["state"] == "canceled"
        assert families.steps(job_id) == {"first": "canceled"}
        families.drain()
        assert_free(families, user_id)

    def test_while_a_step_runs_it_waits_for_its_end(self, families: Families) -> None:
        user_id = families.shop.user(credits=PRICE)
        job_id = families.submit(user_id)
        families.take_first(COMPOSE)
        child_id = families.children(job_id)["first"]["id"]
        claimed = families.shop.claim_one(child_id)
        families.shop.cancel(job_id, user_id)
        families.take_first(ADVANCE.name)
        assert families.shop.job(child_id)["cancel_requested"] == 1
        assert families.shop.job(job_id)["state"] == "running"
        # Its worker was too quick to notice: what it made is kept, and not paid.
        assert families.shop.complete(claimed)
        families.drain()
        assert families.shop.job(job_id)["state"] == "canceled"
        assert_free(families, user_id)

    def test_once_it_waits_again_with_steps_at_work(self, families: Families) -> None:
        user_id = families.shop.user(credits=PRICE)
        job_id = families.submit(user_id)
        families.take_first(COMPOSE)
        # Its worker was not answered that the steps had begun, and gave the job back.
        begun = families.shop.db.read(composing.parked, job_id=job_id)
        assert begun
        assert families.shop.put_back(begun)
        assert families.shop.cancel(job_id, user_id).done
        families.take_first(ADVANCE.name)
        assert families.steps(job_id) == {"first": "canceled"}
        families.drain()
        assert_free(families, user_id)

    def test_twice_is_no_harm(self, families: Families) -> None:
        user_id = families.shop.user(credits=PRICE)
        job_id = families.submit(user_id)
        families.take_first(COMPOSE)
        families.shop.cancel(job_id, user_id)
        families.shop.cancel(job_id, user_id)
        families.drain()
        assert families.shop.job(job_id)["state"] == "canceled"
        assert_free(families, user_id)


def test_what_is_too_late_fails_with_its_steps(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id)
    families.take_first(COMPOSE)
    families.expire(job_id)
    families.look()
    families.take_first(ADVANCE.name)
    families.drain()
    job = families.shop.job(job_id)
    assert (job["state"], job["error_code"]) == ("failed", "DEADLINE_EXCEEDED")
    assert families.steps(job_id) == {"first": "canceled"}
    assert_free(families, user_id)


def test_what_the_sweeper_has_ended_leaves_no_step(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id)
    families.take_first(COMPOSE)
    families.shop.relay()
    families.expire(job_id)
    assert [one.error_code for one in families.shop.sweep(queue="generation.compose")] == ["DEADLINE_EXCEEDED"]
    families.drain()
    assert families.steps(job_id) == {"first": "canceled"}
    assert_free(families, user_id)


# SQLite has one writer at a time: nobody puts a step back while another stops it.
@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_a_step_that_is_put_back_while_it_is_stopped_is_stopped_all_the_same(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id)
    families.take_first(COMPOSE)
    claimed = families.shop.claim_one(families.children(job_id)["first"]["id"])
    families.shop.relay()
    families.expire(job_id)
    assert [one.error_code for one in families.shop.sweep(queue="generation.compose")] == ["DEADLINE_EXCEEDED"]
    writer, back = families.shop.db.writer, list[bool]()

    def put_back(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "WHERE jobs.parent_id = " in statement and not back:
            back.append(True)
            back.append(families.shop.put_back(claimed))

    event.listen(writer, "after_cursor_execute", put_back)
    families.take_first(ADVANCE.name)
    event.remove(writer, "after_cursor_execute", put_back)
    assert back == [True, True]
    assert families.steps(job_id) == {"first": "canceled"}
    families.drain()
    assert families.children(job_id)["first"]["attempts"] == 1
    assert_free(families, user_id)


def test_a_lost_message_is_made_good_by_the_sweeper(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id)
    for contract in (COMPOSE, TEXT):
        families.take_first(contract)
    families.shop.relay()
    assert families.steps(job_id) == {"first": "completed"}
    families.look()
    families.drain()
    assert families.shop.job(job_id)["state"] == "completed"
    assert families.text(job_id) == WHOLE


def test_a_message_that_comes_twice_makes_no_step_twice(families: Families) -> None:
    job_id = families.submit(families.shop.user(credits=PRICE))
    for contract in (COMPOSE, TEXT):
        families.take_first(contract)
    for _ in range(3):
        families.runner.advance(job_id)
    assert families.steps(job_id) == {"first": "completed", "left": "pending", "right": "pending"}
    families.drain()
    for _ in range(3):
        families.runner.advance(job_id)
    assert families.shop.job(job_id)["state"] == "completed"
    assert families.shop.examine().totals == {}


@pytest.mark.parametrize("window", [1, 2])
def test_a_narrow_window_of_its_user_stops_no_step(
    db: Database, settings: Callable[..., Settings], tmp_path: Path, window: int
) -> None:
    families = Families(db, settings(user_window=window), tmp_path)
    user_id = families.shop.user(credits=3 * PRICE)
    jobs = [families.submit(user_id) for _ in range(3)]
    families.drain()
    assert {families.shop.job(job_id)["state"] for job_id in jobs} == {"completed"}
    assert families.shop.balance(user_id).spent == 3 * PRICE
    assert families.shop.examine().totals == {}
    families.close()


def test_steps_are_neither_listed_nor_canceled_by_themselves(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id)
    families.take_first(COMPOSE)
    child_id = families.children(job_id)["first"]["id"]
    listed, total = families.shop.db.read(queries.page, Filter(user_id=user_id), offset=0, limit=9)
    assert ([one.id for one in listed], total) == ([job_id], 1)
    with pytest.raises(JobIsStep):
        families.shop.cancel(child_id, user_id)


def test_events_of_a_job_are_numbered_upwards(families: Families) -> None:
    sent: list[tuple[str, int]] = []
    families.listen(lambda event: sent.append((event.type, event.seq)) if event.job_id == job_id else None)
    job_id = families.submit(families.shop.user(credits=PRICE))
    families.drain()
    # Who looks once more and finds nothing new says the same under the same number.
    told = list(dict.fromkeys(sent))
    assert [kind for kind, _ in told] == ["job.running", "job.progress", "job.progress", "job.completed"]
    numbers = [seq for _, seq in told]
    assert numbers == sorted(set(numbers))
    assert families.shop.job(job_id)["seq"] == numbers[-1]


def test_the_rows_tell_how_far_a_job_is_like_its_events(families: Families) -> None:
    told: list[Event] = []
    families.listen(lambda event: told.append(event) if event.type == "job.progress" else None)
    job_id = families.submit(families.shop.user(credits=PRICE))
    seen: list[float] = []
    while messages := families.messages():
        families.take(*messages[0])
        found = families.shop.db.read(composed.standings, job_ids=[job_id], workflows={DIAMOND.name: DIAMOND})
        if messages[0][1] == ADVANCE.name and found:
            standing = found[job_id]
            seen.append(standing.told["progress"])
            assert (standing.seq + 1, standing.told) == (told[-1].seq, told[-1].data)
    assert seen == [0.2, 0.6, 0.6]
    assert families.shop.db.read(composed.standings, job_ids=[job_id]) == {}, "another version's workflow, or no run"


def _needs_mood(order: Order) -> Sequence[Step]:
    """The steps of a later version, which asks for more."""
    return [replace(step, weight=int(order.config["mood"])) for step in DIAMOND.steps(order)]


@pytest.mark.parametrize("mood", [{}, {"mood": None}, {"mood": "blue"}, {"mood": 0}])
def test_a_job_that_its_workflow_no_longer_fits_hides_no_other(families: Families, mood: dict[str, Any]) -> None:
    later = Workflow(name=DIAMOND.name, steps=_needs_mood)
    user_id = families.shop.user(credits=2 * PRICE)
    jobs = [families.submit(user_id, **mood), families.submit(user_id, mood=1)]
    while any(families.children(job_id).get("first", {}).get("state") != "completed" for job_id in jobs):
        families.take(*families.messages()[0])
    found = families.shop.db.read(composed.standings, job_ids=jobs, workflows={later.name: later})
    assert list(found) == jobs[1:]


def test_results_of_steps_are_kept_while_the_whole_is_at_work(families: Families) -> None:
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id)
    for contract in (COMPOSE, TEXT):
        families.take_first(contract)
    # Everything stood still for so long that the first step's result is old.
    late = now_ms() + 1_000 * DAY_MS
    assert expiring.expire(families.shop.db, storage=families.storage, now_ms=late) == 0
    families.drain()
    assert families.text(job_id) == WHOLE
    assert families.shop.balance(user_id).spent == PRICE


def test_results_of_steps_are_kept_with_the_whole_and_go_after_it(families: Families) -> None:
    job_id = families.submit(families.shop.user(credits=PRICE))
    families.drain()
    late = now_ms() + 1_000 * DAY_MS
    assert expiring.expire(families.shop.db, storage=families.storage, now_ms=late) == 1
    assert families.text(families.children(job_id)["last"]["id"]) == WHOLE
    assert expiring.expire(families.shop.db, storage=families.storage, now_ms=late + 2 * DAY_MS) == len(STEPS)
    assert families.shop.examine().totals == {}
