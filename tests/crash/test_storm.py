"""A storm: clients that submit, cancel and retry while processes are killed and the broker is wiped, at random.

The seed is printed; `ATELIER_STORM_SEED` repeats a storm and `ATELIER_STORM_SECONDS` makes it longer.
"""

import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.servers import ValkeyServer, until
from tests.stack import Stack

SECONDS = float(os.environ.get("ATELIER_STORM_SECONDS", "60"))
SEED = int(os.environ.get("ATELIER_STORM_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
CLIENTS = 4
AMOUNT = 100_000
PAUSE_SECONDS = 2.0
VICTIMS = ("web", "generation", "relay", "money", "beat")
CONFIGS = (
    {"delayMs": 20},
    {"delayMs": 800, "steps": 8},
    {"fail": "transient", "failTimes": 1},
    {"fail": "transient"},
    {"fail": "permanent"},
)


@pytest.fixture
def broker(valkey_server: Callable[..., ValkeyServer]) -> ValkeyServer:
    return valkey_server(persist=True)


@pytest.fixture
def stack(database_url: str, broker: ValkeyServer, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(database_url, broker.url, tmp_path)
    made.start_all()
    made.start("generation")
    yield made
    made.close()


class Client:
    """Submits under keys, so that it may ask again after any accident, and remembers what was accepted."""

    def __init__(self, stack: Stack, name: str, seed: int) -> None:
        self.headers = stack.user(name, amount=AMOUNT)
        self.jobs: set[str] = set()
        self._stack = stack
        self._random = random.Random(seed)

    def run(self, over: threading.Event) -> None:
        """Go on until it is over."""
        while not over.wait(self._random.uniform(0, 0.05)):
            key = uuid.uuid4().hex
            while (answer := self._ask(partial(self._submit, key))) is None or answer.status_code != 202:
                assert answer is None or answer.status_code == 503, answer.text
                if over.wait(0.2):
                    return
            self.jobs.add(answer.json()["jobId"])
            if self._random.random() < 0.2:
                self._ask(self._cancel)

    def _submit(self, key: str) -> httpx.Response:
        config = CONFIGS[int(key[:8], 16) % len(CONFIGS)]
        return self._stack.echo(self.headers, key=key, **config)

    def _cancel(self) -> httpx.Response:
        job_id = self._random.choice(sorted(self.jobs))
        return self._stack.client.post(f"/api/jobs/{job_id}/cancel", headers=self.headers)

    def _ask(self, request: Callable[[], httpx.Response]) -> httpx.Response | None:
        try:
            return request()
        except httpx.TransportError:
            return None


@pytest.mark.proof
@pytest.mark.timeout(int(SECONDS) + 400)
def test_storm(stack: Stack, broker: ValkeyServer) -> None:
    chance = random.Random(SEED)
    print(f"ATELIER_STORM_SEED={SEED}")  # noqa: T201 - to repeat it
    clients = [Client(stack, f"u{uuid.uuid4().hex[:12]}", SEED + number) for number in range(CLIENTS)]
    over, done = threading.Event(), Counter[str]()
    with ThreadPoolExecutor(CLIENTS) as threads:
        running = [threads.submit(client.run, over) for client in clients]
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            done[strike(stack, broker, chance)] += 1
            over.wait(PAUSE_SECONDS)
        over.set()
        for one in running:
            one.result()
    states = stack.until_finished(seconds_max=300)
    accepted = sum(len(client.jobs) for client in clients)
    print(f"{accepted} jobs accepted, {dict(states)}, strikes {dict(done)}")  # noqa: T201 - the figures of the proof
    assert sum(states.values()) >= accepted
    for client in clients:
        balance = stack.client.get("/api/payments/credits/balance", headers=client.headers).json()
        assert balance["held"] == 0
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}", seconds_max=60)


def strike(stack: Stack, broker: ValkeyServer, chance: random.Random) -> str:
    """Kill a role and start it again, or take something from the broker; what was done."""
    blow = chance.random()
    if blow < 0.1:
        broker.wipe()
        return "wiped broker"
    if blow < 0.2:
        broker.kill()
        broker.run()
        return "restarted broker"
    name = chance.choice([name for name in stack.processes if stack.processes[name].alive])
    stack.processes[name].kill()
    stack.start(name.partition("-")[0])
    return f"killed {name}"
