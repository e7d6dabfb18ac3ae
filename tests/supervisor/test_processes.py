"""What is left of the children, seen from outside."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ProcessFactory
from tests.servers import Process, until

KEEPING = Path(__file__).with_name("keeping.py")


def told(keeping: Process) -> Iterator[dict[str, Any]]:
    """Everything that the program has told so far."""
    for line in keeping.log.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def started(keeping: Process, role: str) -> list[int]:
    """Ids of the role's leaders, oldest first."""
    return [one["pid"] for one in told(keeping) if one["role"] == role and one.get("kind") == "started"]


def grandchildren(keeping: Process, role: str) -> list[int]:
    """Ids of the leaders' own children, oldest first; each of them has spoken."""
    words = "".join(one["printed"] for one in told(keeping) if one["role"] == role and "printed" in one).split()
    numbers = [int(word) for word in words if word.isdigit()]
    return numbers if words.count("child") == len(numbers) else []


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and waits to be buried does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """Ids of its children now."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def keeping(process: ProcessFactory, request: pytest.FixtureRequest) -> Process:
    """The program with both families up; `deaf` as a parameter makes one ignore SIGTERM."""
    child = process([sys.executable, KEEPING, *getattr(request, "param", ())])
    return child.start(ready=lambda: grandchildren(child, "family") and grandchildren(child, "ground"))


def everyone(keeping: Process) -> set[int]:
    """All processes that the program has started, the witness too."""
    roles = ("family", "ground")
    found = {pid for role in roles for pid in started(keeping, role) + grandchildren(keeping, role)}
    return found | set(children_of(keeping.pid))


def test_a_killed_leader_comes_back_and_leaves_no_orphans(keeping: Process) -> None:
    (leader,), (orphan,) = started(keeping, "family"), grandchildren(keeping, "family")
    os.kill(leader, signal.SIGKILL)
    until(lambda: len(started(keeping, "family")) == 2, what="the leader is started again")
    until(lambda: not is_alive(orphan), what="the killed leader's child is gone")
    (failed,) = (one for one in told(keeping) if one.get("kind") == "failed")
    assert (failed["role"], failed["pid"], failed["status"], failed["wait"]) == ("family", leader, -9, 0.01)
    assert keeping.stop() == 0


@pytest.mark.parametrize("keeping", [(), ("deaf",)], indirect=True, ids=["polite", "deaf"])
def test_stop_leaves_nothing(keeping: Process) -> None:
    processes = everyone(keeping)
    assert len(processes) == 5
    assert keeping.stop() == 0
    assert {pid for pid in processes if is_alive(pid)} == set()
    assert [one["role"] for one in told(keeping) if one.get("kind") == "stopped"] == ["family", "ground"]


@pytest.mark.parametrize("keeping", [("deaf",)], indirect=True)
def test_nothing_outlives_a_killed_supervisor(keeping: Process) -> None:
    processes = everyone(keeping)
    os.kill(keeping.pid, signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in processes), what="everything is gone", seconds_max=5)


def test_the_leaders_die_even_when_the_witness_was_killed_too(keeping: Process) -> None:
    leaders = [*started(keeping, "family"), *started(keeping, "ground")]
    witnesses = set(children_of(keeping.pid)) - set(leaders)
    for pid in (*witnesses, keeping.pid):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in leaders), what="the leaders are gone", seconds_max=5)
    for orphan in grandchildren(keeping, "family") + grandchildren(keeping, "ground"):
        os.kill(orphan, signal.SIGKILL)


def test_a_killed_witness_is_replaced_and_knows_everyone(keeping: Process) -> None:
    (witness,) = set(children_of(keeping.pid)) - {*started(keeping, "family"), *started(keeping, "ground")}
    os.kill(witness, signal.SIGKILL)
    until(lambda: not is_alive(witness), what="the witness is gone")
    # A restart makes the supervisor speak to its witness again.
    os.kill(started(keeping, "family")[0], signal.SIGKILL)
    until(lambda: len(grandchildren(keeping, "family")) == 2, what="the family is back")
    processes = everyone(keeping)
    os.kill(keeping.pid, signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in processes), what="everything is gone", seconds_max=5)
