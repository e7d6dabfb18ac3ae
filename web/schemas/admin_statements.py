"""The nightly comparison with gateways' books, for administrators."""

from typing import Literal, Self, get_args

from pydantic import Field

from atelier.gateways.port import ProviderName
from atelier.payments.reports import Finding, Found, Report, Wanted
from web.schemas.admin_audit import FeedQuery
from web.schemas.model import Answer, PageQuery, Pagination, Timestamp, Uuid

DAY = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"
Status = Literal["waiting", "running", "done"]
Kind = Literal[
    "missing_here",
    "amount_differs",
    "refund_missing_here",
    "refund_differs",
    "missing_in_bill",
    "refund_missing_in_bill",
]
KINDS: tuple[str, ...] = get_args(Kind)


class StatementsQuery(PageQuery):
    """Which days."""

    provider: ProviderName | None = None
    status: Status | None = None
    from_: str = Field("", alias="from", max_length=10, pattern=DAY, description="the first day, `2026-01-31`")
    to: str = Field("", max_length=10, pattern=DAY, description="the last day")

    @property
    def wanted(self) -> Wanted:
        """The filter that this asks for."""
        return Wanted(provider=self.provider, state=self.status, from_day=self.from_ or None, until_day=self.to or None)


class SideAnswer(Answer):
    """What one of the two books says: numbers, and amounts in fen."""

    payments: int
    payments_fen: int
    refunds: int
    refunds_fen: int


class FoundAnswer(Answer):
    """Differences of one kind, and how many of them wait for a person."""

    kind: str
    count: int
    theirs_fen: int
    ours_fen: int
    open: int

    @classmethod
    def of(cls, kind: str, found: Found) -> Self:
        """They."""
        return cls(kind=kind, count=found.number, theirs_fen=found.theirs_fen, ours_fen=found.ours_fen, open=found.open)


class StatementAnswer(Answer):
    """A day of a gateway's books. `ours` is what we have booked of that which its bill names."""

    id: str
    provider: str
    day: str = Field(description="in Beijing")
    status: str
    lines: int = Field(description="of the bill, as far as they were compared")
    theirs: SideAnswer
    ours: SideAnswer
    differences: list[FoundAnswer]
    tries: int = Field(description="in vain since the last success")
    error_code: str | None
    due_at: Timestamp | None
    finished_at: Timestamp | None

    @classmethod
    def of(cls, report: Report) -> Self:
        """The day."""
        one = report.statement
        theirs, ours = one.totals.get("theirs", {}), one.totals.get("ours", {})
        return cls(
            id=one.id,
            provider=one.provider,
            day=one.day,
            status=one.state,
            lines=theirs.get("lines", 0),
            theirs=_side(theirs),
            ours=_side(ours),
            differences=[FoundAnswer.of(kind, found) for kind, found in report.found.items()],
            tries=one.tries,
            error_code=one.error,
            due_at=one.due_ms,
            finished_at=one.finished_ms,
        )


def _side(totals: dict[str, int]) -> SideAnswer:
    names = ("payments", "payments_fen", "refunds", "refunds_fen")
    return SideAnswer(**{name: totals.get(name, 0) for name in names})


class StatementsAnswer(Answer):
    """Days, the newest first."""

    statements: list[StatementAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, reports: list[Report], *, total: int, query: PageQuery) -> Self:
        """The page."""
        return cls(
            statements=[StatementAnswer.of(one) for one in reports], pagination=Pagination.of(query, total=total)
        )


class FindingsQuery(FeedQuery):
    """Which differences."""

    kind: Kind | None = None
    cursor: Uuid | None = None


class FindingAnswer(Answer):
    """A difference, and what was done about it."""

    id: str
    kind: str
    order_no: str
    payment_id: str | None
    theirs_fen: int | None
    ours_fen: int | None
    outcome: str = Field(description="credited, late (credited after the order was closed), or the kind of the case")
    case_id: str | None
    case_status: str | None
    found_at: Timestamp

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """The difference."""
        return cls(
            id=finding.id,
            kind=finding.kind,
            order_no=finding.order_no,
            payment_id=finding.payment_no,
            theirs_fen=finding.theirs_fen,
            ours_fen=finding.ours_fen,
            outcome=finding.outcome,
            case_id=finding.case_id,
            case_status=finding.case_state,
            found_at=finding.created_ms,
        )


class StatementDetailAnswer(Answer):
    """A day with its differences. `nextCursor` is null at the end."""

    statement: StatementAnswer
    findings: list[FindingAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, report: Report, found: list[Finding], *, limit: int) -> Self:
        """The day with a page of its differences."""
        return cls(
            statement=StatementAnswer.of(report),
            findings=[FindingAnswer.of(one) for one in found],
            next_cursor=found[-1].id if len(found) == limit else None,
        )
