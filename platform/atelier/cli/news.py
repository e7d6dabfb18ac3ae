"""What the console says about the roles: little, unless one ends or everything is asked for."""

import signal
from typing import Final

from rich.text import Text

from atelier.cli.console import OUT, line
from atelier.cli.words import say
from atelier.supervisor.keeper import Change

_COLOURS: Final = ("cyan", "green", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta", "bright_blue")
_NAME_WIDTH: Final = 17
_MENTIONED_MAX: Final = 3


class News:
    """With `verbose`, every line of every role is shown."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._colours: dict[str, str] = {}

    def printed(self, role: str, text: str) -> None:
        """A role printed a line."""
        if self._verbose:
            colour = self._colours.setdefault(role, _COLOURS[len(self._colours) % len(_COLOURS)])
            OUT.print(Text.assemble((f"{role:<{_NAME_WIDTH}} ", colour), Text.from_ansi(text)), soft_wrap=True)

    def ended(self, change: Change, *, last_lines: list[str]) -> None:
        """A role has ended and comes back, or is given up. One that keeps ending is mentioned a few times only."""
        if change.failures > _MENTIONED_MAX and change.kind != "abandoned":
            return
        how = _how(change.status or 0)
        wait = f"{change.wait or 0:.1f}"
        if change.kind == "abandoned":
            english, chinese = f"{change.role} {how}; going on without it", f"{change.role} {how}，不再启动"
        elif change.failures == _MENTIONED_MAX:
            english = f"{change.role} {how} again; it is tried on and on, see logs/{change.role}.log"
            chinese = f"{change.role} 再次{how}，将持续重试，详见 logs/{change.role}.log"
        else:
            english = f"{change.role} {how}; starting it again in {wait} s"
            chinese = f"{change.role} {how}，{wait} 秒后重新启动"
        line(say(english, zh=chinese), style="yellow")
        if (change.status or 0) >= 0 and last_lines and not self._verbose:
            line(f"  {last_lines[-1][:500]}", style="dim")


def _how(status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        return say(f"was ended by {name}", zh=f"被 {name} 终止")
    return say(f"ended with status {status}", zh=f"退出，状态码 {status}")
