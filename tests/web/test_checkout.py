"""Gateways are asked in threads of their own, which are few, and nobody waits for them for ever."""

import asyncio
from threading import Event

import pytest

from atelier.gateways.errors import GatewayUnknown
from tests.live.harness import eventually
from web.checkout import Checkout


async def test_who_waits_too_long_is_told_that_nobody_knows() -> None:
    checkout, gate, done = Checkout(seconds=0.05, threads=1, waiting_max=0), Event(), Event()

    def hang() -> None:
        gate.wait(10)
        done.set()

    with pytest.raises(GatewayUnknown):
        await checkout.ask(hang)
    with pytest.raises(GatewayUnknown):  # The one thread is still at it.
        await checkout.ask(lambda: None)
    gate.set()
    await asyncio.to_thread(done.wait, 10)
    await eventually(lambda: checkout.at_work == 0, what="the thread has ended")
    assert await checkout.ask(lambda: 7) == 7
    checkout.close()


async def test_what_fails_fails_for_who_asked() -> None:
    checkout = Checkout(seconds=10, threads=1, waiting_max=1)

    def fail() -> None:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        await checkout.ask(fail)
    assert await checkout.ask(lambda: 7) == 7
    checkout.close()
