"""People who want everything at once, and an administrator who holds things back: the load of the mixed storm.

Whoever asks repeats the request under its key until the answer is a definite one, so that afterwards it is known
exactly what was accepted. What people wish for is the table MIX: a weight, and what makes a wish.
"""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.catalog.pricing import Rule
from atelier.contracts import queues
from atelier.kernel.clock import now_ms
from atelier.onboarding import operator
from atelier.providers.schemas import KLING
from tests.stack import PASSWORD, Stack

RULE: Final = Rule(unit="thousand_characters", credits=4, minimum=3, maximum=50, quantity="output")
FILM_PRICE: Final = 5
POSTER: Final = next(agent for agent in seed_content.AGENTS if agent.shown.slug == "poster-maker")
STORY: Final = next(agent for agent in seed_content.AGENTS if agent.shown.slug == "story-video")
BATCH: Final = "/api/jobs/batch"
PATIENCE_SECONDS: Final = 120.0
WINDOW: Final = 4
GENERATE: Final = "/api/workshop/generate"
# Not yet: asked again, these get another answer.
PASSING: Final = frozenset({"TOO_MANY_WAITING", "IDEMPOTENCY_IN_PROGRESS", "RATE_LIMITED"})
REFUSALS: Final = frozenset(
    {
        *("INSUFFICIENT_CREDITS", "KEY_CREDITS_EXHAUSTED", "PRICE_ABOVE_MAX"),
        *("JOB_FINISHED", "JOB_NOT_FAILED", "JOB_REPLAYED", "KEY_LIMIT_TOO_LOW", "JOB_IS_STEP", "BATCH_REFUSED"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Agents:
    """Agents that the house has not: one that is paid by the length of its answer, and one whose films take long."""

    metered: str
    film: str

    @classmethod
    def made(cls, session: Session, *, ids: tuple[str, str]) -> "Agents":
        """Publish them."""
        echo = seed_content.ECHO.content
        metered = replace(echo, credits_per_use=RULE.maximum, pricing=RULE.document)
        film = replace(
            echo,
            kind="video",
            runtime={**echo.runtime, "provider": "kling"},
            config_schema=KLING.config,
            default_config=KLING.defaults,
            credits_per_use=FILM_PRICE,
        )
        for agent_id, slug, content in zip(ids, ("metered", "film"), (metered, film), strict=True):
            shown = replace(seed_content.ECHO.shown, slug=slug, credits_per_use=content.credits_per_use)
            service.create(session, agent_id=agent_id, shown=shown, status="review", now_ms=now_ms())
            version = service.add_version(session, agent_id=agent_id, content=content, now_ms=now_ms())
            service.publish(session, agent_id=agent_id, version=version, now_ms=now_ms())
        return cls(metered=ids[0], film=ids[1])


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for, and what each job of it costs when it completes.

    quoted   a price is asked for first, and the job bound to it
    jobs_of  the jobs that an answer names, by their places among the costs
    """

    body: dict[str, Any]
    costs: tuple[int, ...]
    path: str = GENERATE
    quoted: bool = False
    jobs_of: Callable[[Any], Mapping[int, str]] = lambda answer: {0: answer["jobId"]}


def _echo(dice: random.Random, _: Agents) -> Wish:
    configs: tuple[dict[str, Any], ...] = (
        {"delayMs": 20},
        {"delayMs": 800, "steps": 8},
        {"delayMs": 3_000, "steps": 4},
        {"fail": "transient", "failTimes": 1},
        {"fail": "transient"},
        {"fail": "permanent"},
    )
    body = {"agentId": seed_content.ECHO.id, "inputData": {"prompt": "回声"}, "config": dice.choice(configs)}
    return Wish(body=body, costs=(1,))


def _metered(dice: random.Random, agents: Agents) -> Wish:
    length = dice.choice((1, 999, 1_000, 1_001, 2_500, 4_000))
    body: dict[str, Any] = {"agentId": agents.metered, "inputData": {"prompt": "字" * length}}
    body["config"] = {"delayMs": dice.choice((0, 300))}
    if dice.random() < 0.1:
        body["maxCredits"] = RULE.maximum - 1
    thousands = -(-length // 1_000)
    return Wish(body=body, costs=(max(RULE.minimum, thousands * RULE.credits),), quoted="maxCredits" not in body)


def _film(_: random.Random, agents: Agents) -> Wish:
    return Wish(body={"agentId": agents.film, "inputData": {"prompt": "海上日出"}}, costs=(FILM_PRICE,))


def _poster(dice: random.Random, _: Agents) -> Wish:
    config = {"width": 256, "height": 256, "seed": dice.randrange(100)}
    body = {"agentId": POSTER.id, "inputData": {"prompt": "雨巷"}, "config": config}
    return Wish(body=body, costs=(POSTER.content.credits_per_use or 0,))


def _items(answer: Any) -> Mapping[int, str]:
    return {item["index"]: item["jobId"] for item in answer["items"] if "jobId" in item}


def _batch(dice: random.Random, agents: Agents) -> Wish:
    """Some jobs and one that can't be."""
    wishes = [dice.choice((_echo, _metered, _film))(dice, agents) for _ in range(3)]
    items = [{**wish.body, "priority": dice.choice(("low", "high"))} for wish in wishes]
    costs = tuple(cost for wish in wishes for cost in wish.costs)
    wrong = {"agentId": agents.film, "inputData": {"prompt": " "}}
    return Wish(path=BATCH, body={"items": [*items, wrong]}, costs=costs, jobs_of=_items)


def _story(_: random.Random, __: Agents) -> Wish:
    config = {"scenes": 2, "secondsPerScene": 1, "resolution": "640x360", "audio": "none"}
    body = {"agentId": STORY.id, "inputData": {"prompt": "松鼠的秋天"}, "config": config}
    return Wish(body=body, costs=(STORY.content.credits_per_use or 0,))


MIX: Final[tuple[tuple[int, Callable[[random.Random, Agents], Wish]], ...]] = (
    (10, _echo),
    (4, _metered),
    (4, _film),
    (1, _poster),
    (2, _batch),
    (1, _story),
)


class Asking:
    """Asks until there is a definite answer."""

    def __init__(self, stack: Stack, headers: Mapping[str, str], seed: int) -> None:
        self.headers = dict(headers)
        self.refused = Counter[str]()
        self.dice = random.Random(seed)
        self._stack = stack

    def ask(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """What was answered; None when it was refused for one of REFUSALS."""
        own = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._try(method, path, body, own | dict(headers or self.headers))
            if answer is not None and answer.is_success:
                return answer.json()
            code = answer.json()["code"] if answer is not None else "no answer"
            if answer is not None and answer.status_code != 503 and code not in PASSING:
                assert code in REFUSALS, f"{method} {path}: {answer.text}"
                self.refused[code] += 1
                return None
            assert time.monotonic() < ends, f"{method} {path}: {code} for {PATIENCE_SECONDS} s"
            threading.Event().wait(0.2)

    def _try(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> httpx.Response | None:
        try:
            return self._stack.client.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            return None


@dataclass
class Key:
    """An API key, and how much it may cost in all."""

    id: str
    headers: dict[str, str]
    limit: int


@dataclass(kw_only=True)
class Hooks:
    """Whom a person's jobs are told to: an endpoint for all of them, and an address for single ones."""

    endpoint: str = ""
    single: str = ""
    endpoint_id: str = field(default="", init=False)


class Person(Asking):
    """Somebody who submits, cancels, tries again and looks; `costs` are those of the jobs that were accepted."""

    def __init__(self, stack: Stack, agents: Agents, *, hooks: Hooks, amount: int, seed: int) -> None:
        self.name = f"u{uuid.uuid4().hex[:12]}"
        super().__init__(stack, stack.user(self.name, amount=amount), seed)
        self.amount, self.hooks = amount, hooks
        self.costs: dict[str, int] = {}
        self.followed: set[str] = set()
        self.batches: list[str] = []
        self.key = self._make_key(limit=60)
        self._agents = agents
        if hooks.endpoint:
            hooks.endpoint_id = self.ask("POST", "/api/webhooks", {"url": hooks.endpoint})["id"]

    def run(self, over: threading.Event) -> None:
        """Go on until it is over."""
        moves = (self._wishes, self._cancel, self._retry, self._look, self._raise_limit, self._cancel_batch)
        while not over.wait(self.dice.uniform(0.02, 0.25)):
            (move,) = self.dice.choices(moves, (70, 12, 8, 8, 2, 2))
            if self.costs or move == self._wishes:
                move()

    def _wishes(self) -> None:
        for _ in range(self.dice.choice((1, 1, 1, 2 * WINDOW))):
            self._wish()

    def _wish(self) -> None:
        (maker,) = self.dice.choices([maker for _, maker in MIX], [weight for weight, _ in MIX])
        wish = maker(self.dice, self._agents)
        body = dict(wish.body)
        headers = self.key.headers if self.dice.random() < 0.3 else self.headers
        if wish.quoted:
            quote = self.ask("POST", "/api/workshop/quote", body, headers=headers)
            body |= {"quoteId": quote["quoteId"], "maxCredits": quote["credits"]}
        single = wish.path == GENERATE
        if single:
            body |= self._extras()
        answer = self.ask("POST", wish.path, body, headers=headers)
        for place, job_id in wish.jobs_of(answer).items() if answer else ():
            self.costs[job_id] = wish.costs[place]
            if "webhook" in body:
                self.followed.add(job_id)
        if answer and "batchId" in answer:
            self.batches.append(answer["batchId"])

    def _extras(self) -> dict[str, Any]:
        extras: dict[str, Any] = {"priority": self.dice.choice(("low", "normal", "high"))}
        if self.dice.random() < 0.1:
            extras["deadlineSeconds"] = self.dice.choice((1, 3, 8))
        if self.hooks.single and self.dice.random() < 0.15:
            extras["webhook"] = {"url": self.hooks.single}
        return extras

    def _any_job(self) -> str:
        return self.dice.choice(list(self.costs))

    def _cancel(self) -> None:
        self.ask("POST", f"/api/jobs/{self._any_job()}/cancel")

    def _cancel_batch(self) -> None:
        if self.batches:
            self.ask("POST", f"{BATCH}/{self.dice.choice(self.batches)}/cancel")

    def _retry(self) -> None:
        job_id = self._any_job()
        if answer := self.ask("POST", f"/api/jobs/{job_id}/retry"):
            self.costs[answer["jobId"]] = self.costs[job_id]
            if job_id in self.followed:
                self.followed.add(answer["jobId"])

    def _look(self) -> None:
        job_id = self._any_job()
        assert self.ask("GET", f"/api/jobs/{job_id}")["id"] == job_id

    def _raise_limit(self) -> None:
        limit = self.key.limit + 20
        if self.ask("PUT", f"/api/keys/{self.key.id}", {"creditLimit": limit}):
            self.key.limit = limit

    def _make_key(self, *, limit: int) -> Key:
        body = {"name": "storm", "scopes": ["generate", "jobs:read"], "creditLimit": limit}
        made = self.ask("POST", "/api/keys", body)
        return Key(made["id"], {"Authorization": f"Bearer {made['key']}"}, limit)


class Administrator(Asking):
    """Pauses, drains, limits, cancels, tests and replays, and lets everything go in the end."""

    QUEUES: Final = tuple(queues.GENERATION.values())
    PROVIDERS: Final = ("echo", "kling", "local-image", "local-video")
    WHY: Final[Mapping[str, Any]] = {"reason": "演练"}

    def __init__(self, stack: Stack, *, seed: int) -> None:
        operator.create_user(
            stack.database, email="boss@example.com", username="boss", password=PASSWORD, role="admin", amount=0
        )
        answer = stack.client.post("/api/auth/login", json={"loginId": "boss", "password": PASSWORD})
        super().__init__(stack, {"Authorization": f"Bearer {answer.json()['token']}"}, seed)
        self.did = Counter[str]()

    def run(self, over: threading.Event) -> None:
        """Go on until it is over; afterwards nothing is held back."""
        while not over.wait(self.dice.uniform(0.2, 1.0)):
            what = self.dice.choice((self._hold, self._limit, self._replay, self._cancel, self._test))
            what(over)
            self.did[what.__name__.removeprefix("_")] += 1
        self.let_go()

    def let_go(self) -> None:
        """Nothing is paused, draining, limited or at rest any more."""
        for path in (*(f"queues/{name}" for name in self.QUEUES), *(f"providers/{name}" for name in self.PROVIDERS)):
            self.ask("POST", f"/api/admin/{path}/resume", self.WHY)
        for name in self.PROVIDERS:
            self.ask("PUT", f"/api/admin/providers/{name}/limits", self.WHY)

    def _hold(self, over: threading.Event) -> None:
        kind, names = self.dice.choice((("queues", self.QUEUES), ("providers", self.PROVIDERS)))
        path = f"/api/admin/{kind}/{self.dice.choice(names)}"
        self.ask("POST", f"{path}/{self.dice.choice(('pause', 'drain'))}", self.WHY)
        over.wait(self.dice.uniform(0.2, 1.5))
        self.ask("POST", f"{path}/resume", self.WHY)

    def _limit(self, _: threading.Event) -> None:
        limits = self.dice.choice(({"inFlightMax": 2}, {"perMinute": 120, "burst": 5}, {}))
        name = self.dice.choice(self.PROVIDERS)
        self.ask("PUT", f"/api/admin/providers/{name}/limits", {**self.WHY, **limits})

    def _replay(self, _: threading.Event) -> None:
        wanted = self.dice.choice(
            ({}, {"errorClass": "worker_lost"}, {"provider": "kling"}, {"errorClass": "deadline"})
        )
        self.ask("POST", "/api/admin/jobs/replay", {**self.WHY, "filter": wanted, "limit": 5})

    def _cancel(self, _: threading.Event) -> None:
        status = self.dice.choice(("pending", "running"))
        for job in self.ask("GET", f"/api/admin/jobs?status={status}")["jobs"][:1]:
            self.ask("POST", f"/api/admin/jobs/{job['id']}/cancel", self.WHY)

    def _test(self, _: threading.Event) -> None:
        self.ask("POST", f"/api/admin/providers/{self.dice.choice(self.PROVIDERS)}/test", self.WHY)
