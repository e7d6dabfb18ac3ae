"""Administrators have failed and canceled jobs done once more, on behalf of their users.

A replay is a submission like any other: a new job, with a new hold of what the agent costs today, by whatever its user
may use today. It never costs more than the job that it repeats: its user has agreed to that price and to no other. The
submission, the mark that the job was tried again, the operation log and the stored answer are one transaction.

Locks are taken as by every submission, and the marks of dead letters last. When another has marked one of them
meanwhile, nothing is committed and everything runs again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from atelier.accounts import queries as accounts
from atelier.accounts.queries import IdentityRow
from atelier.catalog import queries as catalog
from atelier.catalog import runtime
from atelier.catalog.runtime import RunnableAgent
from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import Keyed
from atelier.generation.errors import AgentUnavailable, EmailUnverified, PriceRisen, UserDisabled
from atelier.generation.submit import Accepted, Limits, Outcome, Submission, submit
from atelier.jobs import dead_letters, overview, states
from atelier.jobs.dead_letters import Deal, Filter, Letter
from atelier.jobs.errors import JobIsStep, JobNotFailed, JobNotFound, JobReplayed, JobTooOld
from atelier.jobs.overview import Seen
from atelier.kernel import faults
from atelier.kernel.database import Again
from atelier.kernel.errors import Refusal
from atelier.webhooks import events as webhooks
from atelier.workshop import saves

ACCEPTED = 202
DONE = 200
LETTERS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Which administrator does it, why, from where."""

    admin_id: str
    reason: str
    address: str | None = None
    user_agent: str | None = None

    @property
    def deal(self) -> Deal:
        """The same, as a dead letter keeps it."""
        return Deal(by=self.admin_id, note=self.reason)

    def operation(self, action: str, *, resource_type: str, resource_id: str | None, **details: Any) -> oplog.Operation:
        """What the operation log says of it."""
        return oplog.Operation(
            action=action,
            user_id=self.admin_id,
            resource_type=resource_type,
            resource_id=resource_id,
            details={**details, "reason": self.reason},
            address=self.address,
            user_agent=self.user_agent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that replays are judged by."""

    limits: Limits
    deadline_seconds: int
    needs_verification: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Of a job that may be made, and of its hold; made by the caller, so that running twice makes one job."""

    job_id: str
    hold_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The answer as JSON, and what was submitted; nothing when the request had been answered before."""

    answer: dict[str, Any]
    made: Sequence[tuple[Submission, Accepted]] = ()
    again: bool = False


def replay(session: Session, job_id: str, *, act: Act, ids: Ids, rules: Rules, keyed: Keyed, now_ms: int) -> Replayed:
    """One job once more. `keyed` is the request's own where its client has named none.

    Raises JobNotFound, JobNotFailed, JobReplayed, JobTooOld, IdempotencyKeyReused, and whatever a submission of its
    user could be refused for: UserDisabled, AgentUnavailable, PriceRisen, InsufficientCredits, and more.
    """
    if stored := idempotency.find(session, keyed):
        return Replayed(answer=stored.answer, again=True)
    job = overview.find(session, job_id=job_id)
    if job is None:
        raise JobNotFound(job_id)
    _may_be_replayed(job, dead_letters.find(session, job_id=job_id), now_ms=now_ms)
    desk = _Desk(session, [job], rules=rules, now_ms=now_ms)
    submission = desk.submission(job, ids)
    (outcome,) = submit(session, [submission], limits=rules.limits)
    if isinstance(outcome, Refusal):
        raise outcome
    if job.state == states.CANCELED:
        dead_letters.replayed_canceled(session, job_id, ids.job_id, deal=act.deal, now_ms=now_ms)
    elif dead_letters.replayed(session, {job_id: ids.job_id}, deal=act.deal, now_ms=now_ms) != 1:
        raise Again
    oplog.record(session, _replay_of(act, job_id, submission), now_ms=now_ms)
    answer = {"success": True, "jobId": job_id, "newJobId": ids.job_id, "credits": {"held": submission.price}}
    idempotency.store(session, keyed, status=ACCEPTED, answer=answer, now_ms=now_ms)
    faults.point("replay.before_commit")
    return Replayed(answer=answer, made=[(submission, outcome)])


def _may_be_replayed(job: Seen, letter: Letter | None, *, now_ms: int) -> None:
    if job.parent_id is not None:
        raise JobIsStep(job.id, job_id=job.parent_id)
    if job.state not in {states.FAILED, states.CANCELED}:
        raise JobNotFailed(job.id, status=job.state)
    if letter is None:
        # The letters of what failed before are gone, and with them the mark of who was replayed already.
        if job.state == states.FAILED or (job.finished_ms or 0) < now_ms - dead_letters.KEPT_MS:
            raise JobTooOld(job.id)
    elif letter.new_job_id is not None:
        raise JobReplayed(job.id, new_job_id=letter.new_job_id)


def replay_many(
    session: Session, wanted: Filter, *, act: Act, ids: Sequence[Ids], rules: Rules, keyed: Keyed, now_ms: int
) -> Replayed:
    """As many open letters as there are ids, the newest first. One that is refused leaves the others alone.

    Raises IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        return Replayed(answer=stored.answer, again=True)
    letters, following = dead_letters.page(session, wanted, limit=len(ids))
    jobs = overview.many(session, job_ids=[one.job_id for one in letters])
    desk = _Desk(session, list(jobs.values()), rules=rules, now_ms=now_ms)
    outcomes: dict[str, Outcome] = {}
    submissions: dict[str, Submission] = {}
    for letter, own in zip(letters, ids, strict=False):
        try:
            submissions[letter.job_id] = desk.submission(jobs[letter.job_id], own)
        except Refusal as refusal:
            outcomes[letter.job_id] = refusal
    if submissions:
        submitted = submit(session, list(submissions.values()), limits=rules.limits)
        outcomes |= dict(zip(submissions, submitted, strict=True))
    made = {job_id: one for job_id, one in submissions.items() if isinstance(outcomes[job_id], Accepted)}
    pairs = {job_id: one.job_id for job_id, one in made.items()}
    if pairs and dead_letters.replayed(session, pairs, deal=act.deal, now_ms=now_ms) != len(pairs):
        raise Again
    answer = _summary([one.job_id for one in letters], outcomes, pairs, following=following)
    _log_many(session, act, wanted, made=made, answer=answer, now_ms=now_ms)
    idempotency.store(session, keyed, status=DONE, answer=answer, now_ms=now_ms)
    faults.point("replay.before_commit")
    accepted = [(one, outcomes[job_id]) for job_id, one in made.items()]
    return Replayed(answer=answer, made=[(one, outcome) for one, outcome in accepted if isinstance(outcome, Accepted)])


def count(session: Session, wanted: Filter) -> dict[str, Any]:
    """The answer of a replay that only counts."""
    found, has_more = dead_letters.count(session, wanted)
    return {**_NOTHING, "dryRun": True, "matched": found, "hasMore": has_more}


_NOTHING: Mapping[str, Any] = {
    "dryRun": False, "matched": 0, "replayed": 0, "refused": {}, "jobs": [], "hasMore": False, "nextCursor": None
}  # fmt: skip


def _summary(
    job_ids: Sequence[str], outcomes: Mapping[str, Outcome], pairs: Mapping[str, str], *, following: str | None
) -> dict[str, Any]:
    codes = {job_id: outcome.code for job_id, outcome in outcomes.items() if isinstance(outcome, Refusal)}
    return {
        **_NOTHING,
        "matched": len(job_ids),
        "replayed": len(pairs),
        "refused": dict(sorted(Counter(codes.values()).items())),
        "jobs": [
            {"jobId": job_id, "newJobId": pairs.get(job_id), "errorCode": codes.get(job_id)} for job_id in job_ids
        ],
        "hasMore": following is not None,
        "nextCursor": following,
    }


def _replay_of(act: Act, job_id: str, submission: Submission) -> oplog.Operation:
    details = {"newJobId": submission.job_id, "userId": submission.user_id, "held": submission.price}
    return act.operation("ADMIN_JOB_REPLAY", resource_type="job", resource_id=job_id, **details)


def _log_many(
    session: Session,
    act: Act,
    wanted: Filter,
    *,
    made: Mapping[str, Submission],
    answer: Mapping[str, Any],
    now_ms: int,
) -> None:
    asked = {name: getattr(wanted, name) for name in Filter.__dataclass_fields__}
    told = {name: answer[name] for name in ("matched", "replayed", "refused")}
    filtered = {name: value for name, value in asked.items() if value is not None}
    whole = act.operation("ADMIN_JOBS_REPLAY", resource_type="job", resource_id=None, filter=filtered, **told)
    oplog.record_many(session, [whole, *(_replay_of(act, *one) for one in made.items())], now_ms=now_ms)


class _Desk:
    """Makes submissions of jobs that were asked for before, and asks the database once for what several need."""

    def __init__(self, session: Session, jobs: Sequence[Seen], *, rules: Rules, now_ms: int) -> None:
        self._session, self._rules, self._now_ms = session, rules, now_ms
        self._asked = overview.asked(session, job_ids=[one.id for one in jobs]) if jobs else {}
        self._agents = catalog.runnable_many(session, agent_ids={one.agent_id for one in jobs}) if jobs else {}
        self._webhooks = webhooks.of_jobs(session, job_ids=[one.id for one in jobs]) if jobs else {}
        self._people: dict[str, IdentityRow | None] = {}

    def submission(self, job: Seen, ids: Ids) -> Submission:
        """Raises what the job's user is refused for."""
        agent = self._usable(job, self._spender(job.user_id))
        asked = self._asked[job.id]
        config = runtime.validate(agent, input_data=asked.input, config=asked.config)
        price = runtime.price(agent, input_data=asked.input, config=config).credits
        if price > job.held:
            raise PriceRisen(price=price, agreed=job.held)
        followed = self._webhooks.get(job.id)
        save = saves.of_job(self._session, job_id=job.id) if job.project_id else None
        return Submission(
            job_id=ids.job_id,
            hold_id=ids.hold_id,
            user_id=job.user_id,
            agent_id=agent.agent_id,
            agent_version=agent.version,
            agent_name=agent.name,
            needs_purchase=runtime.needs_purchase(agent, user_id=job.user_id),
            price=price,
            pricing=agent.pricing,
            kind=agent.kind,
            provider=agent.provider,
            project_id=job.project_id,
            input=asked.input,
            config=config,
            deadline_seconds=self._rules.deadline_seconds,
            retry_of=job.id,
            priority=asked.priority,
            on_behalf=True,
            save_version=save is not None,
            webhook=replace(followed, job_id=ids.job_id) if followed else None,
        )

    def _spender(self, user_id: str) -> IdentityRow:
        if user_id not in self._people:
            self._people[user_id] = accounts.identity(self._session, user_id=user_id)
        user = self._people[user_id]
        if user is None or user.status != "active":
            raise UserDisabled
        if self._rules.needs_verification and not user.email_verified:
            raise EmailUnverified
        return user

    def _usable(self, job: Seen, user: IdentityRow) -> RunnableAgent:
        agent = self._agents.get(job.agent_id)
        if agent is None:
            raise AgentUnavailable(job.agent_id)
        if agent.status == "published" or user.role == "admin" or agent.creator_id == user.user_id:
            return agent
        bought = agent.status == "archived" and catalog.purchased(
            self._session, user_id=user.user_id, agent_id=agent.agent_id, now_ms=self._now_ms
        )
        if not bought:
            raise AgentUnavailable(job.agent_id)
        return agent
