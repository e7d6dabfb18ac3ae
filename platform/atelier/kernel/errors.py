"""The two families of errors. Anything else that is raised is a bug.

The core knows stable codes; only `web` maps them to HTTP. Concrete classes live beside the function that raises them.
"""

from typing import Any, ClassVar


class AtelierError(Exception):
    """A named failure. `code` is the stable machine word; `details` are extra members of the answer, all public."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message or self.code)
        self.details: dict[str, Any] = details


class Refusal(AtelierError):
    """An anticipated no: never retried, never paged."""


class Transient(AtelierError):
    """The world failed: workers retry, the web answers 503 with Retry-After."""

    code: ClassVar[str] = "UNAVAILABLE"


class Invalid(Refusal):
    """The input breaks a rule. `fields` name what and why: a list of {"path", "message", "code"}."""

    code: ClassVar[str] = "VALIDATION_FAILED"

    def __init__(self, fields: list[dict[str, Any]]) -> None:
        super().__init__(self.code, details=fields)
        self.fields = fields


class NotFound(Refusal):
    """There is no such thing, or it is someone else's."""

    code: ClassVar[str] = "NOT_FOUND"


class Forbidden(Refusal):
    """The caller may know that it exists, but may not do this."""

    code: ClassVar[str] = "FORBIDDEN"


class Unauthorized(Refusal):
    """No valid identity."""

    code: ClassVar[str] = "UNAUTHORIZED"


class Conflict(Refusal):
    """The thing is in a state that does not allow this."""

    code: ClassVar[str] = "CONFLICT"


class RateLimited(Refusal):
    """Too many. `retry_after` seconds."""

    code: ClassVar[str] = "RATE_LIMITED"

    def __init__(self, message: str = "", *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
