"""Dead letters, and replaying many of them."""

from typing import Literal, Self

from pydantic import ConfigDict, Field

from atelier.contracts.dead_messages import DeadMessage
from atelier.generation.replaying import LETTERS_MAX
from atelier.jobs.dead_letters import Counts, Filter, Letter, State
from atelier.jobs.reasons import Reason
from atelier.kernel.clock import SECOND_MS
from web import messages
from web.messages import Locale
from web.schemas.admin_audit import FeedQuery
from web.schemas.admin_jobs import AGE_SECONDS_MAX, AgedQuery, WhyBody, Word
from web.schemas.jobs import Kind
from web.schemas.model import Answer, Body, Moment, Timestamp, Uuid

REPLAYED_DEFAULT = 100


class LettersQuery(AgedQuery):
    """Which letters; only those that nobody has dealt with, unless another state is asked for."""

    state: State = "open"
    error_class: Reason | None = None
    error_code: Word | None = None
    provider: Word | None = None
    agent_id: Uuid | None = None
    queue: Word | None = None
    kind: Kind | None = None
    user_id: Uuid | None = None

    def wanted(self, now_ms: int) -> Filter:
        """The filter that this asks for."""
        return Filter(
            state=self.state,
            reason=self.error_class,
            error_code=self.error_code,
            provider=self.provider,
            agent_id=self.agent_id,
            queue=self.queue,
            kind=self.kind,
            user_id=self.user_id,
            from_ms=self.from_,
            until_ms=self.until_ms(now_ms),
            before=self.cursor,
        )


class LetterAnswer(Answer):
    """A job that failed, and what became of it."""

    job_id: str
    user_id: str
    agent_id: str
    provider: str
    queue: str
    kind: Kind
    error_code: str | None
    error_message: str | None
    error_class: Reason | None = Field(description="null for a canceled job that was replayed")
    state: State
    failed_at: Timestamp
    resolved_at: Timestamp | None
    resolved_by: str | None
    note: str | None
    new_job_id: str | None

    @classmethod
    def of(cls, letter: Letter, *, locale: Locale) -> Self:
        """The letter."""
        same = (
            *("job_id", "user_id", "agent_id", "provider", "queue", "kind", "error_code", "state"),
            *("resolved_by", "note", "new_job_id"),
        )
        return cls.model_validate(
            {name: getattr(letter, name) for name in same}
            | {
                "error_class": letter.reason,
                "error_message": messages.sentence(letter.error_code, locale) if letter.error_code else None,
                "failed_at": letter.failed_ms,
                "resolved_at": letter.resolved_ms,
            }
        )


class CountsAnswer(Answer):
    """How many are open, by class and, of the newest ten thousand, by provider and by agent."""

    error_classes: dict[str, int]
    providers: dict[str, int]
    agents: dict[str, int]


class LettersAnswer(Answer):
    """Letters, the newest job first. `nextCursor` is null at the end."""

    counts: CountsAnswer
    letters: list[LetterAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, letters: list[Letter], *, counts: Counts, following: str | None, locale: Locale) -> Self:
        """The page."""
        counted = CountsAnswer.model_validate(
            {"error_classes": counts.reasons, "providers": counts.providers, "agents": counts.agents}
        )
        return cls(
            counts=counted, letters=[LetterAnswer.of(one, locale=locale) for one in letters], next_cursor=following
        )


class LetterFilter(Body):
    """Which letters; whatever is left out may be anything."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"errorClass": "provider_unavailable"}]})

    error_class: Reason | None = None
    error_code: Word | None = None
    provider: Word | None = None
    agent_id: Uuid | None = None
    queue: Word | None = None
    kind: Kind | None = None
    user_id: Uuid | None = None
    from_: Moment | None = Field(None, alias="from", description="submitted at this time or later")
    to: Moment | None = Field(None, description="submitted before this time")
    older_than_seconds: int | None = Field(None, ge=0, le=AGE_SECONDS_MAX)


class ReplayManyBody(WhyBody):
    """Which open letters to replay, and why. The newest come first; `cursor` goes on after an earlier answer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "生成服务已恢复", "filter": {"errorClass": "bug"}, "dryRun": True}]}
    )

    filter: LetterFilter
    limit: int = Field(REPLAYED_DEFAULT, ge=1, le=LETTERS_MAX)
    cursor: Uuid | None = None
    dry_run: bool = Field(False, description="count only: up to ten thousand")

    def wanted(self, now_ms: int) -> Filter:
        """The filter that this asks for."""
        given = self.filter
        until_ms = given.to
        if given.older_than_seconds is not None:
            aged = now_ms - given.older_than_seconds * SECOND_MS
            until_ms = aged if until_ms is None else min(aged, until_ms)
        return Filter(
            reason=given.error_class,
            error_code=given.error_code,
            provider=given.provider,
            agent_id=given.agent_id,
            queue=given.queue,
            kind=given.kind,
            user_id=given.user_id,
            from_ms=given.from_,
            until_ms=until_ms,
            before=self.cursor,
        )


class OneReplayed(Answer):
    """What became of one letter: another job, or why there is none."""

    job_id: str
    new_job_id: str | None
    error_code: str | None


class ReplayManyAnswer(Answer):
    """What became of all: ask again with `nextCursor` while there is one."""

    dry_run: bool
    matched: int
    replayed: int
    refused: dict[str, int] = Field(description="how many for which reason")
    jobs: list[OneReplayed]
    has_more: bool
    next_cursor: str | None


class MessagesQuery(FeedQuery):
    """From where on."""

    cursor: Uuid | None = None


class MessageAnswer(Answer):
    """A message that nobody could handle: one row, however often it came."""

    id: str
    contract: str
    message: str = Field(description="its text, or the beginning: ids only")
    reason: Literal["unknown_contract", "unreadable", "crashed"]
    error: str = Field(description="kind of the error")
    times: int
    first_at: Timestamp
    last_at: Timestamp

    @classmethod
    def of(cls, dead: DeadMessage) -> Self:
        """The message."""
        same = ("id", "contract", "message", "reason", "error", "times")
        return cls.model_validate(
            {name: getattr(dead, name) for name in same} | {"first_at": dead.first_ms, "last_at": dead.last_ms}
        )


class MessagesAnswer(Answer):
    """Messages, the newest first. `nextCursor` is null at the end."""

    messages: list[MessageAnswer]
    next_cursor: str | None
