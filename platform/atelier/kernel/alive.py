"""Whether the roles of this machine are alive: each touches a file while it is in touch with what it needs.

The file carries the machine's name, because replicas may share the data directory.
"""

import os
import socket
from pathlib import Path

from atelier.kernel.clock import SECOND_MS, now_ms

FRESH_SECONDS = 60


def role() -> str:
    """What this process is."""
    return os.environ.get("ATELIER_ROLE", "worker")


def touch(data_dir: Path) -> None:
    """I am alive."""
    place = _place(data_dir, role())
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()


def fresh(data_dir: Path, name: str) -> bool:
    """Whether the role was alive on this machine within the last minute."""
    try:
        return now_ms() - _place(data_dir, name).stat().st_mtime * SECOND_MS < FRESH_SECONDS * SECOND_MS
    except OSError:
        return False


def _place(data_dir: Path, name: str) -> Path:
    return data_dir / "health" / f"{name}@{socket.gethostname()}"
