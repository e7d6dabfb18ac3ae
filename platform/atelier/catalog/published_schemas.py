"""JSON Schemas that strangers publish: only what takes a bounded time to check, however it is nested.

References are refused, because a few of them can name each other so that checking doubles with every level. Without
them the time is at most that of every part of the schema on every part of the document.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from atelier.catalog import validation
from atelier.kernel.errors import Invalid
from atelier.providers.schemas import DIALECT

BYTES_MAX: Final = 16_384
PARTS_MAX: Final = 400
_REFERRING: Final = frozenset(
    {"$ref", "$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"}
)


def breaches(schema: Mapping[str, Any], *, at: str) -> list[dict[str, Any]]:
    """Why the schema can't be published; nothing when it can."""
    if too_large := validation.too_large(schema, bytes_max=BYTES_MAX, at=at):
        return too_large
    parts = list(_parts(schema))
    if schema.get("$schema", DIALECT) != DIALECT:
        return [_entry([at, "$schema"], "schema_dialect", f"Expected {DIALECT}.")]
    if len(parts) > PARTS_MAX:
        return [_entry([at], "schema_too_complex", f"More than {PARTS_MAX} parts.", parts_max=PARTS_MAX)]
    if any(_REFERRING & part.keys() for part in parts):
        return [_entry([at], "schema_reference", "References are not allowed.")]
    try:
        validation.compiled(schema, at=at)
    except Invalid as invalid:
        return invalid.fields
    return []


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    kind = value.__class__  # JSON is made of exactly these types.
    if kind is dict:
        yield value
    if kind is dict or kind is list:
        for member in value.values() if kind is dict else value:
            yield from _parts(member)


def _entry(path: list[str | int], code: str, message: str, **context: Any) -> dict[str, Any]:
    return {"path": path, "message": message, "code": code, "context": context}
