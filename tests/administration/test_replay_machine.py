"""Any order of failing, canceling, trying again, replaying one or many and dismissing: nothing is replayed twice."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.catalog.models import AGENTS
from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import Keyed
from atelier.generation import overseeing, replaying
from atelier.generation.replaying import Act, Ids, Replayed, Rules
from atelier.generation.submit import Limits, submit
from atelier.jobs.dead_letters import Filter
from atelier.jobs.errors import JobNotFound, JobReplayed, LetterNotOpen
from atelier.jobs.models import DEAD_LETTERS, JOBS
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger.errors import InsufficientCredits
from tests.administration.dead import AGENT, PRICE
from tests.bounds import of_machine
from tests.catalog import market
from tests.jobs.lifecycle import ATTEMPTS_MAX, REPUBLISH_MS, Workshop
from tests.live.harness import World

CODES = ("PROVIDER_TIMEOUT", "INTERNAL")
LIMITS = Limits(waiting_max=10_000, attempts_max=ATTEMPTS_MAX, republish_ms=REPUBLISH_MS)
RULES = Rules(limits=LIMITS, deadline_seconds=3_600, needs_verification=False)
ACT = Act(admin_id=new_id(), reason="x")


def key() -> Keyed:
    return idempotency.keyed(user_id="boss", route="POST /replay", key=new_id(), body=b"")


class Replays(RuleBasedStateMachine):
    """`letters` is what should have become of each job that ended badly; None for what was only canceled."""

    db: Database
    restore: Callable[[], None]
    settings: Settings

    jobs: Bundle[str] = Bundle("jobs")

    @initialize()
    def open(self) -> None:
        self.restore()
        creator_id = Workshop(self.db).user()
        self.db.transact(market.fill, agents=[replace(AGENT, creator_id=creator_id)])
        agent_id = market.ident(AGENT.number)
        version = self.db.read(lambda session: session.scalar(select(AGENTS.c.version).where(AGENTS.c.id == agent_id)))
        self.shop = Workshop(self.db, agent_id=agent_id, agent_version=version or 1, creator_id=creator_id)
        world = World(self.db, self.settings)
        self.users = [world.person().id for _ in range(2)]
        self.letters: dict[str, str | None] = {}
        self.owners: dict[str, str] = {}
        self.asked: list[tuple[Keyed, Replayed]] = []
        for user_id in self.users:
            self.shop.topup(user_id, 4 * PRICE)

    @rule(target=jobs, who=st.integers(0, 1), code=st.sampled_from(CODES))
    def fail(self, who: int, code: str) -> str | MultipleResults[str]:
        job_id = self._submitted(who)
        if job_id is None:
            return multiple()
        self.shop.settle(self.shop.failure(self.shop.claim_one(job_id), error_code=code))
        self.letters[job_id] = "open"
        return job_id

    @rule(target=jobs, who=st.integers(0, 1))
    def cancel(self, who: int) -> str | MultipleResults[str]:
        job_id = self._submitted(who)
        if job_id is None:
            return multiple()
        assert self.shop.cancel(job_id, self.users[who]).done
        self.letters[job_id] = None
        return job_id

    @rule(who=st.integers(0, 1), jobs=st.integers(1, 3))
    def topup(self, who: int, jobs: int) -> None:
        self.shop.topup(self.users[who], jobs * PRICE)

    @rule(job_id=jobs)
    def try_again(self, job_id: str) -> None:
        """As its user does."""
        again = replace(self.shop.submission(self.owners[job_id], PRICE), retry_of=job_id)
        (outcome,) = self.db.transact(submit, [again], limits=LIMITS)
        if not isinstance(outcome, Refusal) and self.letters[job_id] in {"open", "dismissed", None}:
            self.letters[job_id] = "retried"

    @rule(job_id=jobs)
    def replay(self, job_id: str) -> None:
        keyed = key()
        try:
            done = self._replay(job_id, keyed)
        except JobReplayed:
            assert self.letters[job_id] in {"replayed", "retried"}
        except InsufficientCredits:
            assert self.shop.balance(self.owners[job_id]).available < PRICE
        else:
            assert self.letters[job_id] in {"open", "dismissed", None}
            self.letters[job_id] = "replayed"
            assert self._replay(job_id, keyed) == replace(done, made=(), again=True)

    @rule(limit=st.integers(1, 4), code=st.sampled_from((None, *CODES)))
    def replay_many(self, limit: int, code: str | None) -> None:
        keyed = key()
        done = self._replay_many(keyed, limit, code)
        replayed = [one["jobId"] for one in done.answer["jobs"] if one["newJobId"]]
        assert all(self.letters[job_id] == "open" for job_id in replayed)
        assert len(set(replayed)) == len(replayed) == done.answer["replayed"]
        self.letters |= dict.fromkeys(replayed, "replayed")
        assert self._replay_many(keyed, limit, code) == replace(done, made=(), again=True)

    @rule(job_id=jobs)
    def dismiss(self, job_id: str) -> None:
        try:
            self.db.transact(overseeing.dismiss, job_id, act=ACT, now_ms=now_ms())
        except (LetterNotOpen, JobNotFound):
            assert self.letters[job_id] != "open"
        else:
            assert self.letters[job_id] == "open"
            self.letters[job_id] = "dismissed"

    @invariant()
    def letters_say_what_became_of_each_and_nothing_was_replayed_twice(self) -> None:
        if not hasattr(self, "shop"):
            return
        letters, logged = self.db.read(_letters), self.db.read(_logged)
        assert letters == {job_id: state for job_id, state in self.letters.items() if state is not None}
        assert Counter(logged) == Counter(job_id for job_id, state in self.letters.items() if state == "replayed")
        held = sum(self.shop.balance(user_id).held for user_id in self.users)
        assert held == self.db.read(_held)

    @override
    def teardown(self) -> None:
        if hasattr(self, "shop"):
            assert self.shop.examine().totals.keys() <= {"job.price"}

    def _submitted(self, who: int) -> str | None:
        if self.shop.balance(self.users[who]).available < PRICE:
            return None
        job_id = self.shop.submit(self.users[who], PRICE)
        self.owners[job_id] = self.users[who]
        return job_id

    def _replay(self, job_id: str, keyed: Keyed) -> Replayed:
        ids = _ids(1)[0]
        return self.db.transact(replaying.replay, job_id, act=ACT, ids=ids, rules=RULES, keyed=keyed, now_ms=now_ms())

    def _replay_many(self, keyed: Keyed, limit: int, code: str | None) -> Replayed:
        wanted = Filter(error_code=code)
        return self.db.transact(
            replaying.replay_many, wanted, act=ACT, ids=_ids(limit), rules=RULES, keyed=keyed, now_ms=now_ms()
        )


def _ids(number: int) -> Sequence[Ids]:
    return [Ids(job_id=new_id(), hold_id=new_id()) for _ in range(number)]


def _letters(session: Session) -> dict[str, Any]:
    rows = session.execute(select(DEAD_LETTERS.c.job_id, DEAD_LETTERS.c.state))
    return {row.job_id: row.state for row in rows}


def _logged(session: Session) -> list[Any]:
    actions = select(oplog.TABLE.c.resource_id).where(oplog.TABLE.c.action == "ADMIN_JOB_REPLAY")
    return list(session.scalars(actions))


def _held(session: Session) -> int:
    return sum(session.scalars(select(JOBS.c.held).where(JOBS.c.state == "pending")))


def test_nothing_is_replayed_twice(
    db: Database, restore: Callable[[], None], settings: Callable[..., Settings]
) -> None:
    made = {"db": db, "restore": staticmethod(restore), "settings": settings()}
    run(type("Machine", (Replays,), made), settings=of_machine(6, steps=25))
