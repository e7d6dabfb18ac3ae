"""Everything at once: prices, keys, priorities, webhooks, films from far away, operators, while processes are killed.

The seed is printed; `ATELIER_STORM_SEED` repeats a storm and `ATELIER_STORM_SECONDS` makes it longer.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from atelier.kernel.ids import new_id
from atelier.providers.fake_kling import FakeKling, Faults
from tests.crash import mixed_judging
from tests.crash.mixed_people import WINDOW, Administrator, Agents, Hooks, Person
from tests.generation import storm
from tests.servers import ValkeyServer, until
from tests.stack import Stack
from tests.webhooks.receiver import Receiver, Says

SECONDS = float(os.environ.get("ATELIER_STORM_SECONDS", "60"))
SEED = int(os.environ.get("ATELIER_STORM_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
PAUSE_SECONDS = 2.0
ROLES = ("generation", "media", "submitting", "money", "relay", "beat", "web")
BLOWS = (*ROLES, "wiped broker", "restarted broker")
BAD = Faults(unanswered=0.06, late=0.04, late_seconds=1.0, broken=0.06, unsure=0.05, full=0.04, failing=0.08, deaf=0.03)
SETTINGS = {
    "ATELIER_USER_WINDOW": str(WINDOW),
    "ATELIER_WAITING_JOBS_MAX": "60",
    "ATELIER_WEBHOOK_LOOPBACK": "true",
}
ENDS_WITHIN_SECONDS = 150


@dataclass
class World:
    """Everything outside of the platform, and the platform."""

    stack: Stack
    broker: ValkeyServer
    fake: FakeKling
    moody: Receiver
    gone: Receiver
    struck: Counter[str] = field(default_factory=Counter[str])
    most: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def people(self) -> list[Person]:
        """Some with an endpoint, one of whom has given it up, and one who has few credits."""
        agents = self.stack.database.transact(Agents.made, ids=(new_id(), new_id()))
        single = f"{self.moody.url}/single"
        all_hooks = (
            (100_000, Hooks(endpoint=f"{self.moody.url}/all", single=single)),
            (100_000, Hooks(endpoint=f"{self.gone.url}/gone", single=single)),
            (100_000, Hooks(single=single)),
            (60, Hooks()),
        )
        return [
            Person(self.stack, agents, hooks=hooks, amount=amount, seed=SEED + number)
            for number, (amount, hooks) in enumerate(all_hooks)
        ]

    def watch(self) -> None:
        """Note how many jobs of one user ever run at once in one queue."""
        while not self.ended.wait(0.1):
            counted = self.stack.database.read(mixed_judging.running)
            self.most = max(self.most, *counted.values(), 0)

    def storm(self, seconds: float, dice: random.Random) -> None:
        """Take something away every other second, each in turn, and let consumers and the provider misbehave."""
        ends, blows = time.monotonic() + seconds, list[str]()
        while time.monotonic() < ends:
            blows = blows or dice.sample(BLOWS, len(BLOWS))
            self.struck[self._strike(blows.pop())] += 1
            self.moody.answers += [Says(status=500), Says(cut=True)][: dice.randrange(3)]
            if dice.random() < 0.1:
                self.fake.restart(keep=True)
            self.over.wait(PAUSE_SECONDS)

    def _strike(self, blow: str) -> str:
        if blow == "wiped broker":
            self.broker.wipe()
        elif blow == "restarted broker":
            self.broker.kill()
            self.broker.run()
        else:
            self.stack.processes[blow].kill()
            self.stack.start(blow)
        return blow

    def come_to_rest(self) -> float:
        """Let all jobs end and everything be told; how many seconds the jobs took."""
        self.fake.faults = Faults()
        self.moody.answers.clear()
        began = time.monotonic()
        self.stack.until_finished(seconds_max=ENDS_WITHIN_SECONDS)
        took = time.monotonic() - began
        until(self._told, what="everything is told", seconds_max=120)
        return took

    def _told(self) -> bool:
        self.stack.database.transact(mixed_judging.hasten)
        # A worker that tells something now has that long to say how it went.
        return bool(self.ended.wait(3)) or self.stack.database.read(mixed_judging.untold) == 0


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    """One that takes what is sent, mostly, and one that wants nothing any more."""
    moody, gone = Receiver(), Receiver()
    gone.otherwise = Says(status=410)
    yield moody, gone
    moody.close()
    gone.close()


@pytest.fixture
def world(
    database_url: str,
    valkey_server: Callable[..., ValkeyServer],
    receivers: tuple[Receiver, Receiver],
    tmp_path: Path,
) -> Iterator[World]:
    broker, dice = valkey_server(persist=True), random.Random(SEED)
    with FakeKling(seed=SEED, seconds=lambda: dice.uniform(0.3, 3.0)) as fake:
        env = {**SETTINGS, **storm.environment(fake, pace=(0.3, 0.2, 0.5, 0.5))}
        stack = Stack(database_url, broker.url, tmp_path, env=env)
        try:
            stack.start(*ROLES)
            yield World(stack, broker, fake, *receivers)
        finally:
            stack.close()


def judge(world: World, people: list[Person]) -> str:
    """Everything that must be so afterwards; the figures."""
    found = world.stack.database.read(mixed_judging.jobs)
    told = world.stack.database.read(mixed_judging.events)
    accepted = {job_id: cost for person in people for job_id, cost in person.costs.items()}
    costs = mixed_judging.assert_accepted_is_there(found, accepted)
    mixed_judging.assert_paid(people, found, costs)
    mixed_judging.assert_told(told, people, (world.moody, world.gone))
    mixed_judging.assert_followed(told, people, found)
    made = mixed_judging.assert_generated_once(world.fake, found)
    steps = world.stack.database.read(mixed_judging.steps)
    assert set(steps.values()) <= {1}
    assert {parent_id for parent_id, _ in steps} <= found.keys()
    assert 0 < world.most <= WINDOW
    events = dict(Counter(one["state"] for one in told))
    return f"{len(accepted)} accepted, {len(found)} jobs, {made} films, {len(steps)} steps, events {events}"


@pytest.mark.proof
@pytest.mark.timeout(int(SECONDS) + 500)
def test_everything_at_once(world: World) -> None:
    print(f"ATELIER_STORM_SEED={SEED}")  # noqa: T201 - to repeat it
    people, boss = world.people(), Administrator(world.stack, seed=SEED)
    world.fake.faults = BAD
    with ThreadPoolExecutor(len(people) + 2) as threads:
        watching = threads.submit(world.watch)
        try:
            asking = [threads.submit(run, world.over) for run in (boss.run, *(one.run for one in people))]
            world.storm(SECONDS, random.Random(SEED))
            world.over.set()
            for one in asking:
                one.result()
            took = world.come_to_rest()
        finally:
            world.over.set()
            world.ended.set()
        watching.result()
    until(lambda: not world.stack.diagnosis(), what=f"the doctor is content: {world.stack.diagnosis()}", seconds_max=60)
    figures = judge(world, people)
    refused = sum((one.refused for one in (*people, boss)), Counter[str]())
    print(  # noqa: T201 - the figures of the proof
        f"{figures}, {dict(world.stack.states())}, refused {dict(refused)}, operator {dict(boss.did)}, "
        f"struck {dict(world.struck)}, all ended after {took:.0f} s, {world.most} at once at most"
    )
