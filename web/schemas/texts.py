"""Texts of several lines in bodies."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

# As in a line, but for what makes lines and columns.
_UNSEEN = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_UNSEEN_CHARACTERS = re.compile(f"[{_UNSEEN}\\ud800-\\udfff]")


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if _UNSEEN_CHARACTERS.search(value):
        raise PydanticCustomError("control_character", "Input should not contain control characters")
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def _word(value: Any) -> Any:
    if isinstance(value, str) and any(character in value for character in "\t\n\r"):
        raise PydanticCustomError("control_character", "Input should not contain control characters")
    return _text(value)


WORD_MAX = 50
LINES = BeforeValidator(_text)
SEEN = Field(json_schema_extra={"pattern": f"^[^{_UNSEEN}]*$"})
"""Where a text may be missing: `Annotated[str, Field(max_length=…), LINES, SEEN] | None`, the bounds first."""

Text = Annotated[str, LINES, SEEN]
"""Lines of text without other control characters, stripped before they are measured. Add `Field(max_length=…)`."""

Word = Annotated[
    str,
    Field(min_length=1, max_length=WORD_MAX),
    BeforeValidator(_word),
    Field(json_schema_extra={"pattern": f"^[^{_UNSEEN}\\t\\n\\r]*$"}),
]
"""A word or a few on one line, as members of lists."""
