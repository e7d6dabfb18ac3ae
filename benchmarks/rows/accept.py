"""Accepting jobs: the whole of POST /api/workshop/generate for a thousand users, while no worker runs.

With the relay as its own process, and with the relay inside the web process. Afterwards the database has to hold a job
for every answer, and the doctor has to find nothing.
"""

import time
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.contracts.outbox import TABLE as OUTBOX
from atelier.generation import doctor
from atelier.kernel.clock import now_ms
from benchmarks import load, people, work
from benchmarks.load import CONNECTIONS, Load
from benchmarks.plan import Plan, submissions
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand, wait

AIM = "≥ 2.5, aim 3"


@dataclass(frozen=True, slots=True)
class _Run:
    load: Load
    left: int
    drained_seconds: float


def run(plan: Plan) -> list[Line]:
    """Both lines."""
    beside = Line(name="accept, relay process", unit="requests/s", aim=AIM)
    inside = Line(name="accept, relay in web", unit="requests/s", aim="stated")
    for pair in range(plan.pairs):
        plan.say(f"accept: pair {pair + 1} of {plan.pairs}")
        floor = plan.floor_accept()
        for line, own_process in ((beside, True), (inside, False)):
            mine = _ours(plan, relay_process=own_process)
            line.floor.append(floor.per_second)
            line.ours.append(mine.load.per_second)
            _note(line, floor, mine)
    return [beside, inside]


def _note(line: Line, floor: Load, mine: _Run) -> None:
    line.notes |= {
        "floor p50 ms": floor.p50_ms,
        "p50 ms": mine.load.p50_ms,
        "p99 ms": mine.load.p99_ms,
        "floor cpu µs": _rounded(floor),
        "cpu µs": _rounded(mine.load),
        "messages behind at the end": mine.left,
        "caught up after s": mine.drained_seconds,
    }


def _rounded(one: Load) -> dict[str, int]:
    return {name: round(used) for name, used in one.cpu_us.items()}


def _ours(plan: Plan, *, relay_process: bool) -> _Run:
    with Stand(plan.servers, name="accept") as stand:
        crowd = people.invite(stand.database, secret=SECRET)
        if relay_process:
            stand.start("relay")
        stand.start("web", ATELIER_WEB_RELAY="false" if relay_process else "true")
        requests = load.prepared(submissions([one.token for one in crowd]), folder=stand.folder, name="accept")
        measured = load.run(stand.port, requests, seconds=plan.seconds, watched=plan.beside(**stand.roles))
        left, began = stand.read(_unsent), time.monotonic()
        wait(lambda: stand.read(_unsent) == 0, what="every message is sent", seconds_max=120)
        drained = time.monotonic() - began
        _verify(stand, measured)
        return _Run(measured, left, drained)


def _unsent(session: Session) -> int:
    return session.connection().execute(select(func.count()).select_from(OUTBOX)).scalar_one()


def _verify(stand: Stand, measured: Load) -> None:
    """Raises AssertionError unless every answer has its job and no rule about credits is broken."""
    jobs = stand.read(work.counted)["pending"]
    assert jobs >= measured.requests, f"{measured.requests} answers, {jobs} jobs"
    # Those that were under way when the load ended were accepted as well; the load warms up before it counts.
    assert measured.requests > CONNECTIONS, "hardly anything was measured"
    report = stand.database.snapshot(doctor.examine, now_ms=now_ms())
    assert report.clean, [f"{finding.check} {finding.subject}" for finding in report.findings]
