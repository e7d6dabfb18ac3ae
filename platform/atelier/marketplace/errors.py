"""What buying an agent is refused for, beside what the catalogue and the ledger refuse."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, Refusal


class AlreadyPurchased(Refusal):
    """The user has it, and did not ask to renew."""

    code: ClassVar[str] = "ALREADY_PURCHASED"


class PriceChanged(Conflict):
    """The price is not the one that the user expected; `price` is the present one."""

    code: ClassVar[str] = "PRICE_CHANGED"


class OwnAgent(Refusal):
    """Nobody has to buy their own agent."""

    code: ClassVar[str] = "OWN_AGENT"


class AgentIsFree(Refusal):
    """There is nothing to pay."""

    code: ClassVar[str] = "AGENT_IS_FREE"


class AgentIsPaidPerUse(Refusal):
    """There is nothing to pay in advance."""

    code: ClassVar[str] = "AGENT_IS_PAID_PER_USE"


class SubscriptionTooLong(Refusal):
    """It would reach further ahead than subscriptions may."""

    code: ClassVar[str] = "SUBSCRIPTION_TOO_LONG"


class NotASubscription(Refusal):
    """Nothing is renewed of what is bought for good."""

    code: ClassVar[str] = "NOT_A_SUBSCRIPTION"


class NotSubscribed(Conflict):
    """The user has no subscription of the agent that runs."""

    code: ClassVar[str] = "NOT_SUBSCRIBED"
