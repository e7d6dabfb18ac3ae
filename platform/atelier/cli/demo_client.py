"""The demo's side of the public HTTP API: everything that it does, any front end can do."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from atelier.cli.console import Stop
from atelier.cli.words import say
from atelier.kernel.ids import new_id

FINAL: Final = frozenset({"job.completed", "job.failed", "job.canceled"})
_TIMEOUT: Final = httpx.Timeout(30, read=60)
_AGAIN_SECONDS: Final = 0.5
_ATTEMPTS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may sign in."""

    email: str
    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent of the marketplace, and what one use of it costs."""

    id: str
    slug: str
    name: str
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that was accepted; `links` say where to go on."""

    id: str
    links: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Credits for money."""

    id: str
    name: str
    price_fen: int


class Client:
    """One user at the API. Any answer that is not the expected one raises Stop with its sentence."""

    def __init__(self, address: str, *, language: str) -> None:
        headers = {"Accept-Language": language}
        self._http = httpx.AsyncClient(base_url=address, headers=headers, timeout=_TIMEOUT, trust_env=False)
        # Links to results are signed, and may lead to another server: the token stays out of it.
        self._signed = httpx.AsyncClient(base_url=address, timeout=_TIMEOUT, trust_env=False, follow_redirects=True)

    async def __aenter__(self) -> Self:
        """Nobody is signed in yet."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close its connections."""
        await self._http.aclose()
        await self._signed.aclose()

    async def register(self, account: Account) -> None:
        """Become a user."""
        body = {"email": account.email, "username": account.username, "password": account.password}
        await self._call("POST", "/api/auth/register", body)

    async def sign_in(self, account: Account) -> int:
        """Be signed in from now on; answers how many credits can be spent."""
        body = {"loginId": account.username, "password": account.password}
        answer = await self._call("POST", "/api/auth/login", body)
        self._http.headers["Authorization"] = f"Bearer {answer['token']}"
        credits_left: int = answer["user"]["credits"]
        return credits_left

    async def agents(self) -> dict[str, Agent]:
        """The oldest published agents by slug: those of the house are older than any that people have published."""
        listed = (await self._call("GET", "/api/agents?limit=50&order=asc"))["agents"]
        return {
            one["slug"]: Agent(id=one["id"], slug=one["slug"], name=one["name"], price=one["creditsPerUse"] or 0)
            for one in listed
        }

    async def generate(self, agent: Agent, *, prompt: str, config: dict[str, Any]) -> Job:
        """Submit a job."""
        body = {"agentId": agent.id, "inputData": {"prompt": prompt}, "config": config}
        answer = await self._call("POST", "/api/workshop/generate", body)
        return Job(id=answer["jobId"], links=answer["links"])

    async def events(self, job: Job) -> AsyncIterator[dict[str, Any]]:
        """What happens to the job, to its end. A connection that breaks is taken up where it ended."""
        last = 0
        while True:
            try:
                async for event in self._stream(job.links["events"], after=last):
                    last = event["seq"]
                    yield event
                    if event["type"] in FINAL:
                        return
            except httpx.TransportError:
                pass  # The API is being started again, say: the job goes on meanwhile, and the stream has a memory.
            else:
                if f"job.{(await self.job(job))['status']}" in FINAL:
                    return
            await asyncio.sleep(_AGAIN_SECONDS)

    async def job(self, job: Job) -> dict[str, Any]:
        """The job as it is now."""
        return await self._call("GET", job.links["self"])

    async def outputs(self, job: Job) -> list[bytes]:
        """What the job has made."""
        result = await self._call("GET", job.links["result"])
        return [
            one["text"].encode() if one.get("text") is not None else await self._download(one["url"])
            for one in result["outputs"]
        ]

    async def balance(self) -> int:
        """Credits that were posted: what is held counts until it is taken."""
        balance: int = (await self._call("GET", "/api/payments/credits/balance"))["balance"]
        return balance

    async def statement(self) -> list[dict[str, Any]]:
        """The lines of the credit statement, newest first."""
        lines: list[dict[str, Any]] = (await self._call("GET", "/api/payments/credits/history?limit=50"))[
            "transactions"
        ]
        return lines

    async def packages(self) -> list[Package]:
        """What can be bought, the cheapest first."""
        listed = (await self._call("GET", "/api/payments/credits/packages"))["packages"]
        found = [Package(id=one["id"], name=one["name"], price_fen=one["priceFen"]) for one in listed]
        return sorted(found, key=lambda package: package.price_fen)

    async def buy(self, package: Package, *, method: str) -> dict[str, Any]:
        """Order it; the answer says how to pay."""
        return await self._call(
            "POST", "/api/payments/credits/purchase", {"packageId": package.id, "paymentMethod": method}
        )

    async def order(self, order_id: str) -> dict[str, Any]:
        """An order as it is now."""
        return await self._call("GET", f"/api/payments/orders/{order_id}")

    async def _stream(self, path: str, *, after: int) -> AsyncIterator[dict[str, Any]]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        async with self._http.stream("GET", path, headers=headers) as answer:
            if answer.is_server_error:
                return
            if not answer.is_success:
                await answer.aread()
                raise _refused(answer)
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    async def _download(self, url: str) -> bytes:
        try:
            answer = await self._signed.get(url)
        except httpx.TransportError as error:
            raise _unreachable(httpx.URL(url).path, error) from error
        if not answer.is_success:
            raise _refused(answer)
        return answer.content

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Idempotency-Key": new_id()} if method == "POST" else {}
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            try:
                answer = await self._http.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS_MAX:
                    raise _unreachable(path, error) from error
                await asyncio.sleep(_AGAIN_SECONDS * attempt)
                continue
            if answer.is_success:
                decoded: dict[str, Any] = answer.json()
                return decoded
            raise _refused(answer)
        raise AssertionError


def _unreachable(path: str, error: httpx.TransportError) -> Stop:
    return Stop(say(f"{path}: no answer ({type(error).__name__})", zh=f"{path}：没有响应（{type(error).__name__}）"))


def _refused(answer: httpx.Response) -> Stop:
    try:
        sentence = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        sentence = answer.reason_phrase
    return Stop(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {sentence}")
