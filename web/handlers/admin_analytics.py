"""Figures of the whole platform, as JSON or CSV."""

import csv
import io
from collections.abc import Iterator
from typing import Any, cast

from atelier.analytics import reading
from atelier.analytics.spans import Granularity, Zone
from atelier.kernel.clock import DAY_MS, HOUR_MS
from atelier.kernel.errors import Invalid
from web.routing import Call, Endpoint, Reply
from web.schemas.admin_analytics import AnalyticsAnswer, AnalyticsQuery, PointAnswer

STEPS_DEFAULT = 30
STEPS_MAX = 400
STEP_MS = {"hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "month": 31 * DAY_MS}


async def read_analytics(call: Call) -> AnalyticsAnswer | Reply:
    """Figures in steps."""
    query: AnalyticsQuery = call.query
    hours = call.services.settings.utc_offset_hours
    zone = Zone(hours * HOUR_MS)
    from_ms, until_ms = _bounds(query, zone=zone, now_ms=call.now_ms)
    report = await call.services.db.read(
        reading.report, from_ms=from_ms, until_ms=until_ms, granularity=query.granularity, zone=zone
    )
    answer = AnalyticsAnswer.of(report, query=query, offset_hours=hours)
    if call.request.headers.get("Accept", "").startswith("text/csv"):
        headers = {"Content-Disposition": 'attachment; filename="analytics.csv"'}
        return Reply(raw=_as_csv(answer.points), content_type="text/csv; charset=utf-8", headers=headers)
    return answer


def _bounds(query: AnalyticsQuery, *, zone: Zone, now_ms: int) -> tuple[int, int]:
    step: Granularity = query.granularity
    until_ms = now_ms if query.to is None else query.to
    from_ms = until_ms - (STEPS_DEFAULT - 1) * STEP_MS[step] if query.from_ is None else query.from_
    if from_ms >= until_ms:
        raise Invalid([{"path": ["from"], "message": "before `to`", "code": "not_before"}])
    if until_ms - from_ms > STEPS_MAX * STEP_MS[step]:
        raise Invalid([{"path": ["from"], "message": f"at most {STEPS_MAX} steps", "code": "too_many_steps"}])
    return zone.floor(from_ms, step), zone.next(zone.floor(until_ms - 1, step), step)


def _as_csv(points: list[PointAnswer]) -> bytes:
    table = io.StringIO()
    rows = [dict(_flat(point)) for point in points]
    # Providers differ from step to step: every column that any step has.
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(table, names, restval=0)
    writer.writeheader()
    writer.writerows(rows)
    return "\ufeff".encode() + table.getvalue().encode()


def _flat(point: PointAnswer) -> Iterator[tuple[str, Any]]:
    # What was not asked for is no column; what there is none of, such as a median of no times, is an empty cell.
    whole = point.model_dump(mode="json", by_alias=True)
    yield from _parts("", {name: value for name, value in whole.items() if value is not None})


def _parts(path: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _parts(f"{path}{name}.", cast("dict[str, Any]", value))
        else:
            yield f"{path}{name}", value


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/admin/analytics",
        handler=read_analytics,
        summary=("统计分析", "Analytics"),
        tag="admin",
        auth="admin",
        query=AnalyticsQuery,
        answer=AnalyticsAnswer,
        cache="no-store",
    ),
)
