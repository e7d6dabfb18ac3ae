"""Jobs that are done in a second: claimed, run by the echo provider without a delay, settled, told.

Three thousand jobs wait in the outbox while relay and worker stand by; the time runs from the moment in which their
messages become due to the end of the last. The worker has as many threads as the floor's.
"""

import json
import subprocess
import sys
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atelier.contracts.outbox import TABLE as OUTBOX
from atelier.generation import doctor
from atelier.jobs.models import JOBS
from atelier.kernel.clock import HOUR_MS, db_now_ms, now_ms
from benchmarks import people, work
from benchmarks.load import cpu_seconds
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import ROOT, SECRET, Stand, wait
from tests.servers import Process

COUNT = 3_000
THREADS = 32
WARMING = 200


def run(plan: Plan) -> list[Line]:
    """The line."""
    line = Line(name="done, echo without delay", unit="jobs/s", aim="≥ 0.3, aim 0.5")
    for pair in range(plan.pairs):
        plan.say(f"done: pair {pair + 1} of {plan.pairs}")
        floor = _floor(plan)
        line.floor.append(floor["done"])
        line.notes |= {f"floor {name}": value for name, value in floor.items() if name != "done"}
        line.ours.append(_ours(plan, line))
    return [line]


def _floor(plan: Plan) -> dict[str, float]:
    plan.servers.valkey.wipe()
    program, broker = [sys.executable, "-m", "benchmarks.floors.celery"], plan.servers.valkey.url
    log = plan.servers.folder / "floor-celery.log"
    worker = Process([*program, "--worker", broker, "threads", str(THREADS)], log=log, cwd=ROOT).start()
    try:
        sender = [*program, broker, str(COUNT)]
        done = subprocess.run(sender, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    finally:
        worker.stop(seconds_max=10)
        worker.kill()
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _ours(plan: Plan, line: Line) -> float:
    with Stand(plan.servers, name="done") as stand:
        crowd = people.invite(stand.database, secret=SECRET)
        stand.start("relay", "generation", ATELIER_SLOTS_TEXT=str(THREADS))
        work.submitted(stand.database, crowd, count=WARMING)
        wait(lambda: stand.read(work.unfinished) == 0, what="the first jobs are done")
        job_ids = _held_back(stand, crowd)
        watched = plan.beside(**stand.roles)
        before = {name: cpu_seconds(pid) for name, pid in watched.items()}
        began = stand.database.transact(_release)
        wait(lambda: stand.read(work.unfinished) == 0, what="all jobs are done", seconds_max=120)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in watched.items()}
        ended = stand.read(_last_end)
        line.notes["cpu µs"] = {name: round(seconds * 1_000_000 / COUNT) for name, seconds in used.items()}
        _verify(stand, expected=len(job_ids) + WARMING)
        return COUNT / (ended - began) * 1_000


def _held_back(stand: Stand, crowd: list[people.Person]) -> list[str]:
    """Jobs whose messages are not due before an hour: they are made faster than the relay looks."""
    stand.stop("relay")
    made = work.submitted(stand.database, crowd, count=COUNT)
    stand.database.transact(_postpone)
    stand.start("relay")
    # The relay is ready once it has sent something.
    work.submitted(stand.database, crowd, count=1)
    wait(lambda: stand.read(work.unfinished) == COUNT, what="the relay is ready")
    return [job_id for job_id, _ in made] + ["the one that showed it"]


def _postpone(session: Session) -> None:
    session.connection().execute(update(OUTBOX).values(available_ms=db_now_ms() + HOUR_MS))


def _release(session: Session) -> int:
    session.connection().execute(update(OUTBOX).values(available_ms=0))
    return session.connection().execute(select(db_now_ms())).scalar_one()


def _last_end(session: Session) -> int:
    ended: Any = session.connection().execute(select(func.max(JOBS.c.finished_ms))).scalar_one()
    return int(ended)


def _verify(stand: Stand, *, expected: int) -> None:
    assert stand.read(work.counted) == {"completed": expected}, stand.read(work.counted)
    report = stand.database.snapshot(doctor.examine, now_ms=now_ms())
    assert report.clean, [f"{finding.check} {finding.subject}" for finding in report.findings]
