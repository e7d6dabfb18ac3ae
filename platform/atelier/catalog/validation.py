"""JSON Schemas that people publish, applied to JSON that other people send: bounded in time, memory and reach.

Patterns run on a linear-time engine, references outside the document are never fetched, and what was sent is never
quoted in a message, because it may be a prompt.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from threading import Lock
from typing import Any, Final

import jsonschema_rs
from jsonschema_rs import Draft202012Validator, ValidationError
from jsonschema_rs import ValidationErrorKind as Kind
from pydantic_core import PydanticSerializationError, to_json

from atelier.kernel.errors import Invalid

FOUND_MAX: Final = 20
COMPILED_MAX: Final = 1_024
DEPTH_MAX: Final = 255  # where the validator itself stops
_PATTERNS: Final = jsonschema_rs.RegexOptions()


def compiled(schema: Mapping[str, Any], *, at: str) -> Draft202012Validator:
    """The validator of a schema, draft 2020-12. Raises Invalid at `at` when it isn't one or refers to the outside."""
    try:
        return Draft202012Validator(dict(schema), pattern_options=_PATTERNS, mask="value", offline=True)
    except ValueError as error:
        raise Invalid([_entry([at], "schema_invalid", "Not a JSON Schema that can be used here.")]) from error


class Rules:
    """What an agent's version asks of `inputData` and `config`."""

    __slots__ = ("_config", "_input", "_schemas")

    def __init__(self, input_schema: Mapping[str, Any], config_schema: Mapping[str, Any]) -> None:
        self._schemas = (input_schema, config_schema)
        self._input = compiled(input_schema, at="inputSchema")
        self._config = compiled(config_schema, at="configSchema")

    def are_of(self, input_schema: Mapping[str, Any], config_schema: Mapping[str, Any]) -> bool:
        """Whether they were compiled from these schemas."""
        return self._schemas == (input_schema, config_schema)

    def allow(self, input_data: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
        """Whether both are valid. Raises ValueError when one can't be JSON text or is nested too deeply."""
        return self._input.is_valid(input_data) and self._config.is_valid(config)

    def check_config(self, config: Mapping[str, Any], *, at: str) -> None:
        """Raise Invalid, with paths that start with `at`, unless the config is valid."""
        if found := list(_breaches(self._config, config, at=at)):
            raise Invalid(found)

    def breaches(self, input_data: Mapping[str, Any], config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is wrong with which field: at most FOUND_MAX entries, none when both are valid."""
        of_input = _breaches(self._input, input_data, at="inputData")
        return list(islice(chain(of_input, _breaches(self._config, config, at="config")), FOUND_MAX))


class RulesCache:
    """The compiled rules of the agents used lately, by agent and version."""

    def __init__(self, *, size_max: int = COMPILED_MAX) -> None:
        self._size_max = size_max
        self._rules: dict[tuple[str, int], Rules] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._rules)

    def get(
        self, agent_id: str, version: int, *, input_schema: Mapping[str, Any], config_schema: Mapping[str, Any]
    ) -> Rules:
        """The rules of this version. Raises Invalid when its schemas can't be compiled."""
        rules = self._rules.get((agent_id, version))
        # A version never changes, but a process may see two databases; comparing costs less than a microsecond.
        if rules is not None and rules.are_of(input_schema, config_schema):
            return rules
        rules = Rules(input_schema, config_schema)
        with self._lock:
            self._rules.pop((agent_id, version), None)
            while len(self._rules) >= self._size_max:
                del self._rules[next(iter(self._rules))]
            self._rules[agent_id, version] = rules
        return rules


def too_large(document: Mapping[str, Any], *, bytes_max: int, at: str) -> list[dict[str, Any]]:
    """An entry when the document is longer than `bytes_max` as JSON, or isn't text at all; else nothing."""
    try:
        text = to_json(document)
    except PydanticSerializationError:
        return [_entry([at], "string_unicode", "Not valid UTF-8 text.")]
    if len(text) > bytes_max:
        return [_entry([at], "json_too_large", f"Longer than {bytes_max} bytes.", bytes_max=bytes_max)]
    return []


def _breaches(validator: Draft202012Validator, instance: Mapping[str, Any], *, at: str) -> Iterator[dict[str, Any]]:
    try:
        for error in validator.iter_errors(instance):
            yield from _entries(error, at=at)
    except ValueError:
        yield _entry([at], "json_too_deep", "Nested too deeply.", depth=DEPTH_MAX)


def _entries(error: ValidationError, *, at: str) -> Iterator[dict[str, Any]]:
    """One entry per field: a missing or unexpected property is named itself, not the object that it belongs in."""
    path: list[str | int] = [at, *error.instance_path]
    match error.kind:
        case Kind.Required(property=name):
            yield _entry([*path, name], "missing", "Required.")
        case Kind.AdditionalProperties(unexpected=names) | Kind.UnevaluatedProperties(unexpected=names):
            for name in names:
                yield _entry([*path, name], "extra_forbidden", "Not a known field.")
        case Kind.Type(types=[only]):
            yield _entry(path, _TYPE_CODES.get(only, "schema_mismatch"), error.message)
        case Kind.Enum(options=options):
            yield _entry(path, "enum", error.message, expected=", ".join(map(str, options)))
        case kind if kind.name in _LIMIT_CODES:
            code, name = _LIMIT_CODES[kind.name]
            yield _entry(path, code, error.message, **{name: kind.value})
        case _:
            yield _entry(path, "schema_mismatch", error.message)


def _entry(path: list[str | int], code: str, message: str, **context: Any) -> dict[str, Any]:
    return {"path": path, "message": message, "code": code, "context": context}


# The words that the request models use for the same rules, so that a reader needs to know one set of codes.
_TYPE_CODES: Final = {
    "string": "string_type",
    "integer": "int_type",
    "number": "float_type",
    "boolean": "bool_type",
    "object": "dict_type",
    "array": "list_type",
}
_LIMIT_CODES: Final = {
    "minLength": ("string_too_short", "min_length"),
    "maxLength": ("string_too_long", "max_length"),
    "pattern": ("string_pattern_mismatch", "pattern"),
    "minItems": ("too_short", "min_length"),
    "maxItems": ("too_long", "max_length"),
    "minimum": ("greater_than_equal", "ge"),
    "maximum": ("less_than_equal", "le"),
    "exclusiveMinimum": ("greater_than", "gt"),
    "exclusiveMaximum": ("less_than", "lt"),
}
