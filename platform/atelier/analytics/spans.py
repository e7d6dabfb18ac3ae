"""Spans of time in the operator's zone, which has a fixed distance to UTC: hours, days, weeks from Monday, months."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from atelier.kernel.clock import DAY_MS, HOUR_MS

Granularity = Literal["hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Zone:
    """The operator's time zone. Its days begin with whole hours of UTC, so `offset_ms` is a multiple of an hour."""

    offset_ms: int

    def floor(self, moment_ms: int, granularity: Granularity) -> int:
        """When the span that contains a moment began."""
        if granularity == "hour":
            return moment_ms // HOUR_MS * HOUR_MS
        day_ms = (moment_ms + self.offset_ms) // DAY_MS * DAY_MS
        local = datetime.fromtimestamp(day_ms / 1_000, UTC)
        if granularity == "week":
            local -= timedelta(days=local.weekday())
        elif granularity == "month":
            local = local.replace(day=1)
        return int(local.timestamp()) * 1_000 - self.offset_ms

    def next(self, start_ms: int, granularity: Granularity) -> int:
        """When the span after the one that began at `start_ms` begins."""
        longest_ms = {"hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "month": 32 * DAY_MS}[granularity]
        return self.floor(start_ms + longest_ms, granularity)

    def spans(self, from_ms: int, until_ms: int, granularity: Granularity) -> Iterator[int]:
        """The beginnings of all spans that have a part of the time from `from_ms` until before `until_ms`."""
        start_ms = self.floor(from_ms, granularity)
        while start_ms < until_ms:
            yield start_ms
            start_ms = self.next(start_ms, granularity)
