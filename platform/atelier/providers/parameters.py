"""Typed, bounded reading of a request's parameters against the properties of a JSON Schema.

Agents published by users bring schemas of their own, so a provider never trusts that a number is within bounds: the
provider's own schema is checked once more where the value is used.
"""

import re
from collections.abc import Mapping
from typing import Any

from atelier.providers.errors import ParameterInvalid


class Parameters:
    """The values of one request. An absent or null value is the property's `default`; unknown names are ignored."""

    def __init__(self, given: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
        self._given = given
        self._properties: Mapping[str, Mapping[str, Any]] = schema["properties"]

    def integer(self, name: str) -> int:
        """Return a whole number within the property's bounds, or raise ParameterInvalid."""
        value = self._value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _invalid(name)
        return int(self._within(name, value))

    def number(self, name: str) -> float:
        """Return a number within the property's bounds, or raise ParameterInvalid."""
        value = self._value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _invalid(name)
        return self._within(name, value)

    def text(self, name: str) -> str:
        """Return a string that obeys the property's length, `enum` and `pattern`; "" when there is no default."""
        value = self._value(name)
        if value is None:
            return ""
        rule = self._properties[name]
        if not isinstance(value, str) or len(value) > rule["maxLength"]:
            raise _invalid(name)
        if value not in rule.get("enum", (value,)) or not re.search(rule.get("pattern", ""), value):
            raise _invalid(name)
        return value

    def has(self, name: str) -> bool:
        """Tell whether there is a value or a default."""
        return self._value(name) is not None

    def _value(self, name: str) -> Any:
        value = self._given.get(name)
        return self._properties[name].get("default") if value is None else value

    def _within(self, name: str, value: float) -> float:
        rule = self._properties[name]
        # Written so that a NaN, which is neither above nor below anything, is refused too.
        if not rule["minimum"] <= value <= rule["maximum"]:
            raise _invalid(name)
        return value


def _invalid(name: str) -> ParameterInvalid:
    return ParameterInvalid(f"parameter {name} is missing or out of bounds", parameter=name)
