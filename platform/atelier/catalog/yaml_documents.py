"""YAML that strangers send, read as the JSON that it could have been written as.

The library parses; what it finds is put together here, because that is where YAML gets dangerous: no tags, no aliases
(a few of them can stand for a document of any size), no key twice, one document, and not so much that it takes long.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

BYTES_MAX: Final = 64 * 1024
DEPTH_MAX: Final = 32

# Only what JSON writes so is null, a truth value or a number: `2026-01-31`, `yes`, `010` and `1:30` are texts.
_WORDS: Final[dict[str, Any]] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][-+]?[0-9]{1,3})?")


def load(raw: bytes) -> Any:
    """The document. Raises ValueError for what is no YAML, or more than JSON has a word for."""
    if len(raw) > BYTES_MAX:
        message = f"more than {BYTES_MAX} bytes"
        raise ValueError(message)
    try:
        loader: Any = yaml.SafeLoader(raw.decode())
        return _Document(loader.get_event).read()
    except yaml.YAMLError as error:
        raise ValueError(type(error).__name__) from error


class _Document:
    """Puts a document together from the parser's events."""

    def __init__(self, take: Callable[[], Any]) -> None:
        self._take = take

    def read(self) -> Any:
        self._expect(yaml.StreamStartEvent)
        self._expect(yaml.DocumentStartEvent)
        value = self._value(self._take(), depth=1)
        self._expect(yaml.DocumentEndEvent)
        self._expect(yaml.StreamEndEvent)
        return value

    def _expect(self, kind: type) -> None:
        if self._take().__class__ is not kind:
            raise ValueError("one document is expected")

    def _value(self, event: Any, *, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ValueError("nested too deeply")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None or event.tag is not None:
            raise ValueError("no anchors, aliases or tags")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._members(depth))
        return self._mapping(depth)

    def _members(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := self._take(), yaml.SequenceEndEvent):
            yield self._value(event, depth=depth + 1)

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._take(), yaml.MappingEndEvent):
            key = self._value(event, depth=depth + 1)
            if not isinstance(key, str) or key in found:
                raise ValueError("keys are texts, and each is there once")
            found[key] = self._value(self._take(), depth=depth + 1)
        return found


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        return text
    if math.isinf(number := float(text)):
        raise ValueError("a number without end")
    return number
