"""The names that settings have in the environment: which ones a field can have, and which one it was set by."""

import os
from collections.abc import Mapping

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

PREFIX = "ATELIER_"


def names(name: str, field: FieldInfo) -> list[str]:
    """Every variable that sets this field, the one that wins first."""
    return [*_aliases(field), f"{PREFIX}{name.upper()}"]


def known(fields: Mapping[str, FieldInfo]) -> set[str]:
    """Every variable that sets one of these fields."""
    return {variable for name, field in fields.items() for variable in names(name, field)}


def set_by(name: str, field: FieldInfo, *, files: Mapping[str, str]) -> str:
    """The variable that sets this field now, spelled as in the environment; the usual one when none does.

    `files` gives the variables that were filled from a file, each with the variable that named the file.
    """
    # Letters of either case set a field, so either is what an operator may look for.
    spelled = {variable.lower(): variable for variable in os.environ}
    for variable in names(name, field):
        if found := spelled.get(variable.lower()):
            return files.get(found, found)
    return (_aliases(field) or names(name, field))[-1]


def _aliases(field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
