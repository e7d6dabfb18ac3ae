"""Figures for administrators."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, Self

from pydantic import Field

from atelier.analytics.reading import Leader, Report, percentile
from atelier.analytics.spans import Granularity
from atelier.jobs import states
from web.schemas.model import Answer, Moment, Query, Timestamp

Counted = Mapping[tuple[str, str], int]
GROUPS = ("signUps", "activeUsers", "jobs", "providers", "wait", "run", "credits", "sales")
SPENT = ("capture", "consume", "purchase")
RELEASED = ("release", "uncaptured")
GRANTED = ("bonus", "adjust_in")
GATEWAY_WORDS = {"paid": "paid", "revenue_fen": "revenue", "refunds": "refunds", "refunded_fen": "refunded"}
ENDS = (states.COMPLETED, states.FAILED, states.CANCELED)


_ONE = f"({'|'.join(GROUPS)})"


class AnalyticsQuery(Query):
    """Which time, in which steps, and what of it."""

    from_: Moment | None = Field(None, alias="from", description="rounded down to a step; default: thirty steps ago")
    to: Moment | None = Field(None, description="rounded up to a step; default: now")
    granularity: Granularity = "day"
    metrics: str = Field(
        "", max_length=200, pattern=f"^({_ONE}(,{_ONE})*)?$", description="separated by commas; all by default"
    )

    @property
    def groups(self) -> frozenset[str]:
        """What is wanted."""
        return frozenset(self.metrics.split(",")) - {""} or frozenset(GROUPS)


class EndedAnswer(Answer):
    """Jobs that ended."""

    completed: int
    failed: int
    canceled: int


class JobsAnswer(EndedAnswer):
    """Jobs that were submitted, and that ended."""

    submitted: int


class TimesAnswer(Answer):
    """How long it took, in milliseconds, to a tenth; null without any job."""

    p50: int | None
    p95: int | None


class CreditsMovedAnswer(Answer):
    """Credits, each the sum of the ledger's transfers of that kind."""

    spent: int = Field(description="captured, consumed, and paid for agents")
    held: int
    released: int = Field(description="of holds: not captured")
    granted: int = Field(description="bonuses, and adjustments upwards")
    taken: int = Field(description="adjustments downwards")
    topped_up: int = Field(description="sold for money")
    taken_back: int = Field(description="for refunds, less what was given back when a refund failed")
    earned: int = Field(description="creators' shares")
    platform: int = Field(description="the platform's shares")


class GatewayAnswer(Answer):
    """What came and went through one payment gateway, in whole fen."""

    paid: int
    revenue_fen: int
    refunds: int
    refunded_fen: int


class SalesAnswer(GatewayAnswer):
    """Orders of credits. Payments and refunds are counted when they happened, orders when they were made."""

    orders: int = Field(description="made")
    converted: int = Field(description="of those that were made, how many have been paid since")
    conversion: float | None = Field(description="the part that has been paid, from 0 to 1; null without any order")
    credits_sold: int = Field(description="what the ledger was credited with for payments")
    credits_taken_back: int = Field(description="what it was debited for refunds")
    gateways: dict[str, GatewayAnswer]


class PointAnswer(Answer):
    """One step; what was not asked for is null. `activeUsers` is null for hours."""

    at: Timestamp
    sign_ups: int | None
    active_users: int | None
    jobs: JobsAnswer | None
    providers: dict[str, EndedAnswer] | None
    wait: TimesAnswer | None
    run: TimesAnswer | None
    credits: CreditsMovedAnswer | None
    sales: SalesAnswer | None

    @classmethod
    def of(cls, at_ms: int, counted: Counted, *, active: int | None, groups: frozenset[str]) -> Self:
        """What was counted."""
        made: dict[str, Any] = {
            "signUps": counted.get(("sign_ups", ""), 0),
            "activeUsers": active,
            "jobs": _jobs(counted),
            "providers": _providers(counted),
            "wait": _times(counted, "wait"),
            "run": _times(counted, "run"),
            "credits": _credits(counted),
            "sales": _sales(counted),
        }
        shown = {name: value if name in groups else None for name, value in made.items()}
        return cls.model_validate({"at": at_ms, **shown})


class LeaderAnswer(Answer):
    """An agent or creator."""

    id: str
    name: str
    value: int

    @classmethod
    def of(cls, leader: Leader) -> Self:
        """The leader."""
        return cls(id=leader.id, name=leader.name, value=leader.value)


class TopAnswer(Answer):
    """The first ten by completed jobs, by credits spent, and by earnings."""

    agents_by_jobs: list[LeaderAnswer]
    agents_by_credits: list[LeaderAnswer]
    creators: list[LeaderAnswer]


class AnalyticsAnswer(Answer):
    """Figures of every step, of the whole time, and the leaders in it. From `liveFrom` on they are counted live."""

    from_: Timestamp = Field(alias="from")
    to: Timestamp
    granularity: Literal["hour", "day", "week", "month"]
    utc_offset_hours: int
    live_from: Timestamp
    points: list[PointAnswer]
    total: PointAnswer
    top: TopAnswer

    @classmethod
    def of(cls, report: Report, *, query: AnalyticsQuery, offset_hours: int) -> Self:
        """The report."""
        groups = query.groups
        points = [
            PointAnswer.of(at_ms, counted, active=report.active.get(at_ms), groups=groups)
            for at_ms, counted in sorted(report.spans.items())
        ]
        leaders = {metric: [LeaderAnswer.of(one) for one in found] for metric, found in report.leaders.items()}
        top = TopAnswer(
            agents_by_jobs=leaders["jobs_agent"], agents_by_credits=leaders["credits_agent"], creators=leaders["earned"]
        )
        return cls.model_validate(
            {
                "from": report.from_ms,
                "to": report.until_ms,
                "granularity": query.granularity,
                "utc_offset_hours": offset_hours,
                "live_from": report.live_from_ms,
                "points": points,
                "total": PointAnswer.of(report.from_ms, report.totals, active=report.active_total, groups=groups),
                "top": top,
            }
        )


def _jobs(counted: Counted) -> dict[str, int]:
    ended = {state: counted.get(("jobs", state), 0) for state in ENDS}
    return {"submitted": counted.get(("submitted", ""), 0), **ended}


def _providers(counted: Counted) -> dict[str, dict[str, int]]:
    names = sorted({dimension.partition(":")[0] for metric, dimension in counted if metric == "jobs_provider"})
    return {name: {state: counted.get(("jobs_provider", f"{name}:{state}"), 0) for state in ENDS} for name in names}


def _times(counted: Counted, metric: str) -> dict[str, int | None]:
    return {"p50": percentile(counted, metric, 0.5), "p95": percentile(counted, metric, 0.95)}


def _moved(counted: Counted, *kinds: str) -> int:
    return sum(counted.get(("credits", kind), 0) for kind in kinds)


def _taken_back(counted: Counted) -> int:
    return _moved(counted, "clawback") - _moved(counted, "restore")


def _sales(counted: Counted) -> dict[str, Any]:
    names = sorted({dimension for metric, dimension in counted if metric in {"paid", "refunds"}})
    gateways = {
        name: {word: counted.get((metric, name), 0) for word, metric in GATEWAY_WORDS.items()} for name in names
    }
    orders, converted = counted.get(("orders", ""), 0), counted.get(("converted", ""), 0)
    return {
        **{word: sum(one[word] for one in gateways.values()) for word in GATEWAY_WORDS},
        "orders": orders,
        "converted": converted,
        "conversion": round(converted / orders, 4) if orders else None,
        "credits_sold": _moved(counted, "topup"),
        "credits_taken_back": _taken_back(counted),
        "gateways": gateways,
    }


def _credits(counted: Counted) -> dict[str, int]:
    moved = partial(_moved, counted)
    return {
        "spent": moved(*SPENT),
        "held": moved("hold"),
        "released": moved(*RELEASED),
        "granted": moved(*GRANTED),
        "taken": moved("adjust_out"),
        "topped_up": moved("topup"),
        "taken_back": _taken_back(counted),
        "earned": moved("share"),
        "platform": moved("share_platform"),
    }
