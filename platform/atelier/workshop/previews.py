"""What a list shows of a version: a line of it, never the whole. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

PREVIEW_CHARS: Final = 160
_LOOKED_AT_MAX: Final = 200
_READ_CHARS_MAX: Final = 4 * PREVIEW_CHARS
_JOINERS: Final = "\u200c\u200d"  # Persian and emoji need them


def line(text: str) -> str | None:
    """The beginning of a text on one line, without control and direction characters; None when nothing is left."""
    shown = "".join(c if c.isprintable() or c in _JOINERS else " " for c in text[:_READ_CHARS_MAX])
    joined = " ".join(shown.split())
    return (joined if len(joined) <= PREVIEW_CHARS else f"{joined[: PREVIEW_CHARS - 1]}…") or None


def of_content(content: Mapping[str, Any]) -> str | None:
    """The first text in the content that has something to read."""
    return next((found for text in _texts(content) if (found := line(text))), None)


def of_outputs(outputs: list[dict[str, Any]]) -> str | None:
    """The beginning of the first text that a job has made."""
    return next((found for one in outputs if "text" in one and (found := line(one["text"]))), None)


def _texts(content: Mapping[str, Any]) -> Iterator[str]:
    """The texts in the content, in order, as far as it is looked at."""
    waiting: list[Any] = [content]
    for _ in range(_LOOKED_AT_MAX):
        if not waiting:
            return
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting += reversed(list(cast("Mapping[str, Any]", value).values())[:_LOOKED_AT_MAX])
        elif isinstance(value, list):
            waiting += reversed(cast("Sequence[Any]", value)[:_LOOKED_AT_MAX])
