"""JSON objects of a bounded size."""

from collections.abc import Callable
from typing import Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json


def at_most(bytes_max: int) -> AfterValidator:
    """What to annotate a JsonObject with, so that it has no more bytes than these when it is written down."""
    return AfterValidator(_sized(bytes_max))


def _sized(bytes_max: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def sized(value: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(to_json(value))
        except PydanticSerializationError:  # Half a surrogate pair is no text anywhere else.
            raise PydanticCustomError("string_unicode", "Input should be valid Unicode") from None
        if size > bytes_max:
            raise PydanticCustomError("json_too_large", "At most {bytes_max} bytes", {"bytes_max": bytes_max})
        return value

    return sized
