"""The same transactions from an event loop."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.orm import Session

from atelier.kernel.clock import now_ms
from atelier.kernel.database import AsyncDatabase, Database, DatabaseUnavailable
from atelier.ledger import queries
from atelier.ledger import service as ledger
from tests.jobs.lifecycle import Workshop

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")
POOL = 3


@pytest.fixture
async def adb(database_url: str) -> AsyncIterator[AsyncDatabase]:
    made = AsyncDatabase(Database(database_url, pool_size=POOL), waiting_max=20)
    yield made
    made.close()


@pytest.fixture
def shop(adb: AsyncDatabase) -> Workshop:
    return Workshop(adb.database)


class Gate:
    """A transaction that has given a user credits and waits at its end until it is let go."""

    def __init__(self, shop: Workshop) -> None:
        self.user_id = shop.user()
        self.reached = threading.Event()
        self.open = threading.Event()
        self._entry = shop.entry(self.user_id, 5, "topup")

    def __call__(self, session: Session) -> str:
        ledger.topup(session, self._entry, now_ms=now_ms())
        self.reached.set()
        assert self.open.wait(timeout=20)
        return "done"


async def reached(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.reached.wait, 10)


async def test_a_transaction_is_awaited_and_read(adb: AsyncDatabase, shop: Workshop) -> None:
    user_id = await asyncio.to_thread(shop.user)
    posted = await adb.transact(ledger.topup, shop.entry(user_id, 5, "topup"), now_ms=now_ms())
    assert posted.balance == 5
    assert (await adb.read(queries.balance, user_id=user_id)).balance == 5


async def test_the_error_of_a_transaction_is_raised_where_it_is_awaited(adb: AsyncDatabase) -> None:
    def broken(_session: Session) -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        await adb.transact(broken)


async def test_what_is_bound_to_a_request_is_bound_in_its_transaction_and_not_outside(adb: AsyncDatabase) -> None:
    def bound(_session: Session) -> str:
        was = request_id.get("none")
        request_id.set("changed inside")
        return was

    async def ask(name: str) -> str:
        request_id.set(name)
        return await adb.transact(bound)

    names = [f"request {number}" for number in range(10)]
    assert await asyncio.gather(*(asyncio.create_task(ask(name)) for name in names)) == names
    assert await adb.transact(bound) == "none"
    assert request_id.get("none") == "none"


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancellation_is_delivered_after_the_commit(adb: AsyncDatabase, shop: Workshop, times: int) -> None:
    gate = await asyncio.to_thread(Gate, shop)
    task = asyncio.create_task(adb.transact(gate))
    await reached(gate)
    for _ in range(times):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await adb.read(queries.balance, user_id=gate.user_id)).balance == 5


async def test_a_failure_after_a_cancellation_is_not_left_unretrieved(adb: AsyncDatabase) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def broken(_session: Session) -> None:
        begun.set()
        go_on.wait(20)
        raise LookupError("x")

    task = asyncio.create_task(adb.transact(broken))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_more_run_at_once_than_there_are_connections_and_the_line_has_an_end(
    adb: AsyncDatabase,
) -> None:
    running, most, go_on = 0, 0, threading.Event()
    guard, full = threading.Lock(), threading.Semaphore(0)

    def work(_session: Session) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        full.release()
        go_on.wait(20)
        with guard:
            running -= 1

    tasks = [asyncio.create_task(adb.transact(work)) for _ in range(POOL + 21)]
    for _ in range(POOL):
        assert await asyncio.to_thread(full.acquire, timeout=10)
    with pytest.raises(DatabaseUnavailable):
        await adb.transact(work)
    go_on.set()
    await asyncio.gather(*tasks)
    assert most == POOL


async def test_the_loop_goes_on_while_a_transaction_runs(adb: AsyncDatabase, shop: Workshop) -> None:
    gate = await asyncio.to_thread(Gate, shop)
    task = asyncio.create_task(adb.transact(gate))
    await reached(gate)
    assert (await adb.read(queries.balance, user_id=gate.user_id)).balance == 0
    gate.open.set()
    assert await task == "done"


async def test_closing_waits_for_what_runs(database_url: str) -> None:
    adb = AsyncDatabase(Database(database_url, pool_size=1))
    gate = await asyncio.to_thread(Gate, Workshop(adb.database))
    task = asyncio.create_task(adb.transact(gate))
    await reached(gate)
    closing = asyncio.create_task(asyncio.to_thread(adb.close))
    gate.open.set()
    assert await task == "done"
    await closing
