"""Writes docs/settings.md from the settings class: `python -m tools.settings_page [--check]`."""

import sys
from pathlib import Path

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from atelier.kernel.settings import Settings

PAGE = Path("docs/settings.md")
HEAD = """# Settings

Environment variables, read once per process. `<NAME>_FILE` names a file that holds the value. This page is made from
`platform/atelier/kernel/settings.py` by `python -m tools.settings_page`.

| variable | default | meaning |
|---|---|---|
"""


FIELDS = Settings.model_fields.items()


def variables(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that set this field."""
    alias = field.validation_alias
    return [str(one) for one in alias.choices] if isinstance(alias, AliasChoices) else [f"ATELIER_{name.upper()}"]


def _names(name: str, field: FieldInfo) -> str:
    return ", ".join(f"`{one}`" for one in variables(name, field))


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined or isinstance(field.default, SecretStr) or field.default == "":
        return "–"
    return f"`{field.default}`"


def page() -> str:
    """The page as it should be."""
    rows = [f"| {_names(name, field)} | {_default(field)} | {field.description or ''} |" for name, field in FIELDS]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if PAGE.read_text(encoding="utf-8") == page()
            else "docs/settings.md is out of date: run python -m tools.settings_page"
        )
    PAGE.write_text(page(), encoding="utf-8")
