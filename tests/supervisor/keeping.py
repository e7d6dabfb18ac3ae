"""A program for tests: keeps `FAMILY`, and a foundation, alive until SIGTERM. Prints what happens, a JSON line each.

The family is a parent and a child of its own, which both ignore SIGTERM when asked to be deaf.
"""

import asyncio
import dataclasses
import json
import signal
import sys
from typing import Final

from atelier.supervisor.keeper import Change, Pace, Role, Supervisor

_SLEEPER: Final = "import signal, sys, time; {deaf}; print('child', flush=True); time.sleep(600)"
_PARENT: Final = (
    "import signal, subprocess, sys, time; {deaf}; "
    "print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid, flush=True); time.sleep(600)"
)
_DEAF: Final = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def family(*, deaf: bool) -> tuple[str, ...]:
    """The command of a process that starts another one and prints its id."""
    words = _DEAF if deaf else "pass"
    return (sys.executable, "-c", _PARENT.format(deaf=words), _SLEEPER.format(deaf=words))


async def main(*, deaf: bool) -> None:
    """Keep them until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)

    def changed(change: Change) -> None:
        print(json.dumps(dataclasses.asdict(change)), flush=True)  # noqa: T201 - a program that prints

    def output(role: str, data: bytes) -> None:
        print(json.dumps({"role": role, "printed": data.decode()}), flush=True)  # noqa: T201

    supervisor = Supervisor(output=output, changed=changed, pace=Pace(first_wait=0.01, grace=0.5, foundation_grace=0.5))
    supervisor.start(Role(name="family", command=family(deaf=deaf)))
    supervisor.start(Role(name="ground", command=family(deaf=False), foundation=True))
    await stopped.wait()
    await supervisor.stop()


if __name__ == "__main__":
    asyncio.run(main(deaf="deaf" in sys.argv))
