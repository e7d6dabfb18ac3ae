"""Cases of payments as administrators see and resolve them."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from atelier.gateways.port import ProviderName
from atelier.orders.cases import Kind
from atelier.orders.resolutions import Case, Filter
from atelier.payments.resolving import Resolution
from web.schemas.admin_users import Reason
from web.schemas.model import Answer, Body, PageQuery, Pagination, Timestamp
from web.schemas.money import PRICE_FEN_MAX

CREDITS_MAX = 10_000_000
Status = Literal["open", "returning", "resolved"]


class CasesQuery(PageQuery):
    """Which cases."""

    status: Status | None = None
    kind: Kind | None = None
    provider: ProviderName | None = None

    @property
    def wanted(self) -> Filter:
        """The filter that this asks for."""
        return Filter(state=self.status, kind=self.kind, provider=self.provider)


class CaseAnswer(Answer):
    """Something that money did and nobody had ordered."""

    id: str
    kind: Kind
    status: Status = Field(description="returning: its money is on its way back, by the gateway's leave")
    provider: ProviderName
    order_no: str
    order_id: str | None
    user_id: str | None
    payment_id: str | None = Field(description="the gateway's number of the payment")
    amount_fen: int | None
    details: dict[str, Any]
    resolution: str | None = Field(description="credited, refunded, accepted, dismissed, or how it ended by itself")
    note: str | None
    resolved_by: str | None
    credits: int | None = Field(description="what its user was given for it")
    refund_no: str | None = Field(description="names the money that goes back to the gateway")
    error_code: str | None = Field(description="why the gateway did not pay back, in its own word")
    created_at: Timestamp
    resolved_at: Timestamp | None

    @classmethod
    def of(cls, case: Case) -> Self:
        """The case as administrators see it."""
        return cls.model_validate(
            {
                "id": case.id,
                "kind": case.kind,
                "status": case.state,
                "provider": case.provider,
                "order_no": case.order_no,
                "order_id": case.order_id,
                "user_id": case.user_id,
                "payment_id": case.payment_no,
                "amount_fen": case.amount_fen,
                "details": dict(case.details),
                "resolution": case.resolution,
                "note": case.note,
                "resolved_by": case.resolved_by,
                "credits": case.credits,
                "refund_no": case.refund_no,
                "error_code": case.error,
                "created_at": case.created_ms,
                "resolved_at": case.resolved_ms,
            }
        )


class CasesAnswer(Answer):
    """A page of cases, newest first; counted up to ten thousand."""

    cases: list[CaseAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, cases: list[Case], *, total: int, query: PageQuery) -> Self:
        """The page."""
        return cls(cases=[CaseAnswer.of(one) for one in cases], pagination=Pagination.of(query, total=total))


class ResolveBody(Body):
    """What becomes of a case, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"resolution": "dismiss", "note": "已与用户核对"}]})

    resolution: Resolution = Field(
        description="refund_payment sends stray money back; credit gives its user credits for it; accept_refund takes "
        "the credits back for money that went back at the gateway; dismiss does none of it"
    )
    note: Reason
    credits: int | None = Field(None, ge=1, le=CREDITS_MAX, description="for credit, and needed there")
    amount_fen: int | None = Field(
        None, ge=1, le=PRICE_FEN_MAX, description="for accept_refund: what went back, if the case does not say so"
    )
