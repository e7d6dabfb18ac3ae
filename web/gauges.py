"""The business side of /metrics: the database's gauges, the broker's queue lengths, and what the workers counted."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from typing_extensions import override

from atelier.contracts import queues
from atelier.dispatch import broker, depth
from atelier.generation.gauges import Gauges, collect
from atelier.kernel import logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.errors import Transient
from atelier.kernel.settings import Settings
from atelier.live import counters
from atelier.live.counters import Count

T = TypeVar("T")
log = logs.get(__name__)


def reader(settings: Settings, db: AsyncDatabase) -> Callable[[], Awaitable[Collector]]:
    """A function that reads all of it, each part for itself: what can't be asked now is left out."""
    celery = broker.build(settings)

    def counted() -> list[Count]:
        with Redis.from_url(settings.redis_url, socket_timeout=1, socket_connect_timeout=1) as redis:
            stored = cast("dict[bytes, bytes]", redis.hgetall(counters.KEY))
        return counters.read(stored)

    async def read() -> Collector:
        found, depths, counts = await asyncio.gather(
            _or_none(db.read(collect, now_ms=now_ms()), "database"),
            _or_none(asyncio.to_thread(depth.depths, celery, queues.ALL), "broker"),
            _or_none(asyncio.to_thread(counted), "counters"),
        )
        return Business(gauges=found, depths=depths, counts=counts)

    return read


async def _or_none(asked: Awaitable[T], part: str) -> T | None:
    try:
        return await asked
    except (Transient, RedisError, OSError) as error:
        log.warning("metrics.unreadable", part=part, error=type(error).__name__)
        return None


class Business(Collector):
    """One scrape. What could not be read is left out, so that a missing figure is never taken for a zero."""

    def __init__(
        self, *, gauges: Gauges | None, depths: Mapping[str, int] | None, counts: Sequence[Count] | None
    ) -> None:
        self._gauges = gauges
        self._depths = depths
        self._counts = counts

    @override
    def collect(self) -> Iterator[Metric]:
        """Every family."""
        if self._gauges:
            yield from _database(self._gauges)
        if self._depths is not None:
            family = GaugeMetricFamily("atelier_queue_depth", "Messages that wait at the broker", labels=["queue"])
            for queue, depth in self._depths.items():
                family.add_metric([queue], depth)
            yield family
        if self._counts is not None:
            yield from _workers(self._counts)


def _database(gauges: Gauges) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("atelier_jobs", "Jobs that have not ended", labels=["kind", "state"])
    for (kind, state), count in gauges.jobs.items():
        jobs.add_metric([kind, state], count)
    yield jobs
    oldest = GaugeMetricFamily(
        "atelier_oldest_waiting_seconds", "Age of the oldest job that could run", labels=["queue"]
    )
    for queue, seconds in gauges.oldest_waiting.items():
        oldest.add_metric([queue], seconds)
    yield oldest
    compared = GaugeMetricFamily(
        "atelier_payments_compared_seconds",
        "Time since the end of the newest day whose bill was compared",
        labels=["provider"],
    )
    for provider, age in gauges.compared.items():
        compared.add_metric([provider], age)
    yield compared
    cases = GaugeMetricFamily("atelier_payment_cases", "Cases of payments that nobody has resolved", labels=["kind"])
    for kind, count in gauges.cases.items():
        cases.add_metric([kind], count)
    yield cases
    yield from _dead(gauges)
    single = {
        "atelier_credits_held": ("Credits in open holds", gauges.held),
        "atelier_outbox_rows": ("Messages that have not reached the broker", gauges.outbox_rows),
        "atelier_outbox_lag_seconds": ("Age of the oldest message that is due", gauges.outbox_lag),
        "atelier_dead_messages": ("Messages that nobody could handle", gauges.dead_messages),
        "atelier_mail_backlog": ("E-mails that are not sent yet", gauges.mail_backlog),
        "atelier_notifications_undelivered": ("Notifications that nobody was told of yet", gauges.undelivered),
        "atelier_webhooks_waiting": ("Events of outgoing webhooks that wait", gauges.webhooks_waiting),
        "atelier_webhooks_disabled": ("Endpoints turned off for their failures", gauges.webhooks_disabled),
        "atelier_payments_unsettled": ("Messages of gateways that are not settled", gauges.unsettled),
        "atelier_payments_uncompared_days": ("Days whose bills are not compared yet", gauges.uncompared),
        "atelier_payments_differences": ("Differences with bills that wait for a person", gauges.differences),
        "atelier_ledger_violations": ("Broken promises that the last self-check found", gauges.violations),
        "atelier_ledger_warnings": ("Warnings of the last self-check", gauges.warnings),
        "atelier_ledger_checked_seconds": ("Age of the last self-check", gauges.checked),
    }
    for name, (explanation, value) in single.items():
        if value is not None:
            yield GaugeMetricFamily(name, explanation, value=value)


def _dead(gauges: Gauges) -> Iterator[Metric]:
    letters = GaugeMetricFamily(
        "atelier_dead_letters", "Failed jobs that nobody has dealt with", labels=["error_class"]
    )
    for reason, count in gauges.dead_letters.items():
        letters.add_metric([reason], count)
    yield letters
    held = GaugeMetricFamily(
        "atelier_held_back", "Queues and providers that are paused or draining", labels=["kind", "name", "state"]
    )
    for kind, name, state in gauges.held_back:
        held.add_metric([kind, name, state], 1)
    yield held


def _workers(counts: Sequence[Count]) -> Iterator[Metric]:
    ended = CounterMetricFamily("atelier_jobs_ended", "Jobs that have ended", labels=["kind", "state"])
    calls = CounterMetricFamily("atelier_provider_calls", "Attempts at providers", labels=["provider", "outcome"])
    checks = CounterMetricFamily(
        "atelier_upload_checks", "Direct uploads that were looked at", labels=["outcome", "reason"]
    )
    hooked = CounterMetricFamily(
        "atelier_webhook_attempts", "Attempts at outgoing webhooks", labels=["outcome", "reason"]
    )
    families = {counters.ENDED: ended, counters.CALLS: calls, counters.CHECKED: checks, counters.HOOKED: hooked}
    for one in counts:
        if family := families.get(one.counter):
            family.add_metric(one.labels, one.value)
    yield from families.values()
    yield _histogram("atelier_job_wait_seconds", "From submission to the first claim", counters.WAITED, counts)
    yield _histogram("atelier_job_run_seconds", "Run time of an attempt", counters.RAN, counts)


def _histogram(name: str, explanation: str, counter: str, counts: Sequence[Count]) -> Metric:
    family = HistogramMetricFamily(name, explanation, labels=["kind"])
    kinds: dict[str, dict[str, int]] = {}
    for one in counts:
        if one.counter == counter:
            kinds.setdefault(one.labels[0], {})[one.labels[1]] = one.value
    for kind, values in kinds.items():
        total, buckets = 0, list[tuple[str, float]]()
        for bound in counters.BOUNDS:
            total += values.get(bound, 0)
            buckets.append((bound, float(total)))
        family.add_metric([kind], buckets, values.get("ms", 0) / 1_000)
    return family
