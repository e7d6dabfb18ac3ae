"""One POST to an address that a user has named: bounded in time and size, led nowhere else, and to nobody inside.

The name is looked up once for each call, every address of the answer is judged, and the connection goes to one of
exactly these: who answers for the name can't show a public address first and have us connect to another. The name in
the certificate, in SNI and in `Host` stays the one that the user wrote. No redirect is followed and no proxy used,
because either would look up names again.
"""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from typing_extensions import override

from atelier.callouts import targets
from atelier.callouts.targets import BadTarget
from atelier.kernel import clock
from atelier.kernel.errors import Transient

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]

SECONDS: Final = 15.0
ANSWER_BYTES_MAX: Final = 64 * 1024
AGENT: Final = "Atelier-Webhooks/1"


class NotAnswered(Transient):
    """Nobody answered. `reason` is a stable word; what a stack of network libraries has to say stays out of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `retry_after` is in seconds, as asked for by the other side; None when it did not ask."""

    status: int
    body: bytes
    retry_after: float | None = None


class _Names(ThreadPoolExecutor):
    """Looks up names. The system's resolver can't be stopped and may take a minute: a call that is over leaves it."""

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End without waiting."""
        super().shutdown(wait=False, cancel_futures=True)


async def look_up(name: str, port: int) -> list[str]:
    """The addresses of a name as this machine sees it, the best first. Raises OSError when there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """Calls addresses of users. `loopback` allows this machine, `find` looks names up, `certificates` are trusted."""

    loopback: bool = False
    find: LookUp = look_up
    certificates: ssl.SSLContext | None = None
    seconds: float = SECONDS

    def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST the body once, from a thread without an event loop. Raises NotAnswered."""
        try:
            plain = targets.target(url, loopback=self.loopback)
        except BadTarget:
            raise NotAnswered("ADDRESS_FORBIDDEN") from None
        try:
            return asyncio.run(self._post(httpx.URL(plain), body, headers))
        except TimeoutError:
            raise NotAnswered("TIMEOUT") from None

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        asyncio.get_running_loop().set_default_executor(_Names(max_workers=1, thread_name_prefix="names"))
        until = asyncio.get_running_loop().time() + self.seconds
        async with asyncio.timeout_at(until):
            addresses = await self._addresses(url)
        trusted = self.certificates or _certificates()
        async with httpx.AsyncClient(trust_env=False, verify=trusted, timeout=self.seconds) as http:
            async with asyncio.timeout_at(until):
                response = await _sent(http, url, addresses, body=body, headers=headers)
            try:
                return await _read(response, until)
            finally:
                with contextlib.suppress(httpx.HTTPError, OSError):
                    await response.aclose()

    async def _addresses(self, url: httpx.URL) -> list[str]:
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = list(dict.fromkeys(await self.find(url.raw_host.decode("ascii"), port)))
        except (OSError, UnicodeError):
            raise NotAnswered("NAME_UNKNOWN") from None
        if not targets.may_connect(url, found, loopback=self.loopback):
            raise NotAnswered("ADDRESS_FORBIDDEN")
        return found


async def _sent(
    http: httpx.AsyncClient, url: httpx.URL, addresses: Sequence[str], *, body: bytes, headers: Mapping[str, str]
) -> httpx.Response:
    """The head of the answer of the first address that can be connected to."""
    plain = {
        "Host": url.netloc.decode("ascii"),
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": AGENT,
    }
    name = {"sni_hostname": url.raw_host.decode("ascii")}
    failure = NotAnswered("CONNECTION_FAILED")
    for address in addresses:
        pinned = url.copy_with(host=address)
        request = http.build_request("POST", pinned, content=body, headers={**plain, **headers}, extensions=name)
        try:
            return await http.send(request, stream=True, follow_redirects=False)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # This machine may have no route to one of two families of addresses: the next one is as good.
            failure = NotAnswered("TLS_FAILED" if _is_tls(error) else "CONNECTION_FAILED")
        except httpx.TimeoutException:
            raise NotAnswered("TIMEOUT") from None
        except (httpx.HTTPError, httpx.StreamError, ValueError):
            raise NotAnswered("CONNECTION_BROKEN") from None
    raise failure


async def _read(response: httpx.Response, until: float) -> Answer:
    """The answer with as much of its body as came in time: its status alone decides."""
    body = bytearray()
    # Packed, a small body could become a large one: it is kept as it came.
    with contextlib.suppress(TimeoutError, httpx.HTTPError, httpx.StreamError):
        async with asyncio.timeout_at(until):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= ANSWER_BYTES_MAX:
                    break
    return Answer(
        status=response.status_code,
        body=bytes(body[:ANSWER_BYTES_MAX]),
        retry_after=retry_after(response.headers.get("Retry-After")),
    )


def retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After asks for, in either of its two forms; None for none, and for one that is none."""
    if value is None or len(value) > 64:
        return None
    if value.strip().isdecimal():
        return float(value) if len(value.strip()) < 10 else None
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, moment.timestamp() - clock.now_ms() / clock.SECOND_MS)
    except (ValueError, TypeError, OverflowError):
        return None


def _is_tls(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Loading the certificates takes tens of milliseconds, so it is done once per process."""
    return httpx.create_ssl_context()
