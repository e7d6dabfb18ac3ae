"""A Kling of our own, for tests and benchmarks: the same calls over HTTP, with time as fast as wanted.

It checks keys as the real one does, refuses a second task with the same `external_task_id`, counts how many
generations each key has cost, and misbehaves as its faults say. `restart` is what the real one never announces.
"""

import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from atelier.kernel.clock import now_ms
from atelier.providers.fake_kling_calls import Caller

PATH: Final = "/v1/videos/text2video"
VIDEO: Final = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64)
SPOILED: Final = bytes(len(VIDEO))


@dataclass(kw_only=True)
class Faults:
    """How often, from 0 to 1, a call is met with each fault. Change it while the server runs.

    unanswered   a request is taken, and the connection closed without an answer
    late         the connection is closed, and the request taken only `late_seconds` later, or by `deliver`
    broken       a request is not taken, and answered by 500, as one that is taken is when unlucky (`unsure`)
    full         a request is refused because too many tasks run
    failing      a task that is taken fails in the end
    deaf         looking and fetching are answered by 503
    shut         fetching alone is answered by 503
    spoiled      a file that is fetched is no video
    """

    unanswered: float = 0.0
    late: float = 0.0
    late_seconds: float = 0.5
    broken: float = 0.0
    unsure: float = 0.0
    full: float = 0.0
    failing: float = 0.0
    deaf: float = 0.0
    shut: float = 0.0
    spoiled: float = 0.0


@dataclass(kw_only=True)
class Task:
    """One generation. Times are milliseconds; `working` is what its state is called until it has ended."""

    id: str
    key: str
    created_ms: int
    ends_ms: int
    fails: bool
    callback_url: str = ""
    working: str = "processing"

    def document(self, home: str, *, now: int) -> dict[str, Any]:
        """As the API shows it."""
        done = now >= self.ends_ms
        state = ("failed" if self.fails else "succeed") if done else self.working
        document: dict[str, Any] = {
            "task_id": self.id,
            "task_status": state,
            "task_info": {"external_task_id": self.key},
            "created_at": self.created_ms,
            "updated_at": self.ends_ms if done else self.created_ms,
        }
        if state == "succeed":
            video = {"id": self.id, "url": f"{home}/files/{self.id}.mp4", "duration": "5"}
            document["task_result"] = {"videos": [video]}
        elif state == "failed":
            document["task_status_msg"] = "internal error"
        return document


@dataclass
class Books:
    """What a Kling remembers: its tasks in the order of their creation, and what each key has cost."""

    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    keys: dict[str, Task] = field(default_factory=dict[str, Task])
    lost: Counter[str] = field(default_factory=Counter[str])
    calls: Counter[str] = field(default_factory=Counter[str])
    submitted: Counter[str] = field(default_factory=Counter[str])

    def generations(self) -> Counter[str]:
        """How many generations each key has cost; those that a restart ended unfinished have cost nothing."""
        return Counter(task.key for task in self.tasks.values() if not task.fails)

    def forget_unfinished(self) -> None:
        """Lose what runs, as a machine does that keeps only what is done."""
        now = now_ms()
        for task in [one for one in self.tasks.values() if one.ends_ms > now]:
            del self.tasks[task.id], self.keys[task.key]
            self.lost[task.key] += 1


class FakeKling:
    """A server on a free port of the loopback address. Use it as a context manager.

    seconds  how long a task takes, asked once for each
    books    everything that it was asked and has made
    """

    def __init__(
        self,
        *,
        api_key: str = "kling-fake",
        seconds: Callable[[], float] = lambda: 1.0,
        webhook_secret: str = "",
        seed: int = 1,
    ) -> None:
        self.api_key = api_key
        self.faults = Faults()
        self.books = Books()
        self.seconds = seconds
        self.dice = random.Random(seed)  # noqa: S311 - faults are no secret
        self.guard = threading.RLock()
        self._delayed: list[dict[str, Any]] = []
        self._caller = Caller(webhook_secret)
        self._port = 0
        self._open()

    @property
    def url(self) -> str:
        """The address to give to the adapter."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._caller.close()

    def restart(self, *, keep: bool) -> None:
        """Close every connection and come back, with everything or without what was not finished."""
        self._close()
        with self.guard:
            if not keep:
                self.books.forget_unfinished()
        self._open()

    def finish(self, key: str) -> None:
        """Let the task of this key be done now."""
        with self.guard:
            self.books.keys[key].ends_ms = now_ms()

    def end_within(self, low: float, high: float) -> None:
        """Let everything that runs, and whatever comes, be done after between so many seconds."""
        self.seconds = lambda: self.dice.uniform(low, high)
        with self.guard:
            now = now_ms()
            for task in self.books.tasks.values():
                if task.ends_ms > now:
                    task.ends_ms = now + round(self.seconds() * 1_000)

    def meets(self, chance: float) -> bool:
        """Whether this call meets a fault of this chance."""
        return chance > 0 and self.dice.random() < chance

    def take(self, body: dict[str, Any]) -> Task | None:
        """Begin a task; None when there is one of this key already."""
        with self.guard:
            key = str(body.get("external_task_id", ""))
            self.books.submitted[key] += 1
            if key in self.books.keys:
                return None
            now = now_ms()
            task = Task(
                id=str(800_000_000_000 + len(self.books.tasks) + sum(self.books.lost.values())),
                key=key,
                created_ms=now,
                ends_ms=now + round(self.seconds() * 1_000),
                fails=self.meets(self.faults.failing),
                callback_url=str(body.get("callback_url", "")),
            )
            self.books.tasks[task.id] = self.books.keys[key] = task
        if task.callback_url:
            self._caller.call(task.callback_url, lambda: task.document(self.url, now=now_ms()), at_ms=task.ends_ms)
        return task

    def take_later(self, body: dict[str, Any]) -> None:
        """Begin a task after a while, though its sender was told nothing."""
        if self.faults.late_seconds == math.inf:
            self._delayed.append(body)
            return
        timer = threading.Timer(self.faults.late_seconds, self.take, args=(body,))
        timer.daemon = True
        timer.start()

    def deliver(self) -> None:
        """Take the requests that are late without a time of their own."""
        delayed, self._delayed = self._delayed, []
        for body in delayed:
            self.take(body)

    def _open(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.fake = self
        self._port = int(self._server.server_address[1])
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def _close(self) -> None:
        self._server.closing = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    fake: FakeKling
    closing = False

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is expected here, so nothing is printed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - this handler serves no other server

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Calls are counted instead of being printed."""

    def do_GET(self) -> None:
        """Show a task, a page of them, or a file."""
        fake = self.server.fake
        parts = urlsplit(self.path)
        if not self._is_served("fetch" if parts.path.startswith("/files/") else "look"):
            return
        if fake.meets(fake.faults.deaf):
            self._fail(503, 5001)
        elif parts.path.startswith("/files/"):
            self._give_file()
        elif self._is_signed():
            if parts.path == PATH:
                self._list(parse_qs(parts.query))
            else:
                self._show(unquote(parts.path.removeprefix(f"{PATH}/")))

    def do_POST(self) -> None:
        """Take a task, or misbehave."""
        fake, faults = self.server.fake, self.server.fake.faults
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if not self._is_served("submit") or not self._is_signed():
            return
        if fake.meets(faults.full):
            self._fail(429, 1303)
        elif fake.meets(faults.broken):
            self._fail(500, 5000)
        elif fake.meets(faults.late):
            fake.take_later(body)
            self.close_connection = True
        else:
            self._taken(fake.take(body))

    def _give_file(self) -> None:
        fake = self.server.fake
        if fake.meets(fake.faults.shut):
            self._fail(503, 5001)
        else:
            self._send(200, "video/mp4", SPOILED if fake.meets(fake.faults.spoiled) else VIDEO)

    def _taken(self, task: Task | None) -> None:
        fake = self.server.fake
        if task is None:
            self._fail(400, 1201)
        elif fake.meets(fake.faults.unanswered):
            self.close_connection = True
        elif fake.meets(fake.faults.unsure):
            self._fail(504, 5002)
        else:
            self._answer(task.document(fake.url, now=task.created_ms) | {"task_status": "submitted"})

    def _is_served(self, call: str) -> bool:
        fake = self.server.fake
        if self.server.closing:
            self.close_connection = True
            return False
        with fake.guard:
            fake.books.calls[call] += 1
        return True

    def _is_signed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.server.fake.api_key}":
            return True
        self._fail(401, 1000)
        return False

    def _list(self, asked: dict[str, list[str]]) -> None:
        fake = self.server.fake
        number, size = int(asked["pageNum"][0]), min(500, int(asked["pageSize"][0]))
        with fake.guard:
            newest = list(fake.books.tasks.values())[::-1][(number - 1) * size : number * size]
        now = now_ms()
        self._answer([task.document(fake.url, now=now) for task in newest])

    def _show(self, name: str) -> None:
        fake = self.server.fake
        with fake.guard:
            task = fake.books.tasks.get(name) or fake.books.keys.get(name)
        if task is None:
            self._fail(404, 1203)
        else:
            self._answer(task.document(fake.url, now=now_ms()))

    def _answer(self, data: Any) -> None:
        self._json(200, {"code": 0, "message": "SUCCEED", "request_id": str(time.monotonic_ns()), "data": data})

    def _fail(self, status: int, code: int) -> None:
        self._json(status, {"code": code, "message": "refused", "request_id": str(time.monotonic_ns())})

    def _json(self, status: int, answer: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
