"""What the roles print: a file per role that doesn't grow without bound, the last words at hand, an echo if wanted."""

import logging
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from typing_extensions import override

FILE_BYTES: Final = 10_000_000
FILES_KEPT: Final = 2
LAST_LINES: Final = 20
LINE_BYTES: Final = 100_000


class _File(RotatingFileHandler):
    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk costs the line, not the platform."""


class Journal:
    """Writes `folder/<role>.log`. `echo` gets every line with the name of its role."""

    def __init__(self, folder: Path, *, echo: Callable[[str, str], None] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._echo = echo
        self._unfinished: dict[str, bytes] = {}
        self._files: dict[str, _File] = {}
        self._last: dict[str, deque[str]] = {}

    def write(self, role: str, data: bytes) -> None:
        """Take a piece of what the role printed; pieces need not end with a line."""
        *lines, rest = (self._unfinished.get(role, b"") + data).split(b"\n")
        if len(rest) > LINE_BYTES:
            lines, rest = [*lines, rest], b""
        self._unfinished[role] = rest
        for line in lines:
            self._line(role, line.decode(errors="replace").rstrip("\r"))

    def last_lines(self, role: str) -> list[str]:
        """The last lines that the role printed, oldest first."""
        return list(self._last.get(role, ()))

    def close(self) -> None:
        """Write unfinished lines and close the files."""
        for role, rest in self._unfinished.items():
            if rest:
                self._line(role, rest.decode(errors="replace"))
        self._unfinished.clear()
        for file in self._files.values():
            file.close()

    def _line(self, role: str, line: str) -> None:
        if role not in self._files:
            path = self._folder / f"{role}.log"
            self._files[role] = _File(path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", delay=True)
            self._last[role] = deque(maxlen=LAST_LINES)
        self._files[role].handle(logging.makeLogRecord({"msg": line}))
        self._last[role].append(line)
        if self._echo:
            self._echo(role, line)
