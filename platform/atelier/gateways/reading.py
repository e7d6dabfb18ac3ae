"""Reading what a gateway has signed: it is theirs, but whether it has the shape that we know is to be seen.

Each function raises Unreadable, which names the place and never shows what stood there.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from atelier.gateways.money import BadAmount

T = TypeVar("T")
# Numbers of orders, payments and refunds, whoever gave them: printable, without blanks, as long as our columns.
_NUMBER = re.compile(r"[!-~]{1,64}")
FEN_MAX = 10**12 - 1


class Unreadable(ValueError):
    """It does not have the shape that the gateway's documentation gives it."""


def number(source: Mapping[str, Any], name: str) -> str:
    """A number of an order, a payment or a refund."""
    value = source.get(name)
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        raise Unreadable(name)
    return value


def number_or_none(source: Mapping[str, Any], name: str) -> str | None:
    """The same; None where there is none."""
    return number(source, name) if source.get(name) else None


def converted(source: Mapping[str, Any], name: str, convert: Callable[[str], T]) -> T:
    """What `convert` makes of a text; it may raise ValueError or BadAmount."""
    value = source.get(name)
    if not isinstance(value, str):
        raise Unreadable(name)
    try:
        return convert(value)
    except (ValueError, OverflowError, BadAmount) as error:
        raise Unreadable(name) from error


def converted_or_none(source: Mapping[str, Any], name: str, convert: Callable[[str], T]) -> T | None:
    """The same; None where the text is empty or missing."""
    return converted(source, name, convert) if source.get(name) else None


def whole_fen(source: Mapping[str, Any], name: str) -> int:
    """An amount that is a number of fen already."""
    value = source.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= FEN_MAX:
        raise Unreadable(name)
    return value


def inner(source: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object within the object."""
    value = source.get(name)
    if not isinstance(value, dict):
        raise Unreadable(name)
    return cast("dict[str, Any]", value)


def document(raw: str | bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice."""
    try:
        found: object = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Unreadable("json") from error
    if not isinstance(found, dict):
        raise Unreadable("json")
    return cast("dict[str, Any]", found)


def event_key(kind: str, name: str, *decides: object) -> str:
    """The name of an event: the gateway's own, and whatever decides what the event does.

    So repetitions are one event, and no event hides another, should a gateway give two of them the same name.
    """
    parts = "\n".join(str(one) for one in (name, *decides))
    return f"{kind}:{hashlib.sha256(parts.encode()).hexdigest()[:48]}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("duplicate")
    return found
