"""The provider "kling": text to video, by submitting, listing and fetching."""

import asyncio
import ssl
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx

from atelier.kernel.clock import now_ms
from atelier.providers.contract import GenerationRequest, GenerationResult, Output, ProviderUnavailable
from atelier.providers.errors import BadAnswer, Interrupted, TimedOut
from atelier.providers.kling import answers
from atelier.providers.kling.account import Account
from atelier.providers.kling.answers import Answer
from atelier.providers.later import Absent, Accepted, Found, Rejected, Status, Submitted, Unknown
from atelier.providers.openai.links import fetch
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import KLING

DEFAULT_MODEL: Final = "kling-v2-6"
PATH: Final = "/v1/videos/text2video"
PAGE: Final = 500
PAGES_MAX: Final = 24
ALONE_MAX: Final = 3
SHORT: Final = 5
_LONGEST_ANSWER: Final = 8_000_000
_LONGEST_VIDEO: Final = 300_000_000


class Kling:
    """One account. Instances are shared by threads."""

    name: str = "kling"
    list_max: int = 4 * PAGE
    keyed: bool = True

    def __init__(self, account: Account) -> None:
        self.account = account
        self.pace = account.pace
        self._home = account.url.rstrip("/")
        # Reading the certificates of authorities takes longer than many a call.
        self._trust = ssl.create_default_context()
        self._http = httpx.Client(
            base_url=self._home,
            timeout=httpx.Timeout(account.seconds, connect=min(5.0, account.seconds)),
            verify=self._trust,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
            trust_env=not self._is_loopback(),
        )

    def submit(self, request: GenerationRequest) -> Submitted:
        """Hand the request over under its key."""
        body = _body(request)
        try:
            answer = self._call("POST", PATH, body=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            return Rejected(failure=ProviderUnavailable("no connection to the provider"))
        except httpx.HTTPError as error:
            return Unknown(reason="timeout" if isinstance(error, httpx.TimeoutException) else "connection")
        if answer.good and (upstream_id := answers.task_id(answer.data)):
            return Accepted(upstream_id=upstream_id)
        if answer.good or answer.in_doubt:
            return Unknown(reason=f"http_{answer.status}")
        if answer.code in answers.PARAMETERS:
            # A key that was used before is refused like any other parameter.
            found = self.find(request.provider_key)
            if not isinstance(found, Absent):
                return found
        return Rejected(failure=answers.failure(answer))

    def find(self, provider_key: str) -> Found:
        """The task of this key; Kling answers to it in place of an id."""
        try:
            answer = self._call("GET", f"{PATH}/{quote(provider_key, safe='')}")
        except httpx.HTTPError:
            return Unknown(reason="connection")
        if answer.code in answers.NOT_FOUND:
            return Absent()
        upstream_id = answers.task_id(answer.data) if answer.good else None
        if upstream_id is None or answers.external_id(answer.data) != provider_key:
            return Unknown(reason=f"http_{answer.status}")
        return Accepted(upstream_id=upstream_id)

    def poll(self, upstream_ids: Sequence[str]) -> Mapping[str, Status]:
        """How far these are: a few one by one, many from the list, which begins with the newest."""
        wanted = set(upstream_ids)
        if len(wanted) <= ALONE_MAX:
            return {one: status for one in wanted if (status := self._one(one))}
        # None is a task in a state that we don't know: it is there, and more can't be said of it.
        told: dict[str, Status | None] = {}
        for number in range(1, PAGES_MAX + 1):
            page = self._page(number)
            told |= dict(_statuses(page, wanted))
            if len(told) == len(wanted):
                break
            if len(page) < PAGE:
                # The list has ended without them.
                told |= dict.fromkeys(wanted - told.keys(), Status(state="missing"))
                break
        return {one: status for one, status in told.items() if status}

    def fetch(self, status: Status) -> GenerationResult:
        """The videos of a task that succeeded."""
        found = asyncio.run(self._fetched(answers.links(status.result)))
        return GenerationResult(outputs=tuple(found))

    def cancel(self, upstream_id: str) -> bool:  # noqa: ARG002 - the contract's
        """Kling has no such call."""
        return False

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def _one(self, upstream_id: str) -> Status | None:
        answer = self._asked(f"{PATH}/{quote(upstream_id, safe='')}")
        if answer.code in answers.NOT_FOUND:
            return Status(state="missing")
        if not answer.good or answers.task_id(answer.data) is None:
            raise _unavailable(answer)
        return answers.status_of(answer.data)

    def _page(self, number: int) -> list[Any]:
        answer = self._asked(f"{PATH}?pageNum={number}&pageSize={PAGE}")
        tasks = answers.tasks(answer.data) if answer.good else None
        if tasks is None:
            raise _unavailable(answer)
        return tasks

    def _asked(self, path: str) -> Answer:
        try:
            return self._call("GET", path)
        except httpx.TimeoutException as error:
            raise TimedOut("the provider fell silent") from error
        except httpx.HTTPError as error:
            raise Interrupted("the connection to the provider broke") from error

    def _call(self, method: str, path: str, *, body: Mapping[str, Any] | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.account.bearer(now_ms=now_ms())}"}
        with self._http.stream(method, path, json=body, headers=headers) as response:
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > _LONGEST_ANSWER:
                    return Answer(response.status_code, None, None)
            return answers.parsed(response.status_code, bytes(data))

    async def _fetched(self, links: Sequence[str]) -> list[Output]:
        limits = httpx.Timeout(self.account.seconds)
        alone = not self._is_loopback()
        async with (
            httpx.AsyncClient(verify=self._trust, timeout=limits, trust_env=alone) as http,
            httpx.AsyncClient(verify=self._trust, timeout=limits, trust_env=False) as direct,
        ):
            return [
                _video(await fetch(link, home=self._home, http=http, direct=direct, longest=_LONGEST_VIDEO))
                for link in links
            ]

    def _is_loopback(self) -> bool:
        return httpx.URL(self.account.url).host in {"127.0.0.1", "localhost", "::1"}


def _body(request: GenerationRequest) -> dict[str, Any]:
    parameters = Parameters(request.parameters, KLING.config)
    body: dict[str, Any] = {
        "model_name": request.model or DEFAULT_MODEL,
        "prompt": request.prompt[:2_500],
        "mode": parameters.text("mode"),
        "aspect_ratio": parameters.text("aspectRatio"),
        "duration": "5" if parameters.integer("durationSeconds") <= SHORT else "10",
        "external_task_id": request.provider_key,
    }
    if parameters.text("negativePrompt"):
        body["negative_prompt"] = parameters.text("negativePrompt")
    if request.callback_url:
        body["callback_url"] = request.callback_url
    return body


def _statuses(page: Iterable[Any], wanted: Collection[str]) -> Iterable[tuple[str, Status | None]]:
    for data in page:
        upstream_id = answers.task_id(data)
        if upstream_id is not None and upstream_id in wanted:
            yield upstream_id, answers.status_of(data)


def _unavailable(answer: Answer) -> ProviderUnavailable:
    failure = answers.failure(answer)
    return failure if isinstance(failure, ProviderUnavailable) else BadAnswer(str(failure))


def _video(data: bytes) -> Output:
    if data[4:8] != b"ftyp":
        raise BadAnswer("the provider's file is no video")
    return Output(type="video", content_type="video/mp4", data=data)
