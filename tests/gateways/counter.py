"""A counter of a gateway: an HTTP server in a thread that answers as a test says, and keeps what it was asked."""

import socket
import struct
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from typing_extensions import override


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as it arrived. `path` includes the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent back. `length` is what Content-Length says, should it say something else than the truth.

    drip_seconds    between two bytes of the body
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    length: int | None = None
    drip_seconds: float = 0


class Reset(Exception):
    """The connection is to be torn down without an answer."""


@dataclass
class Counter:
    """The server's side. `reply` may be changed by the test at any time; it may raise Reset, or wait for `released`."""

    url: str
    reply: Callable[[Asked], Reply]
    asked: list[Asked] = field(default_factory=list[Asked])
    released: threading.Event = field(default_factory=threading.Event)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    counter: Counter

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed when a client has had enough."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def answer(self) -> None:
        counter = cast("_Server", self.server).counter
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(method=self.command, path=self.path, headers=dict(self.headers.items()), body=body)
        counter.asked.append(asked)
        try:
            reply = counter.reply(asked)
        except Reset:
            # Lingering for no time makes the system send a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
        self.end_headers()
        for part in (reply.body[at : at + 1] for at in range(len(reply.body))) if reply.drip_seconds else [reply.body]:
            self.wfile.write(part)
            counter.released.wait(reply.drip_seconds)
        self.close_connection = reply.length is not None

    do_GET = do_POST = answer  # noqa: N815 - http.server finds them by these names


@contextmanager
def opened(reply: Callable[[Asked], Reply]) -> Generator[Counter]:
    """A counter on loopback, until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.counter = counter = Counter(url=f"http://127.0.0.1:{server.server_address[1]}", reply=reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield counter
    finally:
        counter.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
