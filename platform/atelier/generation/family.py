"""A job and its steps in the database: the first steps begin, others follow, and all end with it.

One conditional transaction each, under the lock of the job itself, so that two who look at once make every step once.
A step's own end sends for whoever looks next, in its own transaction; what gets lost is looked at by the sweeper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog import queries as catalog
from atelier.catalog import runtime
from atelier.contracts import outbox, queues
from atelier.contracts.messages import ADVANCE, RUN_IN, JobMessage
from atelier.generation import cancel, workflow
from atelier.generation.settle import Settlement, settle
from atelier.generation.sweep import TOO_LATE
from atelier.generation.workflow import Order, Seen, Step
from atelier.jobs import parking, states
from atelier.jobs import service as jobs
from atelier.jobs.models import JOBS, RESULTS
from atelier.jobs.service import Claimed, NewJob
from atelier.kernel import faults
from atelier.kernel.clock import SECOND_MS, db_now_ms
from atelier.kernel.database import Again, is_duplicate

J = JOBS.c
LOOK_MS = 20 * SECOND_MS
LOOKS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done for a job. `ids` are new, at least one for each step."""

    order: Order
    steps: Sequence[Step]
    ids: Sequence[str]
    attempts_max: int
    republish_ms: int


class Child(NamedTuple):
    """A step that was started."""

    id: str
    step: str
    state: str
    fence: int
    error_code: str | None

    @property
    def seen(self) -> Seen:
        """As far as the workflow is concerned."""
        return Seen(state=self.state, error_code=self.error_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """How far a job is: with `over` it is to be ended in this state.

    working   names of the steps that wait or run now
    ended     how many steps have ended so far: with the fence this numbers the events that tell of it
    canceled  steps that have ended just now, with the numbers of their events
    """

    progress: float
    ended: int
    working: tuple[str, ...] = ()
    canceled: tuple[tuple[str, int], ...] = ()
    over: str | None = None
    error_code: str | None = None
    result: Any = None


def begin(session: Session, *, claimed: Claimed, plan: Plan, now_ms: int) -> bool:
    """Make the first steps and park the job until they have ended; False when the fence is lost."""
    if not parking.park(session, job_id=claimed.id, fence=claimed.fence, wait_ms=LOOK_MS):
        return False
    children = _children(session, claimed.id)
    _go_on(session, claimed, plan, children, now_ms=now_ms)
    faults.point("compose.before_commit")
    return True


def advance(session: Session, *, claimed: Claimed, plan: Plan, now_ms: int) -> Advanced | None:
    """Go on as far as may be; None when the job is no longer parked under this fence."""
    parent = _parked(session, claimed)
    if parent is None:
        return None
    children = _children(session, claimed.id)
    seen = {child.step: child.seen for child in children}
    decision = workflow.decide(plan.steps, seen)
    over, error_code = decision.over, decision.error_code
    if over != states.COMPLETED and (parent.cancel_requested or parent.expired):
        over, error_code = (states.CANCELED, None) if parent.cancel_requested else (states.FAILED, TOO_LATE)
    if over is None:
        started = _go_on(session, claimed, plan, children, now_ms=now_ms)
        canceled: list[tuple[str, int]] = []
    else:
        started, canceled = [], stop(session, [child for child in children if child.seen.alive], now_ms=now_ms)
    waits = over is not None and any(child.seen.alive for child in children if child.id not in dict(canceled))
    faults.point("advance.before_commit")
    return Advanced(
        progress=workflow.progress(plan.steps, seen),
        ended=workflow.count_ended(seen),
        working=(*(child.step for child in children if child.seen.alive), *started),
        canceled=tuple(canceled),
        over=None if waits else over,
        error_code=error_code,
        result=_made(session, children).get(plan.steps[-1].name) if over == states.COMPLETED else None,
    )


def scatter(session: Session, *, job_id: str, now_ms: int) -> list[tuple[str, int]]:
    """End the steps of a job that has ended without them: those that wait at once, with the numbers of their events."""
    finished = select(J.id).where(J.id == job_id, J.state.in_(states.FINISHED)).with_for_update()
    if session.connection().execute(finished).one_or_none() is None:
        return []
    return stop(session, [child for child in _children(session, job_id) if child.seen.alive], now_ms=now_ms)


def stop(session: Session, alive: Sequence[Child], *, now_ms: int) -> list[tuple[str, int]]:
    """Cancel these steps: those that wait at once, with the numbers of their events; workers are asked for the rest."""
    waiting = [
        Settlement(ending=cancel.waiting(job_id=child.id, fence=child.fence), transfer_id="", held=0)
        for child in alive
        if child.state == states.PENDING
    ]
    settled = settle(session, waiting, now_ms=now_ms) if waiting else []
    running = [child for child in alive if child.state == states.RUNNING]
    if not all(settled) or not all(jobs.request_cancel(session, job_id=one.id, fence=one.fence) for one in running):
        # One was claimed, put back or ended meanwhile. Nobody comes by again for a step that its parent left alive.
        raise Again
    return [(one.ending.job_id, one.ending.seq) for one in waiting]


def look_again(session: Session, *, now_ms: int) -> int:
    """Send once more for jobs that nobody has looked at in time; how many."""
    now = db_now_ms()
    rows = session.connection().execute(
        select(J.id)
        .where(J.provider == queues.WORKFLOW, J.poll_ms <= now, J.state == states.RUNNING)
        .order_by(J.poll_ms)
        .limit(LOOKS_MAX)
        .with_for_update(skip_locked=True)
    )
    found = list(rows.scalars())
    if found:
        session.connection().execute(update(JOBS).where(J.id.in_(sorted(found))).values(poll_ms=now + LOOK_MS))
        outbox.enqueue_many(session, [(ADVANCE, JobMessage(job_id=job_id)) for job_id in found], now_ms=now_ms)
    return len(found)


class _Parent(NamedTuple):
    cancel_requested: bool
    expired: bool


def _parked(session: Session, claimed: Claimed) -> _Parent | None:
    row = (
        session.connection()
        .execute(
            select(J.cancel_requested, J.deadline_ms <= db_now_ms())
            .where(
                J.id == claimed.id,
                J.fence == claimed.fence,
                J.state == states.RUNNING,
                J.poll_ms.is_not(None),
            )
            .with_for_update()
        )
        .one_or_none()
    )
    return _Parent(bool(row[0]), bool(row[1])) if row else None


def _children(session: Session, job_id: str) -> list[Child]:
    rows = session.connection().execute(
        select(J.id, J.step, J.state, J.fence, J.error_code).where(J.parent_id == job_id).order_by(J.id)
    )
    return [Child(row[0], row[1] or "", row[2], row[3], row[4]) for row in rows]


def _made(session: Session, children: Sequence[Child]) -> dict[str, Any]:
    done = {child.id: child.step for child in children if child.state == states.COMPLETED}
    rows = session.connection().execute(
        select(RESULTS.c.job_id, RESULTS.c.document).where(RESULTS.c.job_id.in_(sorted(done)))
    )
    return {done[row[0]]: row[1] for row in rows}


def _go_on(session: Session, claimed: Claimed, plan: Plan, children: Sequence[Child], *, now_ms: int) -> list[str]:
    """Make the steps whose time has come; their names."""
    ready = workflow.decide(plan.steps, {child.step: child.seen for child in children}).start
    if not ready:
        return []
    made = {step: document["outputs"] for step, document in _made(session, children).items()}
    agents = catalog.runnable_many(session, agent_ids={step.agent_id for step in ready})
    new: list[NewJob] = []
    for step, job_id in zip(ready, plan.ids, strict=False):
        agent, work = agents[step.agent_id], step.make(plan.order, made)
        asked: dict[str, Any] = {"prompt": work.prompt}
        config = runtime.validate(agent, input_data=asked, config=dict(work.config))
        new.append(
            NewJob(
                id=job_id,
                user_id=claimed.user_id,
                agent_id=agent.agent_id,
                agent_version=agent.version,
                project_id=None,
                kind=agent.kind,
                queue=queues.waits_in(kind=agent.kind, provider=agent.provider),
                provider=agent.provider,
                attempts_max=plan.attempts_max,
                deadline_ms=claimed.deadline_ms,
                held=0,
                input=asked | ({"sources": _kept(work.sources)} if work.sources else {}),
                config=config,
                parent_id=claimed.id,
                step=step.name,
                rank_ms=claimed.rank_ms,
            )
        )
    try:
        jobs.create(session, new, now_ms=now_ms, republish_ms=plan.republish_ms)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise
    messages = [(RUN_IN[one.queue], JobMessage(job_id=one.id)) for one in new]
    outbox.enqueue_many(session, messages, now_ms=now_ms)
    return [step.name for step in ready]


def _kept(sources: Mapping[str, workflow.Outputs]) -> dict[str, list[dict[str, str]]]:
    return {
        name: [{"key": one["key"], "contentType": one["contentType"]} for one in outputs if "key" in one]
        for name, outputs in sources.items()
    }
