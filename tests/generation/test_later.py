"""Jobs whose provider finishes later: handed over once, parked, looked at, and ended by whoever notices."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
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
