"""Named points where a crash test ends the process, and nothing otherwise.

`ATELIER_FAULT="worker.after_claim:kill:3"` sends SIGKILL to this process the third time it passes that point. The
points are part of the product: the promise that any process may be killed at any moment is tested at each of them.
"""

import os
import signal

_ARMED = os.environ.get("ATELIER_FAULT", "")
_NAME, _, _REST = _ARMED.partition(":")
_ACTION, _, _NTH = _REST.partition(":")
_left = int(_NTH or 1)


def point(name: str) -> None:
    """Pass a named point; when armed for it, die or stop here."""
    if name == _NAME:
        _reach()


def _reach() -> None:
    global _left  # noqa: PLW0603 - a process-wide countdown is the point
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGSTOP if _ACTION == "stop" else signal.SIGKILL)
