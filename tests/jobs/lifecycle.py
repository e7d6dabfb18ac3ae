"""Users, credits and jobs, driven through the product's own verbs on one database."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Update, func, select, update
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.generation import cancel, doctor, settle, submit, sweep
from atelier.generation.cancel import Cancellation
from atelier.generation.doctor import Report
from atelier.generation.settle import Settled, Settlement
from atelier.generation.submit import Accepted, Limits, Submission
from atelier.generation.sweep import Swept
from atelier.jobs import queries, service, states
from atelier.jobs.ending import Ending
from atelier.jobs.models import JOBS
from atelier.jobs.service import Claimed, Held, Pulse
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.ledger import earnings
from atelier.ledger import queries as balances
from atelier.ledger import service as ledger
from atelier.ledger.earnings import PaidOut
from atelier.ledger.queries import Balance
from atelier.ledger.service import Entry
from atelier.ledger.shares import Terms

LEASE_MS = 60_000
REPUBLISH_MS = 30_000
ATTEMPTS_MAX = 3
PLATFORM_PERCENT = 30
UTC_OFFSET_MS = 8 * HOUR_MS


def terms(*, creator_id: str | None = None, agent_id: str | None = None, percent: int = PLATFORM_PERCENT) -> Terms:
    """Who shares in something: the platform alone, unless there is a creator."""
    return Terms(agent_id=agent_id or new_id(), creator_id=creator_id, platform_percent=percent, transfer_id=new_id())


class Workshop:
    """One database and what people and workers do with it; the agent is the house's unless it has a creator."""

    def __init__(
        self,
        db: Database,
        *,
        agent_id: str | None = None,
        agent_version: int = 1,
        creator_id: str | None = None,
        provider: str = "echo",
    ) -> None:
        self.db = db
        self.agent_id = agent_id or new_id()
        self.agent_version = agent_version
        self.creator_id = creator_id
        self.provider = provider

    def user(self, *, credits: int = 0) -> str:  # noqa: A002 - the product's word
        """A new user with so many credits that were paid for."""
        user_id = new_id()
        self.db.transact(ledger.open_account, user_id=user_id, now_ms=now_ms())
        if credits:
            self.topup(user_id, credits)
        return user_id

    def topup(self, user_id: str, amount: int) -> None:
        """Credits that were paid for."""
        self.db.transact(ledger.topup, self.entry(user_id, amount, "topup"), now_ms=now_ms())

    def entry(self, user_id: str, amount: int, kind: str) -> Entry:
        """A movement with a key of its own."""
        return Entry(transfer_id=new_id(), key=f"{kind}:test:{new_id()}", user_id=user_id, amount=amount)

    def submission(self, user_id: str, price: int, *, kind: str = "text", key_id: str | None = None) -> Submission:
        """A request for a job of this price."""
        return Submission(
            job_id=new_id(),
            hold_id=new_id(),
            user_id=user_id,
            agent_id=self.agent_id,
            agent_version=self.agent_version,
            agent_name="回声",
            needs_purchase=False,
            price=price,
            kind=kind,
            provider=self.provider,
            project_id=None,
            input={"prompt": "松鼠"},
            config={},
            deadline_seconds=3_600,
            key_id=key_id,
        )

    def submit(self, user_id: str, price: int, *, kind: str = "text", attempts_max: int = ATTEMPTS_MAX) -> str:
        """The id of an accepted job. Raises what it was refused for."""
        one = self.submission(user_id, price, kind=kind)
        (outcome,) = self.submit_all([one], attempts_max=attempts_max)
        if isinstance(outcome, Refusal):
            raise outcome
        return one.job_id

    def submit_all(
        self, submissions: Sequence[Submission], *, attempts_max: int = ATTEMPTS_MAX, waiting_max: int = 10_000
    ) -> list[Accepted | Refusal]:
        """One outcome each, in one transaction."""
        limits = Limits(waiting_max=waiting_max, attempts_max=attempts_max, republish_ms=REPUBLISH_MS)
        return self.db.transact(submit.submit, submissions, limits=limits)

    def claim(self, *job_ids: str, lease_ms: int = LEASE_MS) -> list[Claimed]:
        """What a worker gets of these."""
        return self.db.transact(service.claim, job_ids=sorted(job_ids), owner=f"w:{new_id()}", lease_ms=lease_ms)

    def claim_one(self, job_id: str, *, lease_ms: int = LEASE_MS) -> Claimed:
        """The claim of a job that is free."""
        (claimed,) = self.claim(job_id, lease_ms=lease_ms)
        return claimed

    def renew(self, claimed: Claimed) -> Pulse | None:
        """A heartbeat: what the keeper learns, None when the claim is lost."""
        held = [Held(job_id=claimed.id, fence=claimed.fence)]
        self.db.transact(service.renew, held=held, lease_ms=LEASE_MS)
        found = [one for one in self.db.read(service.pulses, held=held) if one.fence == claimed.fence]
        return found[0] if found else None

    def completion(self, claimed: Claimed, *, used: int | None = None) -> Settlement:
        """A successful end of this attempt, with a file unless it is a text."""
        output = {"type": claimed.kind, "key": f"outputs/{claimed.id}/{claimed.fence}/0.png"}
        result = {"outputs": [{"type": "text", "text": "松鼠"} if claimed.kind == "text" else output]}
        ended = _settlement(claimed, states.COMPLETED, used=claimed.held if used is None else used, result=result)
        return replace(ended, terms=terms(creator_id=self.creator_id, agent_id=self.agent_id))

    def failure(self, claimed: Claimed, *, error_code: str = "PROVIDER_REJECTED") -> Settlement:
        """A final failure in this attempt."""
        return _settlement(claimed, states.FAILED, error_code=error_code)

    def settle(self, *settlements: Settlement) -> list[Settled | None]:
        """End jobs, in one transaction."""
        return self.db.transact(settle.settle, settlements, now_ms=now_ms())

    def complete(self, claimed: Claimed, *, used: int | None = None) -> bool:
        """End the job well; False for a zombie, and for one that has done so before."""
        return _counted(self.settle(self.completion(claimed, used=used)))

    def fail(self, claimed: Claimed) -> bool:
        """End the job badly; False for a zombie, and for one that has done so before."""
        return _counted(self.settle(self.failure(claimed)))

    def pay_out(self, *, number: int = 500) -> PaidOut:
        """Give creators what they are owed."""
        transfer_ids = [new_id() for _ in range(number)]
        return self.db.transact(
            earnings.pay_out, transfer_ids=transfer_ids, now_ms=now_ms(), utc_offset_ms=UTC_OFFSET_MS
        )

    def put_back(self, claimed: Claimed, *, wait_ms: int = 0, refund: int = 0) -> bool:
        """Give the job back for another attempt; False for a zombie."""
        return self.db.transact(
            service.put_back,
            job_id=claimed.id,
            fence=claimed.fence,
            wait_ms=wait_ms,
            republish_ms=REPUBLISH_MS,
            seq=claimed.fence * states.SEQ_STEP + 2,
            error_code="PROVIDER_FAILED",
            refund=refund,
        )

    def cancel(self, job_id: str, user_id: str) -> Cancellation:
        """As its user asks."""
        return self.db.transact(cancel.cancel, job_id=job_id, user_id=user_id, transfer_id=new_id(), now_ms=now_ms())

    def lapse(self, job_id: str) -> None:
        """Let the job's lease be over, as when its worker died a while ago."""
        self._change(_RUNNING.values(lease_ms=1, sweep_ms=1), job_id)

    def hasten(self, job_id: str) -> None:
        """Let the wait before the job's next attempt be over."""
        self._change(_WAITING.values(run_after_ms=0), job_id)

    def outlive(self, job_id: str) -> None:
        """Let the deadline of a waiting job have passed."""
        self._change(_WAITING.values(deadline_ms=1, sweep_ms=1), job_id)

    def sweep(self, *, queue: str = "generation.text") -> list[Swept]:
        """Take over what was abandoned, end what is too late."""
        running = self.db.read(queries.overdue, queue=queue, state=states.RUNNING, limit=500)
        swept = [
            self.db.transact(sweep.take_over, one, transfer_id=new_id(), now_ms=now_ms(), republish_ms=REPUBLISH_MS)
            for one in running
        ]
        waiting = self.db.read(queries.overdue, queue=queue, state=states.PENDING, limit=500)
        swept += [
            self.db.transact(sweep.expire, one, transfer_id=new_id(), now_ms=now_ms())
            for one in waiting
            if one.past_deadline
        ]
        return [one for one in swept if one]

    def relay(self) -> int:
        """Forget every message, as if it had reached the broker; how many."""
        return self.db.transact(_forget_messages)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job's row."""
        return self.db.read(_row, job_id=job_id)

    def balance(self, user_id: str) -> Balance:
        """The user's balance."""
        return self.db.read(balances.balance, user_id=user_id)

    def examine(self, *, since_ms: int | None = None) -> Report:
        """The doctor's report."""
        return self.db.snapshot(doctor.examine, now_ms=now_ms(), since_ms=since_ms)

    def _change(self, change: Update, job_id: str) -> None:
        self.db.transact(_execute, change.where(JOBS.c.id == job_id))


_RUNNING = update(JOBS).where(JOBS.c.state == states.RUNNING)
_WAITING = update(JOBS).where(JOBS.c.state == states.PENDING)


def _settlement(
    claimed: Claimed, state: str, *, used: int = 0, result: Any = None, error_code: str | None = None
) -> Settlement:
    ending = Ending(
        job_id=claimed.id,
        fence=claimed.fence,
        state=state,
        seq=claimed.fence * states.SEQ_STEP + 2,
        used=used,
        outcome=error_code or state,
        result=result,
        error_code=error_code,
    )
    return Settlement(ending=ending, transfer_id=new_id(), held=claimed.held)


def _execute(session: Session, statement: Update) -> None:
    session.connection().execute(statement)


def _row(session: Session, *, job_id: str) -> dict[str, Any]:
    return dict(session.connection().execute(select(JOBS).where(JOBS.c.id == job_id)).mappings().one())


def _forget_messages(session: Session) -> int:
    count = session.connection().execute(select(func.count()).select_from(outbox.TABLE)).scalar_one()
    session.connection().execute(outbox.TABLE.delete())
    return count


def _counted(settled: list[Settled | None]) -> bool:
    (one,) = settled
    return one is not None and not one.again
