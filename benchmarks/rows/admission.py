"""Taking a job in and dealing the next one out, with ten, ten thousand and a million jobs waiting.

A thousand users wait in turn. Each round submits one job, offers one place and ends the job that comes of it, each in
its own transaction, as web and workers do; the figure is the median of the rounds. Then what the statements read is
counted with a million waiting.
"""

import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

from sqlalchemy.orm import Session

from atelier.generation import taking
from atelier.generation.settle import settle
from atelier.generation.submit import submit
from atelier.generation.taking import Places
from atelier.jobs import explain
from atelier.kernel import ids
from atelier.kernel.clock import now_ms
from benchmarks import bulk, people, plans, work
from benchmarks.people import Person
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand

FEW = 10
MANY = 10_000
ROUNDS = 200
WINDOW = 16
QUEUE = "generation.text"
AIM = "≤ 1.2 × with ten waiting"
ROWS_READ_MAX = 12_000
# Read from end to end without harm: a handful of rows.
SMALL_TABLES = ("agents", "agent_versions", "outbox", "controls")


def run(plan: Plan) -> list[Line]:
    """Three lines for each size beyond ten, then the plans of the statements."""
    lines: list[Line] = []
    with Stand(plan.servers, name="few") as few:
        nobody = _filled(few, FEW)[-1]
        for count in (MANY, plan.million):
            with Stand(plan.servers, name=f"waiting{count}") as many:
                plan.say(f"admission: {count:,} jobs waiting")
                crowd = _filled(many, count)
                lines += _compared(plan, (few, nobody), (many, crowd[-1]), count)
                if count == plan.million:
                    lines.append(_explained(many, crowd))
    return lines


def _filled(stand: Stand, count: int) -> list[Person]:
    crowd = people.invite(stand.database, secret=SECRET)
    bulk.waiting(stand.database, crowd, count=count)
    return crowd


def _compared(plan: Plan, few: tuple[Stand, Person], many: tuple[Stand, Person], count: int) -> list[Line]:
    lines = {
        name: Line(name=f"admission, {name}, {count:,} waiting", unit="ms", aim=AIM)
        for name in ("submit", "take", "settle")
    }
    for _ in range(plan.pairs):
        beneath, ours = _rounds(*few), _rounds(*many)
        for name, line in lines.items():
            line.floor.append(beneath[name])
            line.ours.append(ours[name])
    return list(lines.values())


def _rounds(stand: Stand, person: Person) -> dict[str, float]:
    agent = work.echo(stand.database)
    spent: dict[str, list[float]] = {"submit": [], "take": [], "settle": []}
    for _ in range(ROUNDS):
        new = work.submission(agent, person.user_id)
        began = perf_counter()
        stand.database.transact(submit, [new], limits=work.LIMITS)
        taken_in = perf_counter()
        taken = stand.database.transact(
            taking.take, asked=[new.job_id], places=_places(), chosen=set[str](), now_ms=now_ms()
        )
        dealt = perf_counter()
        (job,) = taken.claimed
        stand.database.transact(settle, [work.settlement(job)], now_ms=now_ms())
        spent["submit"].append(taken_in - began)
        spent["take"].append(dealt - taken_in)
        spent["settle"].append(perf_counter() - dealt)
    return {name: statistics.median(seconds) * 1_000 for name, seconds in spent.items()}


def _places() -> Places:
    return Places(
        owner=f"bench:{ids.new_id()}", lease_ms=work.LEASE_MS, window=WINDOW, providers=("echo", "local-text")
    )


def _explained(stand: Stand, crowd: Sequence[Person]) -> Line:
    agent = work.echo(stand.database)
    new = work.submission(agent, crowd[0].user_id)
    cases: dict[str, Callable[[Session], object]] = {
        "submit": lambda session: submit(session, [new], limits=work.LIMITS),
        "take": lambda session: taking.take(
            session, asked=[new.job_id], places=_places(), chosen=set[str](), now_ms=now_ms()
        ),
        "positions": lambda session: explain.line(session, queue=QUEUE, window=WINDOW),
    }
    found = [stand.database.transact(plans.examine, name, case) for name, case in cases.items()]
    line = Line(name="admission, most rows read by one question", unit="rows", aim=f"≤ {ROWS_READ_MAX:,}, no scan")
    line.ours = [float(max(case.rows_read for case in found))]
    line.notes = {case.name: f"{case.rows_read} rows in {case.statements} statements" for case in found}
    scans = [f"{case.name}: {scan}" for case in found for scan in case.scans]
    harmful = [scan for scan in scans if not any(f" of {table} " in scan for table in SMALL_TABLES)]
    assert not harmful, harmful
    return line
