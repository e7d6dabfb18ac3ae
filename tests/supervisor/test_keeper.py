"""How roles are kept alive, seen from inside."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from atelier.supervisor.keeper import Change, Pace, Role, Supervisor

QUICK = Pace(first_wait=0.01, longest_wait=0.04, settled=60, grace=0.2, foundation_grace=0.2)


class Kept:
    """A supervisor, what it told, and what its roles printed."""

    def __init__(self, *roles: Role, pace: Pace = QUICK) -> None:
        self.changes: list[Change] = []
        self.printed: dict[str, str] = {}
        self._news = asyncio.Event()
        self.supervisor = Supervisor(output=self._print, changed=self._change, pace=pace)
        for role in roles:
            self.supervisor.start(role)

    def of(self, kind: str) -> list[Change]:
        return [change for change in self.changes if change.kind == kind]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def _change(self, change: Change) -> None:
        self.changes.append(change)
        self._news.set()

    def _print(self, role: str, data: bytes) -> None:
        self.printed[role] = self.printed.get(role, "") + data.decode()
        self._news.set()


async def seconds(work: Awaitable[None]) -> float:
    began = asyncio.get_running_loop().time()
    await work
    return asyncio.get_running_loop().time() - began


def python(name: str, program: str, *, failures_max: int | None = None) -> Role:
    return Role(name=name, command=(sys.executable, "-c", program), failures_max=failures_max)


async def test_waits_double_up_to_the_longest() -> None:
    kept = Kept(python("one", "raise SystemExit(3)"))
    await kept.until(lambda: len(kept.of("failed")) == 5)
    await kept.supervisor.stop()
    assert [change.wait for change in kept.of("failed")][:5] == [0.01, 0.02, 0.04, 0.04, 0.04]
    assert {change.status for change in kept.of("failed")} == {3}


async def test_who_was_up_for_a_while_starts_anew() -> None:
    settled = Pace(first_wait=0.01, longest_wait=0.04, settled=0.0, grace=0.2)
    kept = Kept(python("one", "raise SystemExit(3)"), pace=settled)
    await kept.until(lambda: len(kept.of("failed")) == 3)
    await kept.supervisor.stop()
    assert {change.wait for change in kept.of("failed")} == {0.01}


async def test_a_role_that_may_fail_is_given_up() -> None:
    kept = Kept(python("one", "raise SystemExit(4)", failures_max=3))
    await kept.until(lambda: bool(kept.of("abandoned")))
    await kept.supervisor.stop()
    assert [change.kind for change in kept.changes] == [*["started", "failed"] * 2, "started", "abandoned"]


async def test_a_missing_program_is_named() -> None:
    kept = Kept(Role(name="one", command=("no-such-program",), failures_max=1))
    await kept.until(lambda: bool(kept.of("abandoned")))
    await kept.supervisor.stop()
    assert kept.of("abandoned")[0].status == 127
    assert "no-such-program: No such file or directory" in kept.printed["one"]


async def test_a_role_sees_its_own_settings() -> None:
    role = Role(
        name="one",
        command=(sys.executable, "-c", "import os, sys; sys.stderr.write(os.environ['ONE'])"),
        environment={"ONE": "its own"},
    )
    kept = Kept(role)
    await kept.until(lambda: kept.printed.get("one", "").startswith("its own"))
    await kept.supervisor.stop()


async def test_foundations_stop_last() -> None:
    sleep = ("sleep", "600")
    kept = Kept(Role(name="ground", command=sleep, foundation=True), Role(name="user", command=sleep))
    await kept.until(lambda: len(kept.of("started")) == 2)
    await kept.supervisor.stop()
    assert [change.role for change in kept.of("stopped")] == ["user", "ground"]
    assert kept.supervisor.pids == {}


async def test_a_deaf_role_is_killed_after_the_grace() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    kept = Kept(python("one", deaf))
    await kept.until(lambda: "deaf" in kept.printed.get("one", ""))
    assert 0.2 <= await seconds(kept.supervisor.stop()) < 5
    assert [change.status for change in kept.of("stopped")] == [-9]


async def test_a_role_may_be_given_less_patience_than_the_others() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    role = Role(name="one", command=(sys.executable, "-c", deaf), patience=0.1)
    kept = Kept(role, pace=Pace(grace=60))
    await kept.until(lambda: "deaf" in kept.printed.get("one", ""))
    assert await seconds(kept.supervisor.stop()) < 20
    assert [change.status for change in kept.of("stopped")] == [-9]


async def test_who_is_in_a_hurry_gives_no_grace() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    kept = Kept(python("one", deaf), pace=Pace(grace=60))
    await kept.until(lambda: "deaf" in kept.printed.get("one", ""))
    stopping = asyncio.create_task(kept.supervisor.stop())
    kept.supervisor.hurry()
    async with asyncio.timeout(20):
        await stopping
    assert [change.status for change in kept.of("stopped")] == [-9]


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing() -> None:
    kept = Kept(Role(name="one", command=("sleep", "600")))
    await kept.supervisor.stop()
    assert kept.supervisor.pids == {}
    assert kept.of("failed") == []
