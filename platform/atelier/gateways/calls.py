"""Calls of a payment gateway: bounded in time and size, and never led elsewhere.

Whatever goes wrong on the way is GatewayUnknown. A call that could not even connect is tried once more; nothing else is
repeated here, because whoever calls knows better when to ask again. Addresses and bodies stay out of errors and logs.
"""

import functools
import ipaddress
import ssl
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

import httpx
import tenacity

from atelier.gateways.errors import GatewayUnknown

ANSWER_BYTES_MAX: Final = 1024 * 1024
BILL_BYTES_MAX: Final = 256 * 1024 * 1024
BILL_SECONDS: Final = 600.0
_KEPT_IN_MEMORY: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Caller:
    """Connections to one gateway, for all threads of a process. Make it after any fork."""

    def __init__(self, *, url: str, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        self._http = httpx.Client(
            timeout=httpx.Timeout(answer_seconds, connect=answer_seconds / 2),
            verify=_certificates(),
            follow_redirects=False,
            trust_env=not _is_loopback(url),
        )

    def build(self, method: str, url: str, *, content: bytes = b"", headers: Mapping[str, str]) -> httpx.Request:
        """The request as it will be sent: what is signed must be its very bytes and path. Raises GatewayUnknown."""
        plain = {"Accept-Encoding": "identity", "User-Agent": "atelier"}
        try:
            return self._http.build_request(method, url, content=content or None, headers={**plain, **headers})
        except (httpx.InvalidURL, UnicodeEncodeError):
            raise GatewayUnknown("no address to call") from None

    def send(self, request: httpx.Request) -> Answer:
        """The answer to a request. Raises GatewayUnknown, also for an answer that is too large or too slow."""
        with self._sent(request) as response:
            body = b"".join(_chunks(response, longest=ANSWER_BYTES_MAX, seconds=self._answer_seconds))
            return Answer(status=response.status_code, headers=dict(response.headers), body=body)

    @contextmanager
    def download(self, request: httpx.Request) -> Generator[IO[bytes]]:
        """A body of any size up to the bound, in a file without a name. Raises GatewayUnknown."""
        with tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY) as file:
            with self._sent(request) as response:
                if response.status_code != 200:
                    raise GatewayUnknown(f"a bill was answered with {response.status_code}")
                for chunk in _chunks(response, longest=BILL_BYTES_MAX, seconds=BILL_SECONDS):
                    file.write(chunk)
            file.seek(0)
            yield file

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    @contextmanager
    def _sent(self, request: httpx.Request) -> Generator[httpx.Response]:
        try:
            response = _TWICE(self._http.send, request, stream=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise GatewayUnknown(f"no answer: {type(error).__name__}") from error
        try:
            yield response
        finally:
            response.close()


# The second try is for a connection that was not made: a request that may have arrived is not sent again here.
_TWICE = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type((httpx.ConnectError, httpx.ConnectTimeout)),
    stop=tenacity.stop_after_attempt(2),
    reraise=True,
)


def _chunks(response: httpx.Response, *, longest: int, seconds: float) -> Iterator[bytes]:
    """The body as it was sent: signatures are made over it, and nothing is inflated by the way."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise GatewayUnknown("an answer is encoded")
    until, length = time.monotonic() + seconds, 0
    try:
        # As it arrives: chunks of a fixed size would be waited for, however slowly they fill.
        for chunk in response.iter_raw():
            length += len(chunk)
            if length > longest:
                raise GatewayUnknown("an answer is too large")
            if time.monotonic() > until:
                raise GatewayUnknown("an answer took too long")
            yield chunk
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise GatewayUnknown(f"half an answer: {type(error).__name__}") from error


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Loading the certificates takes tens of milliseconds, so it is done once per process."""
    return httpx.create_ssl_context()


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
