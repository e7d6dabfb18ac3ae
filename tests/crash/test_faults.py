"""What happens when something that everyone depends on goes away: the broker, its memory, the database."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from atelier.contracts import queues
from atelier.dispatch.broker import KEY_PREFIX
from tests.conftest import OwnMariaServer
from tests.servers import LOOPBACK, ValkeyServer, free_port, until
from tests.stack import Stack

AMOUNT = 10_000
QUEUE = f"{KEY_PREFIX}{queues.GENERATION_TEXT}"
LOST = "Connection to broker lost"
TICKS = f"{KEY_PREFIX}{queues.PROVIDER_POLL}"


@pytest.fixture
def broker(valkey_server: Callable[..., ValkeyServer]) -> ValkeyServer:
    """A broker of the test's own, which keeps its data as in production."""
    return valkey_server(persist=True)


@pytest.fixture
def stack(database_url: str, broker: ValkeyServer, tmp_path: Path) -> Iterator[Stack]:
    """All roles on that broker."""
    made = Stack(database_url, broker.url, tmp_path)
    made.start_all()
    yield made
    made.close()


def signed_in(stack: Stack) -> dict[str, str]:
    """A user with plenty of credits."""
    return stack.user(f"u{uuid.uuid4().hex[:12]}", amount=AMOUNT)


def submit(stack: Stack, headers: dict[str, str], count: int, *, delay_ms: int = 50) -> None:
    """Submit jobs; all must be accepted."""
    for _ in range(count):
        answer = stack.echo(headers, delayMs=delay_ms)
        assert answer.status_code == 202, answer.text


def assert_whole(stack: Stack, *, jobs: int) -> None:
    """All ended well, and the doctor is content."""
    assert stack.until_finished() == Counter(completed=jobs)
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")


def test_message_lost_between_the_broker_and_the_worker(stack: Stack, broker: ValkeyServer) -> None:
    headers = signed_in(stack)
    submit(stack, headers, 1)
    stack.until_finished()
    worker, beat = stack.processes["generation"], stack.processes["beat"]
    beat.freeze()  # Its ticks for this worker would be what the blocked pop takes.
    with broker.client() as client:
        until(lambda: not client.llen(TICKS), what="the worker has taken every tick")
        worker.freeze()
        submit(stack, headers, 4)
        until(lambda: client.llen(QUEUE) < 4, what="the frozen worker's blocked pop has taken a message")
    worker.kill()
    beat.thaw()
    stack.start("generation")
    assert_whole(stack, jobs=5)


@pytest.mark.proof
def test_broker_wiped_in_mid_flight(stack: Stack, broker: ValkeyServer) -> None:
    headers = signed_in(stack)
    submit(stack, headers, 30, delay_ms=200)
    broker.wipe()
    submit(stack, headers, 10)
    assert_whole(stack, jobs=40)


def test_broker_restarted_under_load_leaves_every_worker_consuming(stack: Stack, broker: ValkeyServer) -> None:
    headers = signed_in(stack)
    submit(stack, headers, 1)
    stack.until_finished()
    submit(stack, headers, 40, delay_ms=300)
    until(lambda: stack.states()["running"] >= 4, what="the worker is busy")
    broker.kill()
    submit(stack, headers, 10)
    broker.run()
    back = time.monotonic()
    before = stack.states()["completed"]
    until(lambda: stack.states()["completed"] >= before + 9, what="jobs are completed again")
    assert time.monotonic() - back < 5, "the worker took longer than 5 s"
    assert all(stack.processes[role].alive for role in ("generation", "money", "relay", "beat", "web"))
    assert_whole(stack, jobs=51)


def test_broker_that_refuses_for_a_while_leaves_every_worker_consuming(stack: Stack, broker: ValkeyServer) -> None:
    """As when a managed Redis fails over: for a moment every client is connected to what has become a replica."""
    headers = signed_in(stack)
    submit(stack, headers, 1)
    stack.until_finished()
    workers = [stack.processes[name] for name in ("generation", "money")]
    with broker.client() as client:
        client.replicaof(LOOPBACK, free_port())
        submit(stack, headers, 5)
        until(lambda: all(LOST in worker.tail(200) or not worker.alive for worker in workers), what="each has heard it")
        client.replicaof("NO", "ONE")
    submit(stack, headers, 5)
    assert_whole(stack, jobs=11)
    assert all(process.alive for process in stack.processes.values())


def test_frozen_broker_slows_no_request(stack: Stack, broker: ValkeyServer) -> None:
    headers = signed_in(stack)
    submit(stack, headers, 5)
    broker.freeze()
    try:
        waits: list[float] = []
        for _ in range(20):
            began = time.monotonic()
            submit(stack, headers, 1)
            assert stack.client.get("/api/payments/credits/balance", headers=headers).status_code == 200
            waits.append(time.monotonic() - began)
    finally:
        broker.thaw()
    # A call that waited for the broker would take its socket timeout, a second and more, each time.
    assert sorted(waits)[10] < 0.5, waits
    assert_whole(stack, jobs=25)


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_database_restarted(
    engine: str, mariadb_server: Callable[[], OwnMariaServer], redis_url: str, tmp_path: Path
) -> None:
    assert engine == "mariadb"
    server = mariadb_server()
    stack = Stack(server.address, redis_url, tmp_path)
    try:
        stack.start_all()
        headers = signed_in(stack)
        submit(stack, headers, 10, delay_ms=500)
        server.kill()
        refused = stack.echo(headers)
        assert refused.status_code == 503, refused.text
        assert "Retry-After" in refused.headers
        server.run()
        until(lambda: stack.echo(headers).status_code == 202, what="the API accepts again")
        assert_whole(stack, jobs=11)
    finally:
        stack.close()


def test_fifty_submissions_for_twenty_prices(stack: Stack) -> None:
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=100)
    poster = {"agentId": stack.agent("poster-maker"), "inputData": {"prompt": "五"}}
    answers = together(50, lambda: stack.client.post("/api/workshop/generate", json=poster, headers=headers))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == Counter({202: 20, 400: 30})
    refused = next(answer.json() for answer in answers if answer.status_code == 400)
    assert (refused["code"], refused["error"], refused["balance"], refused["required"]) == (
        "INSUFFICIENT_CREDITS",
        "积分不足",
        0,
        5,
    )
    balance = stack.client.get("/api/payments/credits/balance", headers=headers).json()
    assert balance == {"balance": 100, "held": 100, "available": 0}
    assert not stack.diagnosis()


@pytest.mark.proof
def test_one_key_fifty_times_is_one_job(stack: Stack) -> None:
    headers = signed_in(stack)
    answers = together(50, lambda: stack.echo(headers, key="the same"))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["jobId"] for answer in answers}) == 1
    assert_whole(stack, jobs=1)
    assert stack.echo(headers, key="the same", steps=2).status_code == 422


def together(count: int, call: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Call it so many times at once."""
    gate = threading.Barrier(count)

    def wait_and_call(_: int) -> httpx.Response:
        gate.wait()
        return call()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(wait_and_call, range(count)))
