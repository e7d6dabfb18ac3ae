"""A worker's part in jobs that are put together from others: begin, go on whenever a step has ended, and end.

1. Begin: the first steps and the parking of the job itself, in one transaction; the worker is free.
2. Advance: what is to be done follows from what became of the steps (see `workflow`), in one transaction.
3. End: once nothing of it runs any more, like any other attempt; the price is taken with the last step's result, or not
   at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog.runtime import RunnableAgent
from atelier.generation import attempt as attempts
from atelier.generation import family, outcomes, workflow
from atelier.generation.attempt import Attempt
from atelier.generation.events import job_event
from atelier.generation.family import Advanced, Plan
from atelier.generation.outcomes import Outcome
from atelier.generation.workflow import Order, Workflow
from atelier.jobs import parking, states
from atelier.jobs.models import JOBS
from atelier.jobs.service import Claimed
from atelier.kernel import faults, logs
from atelier.kernel.clock import SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.live.publisher import Publisher

log = logs.get(__name__)


class UnknownWorkflow(Refusal):
    """The agent names a workflow that this worker doesn't have."""

    code: ClassVar[str] = "PROVIDER_UNKNOWN"


class Begun:
    """The steps are at work, and the job is parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How a worker does what every job needs: find its agent, keep its result, write down its end."""

    agent: Callable[[str, int], RunnableAgent]
    completed: Callable[[Attempt, Any], Outcome]
    close: Callable[[Attempt, Outcome], None]


class Composer:
    """Puts jobs together, for the threads of one worker process."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        publisher: Publisher,
        workflows: Mapping[str, Workflow],
        ways: Ways,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._workflows = workflows
        self._ways = ways
        self._attempts_max = settings.attempts_max
        self._republish_ms = settings.republish_seconds * SECOND_MS

    def compose(self, attempt: Attempt, agent: RunnableAgent) -> Begun:
        """Start the first steps. Raises Stopped when the fence is lost."""
        plan = self._plan(attempt.claimed, agent)
        if not self._database.transact(family.begin, claimed=attempt.claimed, plan=plan, now_ms=now_ms()):
            attempt.stop(attempts.LOST)
            attempt.check()
        faults.point("compose.after_commit")
        log.info("job.begun", steps=len(plan.steps))
        return Begun()

    def advance(self, job_id: str) -> None:
        """Go on with a job of which a step has ended, or which is to end itself. Raises Transient."""
        claimed = self._database.read(parked, job_id=job_id)
        if claimed is None:
            self._scatter(job_id)
            return
        with structlog.contextvars.bound_contextvars(job_id=job_id, fence=claimed.fence):
            try:
                plan = self._plan(claimed, self._ways.agent(claimed.agent_id, claimed.agent_version))
                advanced = self._database.transact(family.advance, claimed=claimed, plan=plan, now_ms=now_ms())
            except workflow.BUGS:
                # What the steps have made so far is no use for the next one: a bug of the workflow's.
                log.exception("job.bug")
                self._fail(claimed)
                return
            faults.point("advance.after_commit")
            if advanced is not None:
                self._tell(claimed, advanced)

    def _tell(self, claimed: Claimed, advanced: Advanced) -> None:
        self._tell_canceled(claimed.user_id, advanced.canceled)
        seq = workflow.told_seq(claimed.fence, ended=advanced.ended)
        if advanced.over is None:
            told = workflow.told(advanced.progress, advanced.working)
            self._publisher.publish(claimed.user_id, [job_event("progress", claimed.id, seq, {**told})])
            return
        attempt = Attempt(claimed, self._publisher.publish, seq=seq)
        if advanced.over == states.COMPLETED:
            self._ways.close(attempt, self._ways.completed(attempt, advanced.result))
        elif advanced.over == states.CANCELED:
            self._ways.close(attempt, outcomes.canceled(attempt))
        else:
            self._ways.close(attempt, outcomes.failed(attempt, advanced.error_code or outcomes.BUG))

    def _fail(self, claimed: Claimed) -> None:
        seq = states.look_seq(claimed.fence, since_ms=states.SEQ_STEP) + 1
        attempt = Attempt(claimed, self._publisher.publish, seq=seq)
        self._ways.close(attempt, outcomes.failed(attempt, outcomes.BUG))
        self._scatter(claimed.id)

    def _scatter(self, job_id: str) -> None:
        canceled = self._database.transact(family.scatter, job_id=job_id, now_ms=now_ms())
        if canceled:
            self._tell_canceled(self._database.read(_owner, job_id=job_id), canceled)

    def _tell_canceled(self, user_id: str, canceled: "tuple[tuple[str, int], ...] | list[tuple[str, int]]") -> None:
        for child_id, seq in canceled:
            self._publisher.publish(user_id, [job_event("canceled", child_id, seq, {})], final=True)

    def _plan(self, claimed: Claimed, agent: RunnableAgent) -> Plan:
        found = self._workflows.get(agent.model)
        if found is None:
            raise UnknownWorkflow(agent.model)
        order = Order(input=claimed.input, config=claimed.config)
        steps = found.steps(order)
        return Plan(
            order=order,
            steps=steps,
            ids=[new_id() for _ in steps],
            attempts_max=self._attempts_max,
            republish_ms=self._republish_ms,
        )


def parked(session: Session, *, job_id: str) -> Claimed | None:
    """A parked job as its worker had claimed it, under whatever fence."""
    fence = session.connection().execute(select(JOBS.c.fence).where(JOBS.c.id == job_id)).scalar_one_or_none()
    return None if fence is None else parking.claimed(session, job_id=job_id, fence=fence)


def _owner(session: Session, *, job_id: str) -> str:
    user_id: str = session.connection().execute(select(JOBS.c.user_id).where(JOBS.c.id == job_id)).scalar_one()
    return user_id
