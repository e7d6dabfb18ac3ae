"""A command as people run it, and a platform as `atelier up` runs it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from atelier.cli import occupancy
from tests.conftest import ProcessFactory
from tests.nursery import NURSERY
from tests.servers import Process, until

READY_SECONDS_MAX = 60  # Promised are 15 s on an idle machine; tests share theirs.
ATELIER = (sys.executable, "-m", "atelier.cli")
ENGLISH = {"LC_ALL": "C.UTF-8"}


class Run(Protocol):
    """Runs a command in the test's own folder."""

    def __call__(self, *arguments: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        """Wait for its end; both streams are kept."""
        ...


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`atelier …` in a folder of its own, in English; from the nursery, or each would import everything again."""
    streams = tmp_path_factory.mktemp("streams")
    out, err, log = (streams / name for name in ("out", "err", "log"))

    def call(*arguments: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        command = [*map(str, (tmp_path, out, err, *arguments))]
        child = NURSERY.fork("tests.cli.began", command, log=log, env={**os.environ, **ENGLISH, **env})
        try:
            status = child.wait(timeout=60)
        finally:
            child.terminate()
        return subprocess.CompletedProcess(command[3:], status, out.read_text("utf-8"), err.read_text("utf-8"))

    return call


class Up:
    """`atelier up` as a process of its own."""

    def __init__(self, child: Process, data_dir: Path) -> None:
        self.child = child
        self.data_dir = data_dir

    @property
    def note(self) -> dict[str, Any]:
        """What it says about itself."""
        return occupancy.read_note(self.data_dir)

    @property
    def address(self) -> str:
        """Where its API is."""
        address: str = self.note["address"]
        return address

    @property
    def roles(self) -> dict[str, int]:
        """Ids of the leaders."""
        roles: dict[str, int] = self.note.get("roles", {})
        return roles

    def everyone(self) -> set[int]:
        """All its processes now, itself included."""
        return {self.child.pid} | descendants(self.child.pid)

    def kill(self, role: str) -> int:
        """Kill a role's leader (SIGKILL); answers who took its place."""
        killed = self.roles[role]
        os.kill(killed, signal.SIGKILL)
        return until(lambda: self._successor(role, killed), what=f"{role} is started again")

    def _successor(self, role: str, killed: int) -> int:
        now = self.roles.get(role, killed)
        return 0 if now == killed else now


StartUp = Callable[..., Up]


@pytest.fixture
def up(process: ProcessFactory, tmp_path: Path) -> StartUp:
    """up(env) → an `atelier up` that is ready."""

    def start(env: Mapping[str, str] | None = None) -> Up:
        data_dir = tmp_path / "data"
        command = [*ATELIER, "up", "--port", "0", "--data-dir", str(data_dir)]
        child = process(command, env={**ENGLISH, **(env or {})}, cwd=tmp_path)
        made = Up(child, data_dir)
        child.start(ready=lambda: made.note.get("ready"), seconds_max=READY_SECONDS_MAX)
        return made

    return start


def descendants(pid: int) -> set[int]:
    """Children, their children and so on."""
    found: set[int] = set()
    parents = dict(_parents())
    while new := {child for child, parent in parents.items() if parent in {pid} | found} - found:
        found |= new
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Each process and its parent."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while the others were read.


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_line(pid: int) -> str:
    """What everybody on the machine can read of it."""
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
