"""Submitting: the price is held, the job is born and its message is written, in one transaction or not at all.

Submissions that arrive together are written together: a group of forty costs hardly more statements than one. One
that is refused leaves its neighbours alone.

1. A key that was answered before gets that answer; a job that exists already (a transaction whose commit was in doubt
   is run again) is answered again.
2. Users at their limit of waiting jobs are refused, and users without the purchase that an agent needs, or without the
   right to write to the project that they name, and API keys that may not spend so much.
3. The ledger holds each price, or refuses it.
4. Jobs, messages, operation log and stored answers are inserted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.accounts import key_budgets
from atelier.accounts.key_budgets import Budgets, Spending
from atelier.catalog import queries as catalog
from atelier.contracts import idempotency, oplog, outbox, queues
from atelier.contracts.idempotency import IdempotencyKeyReused, Keyed, Stored
from atelier.contracts.messages import RUN_IN, JobMessage
from atelier.generation import into_project, needing
from atelier.generation.errors import Draining, NotPurchased, TooManyWaiting
from atelier.jobs import arrivals, controls, dead_letters, places
from atelier.jobs import service as jobs
from atelier.jobs.arrivals import Found
from atelier.jobs.lanes import LaneKey
from atelier.jobs.places import Newcomer
from atelier.jobs.service import NewJob
from atelier.kernel import faults
from atelier.kernel.clock import SECOND_MS
from atelier.kernel.database import Again, is_duplicate
from atelier.kernel.errors import Refusal
from atelier.ledger import service as ledger
from atelier.ledger.errors import InsufficientCredits
from atelier.ledger.posting import Posted
from atelier.ledger.service import Hold
from atelier.webhooks import events as webhooks
from atelier.webhooks.events import NewJobWebhook

ACCEPTED = 202
RETRY_AFTER_SECONDS = 10
DRAINING_SECONDS = 60
AT_ONCE = 10
NEAR = 480
"""So near to a user's limit groups are counted one after the other; or ten of their own size, if these are large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A validated request for a job. Ids are made by the caller, so that running twice makes one job.

    `on_behalf` of its user an administrator asks: whoever does marks what it repeats.
    """

    job_id: str
    hold_id: str
    user_id: str
    agent_id: str
    agent_version: int
    agent_name: str
    needs_purchase: bool
    price: int
    kind: str
    provider: str
    project_id: str | None
    input: dict[str, Any]
    config: dict[str, Any]
    deadline_seconds: int
    keyed: Keyed | None = None
    estimate: Mapping[str, float] | None = None
    retry_of: str | None = None
    on_behalf: bool = False
    save_version: bool = False
    webhook: NewJobWebhook | None = None
    priority: str = "normal"
    key_id: str | None = None
    pricing: Mapping[str, Any] | None = None
    batch_id: str | None = None

    @property
    def lane(self) -> LaneKey:
        """Where the job will wait."""
        return LaneKey(queues.waits_in(kind=self.kind, provider=self.provider), self.user_id, self.provider)

    @property
    def ahead(self) -> Newcomer:
        """The job, as far as its position is concerned."""
        return Newcomer(self.job_id, self.lane, self.priority)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The settings that a submission is judged by."""

    waiting_max: int
    attempts_max: int
    republish_ms: int
    versions_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The answer to a submission. `replayed` means that an earlier one was given again."""

    answer: dict[str, Any]
    status: int = ACCEPTED
    replayed: bool = False
    account: Posted | None = None

    def encoded(self) -> bytes:
        """The answer as JSON."""
        return to_json(self.answer)


Outcome = Accepted | Refusal


def submit(
    session: Session, submissions: Sequence[Submission], *, limits: Limits, crowded: AbstractSet[str] = frozenset()
) -> list[Outcome]:
    """One outcome per submission, in order. Times are the database's: no process's clock decides over a deadline.

    In `crowded` queues more jobs wait than are counted: they are not counted again.
    """
    there = arrivals.look(
        session,
        job_ids=[one.job_id for one in submissions],
        user_ids={one.user_id for one in submissions},
        queues={one.lane.queue for one in submissions},
        crowded=crowded,
    )
    outcomes: dict[str, Outcome] = _known(session, submissions, written=there.written)
    fresh = [one for one in submissions if one.job_id not in outcomes]
    if there.is_draining:
        outcomes |= _drained(session, fresh)
        fresh = [one for one in fresh if one.job_id not in outcomes]
    outcomes |= into_project.refused(session, fresh, versions_max=limits.versions_max)
    fresh = [one for one in fresh if one.job_id not in outcomes]
    taken, accounts = _taken(session, fresh, outcomes, there=there, waiting_max=limits.waiting_max)
    if taken:
        try:
            positions = places.positions(session, [one.ahead for one in taken], there=there)
            answers = _write(session, taken, now_ms=there.now_ms, limits=limits, positions=positions)
        except IntegrityError as error:
            if is_duplicate(error):
                raise Again from error
            raise
        faults.point("submit.before_commit")
        for one in taken:
            outcomes[one.job_id] = Accepted(answer=answers[one.job_id], account=accounts.get(one.job_id))
    return [_own(one, outcomes) for one in submissions]


def _own(one: Submission, outcomes: Mapping[str, Outcome]) -> Outcome:
    outcome = outcomes[one.job_id]
    if isinstance(outcome, _Twin):
        outcome = outcomes[outcome.job_id]
        if isinstance(outcome, Accepted):
            return Accepted(answer=outcome.answer, status=outcome.status, replayed=True)
    return outcome


class _Twin(Refusal):
    """Stands for the outcome of an earlier submission of the same group, with the same key and body."""

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id


def _known(session: Session, submissions: Sequence[Submission], *, written: AbstractSet[str]) -> dict[str, Outcome]:
    stored = idempotency.find_many(session, [one.keyed.key for one in submissions if one.keyed])
    first: dict[str, Submission] = {}
    outcomes: dict[str, Outcome] = {}
    for one in submissions:
        if one.job_id in written:
            outcomes[one.job_id] = Accepted(answer=_answer(one, position=None))
        elif one.keyed is None:
            continue
        elif earlier := stored.get(one.keyed.key):
            outcomes[one.job_id] = _replayed(earlier, one.keyed)
        elif twin := first.get(one.keyed.key):
            same = twin.keyed == one.keyed
            outcomes[one.job_id] = _Twin(twin.job_id) if same else IdempotencyKeyReused()
        else:
            first[one.keyed.key] = one
    return outcomes


def _replayed(earlier: Stored, keyed: Keyed) -> Outcome:
    try:
        stored = earlier.replay(keyed)
    except IdempotencyKeyReused as refusal:
        return refusal
    return Accepted(answer=stored.answer, status=stored.status, replayed=True)


def _drained(session: Session, fresh: Sequence[Submission]) -> dict[str, Outcome]:
    closed, needed = controls.draining(session), needing.controls_of(session, fresh)
    return {
        one.job_id: Draining(retry_after=DRAINING_SECONDS) for one in fresh if not closed.isdisjoint(needed[one.job_id])
    }


def _taken(
    session: Session,
    fresh: Sequence[Submission],
    outcomes: dict[str, Outcome],
    *,
    there: Found,
    waiting_max: int,
) -> tuple[list[Submission], dict[str, Posted]]:
    if not fresh:
        return [], {}
    now_ms = there.now_ms
    open_ = [one for one in fresh if _may_run(session, one, outcomes, now_ms=now_ms)]
    budgets = key_budgets.lock(session, [one.key_id for one in open_ if one.key_id])
    waiting_of = _waiting_of(session, open_, there, waiting_max=waiting_max)
    taken: list[Submission] = []
    accounts: dict[str, Posted] = {}
    while open_:
        placed, full = _placed(open_, waiting=waiting_of, waiting_max=waiting_max, budgets=budgets)
        paid, posted = _paid(session, placed, outcomes, now_ms=now_ms)
        taken += paid
        accounts |= posted
        waiting_of.update(one.user_id for one in paid)
        budgets.take([Spending(one.key_id, one.price) for one in paid if one.key_id])
        # A place, and credits of a key, that a submission could not pay for go to the next one.
        open_ = []
        for one in full:
            if waiting_of[one.user_id] >= waiting_max:
                outcomes[one.job_id] = TooManyWaiting(retry_after=RETRY_AFTER_SECONDS)
            elif one.key_id and (refusal := budgets.refusal(one.key_id, one.price)):
                outcomes[one.job_id] = refusal
            else:
                open_.append(one)
    key_budgets.hold(session, budgets)
    return taken, accounts


def _waiting_of(session: Session, open_: Sequence[Submission], there: Found, *, waiting_max: int) -> Counter[str]:
    """How many jobs each user has waiting; of those near their limit, with nobody else submitting for them."""
    mine, counts = Counter(one.user_id for one in open_), _by_user(there)
    if any(
        waiting_max - max(NEAR, AT_ONCE * number) < counts[user_id] < waiting_max for user_id, number in mine.items()
    ):
        # All of the group, because accounts are locked in one order. What others have submitted meanwhile is seen now.
        ledger.lock(session, mine)
        there.waiting = arrivals.waiting(session, user_ids=mine)
        counts = _by_user(there)
    return counts


def _by_user(there: Found) -> Counter[str]:
    counts = Counter[str]()
    for (user_id, _), count in there.waiting.items():
        counts[user_id] += count
    return counts


def _may_run(session: Session, one: Submission, outcomes: dict[str, Outcome], *, now_ms: int) -> bool:
    if one.needs_purchase and not catalog.purchased(session, user_id=one.user_id, agent_id=one.agent_id, now_ms=now_ms):
        outcomes[one.job_id] = NotPurchased()
        return False
    return True


def _placed(
    open_: Sequence[Submission], *, waiting: Mapping[str, int], waiting_max: int, budgets: Budgets
) -> tuple[list[Submission], list[Submission]]:
    """Those that their users have places for, and their keys credits, in order; and those that have to wait for it."""
    placed: list[Submission] = []
    full: list[Submission] = []
    counts = Counter(waiting)
    promised = Counter[str]()
    for one in open_:
        key_id = one.key_id or ""
        fits = not key_id or budgets.refusal(key_id, promised[key_id] + one.price) is None
        if counts[one.user_id] < waiting_max and fits:
            counts[one.user_id] += 1
            promised[key_id] += one.price
            placed.append(one)
        else:
            full.append(one)
    return placed, full


def hold_key(job_id: str) -> str:
    """The business key of a job's hold."""
    return f"hold:job:{job_id}"


def _paid(
    session: Session, fresh: Sequence[Submission], outcomes: dict[str, Outcome], *, now_ms: int
) -> tuple[list[Submission], dict[str, Posted]]:
    priced = [one for one in fresh if one.price]
    holds = [
        Hold(
            transfer_id=one.hold_id,
            key=hold_key(one.job_id),
            user_id=one.user_id,
            amount=one.price,
            ref_type="job",
            ref_id=one.job_id,
            note=one.agent_name,
        )
        for one in priced
    ]
    posted = ledger.hold(session, holds, now_ms=now_ms) if holds else []
    accounts: dict[str, Posted] = {}
    for one, outcome in zip(priced, posted, strict=True):
        if isinstance(outcome, InsufficientCredits):
            outcomes[one.job_id] = outcome
        else:
            accounts[one.job_id] = outcome
    return [one for one in fresh if one.job_id not in outcomes], accounts


def _write(
    session: Session,
    fresh: Sequence[Submission],
    *,
    now_ms: int,
    limits: Limits,
    positions: Mapping[str, int | None],
) -> dict[str, dict[str, Any]]:
    new = [
        NewJob(
            id=one.job_id,
            user_id=one.user_id,
            agent_id=one.agent_id,
            agent_version=one.agent_version,
            project_id=one.project_id,
            kind=one.kind,
            queue=one.lane.queue,
            provider=one.provider,
            attempts_max=limits.attempts_max,
            deadline_ms=now_ms + one.deadline_seconds * SECOND_MS,
            held=one.price,
            input=one.input,
            config=one.config,
            retry_of=one.retry_of,
            priority=one.priority,
            key_id=one.key_id,
            pricing=one.pricing,
            batch_id=one.batch_id,
        )
        for one in fresh
    ]
    jobs.create(session, new, now_ms=now_ms, republish_ms=limits.republish_ms)
    into_project.request(session, fresh, now_ms=now_ms)
    if retries := {one.retry_of: one.job_id for one in fresh if one.retry_of and not one.on_behalf}:
        dead_letters.retried(session, retries, now_ms=now_ms)
    webhooks.follow(session, [one.webhook for one in fresh if one.webhook], now_ms=now_ms)
    outbox.enqueue_many(session, [(RUN_IN[one.queue], JobMessage(job_id=one.id)) for one in new], now_ms=now_ms)
    oplog.record_many(session, [_operation(one) for one in fresh], now_ms=now_ms)
    answers = {one.job_id: _answer(one, position=positions[one.job_id]) for one in fresh}
    idempotency.store_many(
        session, [(one.keyed, ACCEPTED, answers[one.job_id]) for one in fresh if one.keyed], now_ms=now_ms
    )
    return answers


def _operation(one: Submission) -> oplog.Operation:
    by_key = {"keyId": one.key_id} if one.key_id else {}
    return oplog.Operation(
        action="AI_GENERATE",
        user_id=one.user_id,
        resource_type="agent",
        resource_id=one.agent_id,
        details={"jobId": one.job_id, "projectId": one.project_id, "held": one.price, **by_key},
    )


def _answer(one: Submission, *, position: int | None) -> dict[str, Any]:
    job = f"/api/jobs/{one.job_id}"
    return {
        "success": True,
        "jobId": one.job_id,
        "usageId": one.job_id,
        "status": "pending",
        "queuePosition": position,
        "estimate": dict(one.estimate) if one.estimate else None,
        "credits": {"held": one.price},
        "links": {"self": job, "events": f"{job}/events", "cancel": f"{job}/cancel", "result": f"{job}/result"},
    }
