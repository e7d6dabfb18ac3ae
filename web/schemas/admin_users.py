"""Users as administrators see and change them."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from atelier.administration.people import Filter, Person, Role, Status
from web.schemas.model import Answer, Body, Line, PageQuery, Pagination, Timestamp

AMOUNT_MAX = 10_000_000
Reason = Annotated[Line, Field(min_length=1, max_length=200, description="why; kept in the audit log")]


class UsersQuery(PageQuery):
    """Which users."""

    search: Line = Field("", max_length=254, description="the beginning of an e-mail address or username, or an id")
    role: Role | None = None
    status: Status | None = None

    @property
    def wanted(self) -> Filter:
        """The filter that this asks for."""
        return Filter(search=self.search or None, role=self.role, status=self.status)


class CreditsAnswer(Answer):
    """What a user has, and owes: `debt` is what was spent before its money was paid back."""

    balance: int
    held: int
    available: int
    spent: int
    debt: int


class PersonAnswer(Answer):
    """A user."""

    id: str
    email: str
    email_verified: bool
    username: str
    display_name: str
    avatar_url: str | None
    role: Role
    status: Status
    credits: CreditsAnswer
    created_at: Timestamp
    last_login_at: Timestamp | None

    @classmethod
    def of(cls, person: Person) -> Self:
        """The user as administrators see them."""
        held = person.balance
        return cls(
            id=person.id,
            email=person.email,
            email_verified=person.email_verified,
            username=person.username,
            display_name=person.display_name,
            avatar_url=person.avatar_url,
            role=person.role,
            status=person.status,
            credits=CreditsAnswer(
                balance=held.balance, held=held.held, available=held.available, spent=held.spent, debt=person.debt
            ),
            created_at=person.created_ms,
            last_login_at=person.last_login_ms,
        )


class PeopleAnswer(Answer):
    """A page of users, newest first; counted up to ten thousand."""

    users: list[PersonAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, people: list[Person], *, total: int, query: PageQuery) -> Self:
        """The page."""
        return cls(users=[PersonAnswer.of(one) for one in people], pagination=Pagination.of(query, total=total))


class ReasonBody(Body):
    """Why."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "盗用他人作品"}]})

    reason: Reason


class RoleBody(ReasonBody):
    """Another role, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "creator", "reason": "通过创作者审核"}]})

    role: Role


class AdjustBody(ReasonBody):
    """Credits to give, or with a minus to take, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": 50, "reason": "补偿失败的任务"}]})

    amount: int = Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX, description="not 0", json_schema_extra={"not": {"const": 0}})


class AdjustedAnswer(Answer):
    """The credits moved; `balance` is what is available now."""

    success: Literal[True] = True
    balance: int
    transaction_id: str
