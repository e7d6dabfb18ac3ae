"""What a completed job costs: its rule, applied to what it made. The result says what was counted, for whoever asks."""

from dataclasses import dataclass
from typing import Any

from atelier.catalog import pricing
from atelier.catalog.pricing import Rule
from atelier.jobs.service import Claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is taken of the hold, and the result that says why."""

    used: int
    result: dict[str, Any]


def bill(claimed: Claimed, result: dict[str, Any]) -> Bill:
    """The bill for this result. A job without a rule of its own costs what was held for it.

    `usage.quantity` is in images, seconds or characters, null where the result doesn't say; `credits` comes first,
    because that is where the doctor looks.
    """
    if claimed.pricing is None:
        return Bill(used=claimed.held, result=result)
    rule = Rule.of(claimed.pricing)
    quantity = pricing.measured(rule, result["outputs"], input_data=claimed.input)
    used = pricing.actual(rule, quantity, ceiling=claimed.held)
    return Bill(used=used, result=result | {"usage": {"credits": used, "unit": rule.unit, "quantity": quantity}})
