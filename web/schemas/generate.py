"""Submitting a job, canceling one, trying one again."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from atelier.generation.quotes import QUOTE_CHARS_MAX
from web.schemas.model import Answer, Body, JsonObject, Uuid
from web.schemas.webhook_endpoints import JobWebhook

DEADLINE_SECONDS_MAX = 86_400
CREDITS_MAX = 2**31 - 1


class Wanted(Body):
    """What to generate. `inputData` and `config` are checked against the agent's own schemas."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"agentId": "0198f1d2-7c1a-7000-8000-000000000001", "inputData": {"prompt": "江南水乡的清晨"}}]
        }
    )

    agent_id: Uuid
    project_id: Uuid | None = None
    save_version: bool = Field(
        False, description="make the result a new version of the project when the job completes; needs projectId"
    )
    input_data: JsonObject
    config: JsonObject | None = None
    priority: Literal["low", "normal", "high"] = Field(
        "normal",
        description="which of your own waiting jobs comes first: high is served like one that was submitted ten "
        "minutes earlier, low like one that was submitted ten minutes later",
    )
    quote_id: str | None = Field(
        None,
        max_length=QUOTE_CHARS_MAX,
        description="a quote for this very agentId, inputData and config: its version runs, at its price",
    )
    max_credits: int | None = Field(
        None, ge=0, le=CREDITS_MAX, description="refuse the job when it may cost more than this"
    )
    deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=DEADLINE_SECONDS_MAX,
        description="counts from the submission, waits and further attempts included; a job that has not ended by then "
        "fails with DEADLINE_EXCEEDED and costs nothing",
    )


class GenerateBody(Wanted):
    """What to generate, and whom to tell. `inputData` and `config` are checked against the agent's own schemas."""

    webhook: JobWebhook | None = Field(None, description="whom to tell how the job ended")


class CreditsHeld(Answer):
    """What was set aside."""

    held: int


class Links(Answer):
    """Where to go on; follow them instead of building addresses."""

    self: str
    events: str
    cancel: str
    result: str


class EstimateAnswer(Answer):
    """How long jobs of this agent have taken lately."""

    p50_seconds: float
    p90_seconds: float


class Submitted(Answer):
    """The job is accepted; its price is held."""

    success: Literal[True] = True
    job_id: str
    usage_id: str = Field(description="the same as jobId")
    status: str
    queue_position: int | None = Field(description="jobs that wait before it; null from a thousand on")
    estimate: EstimateAnswer | None
    credits: CreditsHeld
    links: Links


class Generated(Answer):
    """The job completed while the request waited (`Prefer: wait=…`)."""

    success: Literal[True] = True
    result: Any = Field(description="{outputs: […]}, as GET /api/jobs/{jobId}/result answers it")
    usage_id: str
    processing_time: int = Field(description="milliseconds")


class CancelAnswer(Answer):
    """`canceled` at once, or `requested`: the worker stops within seconds."""

    success: Literal[True] = True
    job_id: str
    status: Literal["canceled", "requested"]
