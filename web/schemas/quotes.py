"""Asking what a generation would cost."""

from typing import Literal, Self

from pydantic import ConfigDict, Field

from atelier.catalog.pricing import Limit, Price, Unit
from web.schemas.model import Answer, Body, JsonObject, Timestamp, Uuid


class QuoteBody(Body):
    """What would be generated, as POST /api/workshop/generate takes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"agentId": "0198f1d2-7c1a-7000-8000-000000000001", "inputData": {"prompt": "江南水乡的清晨"}}]
        }
    )

    agent_id: Uuid
    input_data: JsonObject
    config: JsonObject | None = None


class PriceLine(Answer):
    """Of what a price is made. The credits of all lines together are the price."""

    unit: Unit
    quantity: int | None = Field(description="in units, begun ones counted whole; null when only the result will tell")
    credits_per_unit: int
    credits: int
    limited_by: Limit | None = Field(description="which bound of the price decided, if one did")

    @classmethod
    def of(cls, price: Price) -> Self:
        """The one line that there is."""
        return cls(
            unit=price.unit,
            quantity=price.quantity,
            credits_per_unit=price.credits_per_unit,
            credits=price.credits,
            limited_by=price.limited_by,
        )


class QuoteAnswer(Answer):
    """What it costs at most, if it is submitted with this `quoteId` before it expires."""

    success: Literal[True] = True
    quote_id: str
    credits: int
    breakdown: list[PriceLine]
    expires_at: Timestamp
