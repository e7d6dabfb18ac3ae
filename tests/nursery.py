"""Roles that begin with everything imported.

To import a role costs two seconds of a processor, and tests start some hundred roles. A nursery is a process that has
imported what they need; it forks one for each wish, which then runs its module as `python -m` would, under its own
environment. The new process is a child of the one that asked, dies with it, and is killed like any other.
"""

import contextlib
import ctypes
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from tests.servers import Child, Process, until

ROOT = Path(__file__).resolve().parents[1]
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
IMPORTED = ("web.serving", "tasks.runtime", "tasks.payments", "tasks.maintenance", "atelier.dispatch.hooks")


class Forked:
    """A process that a nursery has forked for this one: what `Process` needs of a subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        try:
            until(lambda: self.poll() is not None, what="its end", seconds_max=timeout or 600)
        except TimeoutError:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 600) from None
        assert self.returncode is not None
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """One for the tests of this process; started at the first wish."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def fork(self, module: str, arguments: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Forked:
        """A process that runs the module with these arguments, in a session of its own."""
        child = self._child = self._child or _begun()
        assert child.stdin is not None
        assert child.stdout is not None
        wish = {"module": module, "arguments": list(arguments), "log": str(log), "env": dict(env), "for": os.getpid()}
        child.stdin.write(json.dumps(wish) + "\n")
        child.stdin.flush()
        return Forked(int(child.stdout.readline()))


class Role(Process):
    """A role: `python -m MODULE …`, from the nursery where there is one."""

    def __init__(self, module: str, *arguments: str, log: Path, env: Mapping[str, str]) -> None:
        super().__init__([sys.executable, "-m", module, *arguments], log=log, env=env)

    @override
    def _begin(self, environment: Mapping[str, str]) -> Child:
        if sys.platform != "linux":
            return super()._begin(environment)  # Elsewhere nobody can take over another's child.
        return NURSERY.fork(self.command[2], self.command[3:], log=self.log, env=environment)


def _begun() -> "subprocess.Popen[str]":
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.nursery"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


# -- in the nursery


def _serve() -> None:
    """Fork for each line of the standard input, until it ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    answers = os.dup(1)
    while line := sys.stdin.readline():
        told, telling = os.pipe()
        between = os.fork()
        if between == 0:
            _fork_again(json.loads(line), telling)
            return
        os.close(telling)
        with os.fdopen(told) as pid:
            answer = pid.read()
        # Only when the process between has ended is the new one a child of whoever asked for it.
        os.waitpid(between, 0)
        os.write(answers, f"{answer}\n".encode())


def _fork_again(wish: Mapping[str, Any], telling: int) -> None:
    between = os.getpid()
    pid = os.fork()
    if pid:
        os.write(telling, str(pid).encode())
        os._exit(0)
    os.setsid()
    until(lambda: os.getppid() != between, what="the process between has ended")
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != wish["for"]:
        os._exit(1)
    _become(wish)


def _become(wish: Mapping[str, Any]) -> None:
    with Path(os.devnull).open("rb") as nothing, Path(wish["log"]).open("ab") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(wish["env"])
    # It reads the environment while it is imported.
    importlib.reload(importlib.import_module("atelier.kernel.faults"))
    sys.argv = [wish["module"], *wish["arguments"]]
    runpy.run_module(wish["module"], run_name="__main__", alter_sys=True)


NURSERY = Nursery()

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve()
