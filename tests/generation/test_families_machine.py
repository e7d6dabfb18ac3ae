"""Composite jobs against a model: any order of messages, lost ones, deaths before and after every transaction, cancels.

However it went, every step exists at most once, every job ends, and the price is taken exactly when it completes.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test
from typing_extensions import override

from atelier.jobs.errors import JobFinished
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.bounds import of_machine
from tests.generation.families import PRICE, STEPS, Families
from tests.generation.mortal import Dead, Fate, MortalDatabase

ROUNDS_MAX = 60


class Composites(RuleBasedStateMachine):
    """Rules are what users, workers, the broker and sweepers do."""

    jobs = Bundle("jobs")
    families: Families
    fate: Fate
    mortal: Database

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, str] = {}
        self.fails: dict[str, list[str]] = {}
        self.canceled: set[str] = set()

    @rule(target=jobs, fails=st.lists(st.sampled_from(STEPS), max_size=1))
    def submit(self, fails: list[str]) -> str:
        user_id = self.families.shop.user(credits=PRICE)
        job_id = self.families.submit(user_id, fails=fails)
        self.users[job_id], self.fails[job_id] = user_id, fails
        return job_id

    @rule(which=st.integers(0, 5), death=st.none() | st.integers(0, 7))
    def take(self, which: int, death: int | None) -> None:
        found = self.families.messages()
        if not found:
            return
        self.fate.left = death
        with suppress(Dead):
            self.families.take(*found[which % len(found)], by=self.families.worker(self.mortal))
        self.fate.left = None

    @rule(job_id=jobs)
    def a_message_comes_twice(self, job_id: str) -> None:
        self.families.runner.advance(job_id)

    @rule()
    def the_broker_forgets(self) -> None:
        self.families.shop.relay()

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        with suppress(JobFinished):
            self.families.shop.cancel(job_id, self.users[job_id])
            self.canceled.add(job_id)

    @rule()
    def sweep(self) -> None:
        self.families.sweep()

    @override
    def teardown(self) -> None:
        for _ in range(ROUNDS_MAX):
            self.families.sweep()
            self.families.invite()
            self.families.drain()
            if all(self.families.shop.job(job_id)["finished_ms"] for job_id in self.users):
                break
        for job_id, user_id in self.users.items():
            self._check(job_id, user_id)
        assert self.families.shop.examine().totals == {}
        self.families.close()

    def _check(self, job_id: str, user_id: str) -> None:
        job, balance = self.families.shop.job(job_id), self.families.shop.balance(user_id)
        completed = job["state"] == "completed"
        assert job["finished_ms"], job["state"]
        used = PRICE if completed else 0
        assert (job["used"], balance.spent, balance.held) == (used, used, 0)
        assert not {"pending", "running"} & {*self.families.steps(job_id).values()}
        if completed:
            skipped = "" if self.families.steps(job_id)["right"] != "completed" else "+right()"
            assert self.families.text(job_id) == f"last(first()+left(){skipped})"
        elif job_id not in self.canceled:
            assert job["state"] == "failed"
            # Workers that died three times over one job are as bad as a step that fails.
            assert job["error_code"] == "WORKER_LOST" or {*self.fails[job_id]} & {"first", "left", "last"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "bounds"), [("sqlite", (8, 40)), ("mariadb", (3, 40))], indirect=["engine"])
def test_one_end_and_one_price(
    database_url: str,
    restore: Callable[[], None],
    settings: Callable[..., Settings],
    tmp_path: Path,
    *,
    bounds: tuple[int, int],
) -> None:
    class Fresh(Composites):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.fate = Fate()
            self.mortal = MortalDatabase(database_url)
            self.mortal.fate = self.fate
            self.families = Families(Database(database_url), settings(backoff_ms=1), tmp_path)

    run_state_machine_as_test(Fresh, settings=of_machine(bounds[0], steps=bounds[1]))
