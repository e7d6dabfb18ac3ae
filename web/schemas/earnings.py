"""What creators earn."""

from typing import Annotated, Literal, Self

from pydantic import Field

from atelier.ledger.queries import Earned
from atelier.ledger.service import PURCHASE
from atelier.marketplace.earnings import Line, Spans, Summary
from web.schemas.model import Answer, Moment, PageQuery, Pagination, Timestamp
from web.schemas.purchases import SoldAgentAnswer


class EarningsQuery(PageQuery):
    """Which earnings."""

    from_: Annotated[Moment | None, Field(alias="from", description="not before this moment")] = None
    to: Annotated[Moment | None, Field(description="before this moment")] = None


class EarningAnswer(Answer):
    """One share: `share` of `amount`, which someone paid to use an agent or to buy it."""

    type: Literal["usage", "purchase"]
    agent: SoldAgentAnswer
    amount: int
    share: int
    created_at: Timestamp
    related_id: str
    related_type: str

    @classmethod
    def of(cls, line: Line) -> Self:
        """The share on the wire."""
        earned = line.earned
        return cls(
            type="purchase" if earned.ref_type == PURCHASE else "usage",
            agent=SoldAgentAnswer.of(line.agent),
            amount=earned.gross,
            share=earned.amount,
            created_at=earned.paid_ms,
            related_id=earned.ref_id,
            related_type=earned.ref_type,
        )


class EarningsAnswer(Answer):
    """A page of the caller's earnings, newest first."""

    earnings: list[EarningAnswer]
    pagination: Pagination


class SumAnswer(Answer):
    """How many shares, of how much in all, and how much they were."""

    count: int
    amount: int
    share: int

    @classmethod
    def of(cls, earned: Earned) -> Self:
        """The sum on the wire."""
        return cls(count=earned.number, amount=earned.gross, share=earned.amount)


class SpansAnswer(Answer):
    """The operator's day, the last 30 days with it, and everything."""

    today: SumAnswer
    last30_days: SumAnswer = Field(alias="last30Days")
    total: SumAnswer


def _spans(spans: Spans) -> dict[str, SumAnswer]:
    return {
        "today": SumAnswer.of(spans.today),
        "last30_days": SumAnswer.of(spans.month),
        "total": SumAnswer.of(spans.ever),
    }


class AgentEarningsAnswer(SpansAnswer):
    """What one agent has earned."""

    agent: SoldAgentAnswer


class EarningsSummaryAnswer(SpansAnswer):
    """All earnings; `pending` is paid out within seconds; `agents` are the best by what they have earned in all."""

    pending: int
    agents: list[AgentEarningsAnswer]

    @classmethod
    def of(cls, summary: Summary) -> Self:
        """The summary on the wire."""
        agents = [
            AgentEarningsAnswer(agent=SoldAgentAnswer.of(agent), **_spans(spans)) for agent, spans in summary.agents
        ]
        return cls(pending=summary.owed, agents=agents, **_spans(summary.total))
