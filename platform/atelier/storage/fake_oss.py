"""An OSS endpoint of our own, for tests and for trying things out without an account.

It keeps objects in memory, verifies every signature, date, policy, digest and length as the real one does, answers
with OSS's own codes, and misbehaves in named ways when told to. Buckets are paths, as on any endpoint that is an IP.
"""

import base64
import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

import crcmod  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from atelier.kernel import clock, ids
from atelier.storage.fake_oss_signing import Asked, Denied, Keeper

# OSS's "crc64ecma" is CRC-64/XZ.
CHECKSUM: Any = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, xorOut=2**64 - 1, rev=True)  # pyright: ignore[reportUnknownVariableType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misbehaviour, used up by one request of this method (any, when it is empty).

    kind  "status": answer `status` and `code` without doing anything
          "break": close the connection after `after` bytes of the body, received or sent
          "lost": do it, and close the connection instead of answering
          "damage": change a byte of the body on its way in or out
          "silence": answer nothing until the server is closed
          "type": send the object under another content type
    """

    kind: str
    method: str = ""
    status: int = 503
    code: str = "ServiceUnavailable"
    after: int = 0
    content_type: str = "text/html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """What is kept under a key."""

    data: bytes
    content_type: str
    made_s: float


class FakeOss:
    """A server on a free port of the loopback address. Use it as a context manager.

    objects      what is kept, by key
    faults       what the next requests meet, first come, first served
    calls        "METHOD key" of every request so far, also of those that were refused
    later_s      how many seconds ahead its clock is: what has expired is found out without waiting
    """

    def __init__(
        self,
        *,
        bucket: str = "atelier",
        key_id: str = "fake-id",
        key_secret: str = "fake-secret",  # noqa: S107 - it opens nothing but this server
        region: str = "cn-hangzhou",
    ) -> None:
        self.bucket = bucket
        self.keeper = Keeper(key_id=key_id, key_secret=key_secret, region=region)
        self.objects: dict[str, Object] = {}
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.later_s = 0.0
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def endpoint(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def now_s(self) -> float:
        """Its clock."""
        return clock.now_ms() / 1000 + self.later_s

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self, method: str) -> Fault:
        """Return and use up the next fault for this method; one of the kind "none" when there is none."""
        for number, one in enumerate(self.faults):
            if one.method in ("", method):
                return self.faults.pop(number)
        return Fault(kind="none")

    def keep(self, key: str, data: bytes, content_type: str) -> Object:
        """Keep an object."""
        self.objects[key] = made = Object(data=data, content_type=content_type, made_s=self.now_s)
        return made


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeOss

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is expected here, so nothing is printed."""


class _Broken(Exception):
    """The connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - this handler serves no other server

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in `calls` instead of being printed."""

    def do_GET(self) -> None:
        """Send an object, or list the bucket."""
        self._serve(self._get)

    def do_HEAD(self) -> None:
        """Send an object's headers."""
        self._serve(self._get)

    def do_PUT(self) -> None:
        """Keep an object."""
        self._serve(self._put)

    def do_DELETE(self) -> None:
        """Forget an object."""
        self._serve(self._delete)

    def do_POST(self) -> None:
        """Keep what a form sends."""
        self._serve(self._post)

    def _serve(self, act: Any) -> None:
        fake, parts = self.server.fake, urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        fake.calls.append(f"{self.command} {key}")
        self._fault = fake.next_fault(self.command)
        asked = Asked(
            method=self.command,
            bucket=bucket,
            key=key,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        try:
            body = self._received()
            self._misbehave()
            if self.command != "POST":
                fake.keeper.admit(asked, now_s=fake.now_s)
            self._require(bucket)
            act(asked, body)
        except Denied as denied:
            self._refuse(denied)
        except _Broken:
            self.close_connection = True

    def _require(self, bucket: str) -> None:
        if bucket != self.server.fake.bucket:
            raise Denied(404, "NoSuchBucket", "The specified bucket does not exist.")

    def _misbehave(self) -> None:
        if self._fault.kind == "status":
            raise Denied(self._fault.status, self._fault.code)
        if self._fault.kind == "silence":
            self.server.fake.closing.wait()
            raise _Broken

    def _received(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if self._fault.kind == "break" and length:
            self.rfile.read(min(length, self._fault.after))
            raise _Broken
        body = self.rfile.read(length)
        if len(body) < length:  # The client has gone: half a body is nothing.
            raise _Broken
        return self._damaged(body)

    def _damaged(self, data: bytes) -> bytes:
        return bytes([data[0] ^ 1]) + data[1:] if self._fault.kind == "damage" and data else data

    def _put(self, asked: Asked, body: bytes) -> None:
        digest = asked.headers.get("content-md5")
        if digest is not None and digest != _md5(body):
            raise Denied(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
        kept = self.server.fake.keep(asked.key, body, asked.headers.get("content-type", "application/octet-stream"))
        self._answer(200, headers=_described(kept))

    def _delete(self, asked: Asked, _body: bytes) -> None:
        self.server.fake.objects.pop(asked.key, None)
        self._answer(204)

    def _get(self, asked: Asked, _body: bytes) -> None:
        fake = self.server.fake
        if not asked.key:
            self._answer(200, _listing(fake, asked.query).encode(), headers={"Content-Type": "application/xml"})
            return
        kept = fake.objects.get(asked.key)
        if kept is None:
            raise Denied(404, "NoSuchKey", "The specified key does not exist.")
        headers = {"Content-Type": kept.content_type, "Accept-Ranges": "bytes", **_described(kept), **_wished(asked)}
        if self._fault.kind == "type":
            headers["Content-Type"] = self._fault.content_type
        status, data = 200, kept.data
        if span := _range(asked.headers.get("range", ""), len(kept.data)):
            status, data = 206, kept.data[span[0] : span[1]]
            headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{len(kept.data)}"
        self._answer(status, self._damaged(data), headers=headers)

    def _post(self, asked: Asked, body: bytes) -> None:
        fake = self.server.fake
        form, file = _form(self.headers.get("Content-Type", ""), body)
        if file is None or "policy" not in form:
            raise Denied(400, "MalformedPOSTRequest")
        fake.keeper.admit_form(form, bucket=asked.bucket, size=len(file), now_s=fake.now_s)
        kept = fake.keep(form["key"], file, form.get("content-type", "application/octet-stream"))
        status = form.get("success_action_status", "")
        self._answer(int(status) if status in ("200", "201") else 204, headers=_described(kept))

    def _refuse(self, denied: Denied) -> None:
        text = f"<Error><Code>{denied.code}</Code><Message>{escape(denied.message)}</Message></Error>"
        head = '<?xml version="1.0" encoding="UTF-8"?>'
        self._answer(denied.status, f"{head}{text}".encode(), headers={"Content-Type": "application/xml"})

    def _answer(self, status: int, data: bytes = b"", *, headers: Mapping[str, str] | None = None) -> None:
        if self._fault.kind == "lost":
            raise _Broken
        self.send_response(status)
        self.send_header("x-oss-request-id", ids.new_id().replace("-", "").upper())
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: self._fault.after] if self._fault.kind == "break" else data)
            if self._fault.kind == "break":
                raise _Broken


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _described(kept: Object) -> dict[str, str]:
    digest = hashlib.md5(kept.data, usedforsecurity=False).hexdigest().upper()
    return {
        "ETag": f'"{digest}"',
        "Last-Modified": formatdate(kept.made_s, usegmt=True),
        "x-oss-hash-crc64ecma": str(CHECKSUM(kept.data)),
    }


def _wished(asked: Asked) -> dict[str, str]:
    """The headers that a signed address asks for."""
    wishes = {"content-type", "content-disposition", "cache-control", "content-encoding", "content-language", "expires"}
    return {
        name.removeprefix("response-").title(): value
        for name, value in asked.query.items()
        if name.startswith("response-") and name.removeprefix("response-") in wishes
    }


def _range(header: str, size: int) -> tuple[int, int] | None:
    unit, _, text = header.partition("=")
    first, _, last = text.partition("-")
    if unit != "bytes" or not (first.isdigit() or last.isdigit()):
        return None
    if not first:
        return max(0, size - int(last)), size
    begin, end = int(first), min(int(last) + 1 if last else size, size)
    if begin >= size:
        raise Denied(416, "InvalidRange", "The requested range cannot be satisfied.")
    return begin, end


def _listing(fake: FakeOss, query: Mapping[str, str]) -> str:
    count = int(query.get("max-keys") or 100)
    wanted = [
        key
        for key in sorted(fake.objects)
        if key.startswith(query.get("prefix", "")) and key > query.get("start-after", "")
    ]
    return "".join(_page(fake, wanted[:count], truncated=len(wanted) > count))


def _page(fake: FakeOss, keys: list[str], *, truncated: bool) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
    yield f"<Name>{fake.bucket}</Name><MaxKeys>{len(keys)}</MaxKeys><IsTruncated>{str(truncated).lower()}</IsTruncated>"
    for key in keys:
        kept = fake.objects[key]
        yield f"<Contents><Key>{escape(key)}</Key><LastModified>{clock.rfc3339(int(kept.made_s) * 1000)}</LastModified>"
        yield f"<ETag>&quot;x&quot;</ETag><Type>Normal</Type><Size>{len(kept.data)}</Size>"
        yield "<StorageClass>Standard</StorageClass></Contents>"
    if truncated:
        yield f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>"
    yield "</ListBucketResult>"


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes | None]:
    """The fields in lower case, and the file, after which nothing is read."""
    boundary = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
    found: dict[str, str] = {}
    for part in body.split(boundary)[1:]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode().lower()
        if name == "file":
            return found, data.removesuffix(b"\r\n")
        if name:
            found[name] = data.removesuffix(b"\r\n").decode()
    return found, None
