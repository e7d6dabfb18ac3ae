"""What is held back is given back in time, whoever frees a place at the same moment, and not before it may be."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any

import pytest
from sqlalchemy.orm import Session

from atelier.generation import controlling, settle, taking
from atelier.generation.replaying import Act
from atelier.generation.taking import Places
from atelier.jobs import controls, parking
from atelier.jobs.lane_models import PAUSED, PROVIDER, QUEUE
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from tests.jobs import floor as floors
from tests.jobs.floor import Floor
from tests.jobs.lifecycle import Workshop


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


def limit(shop: Workshop, most: int) -> None:
    shop.db.transact(
        floors.limit, provider="echo", in_flight_max=most, per_minute=None, burst=1, window=9, now_ms=now_ms()
    )


def test_simultaneous_failures_close_it_as_one(shop: Workshop) -> None:
    for _ in range(12):
        shop.db.transact(controls.failed, provider="echo", code="PROVIDER_UNAVAILABLE")
    control = shop.db.read(controls.standing)[PROVIDER, "echo"]
    assert control.closed_ms - now_ms() <= controls.CLOSED_MS


def test_a_success_ends_no_rest_that_the_provider_asked_for(shop: Workshop) -> None:
    shop.db.transact(controls.failed, provider="echo", code="PROVIDER_UNAVAILABLE")
    shop.db.transact(controls.cool, provider="echo", wait_ms=60_000, code="PROVIDER_THROTTLED")
    assert shop.db.transact(controls.succeeded, provider="echo")
    control = shop.db.read(controls.standing)[PROVIDER, "echo"]
    assert control.failures == 0
    assert control.closed_ms > now_ms() + 30_000


def test_parked_jobs_keep_no_job_from_trying_a_provider(shop: Workshop) -> None:
    user_id = shop.user()
    jobs = [shop.submit(user_id, 0) for _ in range(2)]
    floor = Floor(shop.db, slots=1, window=9)
    (first,) = floor.fill()
    assert shop.db.transact(parking.park, job_id=first.id, fence=first.fence, wait_ms=300_000)
    del floor.running[first.id]
    for _ in range(controls.FAILURES_MAX):
        shop.db.transact(controls.failed, provider="echo", code="PROVIDER_UNAVAILABLE")
    shop.db.transact(_end_rest)
    assert [one.id for one in floor.fill()] == jobs[1:]


def test_a_place_that_is_freed_while_another_is_turned_away_is_not_lost(shop: Workshop) -> None:
    limit(shop, 1)
    first = shop.submit(shop.user(), 0)
    floor = Floor(shop.db, slots=8, window=9)
    assert [one.id for one in floor.fill()] == [first]
    second = shop.submit(shop.user(), 0)
    floor.relay()
    ended, turned_away = Event(), Event()

    def end(session: Session) -> None:
        settle.settle(session, [shop.completion(floor.running[first])], now_ms=now_ms())
        ended.set()
        turned_away.wait(timeout=0.5)

    def ask() -> None:
        assert ended.wait(timeout=30)
        floor.take(floor.messages.popleft())
        turned_away.set()

    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(ask)
        shop.db.transact(end)
        asked.result()
    del floor.running[first]
    floor.fill()
    assert [*floor.running] == [second]


@pytest.mark.parametrize(("kind", "name"), [(QUEUE, "generation.text"), (PROVIDER, "echo")])
def test_what_was_paused_and_is_drained_runs_to_its_end(shop: Workshop, kind: str, name: str) -> None:
    jobs = [shop.submit(shop.user(), 0) for _ in range(2)]
    hold = partial(controlling.hold, kind=kind, name=name, act=Act(admin_id=shop.user(), reason="test"), window=9)
    shop.db.transact(hold, state="paused", now_ms=now_ms())
    floor = Floor(shop.db, slots=8, window=9)
    assert floor.fill() == []
    shop.db.transact(hold, state="draining", now_ms=now_ms())
    assert sorted(one.id for one in floor.fill()) == jobs


def test_a_queue_that_is_opened_while_a_message_is_turned_away_gets_its_job(shop: Workshop) -> None:
    jobs = [shop.submit(shop.user(), 0) for _ in range(2)]
    floor = Floor(shop.db, slots=8, window=9)
    assert all(floor.put_back(one) for one in floor.fill())
    floor.relay()
    floor.messages.clear()
    queue = {"kind": QUEUE, "name": "generation.text", "reason": "test"}
    shop.db.transact(controls.hold, **queue, state=PAUSED, now_ms=now_ms())
    assert floor.take(jobs[0]) == []
    asked, opened = Event(), Event()
    places = Places(owner="w:1", lease_ms=60_000, window=9, providers=("echo",))

    def turn_away(session: Session) -> None:
        assert not taking.take(session, asked=jobs[1:], places=places, chosen=set(), now_ms=now_ms()).claimed
        asked.set()
        opened.wait(timeout=0.5)

    def reopen() -> None:
        assert asked.wait(timeout=30)
        shop.db.transact(floors.reopen, **queue, window=9, now_ms=now_ms())
        opened.set()

    with ThreadPoolExecutor(2) as pool:
        reopened = pool.submit(reopen)
        shop.db.transact(turn_away)
        reopened.result()
    assert sorted(one.id for one in floor.fill()) == jobs


def _end_rest(session: Session) -> None:
    controls.change(session, PROVIDER, "echo", closed_ms=1)


@pytest.mark.parametrize("how", ["provider paused", "queue paused", "provider closed", "provider counted"])
def test_what_a_worker_has_abandoned_does_not_start_where_nothing_may(shop: Workshop, how: str) -> None:
    job_id = shop.submit(shop.user(), 0)
    shop.claim_one(job_id)
    shop.lapse(job_id)
    paused = {"provider paused": (PROVIDER, "echo"), "queue paused": (QUEUE, "generation.text")}
    if how in paused:
        kind, name = paused[how]
        shop.db.transact(controls.hold, kind=kind, name=name, state=PAUSED, reason="repair", now_ms=now_ms())
    elif how == "provider closed":
        shop.db.transact(controls.cool, provider="echo", wait_ms=60_000, code="PROVIDER_THROTTLED")
    else:
        limit(shop, 1)
    floor = Floor(shop.db, slots=1, window=9)
    assert floor.take(job_id) == []
    assert (shop.job(job_id)["state"], shop.job(job_id)["attempts"]) == ("running", 1)
    shop.sweep()
    assert shop.job(job_id)["state"] == "pending"
    if how == "provider counted":
        assert [one.id for one in floor.fill()] == [job_id]


def test_what_was_started_ahead_of_a_rate_is_paid_back_at_the_new_one(shop: Workshop) -> None:
    user_id = shop.user()
    for _ in range(12):
        shop.submit(user_id, 0)
    floor = Floor(shop.db, slots=30, window=30)

    def rate(per_minute: int | None) -> int:
        shop.db.transact(
            floors.limit,
            provider="echo",
            in_flight_max=None,
            per_minute=per_minute,
            burst=10,
            window=30,
            now_ms=now_ms(),
        )
        control = shop.db.read(controls.standing)[PROVIDER, "echo"]
        return (control.open_again_ms(now_ms()) or now_ms()) - now_ms()

    assert rate(1) <= 0
    assert len(floor.fill()) == 10
    assert 0 < rate(600) <= 100, "a tenth of a second for one of six hundred a minute"
    assert rate(None) <= 0
    assert rate(600) <= 0
    for _ in range(12):
        shop.submit(user_id, 0)
    assert len(floor.fill()) > 0
    assert rate(1) <= 60_000
    paced_ms = shop.db.read(controls.standing)[PROVIDER, "echo"].paced_ms
    assert 0 < paced_ms - now_ms() <= 60_500, "what was started at a quick rate stops a slow one for a minute at most"


def test_a_rate_is_changed_by_the_clock_of_the_database(shop: Workshop) -> None:
    for _ in range(3):
        values: Any = {"in_flight_max": None, "burst": 1, "window": 9, "now_ms": now_ms() - 3_600_000}
        shop.db.transact(floors.limit, provider="echo", per_minute=600, **values)
        shop.submit(shop.user(), 0)
        floor = Floor(shop.db, slots=1, window=9)
        assert len(floor.fill()) == 1, "a slow clock of whoever changes it makes no debt of what was paid back long ago"
        shop.db.transact(_pay_back)
        shop.db.transact(floors.limit, provider="echo", per_minute=60, **values)


def _pay_back(session: Session) -> None:
    controls.change(session, PROVIDER, "echo", paced_ms=now_ms() - 1_000)
