"""What a submission is refused for."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, Forbidden, NotFound, RateLimited, Refusal


class AgentUnavailable(NotFound):
    """There is no such agent, or it is not published."""

    code: ClassVar[str] = "AGENT_UNAVAILABLE"


class NotPurchased(Forbidden):
    """The agent has to be bought or rented first."""

    code: ClassVar[str] = "NOT_PURCHASED"


class TooManyWaiting(RateLimited):
    """The user has as many waiting jobs as are allowed."""

    code: ClassVar[str] = "TOO_MANY_WAITING"


class Draining(RateLimited):
    """The agent's queue or provider accepts nothing new at the moment."""

    code: ClassVar[str] = "DRAINING"


class EmailUnverified(Forbidden):
    """Only users with a verified address may spend."""

    code: ClassVar[str] = "EMAIL_UNVERIFIED"


class UserDisabled(Conflict):
    """The job's user may not spend any more."""

    code: ClassVar[str] = "USER_DISABLED"


class PriceRisen(Conflict):
    """Today the job would cost its user more than they agreed to: `price` instead of `agreed`."""

    code: ClassVar[str] = "PRICE_CHANGED"


class PriceAboveMax(Refusal):
    """The job may cost `required` credits, more than the `max_credits` that its user wants to pay."""

    code: ClassVar[str] = "PRICE_ABOVE_MAX"


class QuoteInvalid(Refusal):
    """Nobody gave this quote to this user."""

    code: ClassVar[str] = "QUOTE_INVALID"


class QuoteExpired(Refusal):
    """The quote held for a while, and that is over."""

    code: ClassVar[str] = "QUOTE_EXPIRED"


class MessageUnreadable(Conflict):
    """Nobody here can read this message, so it is of no use to send it again."""

    code: ClassVar[str] = "MESSAGE_UNREADABLE"
