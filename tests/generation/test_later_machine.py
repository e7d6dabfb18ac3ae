"""Every outcome of a submission, and a death before and after every step: one generation, one end, one capture.

Only a result that was given up, because it stayed no good, is generated once more, under a key of its own.

A process that dies is one whose next step raises what nothing catches: each transaction and each call of the provider
is such a step, before it and after it. The model is what the provider's books, the jobs and the ledger must say at the
end, whatever happened in between.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test
from typing_extensions import override

from atelier.generation.poller import Poller
from atelier.jobs import parking
from atelier.jobs.errors import JobFinished
from atelier.kernel.settings import Settings
from atelier.providers.contract import GenerationRequest, GenerationResult
from atelier.providers.errors import BadAnswer
from atelier.providers.fake_kling import FakeKling, Faults
from atelier.providers.kling.adapter import Kling
from atelier.providers.later import Found, Pace, Status, Submitted
from tests.bounds import of_machine
from tests.generation.faraway import PRICE, Faraway
from tests.generation.mortal import Dead, Fate, MortalDatabase
from tests.servers import until

T = TypeVar("T")
QUEUE = "generation.video"
PACE = Pace(first=0.0, least=0.01, most=0.02, late=0.0)
FAULTS = {
    "none": Faults(),
    "unanswered": Faults(unanswered=1.0),
    "unsure": Faults(unsure=1.0),
    "late": Faults(late=1.0, late_seconds=math.inf),
    "broken": Faults(broken=1.0),
    "full": Faults(full=1.0),
    "failing": Faults(failing=1.0),
    "deaf": Faults(deaf=1.0),
    "shut": Faults(shut=1.0),
    "spoiled": Faults(spoiled=1.0),
}


class MortalKling(Kling):
    """A provider whose caller may die before and after each call."""

    fate: Fate

    @override
    def submit(self, request: GenerationRequest) -> Submitted:
        return self._lived(lambda: super(MortalKling, self).submit(request))

    @override
    def find(self, provider_key: str) -> Found:
        return self._lived(lambda: super(MortalKling, self).find(provider_key))

    @override
    def poll(self, upstream_ids: Sequence[str]) -> Mapping[str, Status]:
        return self._lived(lambda: super(MortalKling, self).poll(upstream_ids))

    @override
    def fetch(self, status: Status) -> GenerationResult:
        return self._lived(lambda: super(MortalKling, self).fetch(status))

    def _lived(self, call: Callable[[], T]) -> T:
        self.fate.step()
        answer = call()
        self.fate.step()
        return answer


class Later(RuleBasedStateMachine):
    """Rules are what users, workers, pollers, sweepers and the provider do."""

    jobs = Bundle("jobs")
    deaths = st.none() | st.integers(0, 9)
    away: Faraway
    fate: Fate

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, str] = {}

    @rule(target=jobs)
    def submit(self) -> str:
        user_id = self.away.shop.user(credits=PRICE)
        job_id = self.away.submit(user_id)
        self.users[job_id] = user_id
        return job_id

    @rule(job_id=jobs, fault=st.sampled_from(sorted(FAULTS)), death=deaths)
    def work(self, job_id: str, fault: str, death: int | None) -> None:
        self.away.shop.hasten(job_id)
        self.away.fake.faults = FAULTS[fault]
        self._mortally(lambda: self.away.work(job_id), death)
        self.away.fake.faults = Faults()

    @rule(fault=st.sampled_from(["none", "deaf", "shut"]), death=deaths)
    def poll(self, fault: str, death: int | None) -> None:
        self.away.fake.faults = FAULTS[fault]
        poller: Poller = self.away.another_poller()
        self._mortally(lambda: poller.round(seconds=0.06), death)
        poller.close()
        self.away.fake.faults = Faults()

    @rule()
    def the_provider_is_done(self) -> None:
        for key in list(self.away.fake.books.keys):
            self.away.fake.finish(key)

    @rule()
    def every_look_is_due(self) -> None:
        self.away.shop.db.transact(parking.wake, job_ids=list(self.users))

    @rule(job_id=jobs, deaths=st.lists(deaths, min_size=1, max_size=5))
    def what_was_made_is_no_good(self, job_id: str, deaths: list[int | None]) -> None:
        self.work(job_id, "none", None)
        self.the_provider_is_done()
        for death in deaths:
            self.every_look_is_due()
            self.poll("spoiled", death)

    @rule()
    def late_requests_arrive(self) -> None:
        self.away.fake.deliver()

    @rule(keep=st.booleans())
    def the_provider_restarts(self, keep: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        self.away.fake.restart(keep=keep)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        with suppress(JobFinished):
            self.away.shop.cancel(job_id, self.users[job_id])

    @rule(job_id=jobs)
    def sweep(self, job_id: str) -> None:
        if self.away.shop.job(job_id)["lease_ms"] is not None:
            self.away.shop.lapse(job_id)
        self.away.shop.sweep(queue=QUEUE)

    def _mortally(self, deed: Callable[[], object], death: int | None) -> None:
        self.fate.left = death
        with suppress(Dead):
            deed()
        self.fate.left = None

    @override
    def teardown(self) -> None:
        until(self._all_ended, what="all have ended", seconds_max=60)
        self.away.fake.deliver()
        made = self.away.fake.books.generations()
        assert set(made.values()) <= {1}
        for job_id, user_id in self.users.items():
            job, balance = self.away.shop.job(job_id), self.away.shop.balance(user_id)
            used = PRICE if job["state"] == "completed" else 0
            assert (job["used"], balance.spent, balance.held) == (used, used, 0)
            given_up = sum(one["outcome"] == BadAnswer.code for one in self.away.attempts(job_id))
            assert sum(key.startswith(f"job:{job_id}") for key in made) <= 1 + given_up
        assert self.away.shop.examine().totals == {}
        self.away.close()
        self.away.fake.__exit__()

    def _all_ended(self) -> bool:
        self.the_provider_is_done()
        self.every_look_is_due()
        self.poll("none", None)
        alive = [one for one in self.users if self.away.shop.job(one)["finished_ms"] is None]
        for job_id in alive:
            self.sweep(job_id)
            self.work(job_id, "none", None)
        return not alive


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "bounds"), [("sqlite", (8, 30)), ("mariadb", (4, 30))], indirect=["engine"])
def test_one_generation_one_end_one_capture(
    database_url: str,
    restore: Callable[[], None],
    settings: Callable[..., Settings],
    tmp_path: Path,
    *,
    bounds: tuple[int, int],
) -> None:
    class Fresh(Later):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.fate = Fate()
            database = MortalDatabase(database_url)
            database.fate = self.fate
            fake = FakeKling(seconds=lambda: 600.0)
            self.away = Faraway(database, settings(backoff_ms=1), fake, tmp_path, pace=PACE, kind=MortalKling)
            cast("MortalKling", self.away.kling).fate = self.fate

    run_state_machine_as_test(Fresh, settings=of_machine(bounds[0], steps=bounds[1]))
