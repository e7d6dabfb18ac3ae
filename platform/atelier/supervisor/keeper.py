"""Keeping roles alive: each is started, started again when it ends, and stopped with all that it started."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from atelier.supervisor.child import Child, Witness


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A program that should always run. A *foundation* is stopped after the others, which need it to finish.

    `environment` is added to this process's. After `failures_max` failures in a row it is given up. One that is asked
    to end has `patience` seconds at most, if it should have less than the others.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    foundation: bool = False
    failures_max: int | None = None
    patience: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds. Waits double from `first_wait` to `longest_wait`; who was up for `settled` starts anew at the first."""

    first_wait: float = 0.2
    longest_wait: float = 5.0
    settled: float = 10.0
    grace: float = 15.0
    foundation_grace: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened to a role. `status` is its exit status, negative for a signal; `wait` comes before its restart.

    `failures` counts those in a row, this one included.
    """

    role: str
    kind: Literal["started", "failed", "abandoned", "stopped"]
    pid: int
    status: int | None = None
    wait: float | None = None
    failures: int = 0


DEFAULT_PACE: Final = Pace()
CANNOT_START: Final = 126


class Supervisor:
    """Use it in the main thread's event loop, and `stop` it before the loop ends."""

    def __init__(
        self,
        *,
        output: Callable[[str, bytes], None],
        changed: Callable[[Change], None],
        pace: Pace = DEFAULT_PACE,
    ) -> None:
        self._output = output
        self._changed = changed
        self._pace = pace
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._witness = Witness()
        self._children: dict[str, Child] = {}
        self._kept: dict[str, tuple[Role, asyncio.Task[None]]] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The roles that run now, with the ids of their leaders."""
        return {name: child.pid for name, child in self._children.items()}

    def start(self, role: Role) -> None:
        """Keep this role alive from now on."""
        assert role.name not in self._kept, role.name
        self._kept[role.name] = (role, asyncio.create_task(self._keep(role), name=f"keep {role.name}"))

    async def stop(self) -> None:
        """Stop every role, foundations last. Returns when nothing of them is left."""
        self._stopping.set()
        try:
            for foundation in (False, True):
                kept = [one for one in self._kept.values() if one[0].foundation == foundation]
                await asyncio.gather(*(self._end(role, task) for role, task in kept))
        finally:
            self._witness.dismiss()

    def hurry(self) -> None:
        """Somebody waits for `stop` and doesn't want to: no grace."""
        self._hurry.set()

    async def _keep(self, role: Role) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            pid, status = await self._run(role)
            if self._stopping.is_set():
                self._changed(Change(role=role.name, kind="stopped", pid=pid, status=status))
                return
            lasted = asyncio.get_running_loop().time() - began
            failures = 1 if lasted >= self._pace.settled else failures + 1
            change = Change(role=role.name, kind="failed", pid=pid, status=status, failures=failures)
            if failures == role.failures_max:
                self._changed(replace(change, kind="abandoned"))
                return
            wait = min(self._pace.longest_wait, self._pace.first_wait * 2 ** min(failures - 1, 16))
            self._changed(replace(change, wait=wait))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def _run(self, role: Role) -> tuple[int, int]:
        """Run the role once; nothing that it started outlives it. Answers its id and its exit status."""
        environment = {**os.environ, **role.environment}
        try:
            child = await Child.start(
                role.command, environment=environment, output=lambda data: self._output(role.name, data)
            )
        except OSError as error:
            # No memory or no process to be had now: perhaps later.
            self._output(role.name, f"{error.strerror}\n".encode())
            return 0, CANNOT_START
        self._witness.add(child.pid)
        self._children[role.name] = child
        self._changed(Change(role=role.name, kind="started", pid=child.pid))
        if self._stopping.is_set():
            child.terminate()
        status = await child.ended
        del self._children[role.name]
        child.kill_group()
        self._witness.remove(child.pid)
        await child.drain()
        return child.pid, status

    async def _end(self, role: Role, task: asyncio.Task[None]) -> None:
        if role.name in self._children:
            self._children[role.name].terminate()
        grace = self._pace.foundation_grace if role.foundation else self._pace.grace
        hurried = asyncio.create_task(self._hurried())
        patience = grace if role.patience is None else min(grace, role.patience)
        await asyncio.wait({task, hurried}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if role.name in self._children:
            self._children[role.name].kill_group()
        await task

    async def _hurried(self) -> None:
        await self._hurry.wait()
