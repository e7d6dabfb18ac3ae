"""An OpenAI-compatible endpoint of our own, for tests and for trying things out without a network or a key.

It really answers: texts come from the outline composer, images are PNG files, speech is a WAV file of the asked
length. It checks the key as the real one does, and misbehaves in named ways when told to.
"""

import base64
import io
import json
import struct
import threading
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from typing_extensions import override

from atelier.providers.outline import compose

_MODELS: Final = {
    "/v1/chat/completions": ("chat-small", "chat-large"),
    "/v1/images/generations": ("image-small",),
    "/v1/audio/speech": ("speech-small",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misbehaviour, used up by one request.

    kind    "status": answer `status` with an error of `code` and `headers`
            "break": close the connection after `after` pieces of the stream, without saying so
            "stream_error": send an error object of `code` after `after` pieces
            "silence": send nothing more after `after` pieces until the server is closed
            "no_usage", "no_stream", "garbage", "filtered", "empty": a stream without usage, one answer that is not
            streamed, a line that is no JSON, a stop by the content filter, an answer without text
            "line": send `line` after `after` pieces
            "generous": two images more than were asked for
    """

    kind: str
    status: int = 500
    code: str = "server_error"
    after: int = 0
    line: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class FakeOpenAI:
    """A server on a free port of the loopback address. Use it as a context manager.

    faults  what the next requests meet, first come, first served
    calls   every request so far, also those that were refused
    links   answer images by links to this server (True) or inside the answer (False)
    """

    def __init__(self, *, api_key: str = "sk-fake", links: bool = False) -> None:
        self.api_key = api_key
        self.links = links
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.text: list[str] | None = None
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        """The address to give to an adapter, with the version."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self) -> Fault:
        """Return and use up the next fault; one of the kind "none" when there is none."""
        return self.faults.pop(0) if self.faults else Fault(kind="none")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeOpenAI

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is expected here, so nothing is printed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - this handler serves no other server

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in `calls` instead of being printed."""

    def do_GET(self) -> None:
        """Serve the images that answers link to: without a key, as a signed link would be."""
        if self.path.startswith("/v1/files/image-"):
            self._send(200, "image/png", make_png(self.path))
        else:
            self._fail(404, "not_found")

    def do_POST(self) -> None:
        """Check the key and the model, meet the next fault, answer."""
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake.calls.append(Call(path=self.path, headers=headers, body=body))
        if headers.get("authorization") != f"Bearer {fake.api_key}":
            # As the real one does, the answer repeats a part of the key: an adapter must not pass it on.
            self._fail(401, "invalid_api_key", message=f"Incorrect API key: {headers.get('authorization')}")
            return
        if body.get("model") not in _MODELS.get(self.path, ()):
            self._fail(404, "model_not_found")
            return
        fault = fake.next_fault()
        if fault.kind == "status":
            self._fail(fault.status, fault.code, headers=fault.headers)
        elif self.path == "/v1/chat/completions":
            self._chat(body, fault)
        elif self.path == "/v1/images/generations":
            self._images(body, fault)
        else:
            self._send(200, "audio/wav", make_wav(len(body["input"]) * 0.06))

    def _chat(self, body: dict[str, Any], fault: Fault) -> None:
        prompt = str(body["messages"][-1]["content"])
        text = self.server.fake.text
        pieces = [] if fault.kind == "empty" else compose(prompt) if text is None else text
        usage = {
            "prompt_tokens": len(prompt),
            "completion_tokens": len(pieces),
            "total_tokens": len(prompt) + len(pieces),
        }
        if not body.get("stream") or fault.kind == "no_stream":
            message = {"role": "assistant", "content": "".join(pieces)}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self._json(200, {"object": "chat.completion", "model": body["model"], "choices": choices, "usage": usage})
            return
        self._start_stream()
        for data in _stream(body, pieces, usage, fault):
            if data is None:
                self._misbehave(fault)
                return
            self._chunk(f"data: {data}\n\n".encode())
        self._chunk(b"")

    def _misbehave(self, fault: Fault) -> None:
        if fault.kind == "silence":
            self.server.fake.closing.wait()
        self.close_connection = True

    def _start_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(b": welcome\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _images(self, body: dict[str, Any], fault: Fault) -> None:
        data: list[dict[str, str]] = []
        for number in range(int(body.get("n", 1)) + 2 * (fault.kind == "generous")):
            path = f"/v1/files/image-{number}"
            if fault.kind == "garbage":
                data.append({"b64_json": base64.b64encode(b"not an image").decode()})
            elif self.server.fake.links:
                data.append({"url": f"http://127.0.0.1:{self.server.server_address[1]}{path}"})
            else:
                data.append({"b64_json": base64.b64encode(make_png(path)).decode(), "revised_prompt": "as drawn"})
        self._json(200, {"created": 1, "data": data})

    def _fail(self, status: int, code: str, *, message: str = "refused", headers: dict[str, str] | None = None) -> None:
        error = {"message": message, "type": "invalid_request_error" if status < 429 else code, "code": code}
        self._json(status, {"error": error}, headers=headers)

    def _json(self, status: int, answer: dict[str, Any], *, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(answer).encode(), headers=headers)

    def _send(self, status: int, kind: str, data: bytes, *, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _stream(body: dict[str, Any], pieces: list[str], usage: dict[str, int], fault: Fault) -> Iterator[str | None]:
    """Yield the data of each event; None where the fault begins that no event can express."""

    def chunk(choices: list[dict[str, Any]], **more: Any) -> str:
        # Not escaped to ASCII: real endpoints send U+2028 as it is, and readers of lines must live with it.
        whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": body["model"], "choices": choices}
        return json.dumps(whole | more, ensure_ascii=False)

    yield chunk([{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}])
    for number, piece in enumerate([*pieces, ""]):
        if number == fault.after and fault.kind in ("break", "silence"):
            yield None
        if number == fault.after and fault.kind == "stream_error":
            yield json.dumps({"error": {"message": "sk-secret is overloaded", "code": fault.code}})
            return
        if number == fault.after and fault.kind == "garbage":
            yield "{not json"
        if number == fault.after and fault.kind == "line":
            yield fault.line
        yield chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
    reason = "content_filter" if fault.kind == "filtered" else "stop"
    yield chunk([{"index": 0, "delta": {}, "finish_reason": reason}])
    if body.get("stream_options", {}).get("include_usage") and fault.kind != "no_usage":
        yield chunk([], usage=usage)
    yield "[DONE]"


def make_png(name: str) -> bytes:
    """Return a PNG of 64 × 64 pixels in one colour that follows from the name."""
    colour = zlib.crc32(name.encode()).to_bytes(4, "big")[:3]
    rows = b"".join(b"\0" + colour * 64 for _ in range(64))

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def make_wav(seconds: float) -> bytes:
    """Return a quiet buzz of so many seconds."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(
            b"".join(struct.pack("<h", 4_000 * (n % 40 < 20) - 2_000) for n in range(round(seconds * 8_000)))
        )
    return file.getvalue()
