"""The models that every request and every answer is made of, and the types of their fields.

JSON is camelCase on the wire and snake_case here. What comes in is strict: unknown members, `"5"` for 5 and `true` for
1 are refused. What goes out is declared, so the document at `/openapi.json` says the truth.
"""

import math
import re
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from atelier.kernel import clock

PAGE_MAX = 100_000
LIMIT_DEFAULT = 20
LIMIT_MAX = 50
DEPTH_MAX = 20
INTEGER_MAX = 2**63 - 1
# The years 1000 to 9998: what is written down again in another zone, or rounded to a month, is a year with four digits.
MOMENT_MIN_MS = -30_610_224_000_000
MOMENT_END_MS = 253_370_764_800_000

_DIGITS = re.compile(r"-?[0-9]{1,18}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Control characters, and the marks that reorder or hide text on a screen, have no place in a name.
_CONTROL_CHARACTERS = r"\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_CONTROLS = re.compile(f"[{_CONTROL_CHARACTERS}\\ud800-\\udfff]")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")


class Body(BaseModel):
    """A JSON body. Give every subclass `model_config = ConfigDict(json_schema_extra={"examples": [{…}]})`."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=False, extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


class Query(BaseModel):
    """The query string. Values come as text: use the types of this module, which read them strictly."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=False, extra="forbid", frozen=True, allow_inf_nan=False
    )


class Answer(BaseModel):
    """A JSON answer; made with the Python names, serialised with camelCase ones."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        json_schema_serialization_defaults_required=True,
    )


# ------------------------------------------------------------------------------------------------------ field types


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise PydanticCustomError("int_type", "Input should be a valid integer")
        return int(value)
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise PydanticCustomError("bool_type", "Input should be a valid boolean")
        return value == "true"
    return value


def _uuid(value: str) -> str:
    lowered = value.lower()
    if not _UUID.fullmatch(lowered):
        raise PydanticCustomError("uuid_parsing", "Input should be a valid UUID")
    return lowered


def _line(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if _CONTROLS.search(value):
        raise PydanticCustomError("control_character", "Input should not contain control characters")
    return value.strip()


def _moment(value: Any) -> int:
    try:
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            moment = int(datetime.fromisoformat(value).timestamp() * 1000)
            if MOMENT_MIN_MS <= moment < MOMENT_END_MS:
                return moment
    except (ValueError, OverflowError):  # 31 February, or the year 0: written like a moment, but none
        pass
    raise PydanticCustomError("datetime_parsing", "Input should be a valid datetime in RFC 3339 format")


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    _walk(value, 2)  # The object is at least the second level: it is a member of a body.
    return value


def _walk(value: Any, depth: int) -> None:
    kind = value.__class__  # The parser makes exactly these types.
    if kind is dict or kind is list:
        if depth > DEPTH_MAX:
            raise PydanticCustomError("json_too_deep", "JSON may have {depth} levels", {"depth": DEPTH_MAX})
        for member in value.values() if kind is dict else value:
            _walk(member, depth + 1)
    elif kind is float and not math.isfinite(value):
        raise PydanticCustomError("finite_number", "Input should be a finite number")
    elif kind is int and abs(value) > INTEGER_MAX:
        raise PydanticCustomError("number_too_large", "Numbers have at most 64 bits")


FromText = BeforeValidator(_integer)
"""Reads an integer of a query string: ASCII digits with an optional minus, nothing else.

`Annotated[int, Field(ge=…, le=…), FromText]`, the bounds first: behind it they would not be in the document.
"""

QueryNumber = Annotated[int, Field(ge=0, le=10**18 - 1), FromText]
"""The number of an event or a moment in a query string: eighteen digits at most."""

QueryFlag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool)]
"""`true` or `false` in a query string."""

Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
"""A UUID, in either case on the wire, in lower case here."""

Line = Annotated[str, BeforeValidator(_line), Field(json_schema_extra={"pattern": f"^[^{_CONTROL_CHARACTERS}]*$"})]
"""One line of text without control characters, stripped before it is measured. Add `Field(min_length=…, …)`."""

Moment = Annotated[int, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 on the wire, milliseconds since the epoch here."""

JsonObject = Annotated[dict[str, Any], AfterValidator(_bounded)]
"""Any JSON object of at most 20 levels (the body's own included), with finite numbers of at most 64 bits."""

Timestamp = Annotated[
    int,
    PlainSerializer(clock.rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""For answers: milliseconds here, RFC 3339 on the wire. `Timestamp | None` where there may be none."""


# ------------------------------------------------------------------------------------------------------- pagination


def _clamped(value: int) -> int:
    return min(value, LIMIT_MAX)


class PageQuery(Query):
    """`page` and `limit` of every list; subclass it for filters."""

    page: Annotated[int, Field(ge=1, le=PAGE_MAX), FromText] = 1
    limit: Annotated[int, Field(ge=1, le=10**15), FromText, AfterValidator(_clamped)] = Field(
        LIMIT_DEFAULT, description="above 50 means 50"
    )

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.page - 1) * self.limit


class Pagination(Answer):
    """The second member of every list."""

    page: int
    limit: int
    total: int
    pages: int

    @classmethod
    def of(cls, query: PageQuery, *, total: int) -> Self:
        """The pagination that answers `query` when there are `total` rows."""
        return cls(page=query.page, limit=query.limit, total=total, pages=-(-total // query.limit))
