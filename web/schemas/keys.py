"""API keys on the wire."""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, ConfigDict, Field

from atelier.accounts.api_keys import ApiKey, Changes
from atelier.accounts.key_models import NAME_MAX
from atelier.accounts.scopes import SCOPES, Scope
from web.schemas.model import Answer, Body, Line, Moment, Pagination, Timestamp

CREDITS_MAX = 10**12
RATE_MAX = 100_000
DAYS_MAX = 3_650


def _once(value: list[Scope]) -> list[Scope]:
    return [scope for scope in SCOPES if scope in value]


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=2 * len(SCOPES)), AfterValidator(_once)]
Credits = Annotated[
    int, Field(ge=0, le=CREDITS_MAX, description="credits that jobs of the key may hold and use, all in all")
]
Rate = Annotated[int, Field(ge=1, le=RATE_MAX, description="within what the user may")]


class KeyBody(Body):
    """A new key. `expiresAt` or `expiresInDays`, not both; without either it has no end but being revoked."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly posters",
                    "scopes": ["generate", "jobs:read"],
                    "creditLimit": 500,
                    "expiresInDays": 90,
                }
            ]
        }
    )

    name: Line = Field(min_length=1, max_length=NAME_MAX)
    scopes: Scopes
    credit_limit: Credits | None = None
    requests_per_minute: Rate | None = None
    submissions_per_minute: Rate | None = None
    expires_at: Moment | None = None
    expires_in_days: int | None = Field(None, ge=1, le=DAYS_MAX)


class KeyChangeBody(Body):
    """What is left out stays as it is; null ends a limit."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"creditLimit": 1_000}]})

    name: Line | None = Field(None, min_length=1, max_length=NAME_MAX)
    scopes: Scopes | None = None
    credit_limit: Credits | None = None
    requests_per_minute: Rate | None = None
    submissions_per_minute: Rate | None = None

    @property
    def changes(self) -> Changes:
        """What is changed."""
        given = self.model_dump(exclude_unset=True)
        return cast("Changes", {name: value for name, value in given.items() if value is not None or _ends(name)})


def _ends(name: str) -> bool:
    return name not in {"name", "scopes"}


class KeyCredits(Answer):
    """What the key's jobs hold now and have used so far; `left` is null without a limit."""

    held: int
    used: int
    left: int | None


class KeyAnswer(Answer):
    """A key, which can't be read again: `prefix` and `lastFour` are what its owner knows it by."""

    id: str
    name: str
    prefix: str
    last_four: str
    scopes: list[Scope]
    status: Literal["active", "expired", "revoked"]
    credit_limit: int | None
    credits: KeyCredits
    requests_per_minute: int | None
    submissions_per_minute: int | None
    expires_at: Timestamp | None
    last_used_at: Timestamp | None = Field(description="to the minute")
    created_at: Timestamp
    revoked_at: Timestamp | None

    @classmethod
    def of(cls, known: ApiKey, /, *, now_ms: int, **more: Any) -> Self:
        """The key as it is now."""
        spent = known.credits_held + known.credits_used
        left = None if known.credit_limit is None else known.credit_limit - spent
        return cls(
            id=known.id,
            name=known.name,
            prefix=known.prefix,
            last_four=known.last_four,
            scopes=list(known.scopes),
            status=known.status(now_ms),
            credit_limit=known.credit_limit,
            credits=KeyCredits(held=known.credits_held, used=known.credits_used, left=left),
            requests_per_minute=known.requests_per_minute,
            submissions_per_minute=known.submissions_per_minute,
            expires_at=known.expires_ms,
            last_used_at=known.last_used_ms,
            created_at=known.created_ms,
            revoked_at=known.revoked_ms,
            **more,
        )


class KeyMadeAnswer(KeyAnswer):
    """A key that was just made."""

    key: str | None = Field(description="the key itself, this once; null when the answer is given again")


class KeysAnswer(Answer):
    """The caller's keys, newest first."""

    keys: list[KeyAnswer]
    pagination: Pagination
