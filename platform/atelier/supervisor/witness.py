"""The process that outlives the supervisor for a moment: when the supervisor is gone, it kills what is left.

    python -I -S witness.py

It reads `+GROUP` and `-GROUP`, a line each, from a pipe that only the supervisor holds open. The pipe's end is the
supervisor's end, whatever the reason, and the groups that were not taken back are killed.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Watch until the pipe ends."""
    for asked in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        if line.startswith(b"+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
