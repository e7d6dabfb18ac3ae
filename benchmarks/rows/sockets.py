"""Two thousand WebSockets on one web process: what each costs in memory, and when the last one hears of an event.

A hundred users with twenty sockets each follow everything of theirs. The threads of a worker publish one event of each
user at the same moment, so that every socket has one event to deliver. The client is as small as it can be, because it
takes its time on the same machine.
"""

import asyncio
import base64
import gc
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

from typing_extensions import override

from atelier.generation.events import job_event
from atelier.kernel import ids
from atelier.live.publisher import Publisher
from benchmarks import people
from benchmarks.people import Person
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand

SOCKETS = 2_000
USERS = 100
TELLINGS = 20
OPENED_AT_ONCE = 50
PATIENCE_SECONDS = 30
MARK = b'"type":"job.progress"'
TEXT_FRAME = 0x81
MASKED = 0x80


class Counter:
    """Counts what arrives at all sockets, and says when everything has."""

    def __init__(self) -> None:
        self._left = 0
        self.complete = asyncio.Event()
        self.at = 0.0

    def expect(self, count: int) -> None:
        """Wait for so many from now on."""
        self._left = count
        self.complete.clear()

    def one(self) -> None:
        """One more has arrived."""
        self._left -= 1
        if self._left == 0:
            self.at = time.monotonic()
            self.complete.set()


class Ear(asyncio.Protocol):
    """A WebSocket client that only counts: it signs in, subscribes, and looks for words in what it hears."""

    def __init__(self, person: Person, counter: Counter, subscribed: Counter) -> None:
        self._person = person
        self._counter = counter
        self._subscribed = subscribed
        self._transport: asyncio.Transport | None = None
        self._asked = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            (
                "GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode()
        )

    @override
    def data_received(self, data: bytes) -> None:
        """Count, or go on signing in."""
        if MARK in data:
            self._counter.one()
        elif not self._asked and data.startswith(b"HTTP/1.1 101"):
            self._asked = True
            self._say(f'{{"type":"auth","token":"{self._person.token}"}}')
            self._say('{"type":"subscribe","all":true}')
        if b'"subscribed"' in data:
            self._subscribed.one()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _say(self, text: str) -> None:
        raw = text.encode()
        size = bytes([MASKED | len(raw)]) if len(raw) < 126 else bytes([MASKED | 126]) + len(raw).to_bytes(2, "big")
        assert self._transport is not None, "it said so when it was connected"
        # A mask of zeros leaves the text as it is.
        self._transport.write(bytes([TEXT_FRAME]) + size + bytes(4) + raw)


def run(plan: Plan) -> list[Line]:
    """Memory and time."""
    memory = Line(name="sockets, memory of each", unit="kB", aim="≤ 25 kB")
    last = Line(name="sockets, publish → last of 2 000", unit="ms", aim="stated")
    with Stand(plan.servers, name="sockets") as stand:
        crowd = people.invite(stand.database, secret=SECRET, count=USERS)
        for pair in range(plan.pairs):
            plan.say(f"sockets: run {pair + 1} of {plan.pairs}")
            stand.start("web")
            grown, tellings = asyncio.run(_measured(stand, crowd))
            memory.ours.append(grown / SOCKETS / 1_024)
            last.ours += [seconds * 1_000 for seconds in tellings]
            stand.stop("web")
    last.notes = {"slowest ms": max(last.ours), "fastest ms": min(last.ours)}
    return [memory, last]


async def _measured(stand: Stand, crowd: Sequence[Person]) -> tuple[int, list[float]]:
    counter, subscribed = Counter(), Counter()
    pid = stand.roles["web"].pid
    # The first sockets make what all share: caches, buffers, compiled statements.
    ears = await _opened(stand.port, crowd[:OPENED_AT_ONCE], counter, subscribed)
    before, already = _resident(pid), len(ears)
    dealt = [crowd[number % len(crowd)] for number in range(already, SOCKETS)]
    ears += await _opened(stand.port, dealt, counter, subscribed)
    grown = (_resident(pid) - before) * SOCKETS // (SOCKETS - already)
    gc.collect()
    publisher = Publisher(stand.redis_url)
    try:
        return grown, [await _told(publisher, crowd, counter, number) for number in range(1, TELLINGS + 1)]
    finally:
        publisher.close()
        for ear in ears:
            ear.close()


async def _opened(port: int, people_of_sockets: Sequence[Person], counter: Counter, subscribed: Counter) -> list[Ear]:
    loop = asyncio.get_running_loop()
    ears: list[Ear] = []
    for start in range(0, len(people_of_sockets), OPENED_AT_ONCE):
        group = people_of_sockets[start : start + OPENED_AT_ONCE]
        subscribed.expect(len(group))
        for person in group:
            _, ear = await loop.create_connection(partial(Ear, person, counter, subscribed), "127.0.0.1", port)
            ears.append(ear)
        await asyncio.wait_for(subscribed.complete.wait(), PATIENCE_SECONDS)
    return ears


async def _told(publisher: Publisher, crowd: Sequence[Person], counter: Counter, number: int) -> float:
    told = {"progress": number / 100, "step": "drawing"}
    events = [(person.user_id, job_event("progress", ids.new_id(), number, told)) for person in crowd]
    counter.expect(SOCKETS)
    began = time.monotonic()
    await asyncio.gather(*(asyncio.to_thread(publisher.publish, user_id, [event]) for user_id, event in events))
    await asyncio.wait_for(counter.complete.wait(), PATIENCE_SECONDS)
    await asyncio.sleep(0.05)  # Lets the web process come to rest before the next.
    return counter.at - began


def _resident(pid: int) -> int:
    """Bytes of memory that a process has in use, once that has come to rest."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1_024
