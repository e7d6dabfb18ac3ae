"""The jobs: the queue of record, and the attempts made at each."""

from typing import Any, cast

from sqlalchemy import CheckConstraint, Index, Integer, Table, text
from sqlalchemy.orm import Mapped, mapped_column

from atelier.jobs import states
from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base

# What every job is born with stands in the table, so that a submission need not send it.
ZERO = text("0")


class JobRow(Base):
    """One job.

    fence         grows with every claim and every change made without a lease; writes after outside work require it
    seq           the number of the job's last change of state: fence × 1 000 000 + n
    run_after_ms  not to be claimed before
    lease_ms      while running: until when the claim holds (database clock)
    rank_ms       when it was submitted, less the head start of its priority: the least is the next of its lane
    sweep_ms      when the sweeper has to look: pending → publish again, running → take over; NULL once finished
    poll_ms       while parked: when to look whether what it waits for is done; a parked job has no lease
    held, used    credits held at submit and taken at the end
    key_id        the API key that it was submitted with, whose limit it counts against
    pricing       the rule by which `used` is found, as it was when the job was accepted; NULL takes what is held
    batch_id      the batch that it was submitted in
    parent_id     the job that it is a step of, and `step` the name of the step: each is made once
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_user", "user_id", "id"),
        Index("ix_jobs_user_queues", "user_id", "state", "id", "queue"),
        Index("ix_jobs_queue_state", "queue", "state", "id"),
        Index("ix_jobs_sweep", "queue", "state", "sweep_ms"),
        Index("ix_jobs_poll", "provider", "poll_ms"),
        Index("ix_jobs_lane", "provider", "state", "queue", "user_id", "rank_ms"),
        Index("ix_jobs_batch", "batch_id", "id"),
        Index("ix_jobs_parent", "parent_id", "step", unique=True),
        Index("ix_jobs_created", "created_ms"),
        Index("ix_jobs_finished", "finished_ms"),
        CheckConstraint("state IN ('pending', 'running', 'completed', 'failed', 'canceled')", name="state"),
        CheckConstraint("attempts <= attempts_max AND fence >= attempts", name="attempts"),
        CheckConstraint("used <= held", name="used"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    agent_id: Mapped[str] = mapped_column(Id())
    agent_version: Mapped[int] = mapped_column(Integer)
    project_id: Mapped[str | None] = mapped_column(Id())
    kind: Mapped[str] = mapped_column(Key(16))
    queue: Mapped[str] = mapped_column(Key(32))
    provider: Mapped[str] = mapped_column(Key(32))
    state: Mapped[str] = mapped_column(Key(10), server_default=states.PENDING)
    fence: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    seq: Mapped[int] = mapped_column(Millis, server_default=text(str(states.first_seq(0))))
    attempts: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    attempts_max: Mapped[int] = mapped_column(Integer)
    owner: Mapped[str | None] = mapped_column(Key(80))
    run_after_ms: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    lease_ms: Mapped[int | None] = mapped_column(Millis)
    sweep_ms: Mapped[int | None] = mapped_column(Millis)
    poll_ms: Mapped[int | None] = mapped_column(Millis)
    publishes: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    rank_ms: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    cancel_requested: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    deadline_ms: Mapped[int] = mapped_column(Millis)
    held: Mapped[int] = mapped_column(Millis)
    used: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    pricing: Mapped[Any] = mapped_column(JsonDoc, nullable=True)
    input: Mapped[Any] = mapped_column(JsonDoc)
    config: Mapped[Any] = mapped_column(JsonDoc)
    result: Mapped[Any] = mapped_column(JsonDoc, nullable=True)
    error_code: Mapped[str | None] = mapped_column(Key(40))
    error_message: Mapped[str | None] = mapped_column(Name(300))
    retry_of: Mapped[str | None] = mapped_column(Id())
    key_id: Mapped[str | None] = mapped_column(Id())
    batch_id: Mapped[str | None] = mapped_column(Id())
    parent_id: Mapped[str | None] = mapped_column(Id())
    step: Mapped[str | None] = mapped_column(Key(32))
    created_ms: Mapped[int] = mapped_column(Millis)
    started_ms: Mapped[int | None] = mapped_column(Millis)
    finished_ms: Mapped[int | None] = mapped_column(Millis)


class AttemptRow(Base):
    """One attempt at a job, written before the provider is called. `outcome` is NULL until it is known.

    submit_state  of a provider that finishes later: what became of the call; see `jobs/upstream.py`
    upstream_id   its own id of the task, and `submitted_ms` when it took it
    misses        how often in a row it answered that it has nothing of it, or with a result that is no good
    """

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    fence: Mapped[int] = mapped_column(Millis, primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    provider: Mapped[str] = mapped_column(Key(32))
    provider_key: Mapped[str] = mapped_column(Key(64))
    outcome: Mapped[str | None] = mapped_column(Key(40))
    submit_state: Mapped[str | None] = mapped_column(Key(10))
    upstream_id: Mapped[str | None] = mapped_column(Key(128))
    submitted_ms: Mapped[int | None] = mapped_column(Millis)
    misses: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    started_ms: Mapped[int] = mapped_column(Millis)
    finished_ms: Mapped[int | None] = mapped_column(Millis)


class ResultRow(Base):
    """What a completed job made: {"outputs": […]}.

    expires_ms  when the collector has to look: not before this the result goes, and once it is gone, its files;
                NULL once there is nothing left to remove, and of results that are kept without end
    gone_ms     since when nobody is given it any more; its outputs are emptied soon after
    """

    __tablename__ = "results"
    __table_args__ = (Index("ix_results_expires", "expires_ms"),)

    job_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    document: Mapped[Any] = mapped_column(JsonDoc)
    expires_ms: Mapped[int | None] = mapped_column(Millis)
    gone_ms: Mapped[int | None] = mapped_column(Millis)


class DeadLetterRow(Base):
    """A job that failed, and what became of it; one that was canceled, once it is done again (without a reason).

    state       open, until somebody deals with it
    new_job_id  the job as which it was tried again
    """

    __tablename__ = "dead_letters"
    __table_args__ = (
        Index("ix_dead_letters_state", "state", "job_id"),
        Index("ix_dead_letters_reason", "state", "reason", "job_id"),
        Index("ix_dead_letters_provider", "state", "provider", "job_id"),
        Index("ix_dead_letters_agent", "state", "agent_id", "job_id"),
        Index("ix_dead_letters_user", "state", "user_id", "job_id"),
        Index("ix_dead_letters_failed", "failed_ms"),
        CheckConstraint("state IN ('open', 'replayed', 'retried', 'dismissed')", name="state"),
        CheckConstraint("(state = 'open') = (resolved_ms IS NULL)", name="resolved"),
        CheckConstraint("(state IN ('replayed', 'retried')) = (new_job_id IS NOT NULL)", name="new_job"),
    )

    job_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    agent_id: Mapped[str] = mapped_column(Id())
    provider: Mapped[str] = mapped_column(Key(32))
    queue: Mapped[str] = mapped_column(Key(32))
    kind: Mapped[str] = mapped_column(Key(16))
    error_code: Mapped[str | None] = mapped_column(Key(40))
    reason: Mapped[str | None] = mapped_column(Key(32))
    state: Mapped[str] = mapped_column(Key(10), server_default="open")
    failed_ms: Mapped[int] = mapped_column(Millis)
    resolved_ms: Mapped[int | None] = mapped_column(Millis)
    resolved_by: Mapped[str | None] = mapped_column(Id())
    note: Mapped[str | None] = mapped_column(Name(200))
    new_job_id: Mapped[str | None] = mapped_column(Id(), unique=True)


class BatchRow(Base):
    """Jobs that were submitted together. `items` says of each, in order, its job, or the code of its refusal."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    items: Mapped[Any] = mapped_column(JsonDoc)
    created_ms: Mapped[int] = mapped_column(Millis, index=True)


JOBS = cast("Table", JobRow.__table__)
BATCHES = cast("Table", BatchRow.__table__)
ATTEMPTS = cast("Table", AttemptRow.__table__)
RESULTS = cast("Table", ResultRow.__table__)
DEAD_LETTERS = cast("Table", DeadLetterRow.__table__)
