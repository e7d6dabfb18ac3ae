"""One call to an OpenAI-compatible endpoint: a POST that can be stopped, is bounded in time and is repeated a little.

The caller is synchronous, as every provider is. Inside, each try runs on an event loop of its own in the caller's
thread: only so can an attempt that is canceled leave a silent connection within a fraction of a second.
"""

import asyncio
import functools
import ipaddress
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx
import tenacity

from atelier.providers.contract import GenerationRequest, ProviderUnavailable, RunContext
from atelier.providers.errors import BadAnswer, Interrupted, OutOfTime, TimedOut
from atelier.providers.openai.failures import Failure, failure_of, may_try_again, retry_after

T = TypeVar("T")
Read = Callable[[httpx.Response], Awaitable[T]]

_CHECK_EVERY_SECONDS: Final = 0.2
_LONGEST_ERROR_BODY: Final = 64_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and how to call. `base_url` ends with the version, as in OpenAI's own SDKs: https://api.openai.com/v1.

    models  our name of a model → the endpoint's name; the entry "" is used by requests that name no model
    tries   how often one call may be sent in all, `longest_wait_seconds` between two of them at most
    """

    base_url: str
    api_key: str = field(repr=False)
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    connect_timeout: float = 5.0
    read_timeout: float = 120.0
    tries: int = 3
    longest_wait_seconds: float = 20.0

    def __post_init__(self) -> None:
        if httpx.URL(self.base_url).scheme not in ("http", "https"):
            raise ValueError("base_url must be an http or https address")
        # The HTTP library would put an illegal key into the text of its own error, and so into logs.
        if not (self.api_key.isascii() and self.api_key.isprintable()) or " " in self.api_key:
            raise ValueError("api_key must be printable ASCII without blanks")

    @property
    def is_loopback(self) -> bool:
        """Tell whether the endpoint is on this machine: then proxies of the environment are not for it."""
        host = httpx.URL(self.base_url).host
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class _TryAgain(Exception):
    """A signal between two tries of one call, never seen outside."""

    def __init__(self, failure: Failure, wait: float | None = None) -> None:
        super().__init__()
        self.failure = failure
        self.wait = wait


class OpenAIClient:
    """Shared by the chat, images and speech providers; holds no connection and no state between calls."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def model(self, request: GenerationRequest) -> str:
        """Return the endpoint's name of the request's model."""
        return self.endpoint.models.get(request.model, request.model)

    def post(
        self, path: str, body: dict[str, Any], *, request: GenerationRequest, context: RunContext, read: Read[T]
    ) -> T:
        """POST `body` and return what `read` makes of the successful answer.

        Connection failures, 408, 409, 429 and 5xx are tried again before `read` begins; nothing is once it began.
        Raises ProviderRejected, ProviderUnavailable or whatever `read` raises; lets `Stopped` pass.
        """
        # A provider must give up before the attempt's own end, so that its error is the one that is reported.
        deadline = time.monotonic() + max(request.timeout_seconds - 1.0, request.timeout_seconds / 2)
        headers = self._headers(request)
        sending = functools.partial(self._send, path, body, headers, read)
        for number in self._tries(deadline, context):
            with number:
                return asyncio.run(_guarded(sending, deadline, context))
        raise AssertionError("unreachable: the last try returns or raises")

    def _headers(self, request: GenerationRequest) -> dict[str, str]:
        headers = {"Idempotency-Key": request.provider_key}
        if self.endpoint.api_key:
            headers["Authorization"] = f"Bearer {self.endpoint.api_key}"
        return headers

    def _tries(self, deadline: float, context: RunContext) -> tenacity.Retrying:
        def give_up(state: tenacity.RetryCallState) -> bool:
            late = time.monotonic() + state.upcoming_sleep >= deadline
            too_long = state.upcoming_sleep > self.endpoint.longest_wait_seconds
            return late or too_long or state.attempt_number >= self.endpoint.tries

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            wait=_wait,
            stop=give_up,
            sleep=context.sleep,
            retry_error_callback=_give_failure,
        )

    async def _send(self, path: str, body: dict[str, Any], headers: dict[str, str], read: Read[T]) -> T:
        url = self.endpoint.base_url.rstrip("/") + path
        try:
            async with self.http() as http, http.stream("POST", url, json=body, headers=headers) as response:
                await _refuse_failures(response)
                return await read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _TryAgain(ProviderUnavailable("no connection to the provider")) from error
        except httpx.TimeoutException as error:
            raise TimedOut("the provider fell silent") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Interrupted("the connection to the provider broke") from error

    def http(self, *, direct: bool = False) -> httpx.AsyncClient:
        """Return a new client with the endpoint's timeouts and without its key; a `direct` one uses no proxy."""
        timeout = httpx.Timeout(self.endpoint.read_timeout, connect=self.endpoint.connect_timeout)
        trust_env = not (direct or self.endpoint.is_loopback)
        return httpx.AsyncClient(timeout=timeout, verify=_certificates(), trust_env=trust_env)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Loading the certificates takes tens of milliseconds, so it is done once per process."""
    return httpx.create_ssl_context()


async def _guarded(sending: Callable[[], Awaitable[T]], deadline: float, context: RunContext) -> T:
    """Run one try; leave it as soon as the attempt must end or its time is over."""
    work = asyncio.ensure_future(sending())
    try:
        while not work.done():
            context.check()
            if time.monotonic() >= deadline:
                raise OutOfTime("the provider took longer than the attempt may")
            await asyncio.wait({work}, timeout=min(_CHECK_EVERY_SECONDS, max(0.0, deadline - time.monotonic())))
        return work.result()
    finally:
        work.cancel()
        # Waiting for the canceled work closes its connection here, before the loop itself is closed.
        await asyncio.gather(work, return_exceptions=True)


async def _refuse_failures(response: httpx.Response) -> None:
    if response.is_success:
        return
    body = await read_capped(response, longest=_LONGEST_ERROR_BODY, cut=True)
    failure = failure_of(response.status_code, response.headers, body)
    if may_try_again(failure, response.status_code, response.headers):
        raise _TryAgain(failure, retry_after(response.headers))
    raise failure


async def read_capped(response: httpx.Response, *, longest: int, cut: bool = False) -> bytes:
    """Read a body of at most `longest` bytes; a longer one is `cut`, or raises BadAnswer."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > longest:
            if cut:
                break
            raise BadAnswer("the provider's answer is too large")
    return bytes(body[:longest])


_backoff = tenacity.wait_exponential_jitter(multiplier=0.5, max=8.0, jitter=0.5)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, _TryAgain) and error.wait is not None:
        return error.wait
    return _backoff(state)


def _give_failure(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, _TryAgain):
        raise error.failure from error.__cause__
