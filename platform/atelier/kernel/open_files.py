"""How many files a process may have open, sockets among them."""

import contextlib
import resource
from typing import Final

FILES_MAX: Final = 65_536


def allow_many() -> None:
    """Raise this process's limit as far as its machine lets it: the usual one was made for people at terminals."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
