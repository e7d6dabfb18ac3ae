"""Buying agents, and what was bought."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from atelier.catalog.purchases import Owned, SoldAgent
from web.schemas.agents import PriceType, Status
from web.schemas.model import Answer, Body, Pagination, Timestamp

PRICE_MAX = 10**9


class PurchaseBody(Body):
    """What the buyer knows. Nothing at all buys at the present price."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expectedPrice": 100}]})

    expected_price: int | None = Field(
        None, ge=0, le=PRICE_MAX, description="the price that the buyer saw; another one is answered by PRICE_CHANGED"
    )
    renew: bool = Field(
        False, description="pay for 30 more days of a subscription that still runs; needs an Idempotency-Key"
    )
    auto_renew: bool | None = Field(
        None,
        description="whether the subscription is to be renewed by itself at this price or less; null leaves it as it "
        "is, off at first",
    )


class AutoRenewBody(Body):
    """Whether a subscription is to be renewed by itself. Who turns it on agrees to the present price."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"autoRenew": True, "expectedPrice": 100}]})

    auto_renew: bool
    expected_price: int | None = Field(
        None, ge=0, le=PRICE_MAX, description="the price that the buyer saw; another one is answered by PRICE_CHANGED"
    )


class PurchaseAnswer(Answer):
    """A purchase. `expiresAt` is null for what is bought for good.

    With `autoRenew` it is renewed from the balance within a day of its end, unless that costs more than `renewPrice`.
    """

    id: str
    agent_id: str
    purchase_type: Literal["one_time", "subscription"]
    is_active: bool
    expires_at: Timestamp | None
    created_at: Timestamp
    auto_renew: bool
    renew_price: int | None


class PurchasedAnswer(Answer):
    """The agent is bought."""

    success: Literal[True] = True
    purchase: PurchaseAnswer


class SoldAgentAnswer(Answer):
    """An agent as it is now, in lists of purchases and earnings."""

    id: str
    slug: str
    name: str
    status: Status
    price_type: PriceType
    base_price: int | None

    @classmethod
    def of(cls, agent: SoldAgent) -> Self:
        """The agent on the wire."""
        return cls.model_validate(
            {
                "id": agent.id,
                "slug": agent.slug,
                "name": agent.name,
                "status": agent.status,
                "price_type": agent.price_type,
                "base_price": agent.base_price,
            }
        )


class OwnedAnswer(PurchaseAnswer):
    """A purchase in the list: what was paid, and for which agent. A renewal is a purchase of its own."""

    price: int
    agent: SoldAgentAnswer

    @classmethod
    def of(cls, owned: Owned) -> Self:
        """The purchase on the wire."""
        one = owned.purchase
        values: dict[str, Any] = {
            "id": one.id,
            "agent_id": one.agent_id,
            "purchase_type": one.purchase_type,
            "is_active": owned.is_active,
            "expires_at": one.expires_ms,
            "created_at": one.created_ms,
            "auto_renew": owned.is_active and one.renew_price is not None,
            "renew_price": one.renew_price if owned.is_active else None,
            "price": one.price,
            "agent": SoldAgentAnswer.of(owned.agent),
        }
        return cls.model_validate(values)


class PurchasesAnswer(Answer):
    """A page of the caller's purchases, newest first."""

    purchases: list[OwnedAnswer]
    pagination: Pagination
