"""What an agent may cost: which price each price type needs, which it has no use for, and what a metered price must be.

A metered agent is paid per use. Its `creditsPerUse` is its maximum, so that whoever knows nothing of meters, be it a
front end or the order of a list, never promises less than may be taken.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from atelier.catalog import pricing
from atelier.catalog.pricing import Rule

PRICE_MAX: Final = 1_000_000
_NEEDED: Final = {"one_time": "basePrice", "subscription": "basePrice", "pay_per_use": "creditsPerUse"}
_MADE_BY: Final = {pricing.IMAGE: {"image"}, pricing.SECOND: pricing.TIMED}
_TYPES: Final = {
    pricing.IMAGE: {"integer", "number"},
    pricing.SECOND: {"integer", "number"},
    pricing.CHARACTERS: {"string"},
}

Document = Mapping[str, Any]
Breach = dict[str, Any]


def breaches(
    *, price_type: str, base_price: int | None, credits_per_use: int | None, metered: Document | None = None
) -> list[Breach]:
    """What is wrong with the prices, field by field. 0 is no price: it is as good as nothing where none is needed."""
    needed = _NEEDED.get(price_type)
    is_metered = pricing.is_metered(metered)
    found: list[Breach] = []
    for name, price in {"basePrice": base_price, "creditsPerUse": credits_per_use}.items():
        if name == needed and not price and not (is_metered and name == "creditsPerUse"):
            found.append({"path": [name], "message": f"{price_type} needs {name}", "code": "price_required"})
        elif name != needed and price:
            found.append({"path": [name], "message": f"{price_type} has no {name}", "code": "price_unused"})
    if metered is not None:
        found += _of_metered(metered, price_type, credits_per_use) if is_metered else _of_fixed(metered)
    return found


def settled(metered: Document | None) -> Document | None:
    """What is kept of a pricing that has no breaches: None for a fixed price."""
    if metered is None or not pricing.is_metered(metered):
        return None
    return Rule(
        unit=metered["unit"],
        credits=metered["credits"],
        minimum=metered.get("minimum") or 0,
        maximum=metered["maximum"],
        quantity=metered.get("quantity") or pricing.OUTPUT,
    ).document


def misfits(
    metered: Document | None, *, kind: str, input_schema: Document, config_schema: Document
) -> Iterator[Breach]:
    """What a settled pricing counts and its agent doesn't make, or asks of fields that the agent's schemas lack."""
    if metered is None:
        return
    rule = Rule.of(metered)
    is_read = rule.unit == pricing.CHARACTERS and rule.quantity == pricing.OUTPUT
    if kind not in ({"text"} if is_read else _MADE_BY.get(rule.unit, {kind})):
        yield _entry(["unit"], "pricing_unit_mismatch", f"There is none of it in {kind}.", kind=kind)
    place, _, name = rule.quantity.partition(".")
    if place == pricing.OUTPUT:
        return
    if rule.unit == pricing.CHARACTERS and place != "inputData":
        yield _entry(["quantity"], "pricing_quantity_unknown", "Only texts of inputData are counted.")
        return
    field: Any = (config_schema if place == "config" else input_schema).get("properties", {}).get(name)
    if not isinstance(field, Mapping):
        yield _entry(["quantity"], "pricing_quantity_unknown", f"{place} has no {name}.")
    elif field.get("type") not in _TYPES[rule.unit]:
        yield _entry(["quantity"], "pricing_quantity_type", "Not a field of the right type.")


def _of_fixed(fixed: Document) -> Iterator[Breach]:
    for name in ("credits", "minimum", "maximum", "quantity"):
        if fixed.get(name) is not None:
            yield _entry([name], "price_unused", f"a fixed price has no {name}")


def _of_metered(metered: Document, price_type: str, credits_per_use: int | None) -> Iterator[Breach]:
    per_unit, maximum = metered.get("credits"), metered.get("maximum")
    if price_type != "pay_per_use":
        yield _entry(["unit"], "pricing_per_use_only", "Only what is paid per use is metered.")
    if per_unit is None:
        yield _entry(["credits"], "price_required", "a metered price needs credits")
    if maximum is None:
        yield _entry(["maximum"], "pricing_maximum_required", "a metered price needs a maximum")
        return
    least = max(per_unit or 0, metered.get("minimum") or 0)
    if maximum < least:
        yield _entry(["maximum"], "greater_than_equal", f"less than {least}", ge=least)
    if credits_per_use and price_type == "pay_per_use" and credits_per_use != maximum:
        message = "the maximum, or left out"
        yield {"path": ["creditsPerUse"], "message": message, "code": "pricing_is_metered", "context": {}}


def _entry(path: list[str], code: str, message: str, **context: Any) -> Breach:
    return {"path": ["pricing", *path], "message": message, "code": code, "context": context}
