"""What people read here exists in English and in Chinese; the terminal's locale decides."""

import os
from collections.abc import Mapping
from functools import lru_cache


def speaks_chinese(environment: Mapping[str, str]) -> bool:
    """Whether the locale is a Chinese one, by the variable that counts first."""
    chosen = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return chosen.lower().startswith("zh")


@lru_cache(maxsize=1)
def _chinese() -> bool:
    return speaks_chinese(os.environ)


def say(english: str, *, zh: str) -> str:
    """The sentence in the language of this terminal."""
    return zh if _chinese() else english


def language() -> str:
    """The language of this terminal, as the API's clients name it."""
    return say("en", zh="zh")
