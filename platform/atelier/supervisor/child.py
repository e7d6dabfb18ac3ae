"""One child process: the leader of its own session and process group, tied to this process."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self, cast

from typing_extensions import override

DRAIN_SECONDS: Final = 1.0
BARE_PYTHON: Final = (sys.executable, "-I", "-S")
_TETHER: Final = str(Path(__file__).with_name("tether.py"))
_WITNESS: Final = str(Path(__file__).with_name("witness.py"))


class Child(asyncio.SubprocessProtocol):
    """A running child. `ended` becomes its exit status, negative for a signal, at once when the leader ends.

    A protocol instead of asyncio's streams: `wait` of those may wait for the pipe too, which the leader's own children
    can hold open after it.
    """

    def __init__(self, output: Callable[[bytes], None]) -> None:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._output = output
        self._transport: asyncio.SubprocessTransport | None = None
        self._closed = asyncio.Event()

    @classmethod
    async def start(
        cls, command: Sequence[str], *, environment: Mapping[str, str], output: Callable[[bytes], None]
    ) -> Self:
        """Start it; what it prints goes to `output` in pieces. Call from the main thread."""
        # The kernel ties a child to the thread that started it, and only the main thread lives as long as the process.
        assert threading.current_thread() is threading.main_thread()
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(
            lambda: cls(output),
            *BARE_PYTHON,
            _TETHER,
            str(os.getpid()),
            *command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return child

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self._running.get_pid()

    def terminate(self) -> None:
        """Ask the leader to end; it tells its own children."""
        with contextlib.suppress(ProcessLookupError):
            self._running.terminate()

    def kill_group(self) -> None:
        """Kill the leader and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def drain(self) -> None:
        """Take the last words of a child that has ended; not for long, as one who left the group may hold the pipe."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), DRAIN_SECONDS)
        self._running.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    @override
    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It printed something."""
        self._output(data)

    @override
    def process_exited(self) -> None:
        """The leader has ended."""
        if not self.ended.done():
            self.ended.set_result(self._running.get_returncode() or 0)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, and nobody holds its pipe any more."""
        self._closed.set()

    @property
    def _running(self) -> asyncio.SubprocessTransport:
        assert self._transport is not None
        return self._transport


class Witness:
    """The handle of the process that kills the groups of a supervisor that was killed."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process = self._start()

    def add(self, group: int) -> None:
        """This group lives."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """This group is gone; its number may be somebody else's soon."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def dismiss(self) -> None:
        """Let it end; groups that were not removed are killed."""
        self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            # Somebody killed it: another one takes over.
            self._process.kill()
            self._process.wait()
            self._process = self._start()
            for group in sorted(self._groups):
                self._tell(f"+{group}\n")

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*BARE_PYTHON, _WITNESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
