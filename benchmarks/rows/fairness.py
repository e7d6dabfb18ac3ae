"""One user has five thousand jobs waiting, another submits one at a time: how long that one waits for a free slot.

Every job takes as long as the next, and every slot is busy from beginning to end. The figure is the wait from the
submission to the start; the floor is one job's time, within which the slot that is next to be free becomes free.
"""

import statistics
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.generation.submit import Accepted, submit
from atelier.jobs.models import JOBS
from benchmarks import people, work
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand, wait

WAITING = 5_000
TRIES = 20
SLOTS = 8
JOB_MS = 400
ROLES = ("generation", "relay")
J = JOBS.c


def run(plan: Plan) -> list[Line]:
    """The line."""
    line = Line(name="fairness, wait of the other user's job", unit="ms", aim="≤ one job's time")
    with Stand(plan.servers, name="fairness") as stand:
        rich, other = people.invite(stand.database, secret=SECRET, count=2)
        plan.say(f"fairness: {WAITING:,} jobs of one user, {TRIES} of another")
        _submitted(stand, rich.user_id, WAITING)
        stand.start(*ROLES, ATELIER_SLOTS_TEXT=str(SLOTS), ATELIER_USER_WINDOW=str(WAITING))
        wait(lambda: len(stand.read(_started)) > 2 * SLOTS, what="every slot is busy")
        for _ in range(TRIES):
            (job_id,) = _submitted(stand, other.user_id, 1)
            wait(lambda: job_id in stand.read(_started), what="the other user's job has started")  # noqa: B023 - called here
            line.ours.append(float(stand.read(_started)[job_id]))
            line.floor.append(float(JOB_MS))
        left = WAITING - len(stand.read(_started)) + TRIES
    assert left > 0, "the backlog must last for as long as it is measured"
    line.notes = {"p95 ms": sorted(line.ours)[-max(1, TRIES // 20) - 1], "still waiting": left}
    line.notes["mean ms"] = statistics.mean(line.ours)
    return [line]


def _submitted(stand: Stand, user_id: str, count: int) -> list[str]:
    agent = work.echo(stand.database)
    plain = work.submission(agent, user_id)
    config = {**plain.config, "delayMs": JOB_MS}
    group = [replace(work.submission(agent, user_id), config=config) for _ in range(count)]
    for first in range(0, count, work.GROUP):
        outcomes = stand.database.transact(submit, group[first : first + work.GROUP], limits=work.LIMITS)
        assert all(isinstance(one, Accepted) for one in outcomes)
    return [one.job_id for one in group]


def _started(session: Session) -> dict[str, int]:
    rows = session.connection().execute(select(J.id, J.started_ms - J.created_ms).where(J.started_ms.is_not(None)))
    return {row[0]: int(row[1]) for row in rows}
