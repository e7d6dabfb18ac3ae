"""Processes that die between two steps: the next one raises what nothing catches."""

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from atelier.kernel.database import Database


class Dead(BaseException):
    """The process is gone."""


@dataclass
class Fate:
    """How many steps the process has left; None is for ever."""

    left: int | None = None

    def step(self) -> None:
        """One step, or the end of all."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Dead


class MortalDatabase(Database):
    """A database whose client may die before and after each transaction."""

    fate: Fate

    @override
    def transact(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self.fate.step()
        result = super().transact(fn, *args, **kwargs)
        self.fate.step()
        return result
