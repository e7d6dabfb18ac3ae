"""What creators earn, as they see it: line by line, and summed up."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.catalog import purchases
from atelier.catalog.purchases import SoldAgent
from atelier.kernel.clock import DAY_MS
from atelier.ledger import queries
from atelier.ledger.earnings import day_ms
from atelier.ledger.queries import Earned, EarnedLine

MONTH_DAYS = 30
TOP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A share, and the agent as it is now."""

    earned: EarnedLine
    agent: SoldAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """The operator's day that is not over, the thirty days up to its end, and everything."""

    today: Earned
    month: Earned
    ever: Earned


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`owed` is what will be paid out within seconds; `agents` are those that have earned most, in order."""

    total: Spans
    owed: int
    agents: tuple[tuple[SoldAgent, Spans], ...]


def page(
    session: Session, *, creator_id: str, from_ms: int | None, until_ms: int | None, offset: int, limit: int
) -> tuple[list[Line], int]:
    """As `ledger.queries.earned_lines`, with the agents."""
    found, total = queries.earned_lines(
        session, creator_id=creator_id, from_ms=from_ms, until_ms=until_ms, offset=offset, limit=limit
    )
    return _lines(session, found), total


def lines_before(
    session: Session, *, creator_id: str, from_ms: int | None, until_ms: int | None, last: Line | None, limit: int
) -> list[Line]:
    """As `ledger.queries.earned_before`, with the agents."""
    earned = last.earned if last else None
    found = queries.earned_before(
        session, creator_id=creator_id, from_ms=from_ms, until_ms=until_ms, last=earned, limit=limit
    )
    return _lines(session, found)


def _lines(session: Session, found: Sequence[EarnedLine]) -> list[Line]:
    sold = purchases.agents(session, agent_ids={one.agent_id for one in found})
    return [Line(earned=one, agent=sold[one.agent_id]) for one in found]


def summary(session: Session, *, creator_id: str, now_ms: int, utc_offset_ms: int) -> Summary:
    """What they have earned, altogether and with which agents."""
    today_ms = day_ms(now_ms, utc_offset_ms=utc_offset_ms)
    since_ms = (today_ms, today_ms - (MONTH_DAYS - 1) * DAY_MS, 0)
    by_agent = queries.earned_by_agent(session, creator_id=creator_id, since_ms=since_ms)
    best = sorted(by_agent, key=lambda agent_id: (-by_agent[agent_id][2].amount, agent_id))[:TOP]
    sold = purchases.agents(session, agent_ids=best)
    return Summary(
        total=_spans([sum((one[span] for one in by_agent.values()), Earned()) for span in range(3)]),
        owed=queries.owed(session, creator_id=creator_id),
        agents=tuple((sold[agent_id], _spans(by_agent[agent_id])) for agent_id in best),
    )


def _spans(earned: list[Earned]) -> Spans:
    return Spans(today=earned[0], month=earned[1], ever=earned[2])
