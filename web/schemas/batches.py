"""Jobs that are submitted together."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from atelier.jobs.batches import ITEMS_MAX
from web.problems import Problem
from web.schemas.generate import Submitted, Wanted
from web.schemas.jobs import JobAnswer
from web.schemas.model import Answer, Body, PageQuery, Pagination, Timestamp, Uuid


def _object(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "Input should be an object")
    return validate(value)


Item = Annotated[Wanted | dict[str, Any], WrapValidator(_object)]
"""A request for a job, or an object that is none: what is wrong with it is told in its own answer."""


class BatchBody(Body):
    """Up to a hundred jobs. An item that isn't as it should be is refused by itself, and leaves the others alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"agentId": "0198f1d2-7c1a-7000-8000-000000000001", "inputData": {"prompt": "清晨"}},
                        {"agentId": "0198f1d2-7c1a-7000-8000-000000000001", "inputData": {"prompt": "黄昏"}},
                    ]
                }
            ]
        }
    )

    items: list[Item] = Field(
        min_length=1,
        max_length=ITEMS_MAX,
        description="each like the body of POST /api/workshop/generate, without `webhook`",
    )


class BatchLinks(Answer):
    """Where to go on."""

    self: str
    cancel: str


class AcceptedItem(Submitted):
    """An item that is a job now."""

    index: int


class RefusedItem(Answer):
    """An item that was refused, for the reason that a request of its own would have been."""

    index: int
    success: Literal[False] = False
    error: Problem


class BatchAnswer(Answer):
    """At least one item is a job now. Every item is answered, in the order of the request."""

    success: Literal[True] = True
    batch_id: Uuid
    accepted: int
    refused: int
    items: list[AcceptedItem | RefusedItem]
    links: BatchLinks


class BatchQuery(PageQuery):
    """Which of the items."""


class BatchCounts(Answer):
    """How many items are jobs in which state, and how many were refused."""

    pending: int
    running: int
    completed: int
    failed: int
    canceled: int
    refused: int


class BatchCredits(Answer):
    """What its jobs still reserve, and what they have taken."""

    held: int
    used: int


class BatchItem(Answer):
    """An item: its job, or why there is none."""

    index: int
    job: JobAnswer | None
    error: Problem | None


class BatchState(Answer):
    """How far a batch is."""

    batch_id: Uuid
    finished: bool = Field(description="whether all of its jobs have ended")
    progress: float = Field(ge=0, le=1, description="of its jobs, each counted alike")
    counts: BatchCounts
    credits: BatchCredits
    created_at: Timestamp
    items: list[BatchItem]
    pagination: Pagination
    links: BatchLinks


class BatchCanceled(Answer):
    """What became of those that had not ended: canceled at once, or their workers are asked and stop within seconds."""

    success: Literal[True] = True
    batch_id: Uuid
    canceled: int
    requested: int
