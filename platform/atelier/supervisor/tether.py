"""Runs first in every child: ties its life to the supervisor's, then becomes the program.

    python -I -S tether.py SUPERVISOR_PID PROGRAM [ARGUMENT …]

Started by its path and without the site packages, so it uses the standard library only and costs a few milliseconds.
Doing this between fork and exec would run Python in the copy of a process with threads, which may lock up.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


def main(arguments: list[str]) -> None:
    """Become the program. Doesn't return."""
    supervisor, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(supervisor):
        # It died before the tie was made.
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - a shell would be one process too many
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    main(sys.argv[1:])
