"""Why jobs fail, in the few classes that an operator can do something about: one pure table from codes to classes."""

from collections.abc import Mapping
from typing import Literal, get_args

Reason = Literal[
    "provider_unavailable",
    "provider_rejected",
    "content_refused",
    "deadline",
    "worker_lost",
    "platform_unavailable",
    "misconfigured",
    "bug",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

CLASSES: Mapping[str, Reason] = {
    # The provider could not: once it can again, so can the job.
    "PROVIDER_UNAVAILABLE": "provider_unavailable",
    "PROVIDER_TIMEOUT": "provider_unavailable",
    "PROVIDER_INTERRUPTED": "provider_unavailable",
    "PROVIDER_THROTTLED": "provider_unavailable",
    "PROVIDER_BAD_ANSWER": "provider_unavailable",
    "PROVIDER_NOT_TAKEN": "provider_unavailable",
    "PROVIDER_TASK_LOST": "provider_unavailable",
    # The provider would not, and will not the next time either.
    "PROVIDER_REJECTED": "provider_rejected",
    "PROVIDER_PARAMETER_INVALID": "provider_rejected",
    "PROVIDER_CONTENT_REFUSED": "content_refused",
    # Our own doing, or not doing.
    "DEADLINE_EXCEEDED": "deadline",
    "WORKER_LOST": "worker_lost",
    "UNAVAILABLE": "platform_unavailable",
    "STORAGE_UNAVAILABLE": "platform_unavailable",
    "BROKER_UNAVAILABLE": "platform_unavailable",
    # An operator has to change something first.
    "PROVIDER_UNKNOWN": "misconfigured",
    "PROVIDER_MISCONFIGURED": "misconfigured",
    "PROVIDER_QUOTA_EXHAUSTED": "misconfigured",
    "PROVIDER_MODEL_MISSING": "misconfigured",
    "PROVIDER_SPEECH_MISSING": "misconfigured",
    "PROVIDER_WEIGHTS_UNAVAILABLE": "misconfigured",
    "INTERNAL": "bug",
    "NOT_FOUND": "bug",
}


def of(error_code: str | None) -> Reason:
    """The class of a code; one that nobody has thought of is a bug."""
    return CLASSES.get(error_code or "", "bug")
