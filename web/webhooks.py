"""Taking in what payment gateways send: looked at, stored with its message, and only then acknowledged.

A gateway repeats what was not acknowledged, for a day and more: whatever goes wrong here, silence or a refusal is right
and a lie would lose money. Whose notice it is and whether it is genuine is decided here; what it means for an order is
a worker's to settle.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from atelier.gateways.errors import Forged
from atelier.gateways.port import Gateway, Notice
from atelier.kernel import faults, ids, logs
from atelier.payments import inbox
from web import reading
from web.gateways import GATEWAYS
from web.routing import Call
from web.submissions import SUBMISSIONS

NOTICE_BYTES_MAX = 64 * 1024
# A notice has two or three thousand bytes, which takes a tenth of a millisecond; a larger one is none, most likely.
SMALL_BYTES = 8 * 1024
PROBE = "probe"
QUIET_SECONDS = 10.0
log = logs.get(__name__)


class Figures(Collector):
    """Notices by gateway and what became of them; only the event loop counts. `reason` is what gave a forgery away."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, provider: str, outcome: str, reason: str = "") -> None:
        """Count one."""
        self._counts[provider, outcome, reason] += 1

    @override
    def collect(self) -> Iterator[Metric]:
        """The counter."""
        family = CounterMetricFamily(
            "atelier_payment_notices", "What payment gateways sent", labels=["provider", "outcome", "reason"]
        )
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class Webhooks:
    """One per web process. `wake` has the relay look at once."""

    def __init__(self, gateways: Mapping[str, Gateway], *, figures: Figures, wake: Callable[[], None]) -> None:
        self._gateways = gateways
        self._figures = figures
        self._wake = wake
        self._told: dict[tuple[str, str], float] = {}

    async def receive(self, call: Call, provider: str) -> bool:
        """Whether the request is a notice of this gateway for us; if it is, it is stored, now or before.

        Raises Refused and DatabaseUnavailable.
        """
        body = await reading.raw_body(call.request, limit=NOTICE_BYTES_MAX)
        try:
            notice = await self._looked_at(provider, call.request.headers, body, now_ms=call.now_ms)
        except Forged as forgery:
            self._refuse(provider, forgery.by)
            return False
        self._figures.add(provider, await self._keep(call, notice))
        return True

    async def _looked_at(self, provider: str, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:
        gateway = self._gateways.get(provider)
        if gateway is None:
            raise Forged("no_gateway")  # Nobody has an agreement with us under which this could be genuine.
        if len(body) <= SMALL_BYTES:
            return gateway.notice(headers, body, now_ms=now_ms)
        return await asyncio.to_thread(gateway.notice, headers, body, now_ms=now_ms)

    async def _keep(self, call: Call, notice: Notice) -> str:
        if notice.kind == "other":
            return "ignored"
        stored = await call.services.db.transact(inbox.store, notice, event_id=ids.new_id(), now_ms=call.now_ms)
        faults.point("webhook.after_commit")
        self._wake()
        return "stored" if stored else "repeated"

    def _refuse(self, provider: str, by: str) -> None:
        self._figures.add(provider, "forged", by)
        # WeChat Pay tries us with wrong signatures on purpose; and a flood of forgeries must not become one of lines.
        now = time.monotonic()
        if by != PROBE and now >= self._told.get((provider, by), 0.0):
            self._told[provider, by] = now + QUIET_SECONDS
            log.warning("webhook.forged", provider=provider, by=by)


WEBHOOKS: web.AppKey[Webhooks] = web.AppKey("webhooks", Webhooks)
NOTICES: web.AppKey[Figures] = web.AppKey("notices", Figures)


def install(application: web.Application) -> None:
    """Make it a part of the application, after its submissions, whose relay it wakes."""
    application[NOTICES] = figures = Figures()

    async def serve(application: web.Application) -> AsyncIterator[None]:
        wake = application[SUBMISSIONS].wake
        application[WEBHOOKS] = Webhooks(application[GATEWAYS], figures=figures, wake=wake)
        yield

    application.cleanup_ctx.append(serve)
