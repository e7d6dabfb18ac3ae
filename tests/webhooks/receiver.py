"""A consumer's machine: takes what is sent, checks its signature as a consumer would, and answers as it was told to."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from tests.servers import LOOPBACK


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        """The key by which a consumer takes an event once."""
        return self.headers["webhook-id"]

    @property
    def said(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def is_signed_by(self, secret: str) -> bool:
        """Whether one of the signatures is made with this secret."""
        signed = f"{self.event_id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        wanted = f"v1,{base64.b64encode(mac).decode()}"
        return any(hmac.compare_digest(wanted, one) for one in self.headers["webhook-signature"].split(" "))


@dataclass(frozen=True)
class Says:
    """An answer. `before` is called before it is given, `cut` breaks the connection instead."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    before: Callable[[], object] | None = None
    cut: bool = False


class Receiver:
    """A server on loopback. `answers` are given one after the other, then `otherwise`."""

    def __init__(self, *, certificate: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answers: list[Says] = []
        self.otherwise = Says()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        if certificate:
            self._server.socket = certificate.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address by http."""
        return f"http://{LOOPBACK}:{self.port}/hook"

    def ids(self) -> list[str]:
        """Which events came, in order."""
        return [one.event_id for one in self.received]

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(self.path, headers, body))
                says = receiver.answers.pop(0) if receiver.answers else receiver.otherwise
                if says.before:
                    says.before()
                if says.cut:
                    self.close_connection = True
                    return
                self.send_response(says.status)
                for name, value in says.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(says.body)))
                self.end_headers()
                self.wfile.write(says.body)

            @override
            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        return Handler
