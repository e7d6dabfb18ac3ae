"""Jobs as administrators see them."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from atelier.generation.inspecting import Moment as Happened
from atelier.generation.inspecting import Whole
from atelier.jobs import reasons, states
from atelier.jobs.dead_letters import State
from atelier.jobs.overview import Filter, Seen, Tried
from atelier.jobs.reasons import Reason
from atelier.kernel.clock import SECOND_MS
from atelier.ledger.queries import HoldLine
from web import messages
from web.messages import Locale
from web.schemas.admin_audit import FeedQuery
from web.schemas.admin_users import Reason as Why
from web.schemas.jobs import Kind, Status
from web.schemas.model import Answer, Body, FromText, Moment, Timestamp, Uuid

AGE_SECONDS_MAX = 10 * 366 * 86_400
Word = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.:-]+$")]


class AgedQuery(FeedQuery):
    """When the jobs were submitted."""

    from_: Moment | None = Field(None, alias="from", description="submitted at this time or later")
    to: Moment | None = Field(None, description="submitted before this time")
    older_than_seconds: Annotated[int, Field(ge=0, le=AGE_SECONDS_MAX), FromText] | None = Field(
        None, description="submitted so long ago, or longer"
    )
    cursor: Uuid | None = None

    def until_ms(self, now_ms: int) -> int | None:
        """Before when."""
        if self.older_than_seconds is None:
            return self.to
        aged = now_ms - self.older_than_seconds * SECOND_MS
        return aged if self.to is None else min(aged, self.to)


class JobsQuery(AgedQuery):
    """Which jobs. Everything may be combined; a page may be short and not the last: go on while there is a cursor."""

    status: Status | None = None
    error_class: Reason | None = Field(None, description="failed jobs only")
    error_code: Word | None = None
    agent_id: Uuid | None = None
    provider: Word | None = None
    queue: Word | None = None
    kind: Kind | None = None
    user_id: Uuid | None = None

    def wanted(self, now_ms: int) -> Filter:
        """The filter that this asks for."""
        return Filter(
            state=self.status or (states.FAILED if self.error_class else None),
            reason=self.error_class,
            error_code=self.error_code,
            agent_id=self.agent_id,
            provider=self.provider,
            queue=self.queue,
            kind=self.kind,
            user_id=self.user_id,
            from_ms=self.from_,
            until_ms=self.until_ms(now_ms),
            before=self.cursor,
        )


class AdminJobAnswer(Answer):
    """A job without what its user wrote and what it made."""

    id: str
    user_id: str
    agent_id: str
    agent_version: int
    project_id: str | None
    status: Status
    kind: Kind
    queue: str
    provider: str
    attempts: int
    attempts_max: int
    cancel_requested: bool
    held: int
    used: int
    error_code: str | None
    error_message: str | None
    error_class: Reason | None = Field(description="of a failed job: what an operator can do about it")
    retry_of: str | None
    worker: str | None = Field(description="who holds it now")
    leased_until: Timestamp | None
    not_before: Timestamp | None = Field(description="of a waiting job: when its next attempt is due")
    deadline_at: Timestamp
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None

    @classmethod
    def of(cls, job: Seen, *, locale: Locale) -> Self:
        """The job."""
        return cls.model_validate(cls.shown(job, locale=locale))

    @staticmethod
    def shown(job: Seen, *, locale: Locale) -> dict[str, Any]:
        """Its members."""
        names = (
            *("id", "user_id", "agent_id", "agent_version", "project_id", "kind", "queue", "provider", "attempts"),
            *("attempts_max", "cancel_requested", "held", "used", "error_code", "retry_of"),
        )
        return {name: getattr(job, name) for name in names} | {
            "status": job.state,
            "error_message": messages.sentence(job.error_code, locale) if job.error_code else None,
            "error_class": reasons.of(job.error_code) if job.state == states.FAILED else None,
            "worker": job.owner,
            "leased_until": job.lease_ms,
            "not_before": (job.run_after_ms or None) if job.state == states.PENDING else None,
            "deadline_at": job.deadline_ms,
            "created_at": job.created_ms,
            "started_at": job.started_ms,
            "finished_at": job.finished_ms,
        }


class AdminJobsAnswer(Answer):
    """Jobs, newest first. `nextCursor` is null at the end."""

    jobs: list[AdminJobAnswer]
    next_cursor: str | None


class TriedAnswer(Answer):
    """One attempt."""

    number: int
    fence: int
    provider: str
    outcome: str | None = Field(description="null while it runs")
    started_at: Timestamp
    finished_at: Timestamp | None

    @classmethod
    def of(cls, tried: Tried) -> Self:
        """The attempt."""
        return cls(
            number=tried.number,
            fence=tried.fence,
            provider=tried.provider,
            outcome=tried.outcome,
            started_at=tried.started_ms,
            finished_at=tried.finished_ms,
        )


class MomentAnswer(Answer):
    """Something that happened to a job."""

    at: Timestamp
    what: str = Field(description="submitted, attempt_started, attempt_ended, waiting_until, finished, …, ADMIN_…")
    details: dict[str, Any]

    @classmethod
    def of(cls, moment: Happened) -> Self:
        """What happened."""
        return cls(at=moment.at_ms, what=moment.what, details=dict(moment.details))


class HoldAnswer(Answer):
    """The credits that were set aside for a job, and what became of them."""

    transfer_id: str
    amount: int
    created_at: Timestamp
    resolution: Literal["capture", "release"] | None
    taken: int | None = Field(description="null while the hold is open")
    resolved_at: Timestamp | None

    @classmethod
    def of(cls, hold: HoldLine) -> Self:
        """The hold."""
        return cls.model_validate(
            {
                "transfer_id": hold.transfer_id,
                "amount": hold.amount,
                "created_at": hold.created_ms,
                "resolution": hold.resolution,
                "taken": hold.taken,
                "resolved_at": hold.resolved_ms,
            }
        )


class ExplainAnswer(Answer):
    """Why a job is where it is."""

    blocked_by: str | None = Field(description="of a waiting job: what keeps it from running")
    message: str | None = Field(description="the same as a sentence")
    queue_position: int | None = Field(
        description="jobs that wait before it; null when it isn't waiting, or over 1 000"
    )


class LetterState(Answer):
    """What became of a failed job."""

    state: State
    resolved_at: Timestamp | None
    resolved_by: str | None
    note: str | None
    new_job_id: str | None


class WholeJobAnswer(AdminJobAnswer):
    """A job with everything that happened to it."""

    explain: ExplainAnswer
    tries: list[TriedAnswer] = Field(description="the last hundred, in order")
    timeline: list[MomentAnswer]
    hold: HoldAnswer | None = Field(description="null for what costs nothing")
    dead_letter: LetterState | None

    @classmethod
    def whole(cls, found: Whole, *, locale: Locale) -> Self:
        """The job."""
        letter = found.letter
        return cls.model_validate(
            cls.shown(found.job, locale=locale)
            | {
                "explain": ExplainAnswer(
                    blocked_by=found.blocked_by,
                    message=messages.blocked(found.blocked_by, locale) if found.blocked_by else None,
                    queue_position=found.position,
                ),
                "tries": [TriedAnswer.of(one) for one in found.attempts],
                "timeline": [MomentAnswer.of(one) for one in found.timeline],
                "hold": found.hold and HoldAnswer.of(found.hold),
                "dead_letter": letter
                and LetterState(
                    state=letter.state,
                    resolved_at=letter.resolved_ms,
                    resolved_by=letter.resolved_by,
                    note=letter.note,
                    new_job_id=letter.new_job_id,
                ),
            }
        )


class WhyBody(Body):
    """Why."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "生成服务已恢复"}]})

    reason: Why


class AdminCancelAnswer(Answer):
    """`canceled` at once, or `requested`: the worker stops within seconds."""

    success: Literal[True] = True
    job_id: str
    status: Literal["canceled", "requested"]


class ReplayedCredits(Answer):
    """What was set aside for the new job."""

    held: int


class ReplayAnswer(Answer):
    """The job is done once more, as another."""

    success: Literal[True] = True
    job_id: str
    new_job_id: str
    credits: ReplayedCredits
