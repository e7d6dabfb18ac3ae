"""Errors as `application/problem+json` (RFC 9457), with the members that the front ends have always read.

The core knows codes; this table alone knows which HTTP status each has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import to_json

from atelier.contracts.idempotency import IdempotencyInProgress
from atelier.kernel.errors import AtelierError, Invalid, RateLimited, Transient
from web import messages
from web.messages import Locale
from web.schemas.model import Answer

CONTENT_TYPE = "application/problem+json"
TRANSIENT_RETRY_SECONDS = 1

STATUSES: Mapping[str, int] = {
    "VALIDATION_FAILED": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "CONFLICT": 409,
    "GONE": 410,
    "RESULT_EXPIRED": 410,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA": 415,
    "RATE_LIMITED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DRAINING": 503,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "IDEMPOTENCY_IN_PROGRESS": 409,
    "USER_EXISTS": 400,
    "INVALID_CREDENTIALS": 401,
    "WRONG_PASSWORD": 400,
    "KEY_NOT_FOUND": 404,
    "KEY_ENDED": 409,
    "KEY_LIMIT": 409,
    "KEY_LIMIT_TOO_LOW": 409,
    "KEY_CREDITS_EXHAUSTED": 403,
    "KEY_NOT_ACCEPTED": 403,
    "SCOPE_MISSING": 403,
    "TOKEN_INVALID": 400,
    "EMAIL_UNVERIFIED": 403,
    "OWN_ACCOUNT": 409,
    "INSUFFICIENT_CREDITS": 400,
    "HOLD_RESOLVED": 409,
    "PRICE_ABOVE_MAX": 400,
    "QUOTE_EXPIRED": 400,
    "QUOTE_INVALID": 400,
    "ALREADY_PURCHASED": 400,
    "NOT_PURCHASED": 403,
    "PRICE_CHANGED": 409,
    "OWN_AGENT": 400,
    "AGENT_IS_FREE": 400,
    "AGENT_IS_PAID_PER_USE": 400,
    "SUBSCRIPTION_TOO_LONG": 400,
    "NOT_A_SUBSCRIPTION": 400,
    "NOT_SUBSCRIBED": 409,
    "PACKAGE_NOT_FOUND": 404,
    "AMOUNT_INVALID": 400,
    "GATEWAY_REFUSED": 502,
    "GATEWAY_UNKNOWN": 503,
    "NOTICE_FORGED": 400,
    "PAYMENT_METHOD_UNSUPPORTED": 400,
    "ORDER_NOT_FOUND": 404,
    "ORDER_NOT_PENDING": 409,
    "ORDER_NOT_REFUNDABLE": 409,
    "REFUND_TOO_LARGE": 400,
    "RETURN_URL_FORBIDDEN": 400,
    "TOO_MANY_PENDING_ORDERS": 429,
    "CASE_RESOLVED": 409,
    "RESOLUTION_UNSUITABLE": 409,
    "STATEMENT_TOO_OLD": 409,
    "AGENT_NOT_FOUND": 404,
    "AGENT_UNAVAILABLE": 404,
    "AGENT_CHANGED": 409,
    "AGENT_ARCHIVED": 409,
    "NOT_IN_REVIEW": 409,
    "TOO_MANY_UNPUBLISHED": 409,
    "REVIEW_NOT_ALLOWED": 403,
    "CATEGORY_NOT_FOUND": 404,
    "CATEGORY_EXISTS": 409,
    "CATEGORY_IN_USE": 409,
    "PROJECT_NOT_FOUND": 404,
    "PROJECT_LIMIT": 409,
    "PROJECT_PRIVATE": 409,
    "VERSION_LIMIT": 409,
    "MEMBER_LIMIT": 409,
    "ALREADY_MEMBER": 409,
    "IMAGE_INVALID": 415,
    "IMAGE_TOO_LARGE": 413,
    "FILE_QUOTA_EXCEEDED": 409,
    "FILE_IN_USE": 409,
    "UPLOAD_MISSING": 409,
    "TOO_MANY_WAITING": 429,
    "GENERATION_FAILED": 502,
    "JOB_FINISHED": 409,
    "JOB_NOT_FINISHED": 409,
    "JOB_NOT_FAILED": 409,
    "JOB_IS_STEP": 409,
    "BATCH_REFUSED": 400,
    "JOB_REPLAYED": 409,
    "JOB_TOO_OLD": 409,
    "LETTER_NOT_OPEN": 409,
    "MESSAGE_UNREADABLE": 409,
    "USER_DISABLED": 409,
    "LEASE_LOST": 409,
    "WEBHOOK_NOT_FOUND": 404,
    "EVENT_NOT_FOUND": 404,
    "WEBHOOK_LIMIT": 409,
    "WEBHOOK_SECRETS_OVERLAP": 409,
    "WEBHOOK_DISABLED": 409,
    "TOO_MANY_WEBHOOK_EVENTS": 429,
}


class ProblemDetail(Answer):
    """One thing that is wrong with one field of the input."""

    path: list[str | int] = Field(description="where in the body, or the name of the parameter; empty for the whole")
    message: str
    code: str = Field(description="stable word for what is wrong, e.g. missing, string_too_short, extra_forbidden")


class Problem(Answer):
    """Every error has this form (RFC 9457). Match on `code`; `error` and `message` are the same localised sentence."""

    model_config = ConfigDict(extra="allow", json_schema_serialization_defaults_required=False)

    type: str
    title: str
    status: int
    code: str
    error: str
    message: str
    request_id: str
    details: list[ProblemDetail] = Field(default_factory=list[ProblemDetail])


RESERVED = frozenset(to_camel(name) for name in Problem.model_fields) - {"details"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong, before it is written down for one reader. `members` become extra members of the problem."""

    code: str
    status: int
    details: Sequence[Mapping[str, Any]] = ()
    members: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def told(self, headers: Mapping[str, str]) -> Self:
        """The same fault, answered with these headers."""
        return replace(self, headers=headers)


def fault(code: str, **members: Any) -> Fault:
    """A fault with the status that its code has."""
    return Fault(code=code, status=STATUSES[code], members=members)


def of_error(error: AtelierError, *, statuses: Mapping[str, int]) -> Fault:
    """The fault that an error of the core is here. `statuses` are the route's own, which win over the table."""
    members = {to_camel(name): value for name, value in error.details.items()}
    details = error.fields if isinstance(error, Invalid) else members.pop("details", ())
    headers: dict[str, str] = {}
    if isinstance(error, Transient):
        status = 503
        headers["Retry-After"] = str(TRANSIENT_RETRY_SECONDS)
    else:
        status = statuses.get(error.code) or STATUSES.get(error.code, 400)
    if isinstance(error, RateLimited | IdempotencyInProgress):
        headers["Retry-After"] = str(error.retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    members = {name: value for name, value in members.items() if name not in RESERVED and name != "details"}
    return Fault(code=error.code, status=status, details=details, members=members, headers=headers)


def of_validation(error: ValidationError) -> Fault:
    """The fault that input is which a model refused. The input itself is never repeated."""
    found = error.errors(include_url=False, include_input=False)
    details = [
        {
            "path": [] if item["type"] == "json_invalid" else list(item["loc"]),
            "code": item["type"],
            "message": item["msg"],
            "context": item.get("ctx", {}),
        }
        for item in found
    ]
    return Fault(code="VALIDATION_FAILED", status=400, details=details)


def of_field(name: str, code: str) -> Fault:
    """The fault that one named parameter or header is."""
    return Fault(code="VALIDATION_FAILED", status=400, details=[{"path": [name], "code": code, "message": ""}])


def members(fault: Fault, *, text: str, request_id: str) -> dict[str, Any]:
    """The problem without its details."""
    return {
        "type": f"urn:atelier:problem:{fault.code.lower().replace('_', '-')}",
        "title": text,
        "status": fault.status,
        "code": fault.code,
        "error": text,
        "message": text,
        "requestId": request_id,
        **fault.members,
    }


def render(fault: Fault, *, request_id: str, locale: Locale) -> bytes:
    """The problem as JSON in the reader's language."""
    problem = members(fault, text=messages.sentence(fault.code, locale), request_id=request_id)
    if fault.details:
        problem["details"] = list(_localised(fault.details, locale))
    return to_json(problem, inf_nan_mode="null")


def _localised(details: Iterable[Mapping[str, Any]], locale: Locale) -> Iterable[Mapping[str, Any]]:
    for detail in details:
        code = str(detail.get("code", "invalid"))
        message = messages.field_sentence(code, detail.get("context", {}), locale) or detail.get("message")
        yield {"path": detail.get("path", []), "message": message or messages.FIELD_UNKNOWN.text(locale), "code": code}
