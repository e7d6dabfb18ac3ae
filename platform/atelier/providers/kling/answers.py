"""What Kling's answers mean for us. Its own sentences are left out of ours: they may hold anything."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from atelier.providers.contract import ProviderRejected, ProviderUnavailable
from atelier.providers.errors import BadAnswer, ContentRefused, Misconfigured, ModelMissing, QuotaExhausted, Throttled
from atelier.providers.later import Failure, Progress, Status

NOT_FOUND: Final = frozenset({1202, 1203})
PARAMETERS: Final = frozenset({1200, 1201})
_ACCOUNT: Final = frozenset({1000, 1001, 1002, 1003, 1004, 1100, 1103, 1304})
_MONEY: Final = frozenset({1101, 1102})
_CONTENT: Final = frozenset({1300, 1301})
_CAPACITY: Final = frozenset({1302, 1303})
_PAUSE_SECONDS: Final = 1.0
# The older API says `succeed`, the newer one `succeeded`.
_STATES: Final[Mapping[str, Progress]] = {
    "submitted": "queued",
    "processing": "running",
    "succeed": "succeeded",
    "succeeded": "succeeded",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: the HTTP status, Kling's code (0 is good, None is none of its own), and its data."""

    status: int
    code: int | None
    data: Any

    @property
    def good(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300 and self.code == 0

    @property
    def in_doubt(self) -> bool:
        """Whether what was asked for may have been done although this is no success."""
        return not self.good and not 400 <= self.status < 500


def parsed(status: int, body: bytes) -> Answer:
    """An answer from its bytes, whatever they are."""
    try:
        document: Any = json.loads(body)
        code = document.get("code")
        return Answer(status, code if type(code) is int else None, document.get("data"))
    except (ValueError, AttributeError, RecursionError):
        return Answer(status, None, None)


def failure(answer: Answer) -> Failure:
    """The error for an answer that is no success."""
    code = answer.code or 0
    message = f"HTTP {answer.status} from the provider ({code})"
    if code in _CAPACITY or (answer.status == 429 and code not in _ACCOUNT | _MONEY):
        return Throttled(message, retry_after=_PAUSE_SECONDS)
    if code in _MONEY:
        return QuotaExhausted(message)
    if code in _ACCOUNT or answer.status in (401, 403):
        return Misconfigured(message)
    if code in _CONTENT:
        return ContentRefused(message)
    if code in NOT_FOUND or answer.status == 404:
        return ModelMissing(message)
    return ProviderRejected(message) if 400 <= answer.status < 500 else ProviderUnavailable(message)


def tasks(data: Any) -> list[Any] | None:
    """The tasks of a page, None for what is no page."""
    return [*cast("Iterable[Any]", data)] if isinstance(data, list) else None


def task_id(data: Any) -> str | None:
    """The id in the data of a task, None for what is no task."""
    found = _entry(data, "task_id")
    return found if isinstance(found, str) and found.isascii() and 0 < len(found) <= 128 else None


def external_id(data: Any) -> str | None:
    """The key of ours that a task was submitted with."""
    found = _entry(_entry(data, "task_info"), "external_task_id")
    return found if isinstance(found, str) else None


def status_of(data: Mapping[str, Any]) -> Status | None:
    """How far a task is; None for a state that we don't know, which is no reason to give it up."""
    state = _STATES.get(str(data.get("task_status")))
    if state is None:
        return None
    ended = data.get("updated_at") if state in ("succeeded", "failed") else None
    return Status(
        state=state,
        result=data.get("task_result") if state == "succeeded" else None,
        failure=_ended_badly(data) if state == "failed" else None,
        ended_ms=ended if type(ended) is int else None,
    )


def links(result: Any) -> list[str]:
    """Where the videos of a result are. Raises BadAnswer when there are none."""
    try:
        found = [str(video["url"]) for video in result["videos"]]
    except (TypeError, LookupError) as error:
        raise BadAnswer("the provider's result is malformed") from error
    if not found:
        raise BadAnswer("the provider's result holds no video")
    return found


def _entry(data: Any, name: str) -> Any:
    return cast("dict[str, Any]", data).get(name) if isinstance(data, dict) else None


def _ended_badly(data: Mapping[str, Any]) -> Failure:
    said = str(data.get("task_status_msg", "")).lower()
    # Nothing else tells a refused content from a machine that broke.
    if any(word in said for word in ("risk", "sensitive", "policy", "audit")):
        return ContentRefused("the provider refused what came out")
    return ProviderUnavailable("the provider could not finish the task")
