"""Rules of what a use of an agent costs: what it may cost at most, said before, and what it did cost, said afterwards.

A fixed price is the same whatever is made. A metered one is so many credits per image, per second or per thousand
characters, a unit that is begun being counted whole, and never below its minimum or above its maximum. Pure functions,
on whole numbers: no credit is ever half.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, cast

Unit = Literal["fixed", "image", "second", "thousand_characters"]
Limit = Literal["minimum", "maximum"]
FIXED: Final = "fixed"
IMAGE: Final = "image"
SECOND: Final = "second"
CHARACTERS: Final = "thousand_characters"
OUTPUT: Final = "output"
TIMED: Final = frozenset({"audio", "video"})
UNITS_MAX: Final = 10**9  # More than any maximum can pay for: what is asked for beyond is not worth counting.
_PER_UNIT: Final = {CHARACTERS: 1_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a price is made: `credits` per `unit`, not less than `minimum` once something is made, nor above `maximum`.

    quantity  what says beforehand how much there will be: "config.<name>", "inputData.<name>", or "output", which
              nothing does. Characters of an input are what is measured afterwards, too
    """

    unit: Unit
    credits: int
    minimum: int
    maximum: int
    quantity: str

    @classmethod
    def fixed(cls, price: int) -> Self:
        """So many credits for a job, whatever it makes."""
        return cls(unit=FIXED, credits=price, minimum=price, maximum=price, quantity=OUTPUT)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """As `document` stored it."""
        return cls(**document)

    @property
    def document(self) -> dict[str, Any]:
        """This as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a job may cost at most, and why. `quantity` is in units; None where it is known only afterwards.

    limited_by  which bound of the rule decided, if one did
    """

    credits: int
    unit: Unit
    quantity: int | None
    credits_per_unit: int
    limited_by: Limit | None = None


def estimate(rule: Rule, *, input_data: Mapping[str, Any], config: Mapping[str, Any]) -> Price:
    """What a job with this input and config may cost at most. What says nothing of its quantity may cost the maximum.

    At least one unit is counted: what asks for none may be given something all the same.
    """
    if rule.unit == FIXED:
        return Price(credits=rule.credits, unit=FIXED, quantity=1, credits_per_unit=rule.credits)
    asked = _asked(rule, input_data, config)
    if asked is None:
        return Price(
            credits=rule.maximum, unit=rule.unit, quantity=None, credits_per_unit=rule.credits, limited_by="maximum"
        )
    units = max(1, _units(rule, asked))
    due, limited_by = _bounded(rule, units)
    return Price(credits=due, unit=rule.unit, quantity=units, credits_per_unit=rule.credits, limited_by=limited_by)


def actual(rule: Rule, quantity: float | None, *, ceiling: int) -> int:
    """What it cost: never above `ceiling`, which is what was promised and is held. Nothing made costs nothing.

    `quantity` is as `measured` found it; None, where the result doesn't say, costs what was promised.
    """
    if rule.unit == FIXED or quantity is None:
        return min(rule.maximum, ceiling)
    units = _units(rule, quantity)
    return min(_bounded(rule, units)[0], ceiling) if units else 0


def measured(rule: Rule, outputs: Sequence[Mapping[str, Any]], *, input_data: Mapping[str, Any]) -> float | None:
    """How much was made, in images, seconds or characters; None where the outputs don't say how long they are.

    Characters are code points, as people count them, and not bytes.
    """
    if rule.unit == IMAGE:
        return len([one for one in outputs if one["type"] == "image"])
    if rule.unit == SECOND:
        return _seconds([one["metadata"].get("durationSeconds") for one in outputs if one["type"] in TIMED])
    if rule.unit == CHARACTERS:
        if rule.quantity == OUTPUT:
            return sum(_length(one) for one in outputs if one["type"] == "text")
        # A text that was left out is one character: what was made for it is not for nothing.
        return max(1, _characters(_source(rule, input_data, {}))) if outputs else 0
    return len(outputs)


def _asked(rule: Rule, input_data: Mapping[str, Any], config: Mapping[str, Any]) -> float | None:
    if rule.quantity == OUTPUT:
        return None
    value = _source(rule, input_data, config)
    if rule.unit == CHARACTERS:
        return _characters(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _source(rule: Rule, input_data: Mapping[str, Any], config: Mapping[str, Any]) -> object:
    place, _, name = rule.quantity.partition(".")
    return (config if place == "config" else input_data).get(name)


def _characters(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def _length(output: Mapping[str, Any]) -> int:
    """Long texts are files: their description has their length."""
    return len(output["text"]) if "text" in output else int(output["characters"])


def _seconds(lengths: Sequence[object]) -> float | None:
    known = [one for one in lengths if isinstance(one, int | float) and not isinstance(one, bool) and one >= 0]
    return math.fsum(known) if len(known) == len(lengths) else None


def _units(rule: Rule, quantity: float) -> int:
    """Whole units: one that is begun counts. Lengths are told to a thousandth, so what is less is no second."""
    if not quantity < UNITS_MAX:
        return UNITS_MAX
    return max(0, math.ceil(round(quantity, 3) / _PER_UNIT.get(rule.unit, 1)))


def _bounded(rule: Rule, units: int) -> tuple[int, Limit | None]:
    due = units * rule.credits
    if due < rule.minimum:
        return rule.minimum, "minimum"
    if due > rule.maximum:
        return rule.maximum, "maximum"
    return due, None


def rule_of(*, price_type: str, credits_per_use: int | None, pricing: Mapping[str, Any] | None) -> Rule:
    """The rule of an agent's version: what is bought or free costs nothing per use."""
    if pricing is not None:
        return Rule.of(pricing)
    return Rule.fixed((credits_per_use or 0) if price_type == "pay_per_use" else 0)


def is_metered(document: Mapping[str, Any] | None) -> bool:
    """Whether a proposed pricing is more than a fixed price."""
    return document is not None and cast("str", document["unit"]) != FIXED
