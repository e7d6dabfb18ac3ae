"""A web process with the routes that watch jobs, and what workers would do to those jobs."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType, web
from sqlalchemy import insert
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.gateways.port import Gateway
from atelier.jobs import ending as endings
from atelier.jobs import service as jobs
from atelier.jobs import states
from atelier.jobs.ending import Ending
from atelier.jobs.service import NewJob
from atelier.kernel import clock, tokens
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger import service as ledger
from atelier.live.events import Event
from atelier.live.publisher import Publisher
from tests.servers import until
from web.app import make_app
from web.live.service import LIVE, Live

T = TypeVar("T")
LEASE_MS = 30_000
QUEUE = "generation.text"


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a session."""

    id: str
    token: str
    token_id: str

    @property
    def headers(self) -> dict[str, str]:
        """How they ask."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class World:
    """The database, and the workers that change it. Everything here blocks: call it as it is, or in a thread."""

    db: Database
    settings: Settings
    publisher: Publisher = field(init=False)
    fences: dict[str, int] = field(default_factory=dict[str, int])
    seqs: dict[str, int] = field(default_factory=dict[str, int])
    owners: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.settings.redis_url)

    def person(self) -> Person:
        """A new user, signed in, with an account."""
        user_id, token_id, now = new_id(), new_id(), clock.now_ms()
        self.db.transact(_insert_user, user_id=user_id, now_ms=now)
        token = tokens.issue(
            self.settings.keyring,
            user_id=user_id,
            token_id=token_id,
            version=0,
            now_ms=now,
            expires_ms=now + clock.HOUR_MS,
        )
        return Person(user_id, token, token_id)

    def job(self, owner: Person, **changes: Any) -> str:
        """A new pending job."""
        new = self._new(owner, changes)
        self.db.transact(jobs.create, [new], now_ms=clock.now_ms(), republish_ms=LEASE_MS)
        self.owners[new.id], self.seqs[new.id] = owner.id, states.first_seq(0)
        return new.id

    def line(self, length: int, *, owner: Person | None = None) -> None:
        """So many pending jobs of someone."""
        owner = owner or self.person()
        new = [self._new(owner, {}) for _ in range(length)]
        self.db.transact(jobs.create, new, now_ms=clock.now_ms(), republish_ms=LEASE_MS)

    def _new(self, owner: Person, changes: Mapping[str, Any]) -> NewJob:
        made: dict[str, Any] = {
            "id": new_id(),
            "user_id": owner.id,
            "agent_id": new_id(),
            "agent_version": 1,
            "project_id": None,
            "kind": "text",
            "queue": QUEUE,
            "provider": "echo",
            "attempts_max": 4,
            "deadline_ms": clock.now_ms() + clock.HOUR_MS,
            "held": 5,
            "input": {},
            "config": {},
            **changes,
        }
        return NewJob(**made)

    def claim(self, job_id: str, *, silently: bool = False) -> None:
        """A worker takes the job."""
        (claimed,) = self.db.transact(jobs.claim, job_ids=[job_id], owner=new_id(), lease_ms=LEASE_MS)
        self.fences[job_id], self.seqs[job_id] = claimed.fence, states.first_seq(claimed.fence)
        if not silently:
            self.send(job_id, "job.running", {}, seq=self.seqs[job_id])

    def finish(self, job_id: str, state: str = states.COMPLETED, *, silently: bool = False, **how: Any) -> None:
        """Its worker ends it."""
        self.seqs[job_id] += 1
        ending = Ending(
            job_id=job_id, fence=self.fences[job_id], state=state, seq=self.seqs[job_id], outcome=state, **how
        )
        assert job_id in self.db.transact(endings.finish, [ending]).now
        if not silently:
            self.send(job_id, f"job.{state}", {}, seq=self.seqs[job_id])

    def put_back(self, job_id: str, *, wait_ms: int) -> None:
        """Its worker could not do it now."""
        self.seqs[job_id] += 1
        assert self.db.transact(
            jobs.put_back,
            job_id=job_id,
            fence=self.fences[job_id],
            wait_ms=wait_ms,
            republish_ms=LEASE_MS,
            seq=self.seqs[job_id],
            error_code="PROVIDER_TIMEOUT",
        )
        self.send(job_id, "job.pending", {}, seq=self.seqs[job_id])

    def progress(self, job_id: str, fraction: float, step: str = "drawing") -> None:
        """Its worker reports progress."""
        self.send(job_id, "job.progress", {"progress": fraction, "step": step})

    def output(self, job_id: str, delta: str) -> None:
        """Its worker has a further piece of text."""
        self.send(job_id, "job.output", {"delta": delta})

    def send(self, job_id: str, kind: str, data: dict[str, Any], *, seq: int | None = None) -> bool:
        """Publish an event of the job, with its next number unless one is given."""
        if seq is None:
            seq = self.seqs[job_id] = self.seqs[job_id] + 1
        event = self.event(job_id, kind, seq=seq, **data)
        return self.publisher.publish(self.owners[job_id], [event], final=kind in {"job.completed", "job.failed"})

    def event(self, job_id: str, kind: str = "job.progress", *, seq: int = 1, **data: Any) -> Event:
        """An event of the job."""
        return Event(type=kind, job_id=job_id, seq=seq, at_ms=clock.now_ms(), data=data)


def _insert_user(session: Session, *, user_id: str, now_ms: int) -> None:
    row: dict[str, Any] = {
        "id": user_id, "email": f"{user_id}@example.com", "email_key": f"{user_id}@example.com", "username": user_id,
        "username_key": user_id, "password_hash": "-", "display_name": "Someone", "role": "user", "status": "active",
        "token_version": 0, "email_verified_ms": now_ms, "settings": {}, "created_ms": now_ms, "updated_ms": now_ms,
    }  # fmt: skip
    session.execute(insert(User), row)
    ledger.open_account(session, user_id=user_id, now_ms=now_ms)


@dataclass
class Served:
    """A running web process."""

    client: ClientSession
    live: Live
    application: web.Application
    runner: web.AppRunner
    port: int


@asynccontextmanager
async def serving(
    settings: Settings, *, port: int = 0, gateways: Mapping[str, Gateway] | None = None
) -> AsyncGenerator[Served]:
    """Serve on a free port, with everything that runs beside requests."""
    application = make_app(settings, gateways=gateways)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=3)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        bound: int = runner.addresses[0][1]
        async with ClientSession(f"http://127.0.0.1:{bound}", connector=TCPConnector(limit=0)) as client:
            yield Served(client, application[LIVE], application, runner, bound)
    finally:
        await runner.cleanup()


async def eventually(condition: Callable[[], T], *, what: str, seconds_max: float = 15) -> T:
    """Look until it is true, and give its value. Raises TimeoutError that names `what`."""
    return await asyncio.to_thread(until, condition, what=what, seconds_max=seconds_max)


async def healthy(served: Served) -> None:
    """Wait until live events arrive."""
    await eventually(served.live.health, what="the subscription works")


class Listener:
    """A client's end of a WebSocket."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self.ws = ws

    async def say(self, **message: Any) -> None:
        """Send a message."""
        await self.ws.send_json(message)

    async def next(self, *, seconds: float = 10) -> dict[str, Any]:
        """The next message."""
        found: dict[str, Any] = await self.ws.receive_json(timeout=seconds)
        return found

    async def until(self, kind: str, *, seconds: float = 15) -> list[dict[str, Any]]:
        """All messages up to the first of this type."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(seconds):
            while not found or found[-1]["type"] != kind:
                found.append(await self.next(seconds=seconds))
        return found

    async def closed(self, *, seconds: float = 10) -> int | None:
        """Read until the other side closes, and give its code."""
        async with asyncio.timeout(seconds):
            while (await self.ws.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                pass
        return self.ws.close_code


@asynccontextmanager
async def socket(served: Served, person: Person) -> AsyncGenerator[Listener]:
    """A socket of this person."""
    async with served.client.ws_connect("/api/events") as ws:
        listener = Listener(ws)
        await listener.say(type="auth", token=person.token)
        assert (await listener.next())["type"] == "authenticated"
        yield listener


def seqs(messages: Sequence[dict[str, Any]]) -> list[int]:
    """The numbers of the events among these messages."""
    return [message["seq"] for message in messages if message["type"].startswith("job.")]


class Stream:
    """A client's end of a job's event stream, as a browser's EventSource reads it."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.last_id: str | None = None

    async def next(self, *, seconds: float = 10) -> dict[str, Any] | None:
        """The next event, or None at the end of the stream. Comments and the reconnection time are passed over."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(seconds):
            while line := await self.response.content.readline():
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if value and name in {"id", "event", "data"}:
                    fields[name] = value
                elif not line.strip() and "data" in fields:
                    return self._told(fields)
        return None

    async def rest(self, *, seconds: float = 15) -> list[dict[str, Any]]:
        """All events up to the end of the stream."""
        found: list[dict[str, Any]] = []
        while (event := await self.next(seconds=seconds)) is not None:
            found.append(event)
        return found

    def _told(self, fields: dict[str, str]) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(fields["data"])
        assert fields["event"] == event["type"]
        assert fields["id"] == str(event["seq"])
        self.last_id = fields["id"]
        return event


@asynccontextmanager
async def stream(
    served: Served, person: Person, job_id: str, *, last_id: int | str | None = None
) -> AsyncGenerator[Stream]:
    """A job's event stream, gone on with after an event if one is named."""
    headers = person.headers | ({"Last-Event-ID": str(last_id)} if last_id is not None else {})
    async with served.client.get(f"/api/jobs/{job_id}/events", headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


async def polled(served: Served, person: Person, job_id: str, **query: int) -> dict[str, Any]:
    """The job as polling shows it."""
    async with served.client.get(f"/api/jobs/{job_id}", params=query, headers=person.headers) as response:
        assert response.status == 200, await response.text()
        found: dict[str, Any] = await response.json()
        return found
