"""Any order of everything that can happen to users, credits and jobs, against a model that fits on two pages.

The model knows nothing of SQL. After each example every balance and every job is compared with it, and the doctor
must find nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.exc import IntegrityError
from typing_extensions import override

from atelier.generation.submit import Accepted, Submission
from atelier.jobs.errors import JobFinished
from atelier.jobs.service import Claimed
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger import service as ledger
from atelier.ledger.errors import HoldResolved, InsufficientCredits
from atelier.ledger.service import Entry, Resolution
from tests.bounds import of_machine
from tests.jobs.lifecycle import Workshop

ATTEMPTS_MAX = 3


@dataclass
class Account:
    credits: int = 0
    debits: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        return self.credits - self.debits - self.held


@dataclass
class Job:
    user_id: str
    price: int
    state: str = "pending"
    fence: int = 0
    attempts: int = 0
    used: int = 0
    due: bool = True
    leased: bool = False
    canceling: bool = False

    @property
    def claimable(self) -> bool:
        free = (self.state == "pending" and self.due) or (self.state == "running" and not self.leased)
        return free and self.attempts < ATTEMPTS_MAX

    @property
    def ended(self) -> bool:
        return self.state in {"completed", "failed", "canceled"}


class Lives(RuleBasedStateMachine):
    """Rules are what users, workers and sweepers do; `claims` also holds claims that were lost long ago."""

    shop: Workshop
    users = Bundle("users")
    jobs = Bundle("jobs")
    claims = Bundle("claims")
    entries = Bundle("entries")
    amounts = st.integers(0, 30)

    def __init__(self) -> None:
        super().__init__()
        self.accounts: dict[str, Account] = {}
        self.lives: dict[str, Job] = {}
        self.requests: dict[str, Submission] = {}
        self.welcomed: set[str] = set()

    @initialize(target=users)
    def someone(self) -> str:
        return self._user(40)

    # -- users

    @rule(target=users, credits=amounts)
    def user(self, credits: int) -> str:  # noqa: A002 - the product's word
        return self._user(credits)

    def _user(self, credits: int) -> str:  # noqa: A002 - the product's word
        user_id = self.shop.user(credits=credits)
        self.accounts[user_id] = Account(credits=credits)
        return user_id

    @rule(
        target=entries,
        user_id=users,
        amount=amounts,
        verb=st.sampled_from([ledger.topup, ledger.consume]),
    )
    def move(self, user_id: str, amount: int, verb: Callable[..., object]) -> Entry:
        account = self.accounts[user_id]
        entry = self.shop.entry(user_id, amount, "test")
        if verb is ledger.topup:
            account.credits += amount
        elif account.available >= amount:
            account.debits += amount
        else:
            with pytest.raises(InsufficientCredits):
                self.shop.db.transact(verb, entry, now_ms=now_ms())
            return entry
        self.shop.db.transact(verb, entry, now_ms=now_ms())
        return entry

    @rule(user_id=users, amount=st.integers(-30, 30))
    def adjust(self, user_id: str, amount: int) -> None:
        account = self.accounts[user_id]
        entry = self.shop.entry(user_id, amount, "adjust")
        if account.available + amount < 0:
            with pytest.raises(InsufficientCredits):
                self.shop.db.transact(ledger.adjust, entry, now_ms=now_ms())
            return
        self.shop.db.transact(ledger.adjust, entry, now_ms=now_ms())
        account.credits += max(0, amount)
        account.debits += max(0, -amount)

    @rule(user_id=users)
    def welcome(self, user_id: str) -> None:
        entry = Entry(transfer_id=new_id(), key=f"bonus:user:{user_id}", user_id=user_id, amount=10)
        if user_id in self.welcomed:
            with pytest.raises(IntegrityError):
                self.shop.db.transact(ledger.bonus, entry, now_ms=now_ms())
            return
        self.shop.db.transact(ledger.bonus, entry, now_ms=now_ms())
        self.accounts[user_id].credits += 10
        self.welcomed.add(user_id)

    @rule(target=jobs, asked=st.lists(st.tuples(users, amounts), min_size=1, max_size=4))
    def submit(self, asked: list[tuple[str, int]]) -> object:
        requests = [self.shop.submission(user_id, price) for user_id, price in asked]
        outcomes = self.shop.submit_all(requests, attempts_max=ATTEMPTS_MAX)
        accepted: list[str] = []
        for one, outcome in zip(requests, outcomes, strict=True):
            account = self.accounts[one.user_id]
            if account.available < one.price:
                assert isinstance(outcome, InsufficientCredits)
                continue
            assert isinstance(outcome, Accepted)
            account.held += one.price
            self.lives[one.job_id] = Job(user_id=one.user_id, price=one.price)
            self.requests[one.job_id] = one
            accepted.append(one.job_id)
        return multiple(*accepted)

    @rule(job_id=jobs)
    def submit_again(self, job_id: str) -> None:
        (outcome,) = self.shop.submit_all([self.requests[job_id]], attempts_max=ATTEMPTS_MAX)
        assert isinstance(outcome, Accepted)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        job = self.lives[job_id]
        if job.ended:
            with pytest.raises(JobFinished):
                self.shop.cancel(job_id, job.user_id)
        elif job.state == "running":
            assert not self.shop.cancel(job_id, job.user_id).done
            job.canceling = True
        else:
            assert self.shop.cancel(job_id, job.user_id).done
            self._end(job, "canceled", bump=1)

    # -- workers

    @rule(target=claims, job_ids=st.lists(jobs, min_size=1, max_size=4, unique=True))
    def claim(self, job_ids: list[str]) -> object:
        claimed = self.shop.claim(*job_ids)
        assert {one.id for one in claimed} == {job_id for job_id in job_ids if self.lives[job_id].claimable}
        for one in claimed:
            job = self.lives[one.id]
            job.state, job.leased, job.fence, job.attempts = "running", True, job.fence + 1, job.attempts + 1
            assert (one.fence, one.attempts, one.held) == (job.fence, job.attempts, job.price)
        return multiple(*claimed)

    @rule(claimed=claims)
    def renew(self, claimed: Claimed) -> None:
        pulse = self.shop.renew(claimed)
        assert (pulse is not None) == self._holds(claimed)
        if pulse:
            self.lives[claimed.id].leased = True
            assert pulse.cancel_requested == self.lives[claimed.id].canceling

    @rule(ends=st.lists(st.tuples(claims, st.integers(0, 30), st.booleans()), min_size=1, max_size=5))
    def settle(self, ends: list[tuple[Claimed, int, bool]]) -> None:
        once = {claimed.id: (claimed, part, well) for claimed, part, well in ends}.values()
        settlements = [
            self.shop.completion(claimed, used=min(part, claimed.held)) if well else self.shop.failure(claimed)
            for claimed, part, well in once
        ]
        for (claimed, part, well), settled in zip(once, self.shop.settle(*settlements), strict=True):
            counted = settled is not None and not settled.again
            assert counted == self._holds(claimed)
            if counted:
                used = min(part, claimed.held) if well else 0
                self._end(self.lives[claimed.id], "completed" if well else "failed", used=used)

    @rule(claimed=claims, later=st.booleans(), refund=st.integers(0, 1))
    def put_back(self, claimed: Claimed, later: bool, refund: int) -> None:  # noqa: FBT001 - hypothesis calls by name
        back = self.shop.put_back(claimed, wait_ms=600_000 if later else 0, refund=refund)
        assert back == (self._holds(claimed) and not self.lives[claimed.id].canceling)
        if back:
            job = self.lives[claimed.id]
            job.state, job.leased, job.due, job.attempts = "pending", False, not later, job.attempts - refund

    @rule(claimed=consumes(claims))
    def steal(self, claimed: Claimed) -> None:
        job = self.lives[claimed.id]
        if job.price == 0:
            return
        once_more = Resolution(transfer_id=new_id(), hold_key=f"hold:job:{claimed.id}", amount=None)
        if job.ended:
            with pytest.raises(HoldResolved):
                self.shop.db.transact(ledger.resolve, [once_more], now_ms=now_ms())

    # -- time, and who cleans up after it

    @rule(job_id=jobs)
    def worker_dies(self, job_id: str) -> None:
        self.shop.lapse(job_id)
        self.lives[job_id].leased = False

    @rule(job_id=jobs)
    def wait_ends(self, job_id: str) -> None:
        self.shop.hasten(job_id)
        self.lives[job_id].due = True

    @rule(job_id=jobs)
    def deadline_passes(self, job_id: str) -> None:
        job = self.lives[job_id]
        if job.state == "pending":
            self.shop.outlive(job_id)
            self.shop.sweep()
            self._swept()
            self._end(job, "failed", bump=1)

    @rule()
    def sweep(self) -> None:
        self.shop.sweep()
        self._swept()

    def _swept(self) -> None:
        for job in self.lives.values():
            if job.state != "running" or job.leased:
                continue
            if job.canceling:
                self._end(job, "canceled", bump=1)
            elif job.attempts >= ATTEMPTS_MAX:
                self._end(job, "failed", bump=1)
            else:
                job.state, job.due, job.fence = "pending", True, job.fence + 1

    def _holds(self, claimed: Claimed) -> bool:
        job = self.lives[claimed.id]
        return job.state == "running" and job.fence == claimed.fence

    def _end(self, job: Job, state: str, *, used: int = 0, bump: int = 0) -> None:
        account = self.accounts[job.user_id]
        account.held -= job.price
        account.debits += used
        job.state, job.used, job.fence, job.leased = state, used, job.fence + bump, False

    @override
    def teardown(self) -> None:
        for user_id, account in self.accounts.items():
            balance = self.shop.balance(user_id)
            assert (balance.available, balance.held, balance.spent) == (account.available, account.held, account.debits)
        for job_id, job in self.lives.items():
            row = self.shop.job(job_id)
            assert (row["state"], row["fence"], row["attempts"], row["used"]) == (
                job.state,
                job.fence,
                job.attempts,
                job.used,
            )
        report = self.shop.examine()
        # What the test did to time is late on purpose; everything else is as promised.
        late = {"job.lease", "job.unclaimed", "job.overdue"}
        assert set(report.totals) <= late, report.findings


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "number", "steps"), [("sqlite", 12, 40), ("mariadb", 5, 40)], indirect=["engine"])
def test_jobs_and_credits_agree_with_the_model(
    db: Database, restore: Callable[[], None], number: int, steps: int
) -> None:
    class Fresh(Lives):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.shop = Workshop(db)

    run_state_machine_as_test(Fresh, settings=of_machine(number, steps=steps))
