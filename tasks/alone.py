"""One at a time on this machine: a long task must not take every slot that a short one waits for."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path) -> Generator[bool]:
    """Whether nobody else on this machine is inside. The kernel lets go of the file of a process that was killed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
