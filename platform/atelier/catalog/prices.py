"""What an agent may cost: which price each price type needs, and which it has no use for."""

from typing import Any, Final

PRICE_MAX: Final = 1_000_000
_NEEDED: Final = {"one_time": "basePrice", "subscription": "basePrice", "pay_per_use": "creditsPerUse"}


def breaches(*, price_type: str, base_price: int | None, credits_per_use: int | None) -> list[dict[str, Any]]:
    """What is wrong with the prices, field by field. 0 is no price: it is as good as nothing where none is needed."""
    needed = _NEEDED.get(price_type)
    found: list[dict[str, Any]] = []
    for name, price in {"basePrice": base_price, "creditsPerUse": credits_per_use}.items():
        if name == needed and not price:
            found.append({"path": [name], "message": f"{price_type} needs {name}", "code": "price_required"})
        elif name != needed and price:
            found.append({"path": [name], "message": f"{price_type} has no {name}", "code": "price_unused"})
    return found
