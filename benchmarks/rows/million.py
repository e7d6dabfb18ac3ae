"""A million finished jobs: accepting, polling and listing on a table that has them, and on one that is nearly empty.

Each of the thousand users owns a thousand jobs there, and one page of twenty here. Then every hot statement is
explained on the full table: none may read a table from end to end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import bulk, load, people, plans
from benchmarks.load import Load, Request
from benchmarks.people import Person
from benchmarks.plan import Plan, submissions
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand

PAGE = 20
# Read a table from end to end without harm: they have a handful of rows.
SMALL_TABLES = ("agents", "agent_versions", "outbox")


@dataclass(frozen=True, slots=True)
class _Side:
    stand: Stand
    crowd: list[Person]
    job_ids: list[str]


def run(plan: Plan) -> list[Line]:
    """One line for each kind of request, then the plans of the statements."""
    lines = {kind: _new(kind) for kind in ("accept", "poll", "list")}
    with Stand(plan.servers, name="small") as small, Stand(plan.servers, name="million") as large:
        sides = (_filled(plan, small, PAGE * people.COUNT), _filled(plan, large, plan.million))
        for pair in range(plan.pairs):
            for kind, line in lines.items():
                plan.say(f"million: {kind}, pair {pair + 1} of {plan.pairs}")
                few, many = _both(plan, sides, kind, larger_first=bool(pair % 2))
                line.floor.append(few.per_second)
                line.ours.append(many.per_second)
                line.notes |= {"p50 ms": many.p50_ms, "p50 ms nearly empty": few.p50_ms}
                if kind == "poll":
                    line.notes |= {"cold /s": many.cold_per_second, "cold /s nearly empty": few.cold_per_second}
        return [*lines.values(), _explained(sides[1], plan.million)]


def _new(kind: str) -> Line:
    return Line(name=f"million, {kind}", unit="requests/s", aim="≥ 0.83")


def _filled(plan: Plan, stand: Stand, count: int) -> _Side:
    crowd = people.invite(stand.database, secret=SECRET)
    job_ids = bulk.finished(
        stand.database, crowd, count=count, say=lambda done: plan.say(f"million: {done:,} of {count:,} jobs inserted")
    )
    return _Side(stand, crowd, job_ids)


def _both(plan: Plan, sides: tuple[_Side, _Side], kind: str, *, larger_first: bool) -> tuple[Load, Load]:
    # In turns, so that whatever the first leaves behind is not always the second's burden.
    if larger_first:
        many = _measured(plan, sides[1], kind)
        return _measured(plan, sides[0], kind), many
    return _measured(plan, sides[0], kind), _measured(plan, sides[1], kind)


def _measured(plan: Plan, side: _Side, kind: str) -> Load:
    stand = side.stand
    requests = load.prepared(_asked(side, kind), folder=stand.folder, name=kind)
    stand.start("web", ATELIER_WEB_RELAY="false")
    try:
        watched = plan.beside(**stand.roles)
        return load.run(stand.port, requests, seconds=plan.seconds, watched=watched, each_once=kind == "poll")
    finally:
        stand.stop("web")
        bulk.cancel_waiting(stand.database)


def _asked(side: _Side, kind: str) -> Sequence[Request]:
    if kind == "accept":
        return submissions([person.token for person in side.crowd])
    if kind == "list":
        return [Request(path=f"/api/jobs?limit={PAGE}", token=person.token) for person in side.crowd]
    return [
        Request(path=f"/api/jobs/{job_id}", token=side.crowd[int(job_id[-12:], 16) % len(side.crowd)].token)
        for job_id in side.job_ids
    ]


def _explained(side: _Side, count: int) -> Line:
    owner = side.crowd[int(side.job_ids[-1][-12:], 16) % len(side.crowd)]
    cases = plans.examined(side.stand.database, owner, side.job_ids[-1])
    line = Line(name="million, most rows read by one use case", unit="rows", aim=f"≤ {plans.ROWS_READ_MAX:,}, no scan")
    line.ours = [float(max(case.rows_read for case in cases))]
    line.notes = {case.name: f"{case.rows_read} rows in {case.statements} statements" for case in cases}
    scans = [f"{case.name}: {scan}" for case in cases for scan in case.scans if not _is_small(scan)]
    assert not scans, f"with {count:,} jobs: {scans}"
    greedy = [case.name for case in cases if case.rows_read > plans.ROWS_READ_MAX]
    assert not greedy, f"more than {plans.ROWS_READ_MAX} rows read by {greedy}"
    return line


def _is_small(scan: str) -> bool:
    return any(f" of {table} " in scan for table in SMALL_TABLES)
