"""How often estimates hold: jobs whose runs last as differently as real ones do, compared with what was said before.

Each job is told the median and the ninth decile of its agent's newest runs when it is submitted; the figure is the part
of the jobs that ran for at most that long. Three kinds of agents: runs that are all alike, runs with a long tail
(log-normal), and runs that become three times as long in the middle. Judged is from the first job on that was told
anything. Together they take many times as long as the web process remembers an estimate.
"""

import asyncio
import random
from collections.abc import Callable

import aiohttp
from pydantic_core import from_json, to_json
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog import seed_content
from atelier.jobs.models import JOBS
from benchmarks import people
from benchmarks.people import Person
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand, wait
from benchmarks.work import unfinished

COUNT = 400
AT_ONCE = 8
UNTOLD_MAX = 100
"""The most jobs that run before one is told an estimate: the first has no run to go by, and that is remembered."""
SEED = 20_261
TYPICAL_MS = 400
ROLES = ("generation", "relay", "web")
J = JOBS.c

Draw = Callable[[random.Random, int], float]
KINDS: dict[str, Draw] = {
    "alike": lambda chance, _number: chance.gauss(TYPICAL_MS, TYPICAL_MS / 20),
    "long tail": lambda chance, _number: TYPICAL_MS * chance.lognormvariate(0, 0.6),
    "slower from the middle on": lambda chance, number: (
        TYPICAL_MS * (3 if number > COUNT // 2 else 1) * chance.uniform(0.8, 1.2)
    ),
}


def run(plan: Plan) -> list[Line]:
    """One line for each kind of agent."""
    return [_line(plan, name, draw) for name, draw in KINDS.items()]


def _line(plan: Plan, name: str, draw: Draw) -> Line:
    plan.say(f"estimates: {COUNT} jobs, {name}")
    with Stand(plan.servers, name="estimates") as stand:
        person = people.invite(stand.database, secret=SECRET, count=1)[0]
        stand.start(*ROLES)
        chance = random.Random(SEED)
        delays = [max(1, min(5_000, round(draw(chance, number)))) for number in range(COUNT)]
        told = asyncio.run(_submitted(stand, person, delays))
        wait(lambda: not stand.read(unfinished), what="all jobs have ended", seconds_max=300)
        took = stand.read(_runs)
    judged = [(took[job_id], *estimate) for job_id, estimate in told.items()]
    within90 = sum(run_ms <= p90 * 1_000 for run_ms, _, p90 in judged) / len(judged)
    within50 = sum(run_ms <= p50 * 1_000 for run_ms, p50, _ in judged) / len(judged)
    notes = {"within p50": within50, "jobs with an estimate": len(judged)}
    return Line(name=f"estimates, {name}", unit="part within p90", aim="about 0.9", ours=[within90], notes=notes)


async def _submitted(stand: Stand, person: Person, delays: list[int]) -> dict[str, tuple[float, float]]:
    told: dict[str, tuple[float, float]] = {}
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
    places = asyncio.Semaphore(AT_ONCE)

    async def one(client: aiohttp.ClientSession, delay_ms: int) -> None:
        body = {"agentId": seed_content.ECHO.id, "inputData": {"prompt": "a cat"}, "config": {"delayMs": delay_ms}}
        async with (
            places,
            client.post("/api/workshop/generate", data=to_json(body), headers={"Prefer": "wait=0"}) as answer,
        ):
            accepted = from_json(await answer.read())
            assert answer.status == 202, accepted
            if estimate := accepted["estimate"]:
                told[accepted["jobId"]] = (estimate["p50Seconds"], estimate["p90Seconds"])
            async with client.get(f"/api/jobs/{accepted['jobId']}?wait=30") as ended:
                ended.raise_for_status()

    async with aiohttp.ClientSession(f"http://127.0.0.1:{stand.port}", headers=headers) as client:
        for _ in range(UNTOLD_MAX):
            if told:
                break
            await one(client, delays[0])
        await asyncio.gather(*(one(client, delay_ms) for delay_ms in delays))
    return told


def _runs(session: Session) -> dict[str, int]:
    rows = session.connection().execute(select(J.id, J.finished_ms - J.started_ms))
    return {row[0]: int(row[1]) for row in rows}
