"""What the answers and failures of an OpenAI-compatible endpoint mean for us."""

import email.utils
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from atelier.providers.contract import ProviderRejected, ProviderUnavailable
from atelier.providers.errors import ContentRefused, Misconfigured, ModelMissing, QuotaExhausted, Throttled

_CONTENT_CODES: Final = frozenset(
    {
        "content_policy_violation",
        "content_filter",
        "moderation_blocked",
        "image_generation_user_error",
        "data_inspection_failed",
        "datainspectionfailed",
        "responsibleaipolicyviolation",
    }
)
_QUOTA_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"})
_THROTTLE_CODES: Final = frozenset(
    {
        "rate_limit_exceeded",
        "rate_limit_error",
        "too_many_requests",
        "overloaded_error",
        "server_overloaded",
        "slow_down",
    }
)
_RETRIED_STATUSES: Final = frozenset({408, 409, 425, 429})
_WAITS: Final = ("retry-after", "retry-after-ms")

# Only a plain word may be repeated in a message of ours: keys hold digits or dashes, sentences hold spaces.
_PLAIN_WORD: Final = re.compile(r"^[a-z]+(?:_[a-z]+){0,6}$")

Failure = ProviderRejected | ProviderUnavailable


def failure_of(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Return the error for an answer that is no success. The provider's sentence is left out: it may hold secrets."""
    words = _words(_error_object(body))
    message = _message(f"HTTP {status} from the provider", words)
    named = _by_words(words, message, headers)
    if named is not None:
        return named
    if status in (401, 403):
        return Misconfigured(message)
    if status == 402:
        return QuotaExhausted(message)
    if _is_full(status, headers):
        return Throttled(message, retry_after=retry_after(headers))
    if status in _RETRIED_STATUSES or status >= 500 or status < 400:
        return ProviderUnavailable(message)
    return ModelMissing(message) if status == 404 else ProviderRejected(message)


def failure_in_stream(error: Any) -> Failure:
    """Return the error for an error object that arrived in the middle of a stream."""
    words = _words(error)
    message = _message("error in the provider's stream", words)
    named = _by_words(words, message, {})
    if named is not None:
        return named
    if "invalid_request_error" in words:
        return ProviderRejected(message)
    return ProviderUnavailable(message)


def may_try_again(failure: Failure, status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether the same call may be repeated at once: what the provider says, else what the status says."""
    advice = headers.get("x-should-retry", "")
    if advice in ("true", "false"):
        return advice == "true"
    if isinstance(failure, ProviderRejected | Misconfigured | QuotaExhausted):
        return False
    return status in _RETRIED_STATUSES or status >= 500


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the provider asks to wait (milliseconds, seconds or a date), None when it does not."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after", "")
    seconds = _number(asked)
    return seconds if seconds is not None else _seconds_until(asked, headers.get("date", ""))


def _number(value: str) -> float | None:
    # Digits only: float() would take "nan" and "inf" too, and a wait of that length never ends.
    return float(value) if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value) else None


def _seconds_until(moment: str, now: str) -> float | None:
    """Compare with the answer's own Date header, so that a wrong clock on either side does no harm."""
    try:
        until, since = (email.utils.parsedate_to_datetime(text) for text in (moment, now))
        return max(0.0, (until - since).total_seconds())
    except (ValueError, TypeError):
        return None


def _error_object(body: bytes) -> Any:
    try:
        answer: Any = json.loads(body)
        return answer["error"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _words(error: Any) -> tuple[str, ...]:
    try:
        values: tuple[Any, ...] = (error.get("code"), error.get("type"))
    except AttributeError:
        return ()
    return tuple(value.lower() for value in values if isinstance(value, str))


def _is_full(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether the provider has no room: a 503 alone may be broken, one that says when to come back is not."""
    return status in (429, 529) or (status == 503 and any(name in headers for name in _WAITS))


def _by_words(words: tuple[str, ...], message: str, headers: Mapping[str, str]) -> Failure | None:
    if _CONTENT_CODES.intersection(words):
        return ContentRefused(message)
    if _QUOTA_CODES.intersection(words):
        return QuotaExhausted(message)
    if _THROTTLE_CODES.intersection(words):
        return Throttled(message, retry_after=retry_after(headers))
    return None


def _message(fact: str, words: tuple[str, ...]) -> str:
    plain = [word for word in words if len(word) <= 48 and _PLAIN_WORD.match(word)]
    return f"{fact} ({plain[0]})" if plain else fact
