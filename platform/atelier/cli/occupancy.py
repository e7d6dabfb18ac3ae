"""A data directory belongs to one platform at a time, which leaves a note about itself there: `run.json`."""

import contextlib
import fcntl
import json
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

from atelier.cli.console import Unusable
from atelier.cli.keys import write_private
from atelier.cli.words import say

_LOCK: Final = "lock"
_NOTE: Final = "run.json"


@contextlib.contextmanager
def occupied(data_dir: Path) -> Generator[None]:
    """Have the directory for oneself. The lock ends with the process, however that ends. Raises Unusable."""
    data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        where = read_note(data_dir).get("address", "")
        raise Unusable(
            say(
                f"Atelier is running on {data_dir} already {where}".rstrip() + "; choose another --data-dir",
                zh=f"{data_dir} 上已有平台在运行 {where}".rstrip() + "；请用 --data-dir 换一个目录",
            )
        ) from None
    try:
        yield
    finally:
        (data_dir / _NOTE).unlink(missing_ok=True)
        os.close(descriptor)


def leave_note(data_dir: Path, note: Mapping[str, Any]) -> None:
    """Say where the platform is and which processes it has."""
    write_private(data_dir / _NOTE, json.dumps(note, indent=2) + "\n")


def read_note(data_dir: Path) -> dict[str, Any]:
    """What the running platform says about itself; empty when none runs, or while one starts."""
    try:
        found: dict[str, Any] = json.loads((data_dir / _NOTE).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found
