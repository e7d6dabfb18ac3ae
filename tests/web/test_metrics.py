"""What Prometheus is told about requests."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.core import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from atelier.kernel.settings import Settings
from tests.web import sample
from tests.web.sample import TABLE
from web import metrics
from web.app import composed, make_app
from web.metrics import REQUESTS, SECONDS, Requests

Scrape = Callable[[], AsyncIterator[str]]


async def _scraped(own: CollectorRegistry) -> str:
    async def nothing() -> Collector:
        return CollectorRegistry()

    async with TestClient(TestServer(metrics.scrape(own, collect=nothing))) as client:
        response = await client.get("/metrics")
        assert response.status == 200
        return await response.text()


@pytest_asyncio.fixture
async def site(settings: Callable[..., Settings]) -> AsyncIterator[sample.Site]:
    app = make_app(settings(), endpoints=TABLE, compose=composed)
    async with TestClient(TestServer(app)) as client:
        yield sample.Site(client, settings())


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_requests_are_counted_by_route_and_never_by_path(site: sample.Site) -> None:
    for path in ("/api/things", "/api/things?page=0", "/api/fail/poor", "/api/fail/odd", "/nothing/1", "/nothing/2"):
        await site.ask("GET", path)
    requests = site.client.app[REQUESTS]
    text = await _scraped(metrics.registry(requests))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    counts = {
        (one.labels["route"], one.labels["status"]): one.value
        for one in families["atelier_http_request_seconds"].samples
        if one.name.endswith("_count")
    }
    assert counts == {
        ("/api/things", "200"): 1,
        ("/api/things", "400"): 1,
        ("/api/fail/{how}", "402"): 1,
        ("/api/fail/{how}", "500"): 1,
        ("unmatched", "404"): 2,
    }
    assert "process_resident_memory_bytes" in families


async def test_durations_fall_into_their_buckets() -> None:
    requests = Requests()
    for seconds in (0.0005, SECONDS[0], 0.3, 60.0):
        requests.observe(TABLE[0], 200, seconds)
    requests.observe(TABLE[0], 101, 3_600.0)
    samples = {one.labels.get("le", one.name): one.value for one in next(requests.collect()).samples}
    assert (samples["0.001"], samples["0.25"], samples["0.5"], samples["+Inf"]) == (2, 2, 3, 4)
    assert samples["atelier_http_request_seconds_sum"] == pytest.approx(60.3015)
