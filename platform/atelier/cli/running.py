"""The platform in this process's care: started, watched until it answers, stopped without a trace."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final, TypeVar

import httpx

from atelier.cli import occupancy, preparing
from atelier.cli.console import Stop
from atelier.cli.keys import Login
from atelier.cli.news import News
from atelier.cli.plan import Plan
from atelier.cli.words import say
from atelier.kernel import clock, open_files
from atelier.supervisor.journal import Journal
from atelier.supervisor.keeper import Change, Supervisor

R = TypeVar("R")
READY_SECONDS_MAX: Final = 90.0
# Texts are written without the model while it loads, so nobody waits for it for long.
MODEL_SECONDS_MAX: Final = 3.0
_ASK_SECONDS: Final = 0.1


class Interrupted(Exception):
    """Somebody asked to stop in the middle of something."""


class Platform:
    """Use `running`. `stopping` is set when somebody asks to stop; `admin` signs in, where one was made."""

    def __init__(self, plan: Plan, *, verbose: bool) -> None:
        self.plan = plan
        self.stopping = asyncio.Event()
        self.admin: Login | None = None
        self.seconds_to_ready = 0.0
        self._news = News(verbose=verbose)
        self._journal = Journal(plan.settings.data_dir / "logs", echo=self._news.printed)
        self._supervisor = Supervisor(output=self._journal.write, changed=self._changed)
        self._ready = False

    async def start(self) -> None:
        """Start everything and wait until the API says that it is ready. Raises Stop, Interrupted."""
        began = asyncio.get_running_loop().time()
        for role in self.plan.foundations:
            self._supervisor.start(role)
        self.admin = await self.unless_stopped(asyncio.to_thread(preparing.prepare, self.plan))
        for role in self.plan.roles:
            self._supervisor.start(role)
        await self.unless_stopped(self._answering())
        await self.unless_stopped(self.model_loaded(seconds_max=MODEL_SECONDS_MAX))
        self.seconds_to_ready = asyncio.get_running_loop().time() - began
        self._ready = True
        self._leave_note()

    async def stop(self) -> None:
        """Stop everything. Asked once more meanwhile, it gives no grace."""
        self.stopping.set()
        try:
            await self._supervisor.stop()
        finally:
            self._journal.close()

    def ask_to_stop(self) -> None:
        """Somebody wants to stop; the second time at once."""
        if self.stopping.is_set():
            self._supervisor.hurry()
        self.stopping.set()

    async def unless_stopped(self, work: Coroutine[Any, Any, R]) -> R:
        """The work's result. Raises Interrupted when somebody asks to stop first."""
        doing = asyncio.create_task(work)
        asked = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if doing.done():
            return doing.result()
        doing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await doing
        raise Interrupted

    async def model_loaded(self, *, seconds_max: float) -> bool:
        """Wait until the embedded language model can be asked; False when there is none, or not in time."""
        return bool(self.plan.model_health) and await _well(self.plan.model_health, seconds_max=seconds_max)

    async def _answering(self) -> None:
        if not await _well(f"{self.plan.address}/api/health/ready", seconds_max=READY_SECONDS_MAX):
            heading = say(
                f"The API is not ready after {READY_SECONDS_MAX:.0f} s; what it said last:",
                zh=f"{READY_SECONDS_MAX:.0f} 秒后仍未就绪，最后的日志：",
            )
            raise Stop(heading, *self._journal.last_lines("web"))

    def _changed(self, change: Change) -> None:
        if change.kind in {"failed", "abandoned"}:
            self._news.ended(change, last_lines=self._journal.last_lines(change.role))
        elif change.kind == "started":
            self._leave_note()

    def _leave_note(self) -> None:
        note = {
            "pid": os.getpid(),
            "ready": self._ready,
            "address": self.plan.address,
            "docs": f"{self.plan.address}/docs",
            "metrics": self.plan.metrics,
            "flower": self.plan.flower,
            "sandbox": self.plan.sandbox,
            "at": clock.rfc3339(clock.now_ms()),
            "roles": self._supervisor.pids,
        }
        # A full disk costs the note, which the next change writes anew, and not the platform.
        with contextlib.suppress(OSError):
            occupancy.leave_note(self.plan.settings.data_dir, note)


@contextlib.asynccontextmanager
async def running(plan: Plan, *, verbose: bool) -> AsyncGenerator[Platform]:
    """The platform, ready. Ctrl-C and SIGTERM set its `stopping`; leaving the block stops it."""
    open_files.allow_many()
    platform = Platform(plan, verbose=verbose)
    loop = asyncio.get_running_loop()
    for asked in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(asked, platform.ask_to_stop)
    try:
        await platform.start()
        yield platform
    finally:
        await platform.stop()


async def _well(address: str, *, seconds_max: float) -> bool:
    """Whether the address answers with success, sooner or later."""
    try:
        async with asyncio.timeout(seconds_max), httpx.AsyncClient(trust_env=False) as client:
            while True:
                if await _is_well(client, address):
                    return True
                await asyncio.sleep(_ASK_SECONDS)
    except TimeoutError:
        return False


async def _is_well(client: httpx.AsyncClient, address: str) -> bool:
    try:
        answer = await client.get(address, timeout=5)
    except httpx.TransportError:
        return False
    return answer.is_success
