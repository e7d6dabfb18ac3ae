"""Asking gateways for handlers: in threads of their own, a bounded number of them, and never longer than a while.

A gateway that hangs holds up whoever wants to pay, and nobody else. Whoever has waited too long is told that nobody
knows: the order is there, and can be asked for again.
"""

import asyncio
import contextvars
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import CHANNELS, Gateway
from atelier.kernel import faults, logs
from atelier.orders.errors import PaymentMethodUnsupported
from atelier.orders.service import Order
from atelier.payments import purchasing
from web.gateways import GATEWAYS
from web.routing import Call
from web.services import SERVICES

R = TypeVar("R")
THREADS = 16
WAITING_MAX = 64
# How much longer than one answer of the gateway may take: there are our transactions, and sometimes a second question.
PATIENCE = 1.5
log = logs.get(__name__)


class Asked(Collector):
    """What gateways were asked by handlers, by what and with which end; only the event loop counts."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, provider: str, call: str, outcome: str) -> None:
        """Count one."""
        self._counts[provider, call, outcome] += 1

    @override
    def collect(self) -> Iterator[Metric]:
        """The counter."""
        family = CounterMetricFamily(
            "atelier_gateway_calls", "What payment gateways were asked", labels=["provider", "call", "outcome"]
        )
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class Checkout:
    """The threads in which this process asks gateways."""

    def __init__(self, *, seconds: float, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="checkout")
        self.at_work = 0
        self._most = threads + waiting_max

    async def ask(self, work: Callable[[], R]) -> R:
        """Do it in a thread. Raises GatewayUnknown when it takes too long, or too many are waiting already."""
        if self.at_work >= self._most:
            raise GatewayUnknown("too many wait for the gateway")
        context = contextvars.copy_context()
        running = asyncio.get_running_loop().run_in_executor(self._threads, lambda: context.run(work))
        self.at_work += 1
        running.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(running)
        except TimeoutError as error:
            raise GatewayUnknown("the gateway takes too long") from error

    def _done(self, running: asyncio.Future[Any]) -> None:
        self.at_work -= 1
        if not running.cancelled():
            running.exception()  # Whoever asked may have gone.

    def close(self) -> None:
        """Begin nothing more, and wait for what runs."""
        self._threads.shutdown(wait=True, cancel_futures=True)


CHECKOUT: web.AppKey[Checkout] = web.AppKey("checkout", Checkout)
ASKED: web.AppKey[Asked] = web.AppKey("asked", Asked)


def install(application: web.Application) -> None:
    """Make it a part of the application."""
    application[ASKED] = Asked()

    async def serve(application: web.Application) -> AsyncIterator[None]:
        seconds = application[SERVICES].settings.payment_answer_seconds
        application[CHECKOUT] = checkout = Checkout(seconds=PATIENCE * seconds)
        yield
        await asyncio.to_thread(checkout.close)

    application.cleanup_ctx.append(serve)


def gateway(call: Call, provider: str, *, channel: str | None = None) -> Gateway:
    """The gateway of this name. Raises PaymentMethodUnsupported where it isn't set up, or has no such channel."""
    found = call.request.app[GATEWAYS].get(provider)
    if found is None or (channel is not None and channel not in CHANNELS[provider]):
        raise PaymentMethodUnsupported(provider)
    return found


async def ask(call: Call, order: Order, what: str, work: Callable[[], R]) -> R:
    """Ask the order's gateway in a thread, and count how it went. Raises GatewayRefused and GatewayUnknown."""
    outcome = "failed"
    try:
        answer = await call.request.app[CHECKOUT].ask(work)
        outcome = "answered"
    except GatewayRefused:
        outcome = "refused"
        raise
    except GatewayUnknown:
        outcome = "unknown"
        raise
    finally:
        call.request.app[ASKED].add(order.provider, what, outcome)
    return answer


async def placed(call: Call, order: Order, *, openid: str | None = None) -> dict[str, Any]:
    """A fresh way to pay the order, as JSON.

    Raises PaymentMethodUnsupported, GatewayRefused and GatewayUnknown; the last two name the order, which is there
    whatever has happened.
    """
    till = gateway(call, order.provider)
    to_pay = purchasing.to_pay(order, address=call.address, openid=openid)
    faults.point("order.before_place")
    try:
        found = await ask(call, order, "place", lambda: till.place(to_pay))
    except (GatewayRefused, GatewayUnknown) as error:
        log.warning("order.not_placed", order_id=order.id, provider=order.provider, code=error.code, reason=str(error))
        call.decided()  # A duplicate goes on with the same order.
        error.details |= {"orderId": order.id, "orderNo": order.order_no}
        raise
    faults.point("order.after_place")
    return purchasing.answer(order, found)
