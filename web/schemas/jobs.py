"""Jobs on the wire."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from atelier.jobs.explain import BlockedBy
from web.schemas.model import Answer, FromText, Moment, PageQuery, Pagination, Query, QueryNumber, Timestamp, Uuid

Status = Literal["pending", "running", "completed", "failed", "canceled"]
Kind = Literal["text", "image", "audio", "video"]
WAIT_SECONDS_MAX = 60


class JobEstimate(Answer):
    """How long jobs of this agent ran lately."""

    p50_seconds: float = Field(description="half of them took less")
    p90_seconds: float = Field(description="nine in ten took less")


class JobCredits(Answer):
    """What the job reserved when it was submitted, and what it took in the end."""

    held: int
    used: int


class JobLinks(Answer):
    """Where to go from here."""

    self: str
    events: str
    cancel: str
    result: str


class StepAnswer(Answer):
    """A part of a job that is put together from others. It is a job of its own, too, with an address and a result."""

    name: str
    job_id: Uuid
    kind: Kind
    agent_id: Uuid
    status: Status
    error_code: str | None
    error_message: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


class JobAnswer(Answer):
    """A job as its owner sees it."""

    id: Uuid
    status: Status
    seq: int = Field(description="grows with every change; give it back as `seq` with `wait` to wait for the next")
    kind: Kind
    agent_id: Uuid
    project_id: Uuid | None
    batch_id: Uuid | None = Field(description="the batch that it was submitted in")
    parent_id: Uuid | None = Field(description="the job that it is a step of: lists have no steps")
    progress: float = Field(ge=0, le=1)
    step: str | None = Field(description="what the worker is doing, in its own words")
    queue_position: int | None = Field(
        description="jobs that wait before this one; null when it isn't waiting, or over 1 000"
    )
    blocked_by: BlockedBy | None = Field(description="why it is not running yet")
    blocked_message: str | None = Field(description="the same as a sentence")
    estimate: JobEstimate | None
    credits: JobCredits
    attempts: int
    error_code: str | None
    error_message: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    processing_time: int | None = Field(description="milliseconds from start to end")
    links: JobLinks


class WholeJobAnswer(JobAnswer):
    """A job by itself."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    steps: list[StepAnswer] | None = Field(
        None, description="of a job that is put together from others: those that have begun so far, in their order"
    )


class JobListAnswer(Answer):
    """A page of jobs, newest first."""

    jobs: list[JobAnswer]
    pagination: Pagination


class OutputAnswer(Answer):
    """One thing that was made. A short text is here as `text`, everything else at `url`, which holds for a while."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str
    content_type: str
    text: str | None = None
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    metadata: dict[str, Any]


class SavedVersion(Answer):
    """What became of the version of a project that a job was to add."""

    project_id: str
    number: int | None = Field(description="of the version; null when there is none")
    reason: str | None = Field(description="why there is none, e.g. PROJECT_NOT_FOUND, FORBIDDEN, VERSION_LIMIT")
    message: str | None = Field(description="the same as a sentence")


class ResultAnswer(Answer):
    """What a completed job has made."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    outputs: list[OutputAnswer]
    result_expires_at: Timestamp | None = Field(
        None,
        description="not before this it is removed, and not while a version of a project refers to it; "
        "left out where it is kept without end",
    )
    saved_version: SavedVersion | None = Field(None, description="with saveVersion only")


class JobQuery(Query):
    """How long to wait, and for what."""

    wait: Annotated[int, Field(ge=0, le=WAIT_SECONDS_MAX), FromText] = Field(
        0, description="seconds to wait for news before answering"
    )
    seq: QueryNumber | None = Field(
        None,
        description="with `wait`: answer as soon as the job's seq is above this; without it, as soon as the job "
        "differs from the version that `If-None-Match` names, or, without both, when the job has ended",
    )


class JobListQuery(PageQuery):
    """Which jobs."""

    status: Status | None = None
    agent_id: Uuid | None = None
    project_id: Uuid | None = None
    kind: Kind | None = None
    batch_id: Uuid | None = None
    from_: Moment | None = Field(None, alias="from", description="created at this time or later")
    to: Moment | None = Field(None, description="created before this time")


class OutputQuery(Query):
    """A signed link's end and signature."""

    expires: QueryNumber = Field(description="milliseconds since the epoch")
    signature: str = Field(pattern="^[A-Za-z0-9_-]{43}$")
