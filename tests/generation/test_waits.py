"""How long a job waits before its next attempt: our own back-off, or what the provider asks for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.contracts import outbox
from atelier.generation import outcomes
from atelier.generation.attempt import OUTPUT_CHARS_MAX, Attempt
from atelier.generation.outcomes import Retry
from atelier.generation.run import Runner
from atelier.generation.settle import Settlement
from atelier.kernel.clock import MINUTE_MS, SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.kernel.settings import Settings
from atelier.live.events import Event
from atelier.live.publisher import Publisher
from atelier.providers.errors import QuotaExhausted, Throttled
from atelier.providers.fake_openai import FakeOpenAI, Fault
from atelier.providers.openai import Endpoint, OpenAIChat
from atelier.providers.schemas import OPENAI_CHAT
from atelier.storage.local import LocalStorage
from tests.furnishing import furnish
from tests.jobs.floor import reopen
from tests.jobs.lifecycle import ATTEMPTS_MAX, Workshop

BACKOFF_MS = SECOND_MS


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
def shop(db: Database) -> Workshop:
    """A workshop whose agent is answered by an OpenAI-compatible service."""
    db.transact(furnish)
    echo = seed_content.ECHO
    runtime = {**echo.content.runtime, "provider": "openai"}
    content = replace(echo.content, runtime=runtime, config_schema=OPENAI_CHAT.config, default_config={})
    version = db.transact(service.add_version, agent_id=echo.id, content=content, now_ms=now_ms())
    return Workshop(db, agent_id=echo.id, agent_version=version)


@pytest.fixture
def runner(settings: Callable[..., Settings], db: Database, server: FakeOpenAI, tmp_path: Path) -> Runner:
    """A worker with one provider."""
    chosen = settings(backoff_ms=BACKOFF_MS)
    endpoint = Endpoint(base_url=server.base_url, api_key=server.api_key, models={"": "chat-small"})
    return Runner(
        settings=chosen,
        database=db,
        publisher=Publisher(chosen.redis_url),
        storage=LocalStorage(tmp_path / "files"),
        providers={"openai": OpenAIChat(endpoint)},
        later={},
        name="test",
    )


def available_ms(session: Session) -> list[int]:
    return list(session.connection().scalars(select(outbox.TABLE.c.available_ms)))


def test_a_throttled_job_waits_as_long_as_the_provider_asks(shop: Workshop, runner: Runner, server: FakeOpenAI) -> None:
    user_id = shop.user(credits=1)
    job_id = shop.submit(user_id, 1)
    shop.relay()
    server.faults.append(Fault(kind="status", status=429, code="rate_limit_exceeded", headers={"Retry-After": "90"}))
    before = now_ms()
    runner.run(job_id)
    job = shop.job(job_id)
    # What the provider had no room for was no attempt at it.
    assert (job["state"], job["attempts"], job["error_code"]) == ("pending", 0, "PROVIDER_THROTTLED")
    due_ms = before + 90 * SECOND_MS
    assert due_ms - SECOND_MS <= job["run_after_ms"] <= due_ms + 20 * SECOND_MS
    (message_ms,) = shop.db.read(available_ms)
    assert due_ms - SECOND_MS <= message_ms <= due_ms + 20 * SECOND_MS
    assert shop.claim(job_id) == []
    assert shop.balance(user_id).held == 1

    shop.hasten(job_id)
    runner.run(job_id)
    assert len(server.calls) == 1, "the provider is left alone for as long as it asked for"
    shop.db.transact(reopen, kind="provider", name="echo", reason=None, window=16, now_ms=now_ms())
    runner.run(job_id)
    assert (shop.job(job_id)["state"], shop.balance(user_id).spent) == ("completed", 1)
    assert len({call.headers["idempotency-key"] for call in server.calls}) == 1
    assert len(server.calls) == 2
    assert shop.examine().totals == {}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
class TestBounds:
    @pytest.fixture
    def attempt(self, db: Database) -> Attempt:
        shop = Workshop(db)
        return Attempt(shop.claim_one(shop.submit(shop.user(), 0)), lambda _user_id, _events: None)

    @pytest.mark.parametrize(
        ("asked", "wait_ms"),
        [(0.0, SECOND_MS), (0.2, SECOND_MS), (2.5, 2_500), (300.0, 5 * MINUTE_MS), (999_999_999.0, 5 * MINUTE_MS)],
    )
    def test_it_is_at_least_a_second_and_at_most_five_minutes(
        self, attempt: Attempt, asked: float, wait_ms: int
    ) -> None:
        retry = outcomes.unavailable(attempt, Throttled(retry_after=asked), backoff_ms=1)
        assert isinstance(retry, Retry)
        assert (retry.wait_ms, retry.error_code) == (wait_ms, "PROVIDER_THROTTLED")

    @pytest.mark.parametrize("error", [QuotaExhausted(), Transient()])
    def test_who_names_no_wait_is_given_ours(self, attempt: Attempt, error: Transient) -> None:
        retry = outcomes.unavailable(attempt, error, backoff_ms=MINUTE_MS)
        assert isinstance(retry, Retry)
        assert 0.75 * MINUTE_MS <= retry.wait_ms <= 1.25 * MINUTE_MS

    def test_the_last_attempt_waits_for_nothing(self, attempt: Attempt) -> None:
        attempt.claimed = replace(attempt.claimed, attempts=ATTEMPTS_MAX)
        ended = outcomes.unavailable(attempt, QuotaExhausted(), backoff_ms=1)
        assert isinstance(ended, Settlement)
        assert (ended.ending.state, ended.ending.error_code) == ("failed", "PROVIDER_QUOTA_EXHAUSTED")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_text_that_comes_as_one_piece_goes_out_in_events_of_a_bounded_size(db: Database) -> None:
    shop, sent = Workshop(db), list[Event]()
    attempt = Attempt(shop.claim_one(shop.submit(shop.user(), 0)), lambda _user_id, events: sent.extend(events))
    text = "松鼠" * OUTPUT_CHARS_MAX + "."
    attempt.output(text)
    attempt.flush()
    deltas = [str(event.data["delta"]) for event in sent]
    assert "".join(deltas) == text
    assert [len(delta) for delta in deltas] == [OUTPUT_CHARS_MAX, OUTPUT_CHARS_MAX, 1]
    numbers = [event.seq for event in sent]
    assert numbers == sorted(set(numbers))
