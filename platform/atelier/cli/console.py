"""The two streams of a command, and the ways in which one ends early: with a sentence and an exit status."""

from typing import IO, Any, ClassVar, Final

import click
from rich.console import Console
from rich.text import Text
from typing_extensions import override


class SteadyConsole(Console):
    """Goes on without a word when nobody reads it any more: the platform must not end with a closed pipe."""

    @override
    def on_broken_pipe(self) -> None:
        """Be quiet from now on."""
        self.quiet = True


OUT: Final = SteadyConsole(highlight=False)
ERR: Final = SteadyConsole(highlight=False, stderr=True)


class Stop(click.ClickException):
    """Something failed: exit status 1."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))

    @override
    def show(self, file: IO[Any] | None = None) -> None:
        """Print the lines, as they are and not broken anew."""
        ERR.print(Text.assemble(("atelier: ", "bold red"), self.message), soft_wrap=True)


class Unusable(Stop):
    """The command could not begin in the way it was called: exit status 2."""

    exit_code: ClassVar[int] = 2


class Bug(Stop):
    """Nobody has thought of this: exit status 70."""

    exit_code: ClassVar[int] = 70


def line(text: str, *, style: str = "") -> None:
    """Print one line, as it is: a path or an address is never broken, and brackets mean nothing."""
    OUT.print(Text(text, style=style), soft_wrap=True)
