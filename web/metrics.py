"""What Prometheus scrapes: the HTTP side of this process, and the state of the business read from the database."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from typing_extensions import override

from web.routing import Endpoint

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SWITCHING_PROTOCOLS = 101


Collect = Callable[[], Awaitable[Collector]]
"""Reads the figures of the business, as far as they can be read now."""


class Requests(Collector):
    """Durations of requests by route, method and status. Only the event loop counts, so nothing is locked."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Endpoint, int], list[float]] = {}

    def observe(self, endpoint: Endpoint, status: int, seconds: float) -> None:
        """Count one request. A WebSocket's life is no duration."""
        counts = self._counts.get((endpoint, status))
        if counts is None:
            if status == SWITCHING_PROTOCOLS:
                return
            counts = self._counts[endpoint, status] = [0.0] * (len(SECONDS) + 2)
        counts[bisect_left(SECONDS, seconds)] += 1
        counts[-1] += seconds

    @override
    def collect(self) -> Iterator[Metric]:
        """The histogram. Its label is the path as the table writes it: the path itself would have no bound."""
        family = HistogramMetricFamily(
            "atelier_http_request_seconds", "Duration of HTTP requests", labels=["method", "route", "status"]
        )
        for (endpoint, status), counts in list(self._counts.items()):
            total, buckets = 0.0, list[tuple[str, float]]()
            for bound, count in zip((*map(str, SECONDS), "+Inf"), counts, strict=False):
                total += count
                buckets.append((bound, total))
            family.add_metric([endpoint.method, endpoint.path, str(status)], buckets, counts[-1])
        yield family


def registry(*collectors: Collector) -> CollectorRegistry:
    """What this process says about itself, without a database."""
    made = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        made.register(collector)
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    GCCollector(registry=made)
    return made


def scrape(own: CollectorRegistry, *, collect: Collect) -> web.Application:
    """The application behind the metrics port: GET /metrics."""

    async def metrics(_request: web.Request) -> web.Response:
        text = generate_latest(own) + generate_latest(await collect())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    return application


REQUESTS: web.AppKey[Requests] = web.AppKey("requests", Requests)
