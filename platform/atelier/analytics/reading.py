"""Reading the roll-ups, with the hours that are not rolled up yet counted from their rows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.analytics import facts, sales
from atelier.analytics.models import ACTIVE, ROLLED, ROLLUPS
from atelier.analytics.spans import Granularity, Zone
from atelier.catalog.models import AGENTS
from atelier.contracts import oplog
from atelier.kernel.clock import DAY_MS, HOUR_MS, db_now_ms

LIVE_HOURS_MAX = 48
TOP = 10
# The rest has a dimension per agent or user: summed over the whole time only.
SERIES = ("sign_ups", "submitted", "jobs", "jobs_provider", "wait", "run", "transfers", "credits", *sales.METRICS)
R = ROLLUPS.c
O = oplog.TABLE.c  # noqa: E741 - the table's initial, as everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """An agent or creator, and how much of something it has."""

    id: str
    name: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`spans` are the facts of each span by its beginning; `live_from_ms` is where the roll-ups end.

    `active` counts different people, so it is no sum: not for spans of an hour, and not for a whole of less than a day.
    """

    from_ms: int
    until_ms: int
    spans: Mapping[int, facts.Facts]
    active: Mapping[int, int]
    active_total: int | None
    leaders: Mapping[str, Sequence[Leader]]
    live_from_ms: int
    totals: facts.Facts = field(default_factory=dict[tuple[str, str], int])


def report(session: Session, *, from_ms: int, until_ms: int, granularity: Granularity, zone: Zone) -> Report:
    """Everything from `from_ms` until before `until_ms`, both beginnings of spans."""
    now_ms = int(session.connection().execute(select(db_now_ms())).scalar_one())
    live_from_ms = _live_from(session, now_ms=now_ms)
    spans = {start: Counter[tuple[str, str]]() for start in zone.spans(from_ms, until_ms, granularity)}
    rolled = _rolled(session, from_ms=from_ms, until_ms=min(until_ms, live_from_ms), granularity=granularity, zone=zone)
    for slot_ms, metric, dimension, value in rolled:
        spans[zone.floor(slot_ms, granularity)][metric, dimension] += value
    led: Counter[tuple[str, str]] = Counter()
    for slot_ms in range(max(from_ms, live_from_ms), min(until_ms, now_ms), HOUR_MS):
        for (metric, dimension), value in facts.count(session, from_ms=slot_ms, until_ms=slot_ms + HOUR_MS).items():
            target = spans[zone.floor(slot_ms, granularity)] if metric in SERIES else led
            target[metric, dimension] += value
    totals: Counter[tuple[str, str]] = Counter()
    for counted in spans.values():
        totals.update(counted)
    return Report(
        from_ms=from_ms,
        until_ms=until_ms,
        active_total=_active(session, [from_ms], until_ms=until_ms, live_from_ms=live_from_ms).get(from_ms),
        spans=spans,
        active=_active(session, spans, until_ms=until_ms, live_from_ms=live_from_ms),
        leaders=_leaders(session, from_ms, min(until_ms, live_from_ms), led),
        live_from_ms=live_from_ms,
        totals=totals,
    )


def _live_from(session: Session, *, now_ms: int) -> int:
    # Hours are rolled in order. After a long outage of the roll-ups the newest hours are counted, the older ones wait.
    last = session.connection().execute(select(func.max(ROLLED.c.slot_ms))).scalar_one()
    oldest_ms = (now_ms // HOUR_MS - LIVE_HOURS_MAX) * HOUR_MS
    return oldest_ms if last is None else max(int(last) + HOUR_MS, int(oldest_ms))


def _rolled(
    session: Session, *, from_ms: int, until_ms: int, granularity: Granularity, zone: Zone
) -> Iterable[tuple[int, str, str, int]]:
    step_ms, shift_ms = (HOUR_MS, 0) if granularity == "hour" else (DAY_MS, zone.offset_ms)
    start = R.slot_ms - (R.slot_ms + shift_ms) % step_ms
    statement = (
        select(start, R.metric, R.dimension, func.sum(R.value))
        .where(R.metric.in_(SERIES), R.slot_ms >= from_ms, R.slot_ms < until_ms)
        .group_by(start, R.metric, R.dimension)
    )
    for slot_ms, metric, dimension, value in session.connection().execute(statement):
        yield int(slot_ms), metric, dimension, int(value)


def _active(session: Session, starts: Iterable[int], *, until_ms: int, live_from_ms: int) -> dict[int, int]:
    """How many different people did something in each span of one day or more."""
    connection = session.connection()
    ordered = sorted(starts)
    found: dict[int, int] = {}
    for start_ms, end_ms in zip(ordered, [*ordered[1:], until_ms], strict=True):
        if end_ms - start_ms < DAY_MS:
            continue
        days = (ACTIVE.c.day_ms >= start_ms, ACTIVE.c.day_ms < end_ms)
        number = connection.execute(select(func.count(ACTIVE.c.user_id.distinct())).where(*days)).scalar_one()
        if end_ms > live_from_ms:
            known = select(ACTIVE.c.user_id).where(*days)
            since = (O.created_ms >= max(start_ms, live_from_ms), O.created_ms < end_ms, O.user_id.not_in(known))
            number += connection.execute(select(func.count(O.user_id.distinct())).where(*since)).scalar_one()
        found[start_ms] = int(number)
    return found


def _leaders(
    session: Session, from_ms: int, until_ms: int, live: Mapping[tuple[str, str], int]
) -> dict[str, list[Leader]]:
    found: dict[str, list[Leader]] = {}
    for metric in ("jobs_agent", "credits_agent", "earned"):
        sums = _sums(session, metric, from_ms, until_ms)
        sums.update({dimension: value for (name, dimension), value in live.items() if name == metric})
        best = sums.most_common(TOP)
        table = User.__table__.c if metric == "earned" else AGENTS.c
        label = table.display_name if metric == "earned" else table.name
        ids = [one for one, _ in best]
        rows = session.connection().execute(select(table.id, label).where(table.id.in_(ids)))
        names: dict[str, str] = {row[0]: row[1] for row in rows}
        found[metric] = [Leader(id=one, name=names.get(one, ""), value=value) for one, value in best]
    return found


def _sums(session: Session, metric: str, from_ms: int, until_ms: int) -> Counter[str]:
    total = func.sum(R.value)
    # More than are shown, because what is not rolled up yet may change their order.
    statement = (
        select(R.dimension, total)
        .where(R.metric == metric, R.slot_ms >= from_ms, R.slot_ms < until_ms)
        .group_by(R.dimension)
        .order_by(total.desc(), R.dimension)
        .limit(10 * TOP)
    )
    return Counter({row[0]: int(row[1]) for row in session.connection().execute(statement)})


def percentile(counted: Mapping[tuple[str, str], int], metric: str, part: float) -> int | None:
    """The time in milliseconds below which `part` of the ended jobs were, to a tenth; None without any."""
    buckets = sorted(
        ((_low(dimension), number) for (name, dimension), number in counted.items() if name == metric),
    )
    total = sum(number for _, number in buckets)
    seen = 0
    for milliseconds, number in buckets:
        seen += number
        if seen >= part * total:
            return milliseconds
    return None


def _low(bucket: str) -> int:
    digits, _, zeros = bucket.partition("e")
    return int(digits + "0" * int(zeros))
