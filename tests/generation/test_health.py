"""What workers tell each other of providers, and what they do when they can't."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.generation.health import Health
from atelier.jobs import controls
from atelier.jobs.lane_models import PROVIDER
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.kernel.settings import Settings
from atelier.providers.contract import ProviderUnavailable
from atelier.providers.errors import OutOfTime, Throttled
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


def test_hand_overs_of_which_nobody_knows_the_end_close_a_provider(away: Faraway, fake: FakeKling) -> None:
    fake.faults.broken = 1.0
    user_id = away.shop.user(credits=PRICE * 10)
    jobs = [away.submit(user_id) for _ in range(controls.FAILURES_MAX + 1)]
    for job_id in jobs[: controls.FAILURES_MAX]:
        away.work(job_id)
    control = away.shop.db.read(controls.standing)[PROVIDER, "kling"]
    assert control.failures == controls.FAILURES_MAX
    assert control.closed_ms > now_ms() + controls.CLOSED_MS / 2
    assert away.shop.job(jobs[-1])["state"] == "pending"
    assert away.shop.db.read(_last_available_ms) >= control.closed_ms, "nobody invites to what waits"


def test_the_first_answers_of_a_provider_may_come_at_once(db: Database) -> None:
    health = Health(db, window=1)
    together = Barrier(8)

    def turned_away(number: int) -> None:
        together.wait(timeout=30)
        health.failed("echo", Throttled() if number % 2 else ProviderUnavailable())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(turned_away, range(8))) == [None] * 8
    control = db.read(controls.standing)[PROVIDER, "echo"]
    assert (control.failures, control.closed_code) == (4, Throttled.code)


def test_attempts_that_had_too_little_time_close_no_provider(db: Database) -> None:
    health = Health(db, window=1)
    for _ in range(controls.FAILURES_MAX):
        health.failed("openai", OutOfTime())
    assert (PROVIDER, "openai") not in db.read(controls.standing)


def test_what_an_attempt_made_is_not_lost_with_the_news_of_it() -> None:
    gone = Database("mysql+pymysql://nobody@127.0.0.1:9/nothing")
    with pytest.raises(Transient):
        gone.read(controls.draining)
    health = Health(gone, window=1)
    health.doubt(frozenset({"echo"}))
    health.worked("echo", now_ms=now_ms())
    health.unclear("echo", now_ms=now_ms())
    health.failed("echo", ProviderUnavailable())
    health.failed("echo", Throttled())
    gone.close()


def _last_available_ms(session: Session) -> int:
    latest: int = session.connection().execute(select(func.max(outbox.TABLE.c.available_ms))).scalar_one()
    return latest
