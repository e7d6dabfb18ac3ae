"""One job at a time on an idle system with every role: from the request to the event that says it is completed.

Hops, from what the client saw and from the times in the job's row (whole milliseconds, so means are shown for those):
    accepted  request → 202
    claimed   row written → claimed by the worker: relay, broker, worker
    run       claimed → settled: agent, provider, the event `running`, the settlement's wait for a group
    told      settled → the event `completed` at the client: commit, publish, web process, socket
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from pydantic_core import from_json
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.jobs.models import JOBS
from atelier.kernel.clock import now_ms
from benchmarks import people, work
from benchmarks.people import Person
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand

COUNT = 200
WARMING = 30
PATIENCE_SECONDS = 10
ROLES = ("generation", "media", "money", "relay", "beat", "web")
PATH = "/api/workshop/generate"
J = JOBS.c

Once = Callable[[], Awaitable["_Timed"]]


@dataclass(slots=True)
class _Timed:
    """One job's way. Seconds since the request, and the moment of the last event by this machine's clock."""

    job_id: str
    accepted: float
    done: float
    done_ms: int
    seen: dict[str, float] = field(default_factory=dict[str, float])


def run(plan: Plan) -> list[Line]:
    """One line for sockets and one for streams."""
    with Stand(plan.servers, name="latency") as stand:
        person = people.invite(stand.database, secret=SECRET, count=1)[0]
        stand.start(*ROLES)
        plan.say(f"latency: {COUNT} jobs over a socket, {COUNT} over streams")
        return asyncio.run(_measured(stand, person))


async def _measured(stand: Stand, person: Person) -> list[Line]:
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
    base = f"http://127.0.0.1:{stand.port}"
    async with aiohttp.ClientSession(base, headers=headers) as client, client.ws_connect("/api/events") as socket:
        await socket.send_json({"type": "auth", "token": person.token})
        await socket.send_json({"type": "subscribe", "all": True})

        async def by_socket() -> _Timed:
            return await _once(client, lambda _job_id: _socket_events(socket))

        async def by_stream() -> _Timed:
            return await _once(client, lambda job_id: _stream_events(client, job_id))

        over_socket = await _line("latency, WebSocket", stand, by_socket)
        await socket.close()
        return [over_socket, await _line("latency, SSE", stand, by_stream)]


async def _line(name: str, stand: Stand, once: Once) -> Line:
    for _ in range(WARMING):
        await asyncio.wait_for(once(), PATIENCE_SECONDS)
    timed = [await asyncio.wait_for(once(), PATIENCE_SECONDS) for _ in range(COUNT)]
    line = Line(name=name, unit="ms, p50", aim="≤ 25 ms", ours=[one.done * 1_000 for one in timed])
    rows = await asyncio.to_thread(stand.read, _times)
    line.notes = {
        "p95 ms": _percentile([one.done * 1_000 for one in timed], 95),
        "accepted p50 ms": statistics.median(one.accepted * 1_000 for one in timed),
        "running seen p50 ms": statistics.median(one.seen.get("job.running", one.done) * 1_000 for one in timed),
        "claimed mean ms": statistics.mean(rows[one.job_id].claimed for one in timed),
        "run mean ms": statistics.mean(rows[one.job_id].run for one in timed),
        "told mean ms": statistics.mean(one.done_ms - rows[one.job_id].finished_ms for one in timed),
    }
    return line


async def _once(client: aiohttp.ClientSession, events: Callable[[str], AsyncIterator[dict[str, Any]]]) -> _Timed:
    began = time.monotonic()
    async with client.post(PATH, data=work.BODY.encode()) as answer:
        told = from_json(await answer.read())
        assert answer.status == 202, told
    timed = _Timed(told["jobId"], time.monotonic() - began, 0.0, 0)
    async for event in events(timed.job_id):
        if event["jobId"] != timed.job_id:
            continue
        timed.seen[event["type"]] = time.monotonic() - began
        if event["type"] == "job.completed":
            timed.done, timed.done_ms = time.monotonic() - began, now_ms()
            break
        assert event["type"] != "job.failed", event
    return timed


async def _socket_events(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, Any]]:
    while True:
        yield from_json(await socket.receive_str())


async def _stream_events(client: aiohttp.ClientSession, job_id: str) -> AsyncIterator[dict[str, Any]]:
    async with client.get(f"/api/jobs/{job_id}/events") as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield from_json(line.removeprefix(b"data: "))


@dataclass(frozen=True, slots=True)
class _Times:
    claimed: int
    run: int
    finished_ms: int


def _times(session: Session) -> dict[str, _Times]:
    rows = session.connection().execute(select(J.id, J.created_ms, J.started_ms, J.finished_ms))
    return {row[0]: _Times(row[2] - row[1], row[3] - row[2], row[3]) for row in rows if row[3] is not None}


def _percentile(figures: list[float], percent: int) -> float:
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
