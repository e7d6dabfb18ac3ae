"""Cancel, deadline, replay, and what comes late, in every state that a job can be in.

States are made by the product's own verbs, each verb is tried on each state, and what must come of it stands in one
table. Whatever happens: credits are held until the end and resolved once, numbers of events only grow, what has ended
never changes again, and the doctor has nothing to say.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typing_extensions import override

from atelier.contracts import idempotency
from atelier.generation import artifacts, collecting, expiring, outcomes, overseeing, replaying
from atelier.generation.attempt import CANCELED, EXPIRED, Attempt
from atelier.generation.replaying import Act, Ids, Rules
from atelier.generation.settle import Settlement
from atelier.generation.submit import Limits
from atelier.jobs import controls, parking, upstream
from atelier.jobs.errors import JobFinished, JobNotFailed
from atelier.jobs.lane_models import PAUSED, PROVIDER, QUEUE
from atelier.jobs.service import Claimed
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.providers.contract import GenerationRequest, GenerationResult, Output
from atelier.providers.fake_kling import FakeKling, Faults
from atelier.providers.kling.adapter import Kling
from atelier.storage.local import LocalStorage
from tests.generation.faraway import PRICE, Faraway
from tests.jobs.floor import reopen
from tests.jobs.lifecycle import ATTEMPTS_MAX, LEASE_MS, REPUBLISH_MS
from tests.servers import until
from tests.workshop.studio import Studio

VIDEO = "generation.video"
WAITING = ("new", "after a loss", "backing off", "outside the window", "queue paused", "provider cooling")
HELD = ("running",)
PARKED = ("accepted", "unknown", "to be canceled")
ENDED = {"completed": "completed", "failed": "failed", "canceled": "canceled", "expired": "completed"}
LOST = "calling, and its worker lost"
ALL = (*WAITING, *HELD, LOST, *PARKED, *ENDED)
ACT = Act(admin_id=new_id(), reason="x")
RULES = Rules(
    limits=Limits(waiting_max=10_000, attempts_max=ATTEMPTS_MAX, republish_ms=REPUBLISH_MS),
    deadline_seconds=3_600,
    needs_verification=False,
)
CLIP = GenerationResult(outputs=(Output(type="video", content_type="video/mp4", data=b"a film"),))


class CancelableKling(Kling):
    """A provider that can stop what it has begun, and counts who asks for it."""

    stopped: Counter[str]

    @override
    def cancel(self, upstream_id: str) -> bool:
        self.stopped[upstream_id] += 1
        return True


@dataclass(kw_only=True)
class Case:
    """A job in a state. `stale` is a claim that was lost before, `claimed` one that holds, `other` another job's."""

    job_id: str
    user_id: str
    stale: Claimed | None = None
    claimed: Claimed | None = None
    other: Claimed | None = None


class Stage:
    """Makes jobs in each state, and does to them what may happen."""

    def __init__(self, away: Faraway, storage: LocalStorage) -> None:
        self.away, self.shop, self.storage = away, away.shop, storage
        self.studio = Studio(away.shop.db)
        self.stopped = Counter[str]()
        assert isinstance(away.kling, CancelableKling)
        away.kling.stopped = self.stopped

    def make(self, state: str) -> Case:
        """A job in this state; of all but new ones, an attempt was lost before."""
        user_id = self.studio.user(credits=PRICE)
        case = Case(job_id=self.away.submit(user_id), user_id=user_id)
        if state == "new":
            return case
        case.stale = self.shop.claim_one(case.job_id)
        self.shop.lapse(case.job_id)
        assert [one.state for one in self.shop.sweep(queue=VIDEO)] == ["pending"]
        if state in PARKED:
            self.away.fake.faults = Faults(broken=1.0 if state == "unknown" else 0.0)
            self.away.work(case.job_id)
            self.away.fake.faults = Faults()
            assert self.shop.job(case.job_id)["poll_ms"] is not None
            if state == "to be canceled":
                assert not self.shop.cancel(case.job_id, user_id).done
        elif state in WAITING:
            self._hold_back(case, state)
        else:
            lease_ms = 1 if state == LOST else LEASE_MS
            case.claimed = self.shop.claim_one(case.job_id, lease_ms=lease_ms)
            self._go_on(case, state)
        return case

    def _hold_back(self, case: Case, state: str) -> None:
        if state == "backing off":
            assert self.shop.put_back(self.shop.claim_one(case.job_id), wait_ms=HOUR_MS)
        elif state == "outside the window":
            self.shop.topup(case.user_id, PRICE)
            case.other = self.shop.claim_one(self.away.submit(case.user_id))
        elif state == "queue paused":
            self.shop.db.transact(
                controls.hold, kind=QUEUE, name=VIDEO, state=PAUSED, reason="x", now_ms=now_ms()
            )  # fmt: skip
        elif state == "provider cooling":
            self.shop.db.transact(controls.cool, provider="kling", wait_ms=HOUR_MS, code="PROVIDER_THROTTLED")
        if state != "after a loss":
            self.away.work(case.job_id)
            assert self.shop.job(case.job_id)["state"] == "pending", "this is what holds it back"

    def _go_on(self, case: Case, state: str) -> None:
        assert case.claimed
        if state == LOST:
            key = f"job:{case.job_id}"
            assert self.shop.db.transact(upstream.calling, job_id=case.job_id, fence=case.claimed.fence, key=key)
            self.away.kling.submit(GenerationRequest(provider_key=key, attempt=1, model="", prompt="松鼠"))
        elif state == "failed":
            assert self.shop.fail(case.claimed)
        elif state == "canceled":
            assert self.shop.settle(outcomes.canceled(self.attempt(case.claimed))) != [None]
        elif state in {"completed", "expired"}:
            made = self.shop.completion(case.claimed)
            kept_ms = 1 if state == "expired" else HOUR_MS
            assert self.shop.settle(replace(made, ending=replace(made.ending, kept_ms=kept_ms))) != [None]
            going = self.shop.db.transact(expiring.mark, now_ms=now_ms() + 60_000)
            assert (going is not None) == (state == "expired")

    def clear(self, case: Case) -> None:
        """Hold nothing back any more, and end what is left of a case."""
        for kind, name in ((QUEUE, VIDEO), (PROVIDER, "kling")):
            self.shop.db.transact(reopen, kind=kind, name=name, reason=None, window=1, now_ms=now_ms())
        if case.other:
            assert self.shop.fail(case.other)
        if self.shop.job(case.job_id)["finished_ms"] is None and not self.shop.cancel(case.job_id, case.user_id).done:
            self.end(case, CANCELED)
        assert self.shop.job(case.job_id)["finished_ms"] is not None

    def attempt(self, claimed: Claimed) -> Attempt:
        """What a worker holds."""
        return Attempt(claimed, lambda _user_id, _events: None)

    def end(self, case: Case, reason: str) -> None:
        """Let whoever is responsible end a job that is to end: its worker, the poller, or the sweeper."""
        job = self.shop.job(case.job_id)
        if job["poll_ms"] is not None:
            until(lambda: self._polled(case.job_id), what="it has ended", seconds_max=20)
        elif case.claimed is not None and job["state"] == "running" and job["lease_ms"] > now_ms():
            pulse = self.shop.renew(case.claimed)
            assert pulse
            assert (pulse.cancel_requested, pulse.expired) == (reason == CANCELED, reason == EXPIRED)
            attempt = self.attempt(case.claimed)
            attempt.stop(reason)
            outcome = outcomes.stopped(attempt)
            assert isinstance(outcome, Settlement)
            assert self.shop.settle(outcome) != [None]
        else:
            self.shop.sweep(queue=VIDEO)
            if self.shop.job(case.job_id)["poll_ms"] is not None:
                until(lambda: self._polled(case.job_id), what="it has ended", seconds_max=20)

    def _polled(self, job_id: str) -> bool:
        self.away.poll(seconds=0.1)
        return self.shop.job(job_id)["finished_ms"] is not None

    def check(self, case: Case, *, state: str, seq: int) -> None:
        """Where the job must be now, and its credits with it; `seq` is the number that it had."""
        job, balance = self.shop.job(case.job_id), self.shop.balance(case.user_id)
        others = balance.held - (PRICE if job["finished_ms"] is None else 0)
        assert others in {0, PRICE}, "beside what holds it outside the window"
        assert job["state"] == state
        assert balance.spent == job["used"] == (PRICE if state == "completed" else 0)
        assert job["seq"] >= seq
        assert self.shop.examine().totals == {}


@pytest.fixture
def stage(db: Database, settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Stage]:
    with FakeKling(seconds=lambda: 600.0) as fake:
        chosen = settings(backoff_ms=1, lease_seconds=30, user_window=1)
        away = Faraway(db, chosen, fake, tmp_path, kind=CancelableKling)
        yield Stage(away, LocalStorage(tmp_path / "files"))
        away.close()


@pytest.mark.parametrize("who", ["user", "administrator"])
def test_cancel(stage: Stage, who: str, subtests: pytest.Subtests) -> None:
    def cancel(case: Case) -> bool:
        if who == "user":
            return stage.shop.cancel(case.job_id, case.user_id).done
        done = stage.shop.db.transact(
            overseeing.cancel, case.job_id, act=ACT, transfer_id=new_id(), now_ms=now_ms()
        )  # fmt: skip
        return done.cancellation.done

    for state in ALL:
        case = stage.make(state)
        with subtests.test(state):
            seq = stage.shop.job(case.job_id)["seq"]
            if state in ENDED:
                with pytest.raises(JobFinished):
                    cancel(case)
                stage.check(case, state=ENDED[state], seq=seq)
                continue
            assert cancel(case) == (state in WAITING), "at once while nobody is at work on it"
            if state not in WAITING:
                assert not cancel(case), "asking twice is asking once"
                stage.end(case, CANCELED)
            stage.check(case, state="canceled", seq=seq + 1)
            with pytest.raises(JobFinished):
                cancel(case)
        stage.clear(case)
    handed_over = [LOST, "accepted", "to be canceled"]
    assert list(stage.stopped.values()) == [1] * len(handed_over), "each is stopped at the provider, and once"


@pytest.mark.parametrize("looks", [True, False])
def test_deadline(stage: Stage, looks: bool, subtests: pytest.Subtests) -> None:  # noqa: FBT001 - parameter
    """With pollers and workers that look, and with none: then it is the sweeper who ends everything."""
    for state in ALL:
        case = stage.make(state)
        with subtests.test(state):
            seq = stage.shop.job(case.job_id)["seq"]
            if state in ENDED:
                stage.shop.sweep(queue=VIDEO)
                stage.check(case, state=ENDED[state], seq=seq)
                continue
            stage.away.too_late(case.job_id, parked=state in PARKED)
            if looks:
                stage.end(case, EXPIRED)
            else:
                if state in HELD:
                    stage.shop.lapse(case.job_id)
                stage.shop.sweep(queue=VIDEO)
                if state == LOST:
                    assert stage.shop.job(case.job_id)["poll_ms"] is not None, "a poller may stop what runs for it"
                    stage.away.too_late(case.job_id)
                    stage.shop.sweep(queue=VIDEO)
            stage.check(case, state="canceled" if state == "to be canceled" else "failed", seq=seq + 1)
            code = None if state == "to be canceled" else "DEADLINE_EXCEEDED"
            assert stage.shop.job(case.job_id)["error_code"] == code
        stage.clear(case)


def test_replay(stage: Stage, subtests: pytest.Subtests) -> None:
    for state in ALL:
        case = stage.make(state)
        with subtests.test(state):
            seq = stage.shop.job(case.job_id)["seq"]

            def replay(job_id: str = case.job_id) -> replaying.Replayed:
                keyed = idempotency.keyed(user_id="boss", route="POST /replay", key=new_id(), body=b"")
                ids = Ids(job_id=new_id(), hold_id=new_id())
                return stage.shop.db.transact(
                    replaying.replay, job_id, act=ACT, ids=ids, rules=RULES, keyed=keyed, now_ms=now_ms()
                )

            if state in {"failed", "canceled"}:
                again = replay().answer["newJobId"]
                assert stage.shop.job(again)["retry_of"] == case.job_id
                assert stage.shop.cancel(again, case.user_id).done
                stage.check(case, state=ENDED[state], seq=seq)
                continue
            with pytest.raises(JobNotFailed):
                replay()
            stage.check(case, state=stage.shop.job(case.job_id)["state"], seq=seq)
        stage.clear(case)


def test_late_result(stage: Stage, subtests: pytest.Subtests) -> None:
    """What an attempt has made that lost its fence changes nothing, and its files go once the job has ended."""
    files: list[str] = []
    for state in ALL[1:]:
        case = stage.make(state)
        with subtests.test(state):
            assert case.stale
            before = stage.shop.job(case.job_id)
            kept = artifacts.keep(stage.storage, CLIP, folder=f"outputs/{case.job_id}/{case.stale.fence}")
            late = stage.shop.completion(case.stale)
            settled = stage.shop.settle(replace(late, ending=replace(late.ending, result=kept)))
            assert settled == [None]
            assert stage.shop.settle(stage.shop.failure(case.stale)) == [None]
            assert not stage.shop.put_back(case.stale)
            assert not stage.shop.db.transact(
                parking.park, job_id=case.job_id, fence=case.stale.fence, wait_ms=1
            )  # fmt: skip
            assert stage.shop.job(case.job_id) == before
            if state in ENDED:
                files += [output["key"] for output in kept["outputs"]]
            stage.check(case, state=before["state"], seq=before["seq"])
        stage.clear(case)
    assert set(files) <= set(stage.storage.keys("outputs", limit=100))
    collecting.collect(stage.shop.db, storage=stage.storage, now_ms=now_ms() + 3 * HOUR_MS)
    assert not set(files) & set(stage.storage.keys("outputs", limit=100))


def test_late_callback(stage: Stage, subtests: pytest.Subtests) -> None:
    """What a provider says is a reason to look, and never more."""
    for state in ALL:
        case = stage.make(state)
        with subtests.test(state):
            before = stage.shop.job(case.job_id)
            woken = stage.shop.db.transact(parking.wake, job_ids=[case.job_id])
            assert woken == (1 if state in PARKED else 0)
            expected = before["state"]
            if state not in PARKED:
                assert stage.shop.job(case.job_id) == before
            elif state == "to be canceled":
                stage.end(case, CANCELED)
                expected = "canceled"
            else:
                stage.away.poll(seconds=0.1)
            stage.check(case, state=expected, seq=before["seq"])
        stage.clear(case)


def test_what_was_handed_over_before_the_last_worker_was_lost_is_taken_on(stage: Stage) -> None:
    case = stage.make(LOST)
    for _ in range(ATTEMPTS_MAX - 2):
        stage.shop.sweep(queue=VIDEO)
        assert case.claimed
        case.claimed = stage.shop.claim_one(case.job_id, lease_ms=1)
        stage.shop.db.transact(upstream.calling, job_id=case.job_id, fence=case.claimed.fence, key=f"job:{case.job_id}")
    assert stage.shop.job(case.job_id)["attempts"] == ATTEMPTS_MAX
    assert stage.shop.sweep(queue=VIDEO) == []
    stage.away.fake.finish(f"job:{case.job_id}")
    assert stage.away.ended(case.job_id)["state"] == "completed"
    assert stage.away.generations == 1
    stage.check(case, state="completed", seq=0)


def test_what_is_made_before_the_worker_notices_is_completed(stage: Stage) -> None:
    case = stage.make("running")
    assert case.claimed
    assert not stage.shop.cancel(case.job_id, case.user_id).done
    assert stage.shop.complete(case.claimed)
    stage.check(case, state="completed", seq=0)


def test_what_the_provider_finishes_after_the_end_changes_nothing(stage: Stage) -> None:
    case = stage.make("to be canceled")
    stage.end(case, CANCELED)
    assert list(stage.stopped.values()) == [1]
    before = stage.shop.job(case.job_id)
    stage.away.fake.finish(f"job:{case.job_id}")
    stage.shop.db.transact(parking.wake, job_ids=[case.job_id])
    stage.away.poll()
    assert stage.shop.job(case.job_id) == before
    stage.check(case, state="canceled", seq=before["seq"])
