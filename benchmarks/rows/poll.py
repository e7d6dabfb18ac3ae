"""Polling jobs: GET /api/jobs/{id} of ten thousand jobs by their thousand owners, while some of the jobs change.

The second line asks with If-None-Match for jobs that do not change.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import aiohttp

from atelier.generation.events import job_event
from atelier.jobs import states
from atelier.jobs.service import Claimed
from atelier.live.publisher import Publisher
from benchmarks import load, people, work
from benchmarks.load import Load, Request
from benchmarks.people import Person
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand

JOBS = 10_000
CHANGE_SECONDS = 0.1
CHANGES = 10
FETCHES_AT_ONCE = 32
NOT_MODIFIED = 304


def run(plan: Plan) -> list[Line]:
    """Both lines, on one stand: reading leaves it as it was, but for the jobs that move on."""
    changing = Line(name="poll, some jobs changing", unit="requests/s", aim="≥ 0.8, aim 1.5")
    unchanged = Line(name="poll, If-None-Match", unit="requests/s", aim="≥ 1")
    with Stand(plan.servers, name="poll") as stand:
        crowd = people.invite(stand.database, secret=SECRET)
        plan.say(f"poll: making {2 * JOBS} jobs")
        moving = _Moving.made(stand, crowd)
        ended = work.submitted(stand.database, crowd, count=JOBS)
        work.completed(stand.database, work.claimed(stand.database, [job_id for job_id, _ in ended]))
        work.forget_messages(stand.database)
        for pair in range(plan.pairs):
            plan.say(f"poll: pair {pair + 1} of {plan.pairs}")
            floor = plan.floor_http()
            stand.start("web")
            _add(changing, floor, _changing(plan, stand, moving))
            _add(unchanged, floor, _unchanged(plan, stand, ended))
            stand.stop("web")
        changing.notes["changes/s"] = round(3 * CHANGES / CHANGE_SECONDS)
    return [changing, unchanged]


def _add(line: Line, floor: Load, mine: Load) -> None:
    line.floor.append(floor.per_second)
    line.ours.append(mine.per_second)
    line.notes |= {"p50 ms": mine.p50_ms, "p99 ms": mine.p99_ms, "bytes": round(mine.bytes_each)}
    line.notes["first two seconds after the start /s"] = mine.cold_per_second
    line.notes["cpu µs"] = {name: round(used) for name, used in mine.cpu_us.items()}
    line.notes["floor cpu µs"] = round(floor.cpu_us["web"])


def _changing(plan: Plan, stand: Stand, moving: "_Moving") -> Load:
    asked = [Request(path=f"/api/jobs/{job_id}", token=person.token) for job_id, person in moving.jobs]
    requests = load.prepared(asked, folder=stand.folder, name="poll")
    with moving:
        return load.run(stand.port, requests, seconds=plan.seconds, watched=plan.beside(**stand.roles), each_once=True)


def _unchanged(plan: Plan, stand: Stand, ended: Sequence[tuple[str, Person]]) -> Load:
    asked = asyncio.run(_with_etags(stand.port, ended))
    requests = load.prepared(asked, folder=stand.folder, name="poll-304")
    measured = load.run(stand.port, requests, seconds=plan.seconds, watched=plan.beside(**stand.roles))
    # An answer with the job in it has more than a kilobyte.
    assert measured.bytes_each < 700, f"{measured.bytes_each} bytes are no 304"
    return measured


async def _with_etags(port: int, ended: Sequence[tuple[str, Person]]) -> list[Request]:
    turnstile = asyncio.Semaphore(FETCHES_AT_ONCE)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:

        async def fetched(job_id: str, person: Person) -> Request:
            path = f"/api/jobs/{job_id}"
            async with turnstile, client.get(path, headers={"Authorization": f"Bearer {person.token}"}) as answer:
                answer.raise_for_status()
                return Request(path=path, token=person.token, etag=answer.headers["ETag"])

        asked = list(await asyncio.gather(*(fetched(*one) for one in ended)))
        headers = {"Authorization": f"Bearer {asked[0].token}", "If-None-Match": asked[0].etag}
        async with client.get(asked[0].path, headers=headers) as answer:
            assert answer.status == NOT_MODIFIED, f"{answer.status} instead of 304"
        return asked


@dataclass(slots=True)
class _Moving:
    """Jobs, a third of them pending, a third running, a third completed; inside a `with` some move on all the time."""

    stand: Stand
    jobs: list[tuple[str, Person]]
    pending: deque[str]
    running: deque[Claimed]
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @classmethod
    def made(cls, stand: Stand, crowd: Sequence[Person]) -> Self:
        """Ten thousand."""
        jobs = work.submitted(stand.database, crowd, count=JOBS)
        job_ids = [job_id for job_id, _ in jobs]
        held = work.claimed(stand.database, job_ids[: 2 * JOBS // 3])
        work.completed(stand.database, held[: JOBS // 3])
        return cls(stand, jobs, deque(job_ids[2 * JOBS // 3 :]), deque(held[JOBS // 3 :]))

    def __enter__(self) -> Self:
        self._stop.clear()
        self._thread = threading.Thread(target=self._move, name="moving", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _move(self) -> None:
        publisher = Publisher(self.stand.redis_url)
        turn = 0
        while not self._stop.wait(CHANGE_SECONDS):
            turn += 1
            self._begin(publisher)
            self._progress(publisher, turn)
            self._end(publisher)
        publisher.close()

    def _begin(self, publisher: Publisher) -> None:
        job_ids = [self.pending.popleft() for _ in range(min(CHANGES, len(self.pending)))]
        held = work.claimed(self.stand.database, job_ids)
        self.running.extend(held)
        for one in held:
            publisher.publish(one.user_id, [job_event("running", one.id, states.first_seq(one.fence), {})])

    def _progress(self, publisher: Publisher, turn: int) -> None:
        number = turn % 900 + 2
        told = {"progress": number / 1_000, "step": "drawing"}
        for one in list(self.running)[-CHANGES:]:
            event = job_event("progress", one.id, states.first_seq(one.fence) + number, told)
            publisher.publish(one.user_id, [event])

    def _end(self, publisher: Publisher) -> None:
        ended = [self.running.popleft() for _ in range(min(CHANGES, len(self.running)))]
        work.completed(self.stand.database, ended)
        data = {"used": 1, "errorCode": None}
        for one in ended:
            event = job_event("completed", one.id, states.first_seq(one.fence) + work.END_NUMBER, data)
            publisher.publish(one.user_id, [event], final=True)
