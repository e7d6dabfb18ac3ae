"""Orders as administrators see them, and money that goes back."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from atelier.gateways.port import ProviderName
from atelier.orders.cases import Kind
from atelier.orders.overview import Filter, OrderCase, Whole
from atelier.orders.refunds import Refund
from atelier.orders.service import Order
from atelier.payments import refunding
from web.messages import Locale
from web.schemas import orders
from web.schemas.admin_users import Reason
from web.schemas.model import Answer, Body, Moment, PageQuery, Pagination, Timestamp, Uuid
from web.schemas.money import PRICE_FEN_MAX, Yuan
from web.schemas.orders import OrderAnswer, Status

RefundStatus = Literal["requested", "processing", "succeeded", "failed"]
# As gateways take them, and in ASCII: MariaDB compares such a column with no other text.
OrderNo = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[0-9A-Za-z_-]+$")]


class AdminOrdersQuery(PageQuery):
    """Which orders."""

    status: Status | None = None
    payment_method: ProviderName | None = None
    user_id: Uuid | None = None
    order_no: OrderNo | None = Field(None, description="the whole number")
    from_: Moment | None = Field(None, alias="from", description="made at this time or later")
    to: Moment | None = Field(None, description="made before this time")

    @property
    def wanted(self) -> Filter:
        """The filter that this asks for."""
        return Filter(
            state=self.status,
            provider=self.payment_method,
            user_id=self.user_id,
            order_no=self.order_no,
            from_ms=self.from_,
            until_ms=self.to,
        )


class AdminOrderAnswer(OrderAnswer):
    """An order, and whose it is. `refundableFen` could still be paid back."""

    user_id: str
    channel: str
    refunding_fen: int
    refundable_fen: int
    closed_at: Timestamp | None

    @classmethod
    def seen(cls, order: Order, *, locale: Locale, **more: Any) -> Self:
        """The order as administrators see it."""
        paid_fen = order.amount_fen if order.paid_ms is not None else 0
        own: dict[str, Any] = {
            "user_id": order.user_id,
            "channel": order.channel,
            "refunding_fen": order.refunding_fen,
            "refundable_fen": max(0, paid_fen - order.refunded_fen - order.refunding_fen),
            "closed_at": order.closed_ms,
        }
        return cls.model_validate({**orders.shown(order, locale=locale), **own, **more})


class AdminOrdersAnswer(Answer):
    """A page of orders, newest first; counted up to ten thousand."""

    orders: list[AdminOrderAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, found: list[Order], *, total: int, query: PageQuery, locale: Locale) -> Self:
        """The page."""
        shown = [AdminOrderAnswer.seen(one, locale=locale) for one in found]
        return cls(orders=shown, pagination=Pagination.of(query, total=total))


class RefundAnswer(Answer):
    """Money that goes back. Of `credits` so many were taken at once (`creditsTaken`); the rest became a debt.

    `adminId` is null and `external` true for a refund that was made at the gateway.
    """

    id: str
    refund_no: str
    order_id: str
    status: RefundStatus
    amount: Yuan
    amount_fen: int
    credits: int
    credits_taken: int
    external: bool
    reason: str
    admin_id: str | None
    gateway_no: str | None = Field(description="the gateway's number of it")
    error_code: str | None = Field(description="why it failed or what it waits for, in the gateway's own word")
    tries: int = Field(description="how many times the gateway was asked")
    created_at: Timestamp
    finished_at: Timestamp | None

    @classmethod
    def of(cls, shown: dict[str, Any]) -> Self:
        """The refund as `refunding.shown` has it."""
        return cls.model_validate({**shown, "amount": shown["amountFen"]})


class OrderCaseAnswer(Answer):
    """A case of an order, in short."""

    id: str
    kind: Kind
    status: str
    amount_fen: int | None
    resolution: str | None
    created_at: Timestamp
    resolved_at: Timestamp | None

    @classmethod
    def of(cls, case: OrderCase) -> Self:
        """The case on the wire."""
        return cls.model_validate(
            {
                "id": case.id,
                "kind": case.kind,
                "status": case.state,
                "amount_fen": case.amount_fen,
                "resolution": case.resolution,
                "created_at": case.created_ms,
                "resolved_at": case.resolved_ms,
            }
        )


class WholeOrderAnswer(AdminOrderAnswer):
    """An order with its refunds and cases, the oldest first."""

    refunds: list[RefundAnswer]
    cases: list[OrderCaseAnswer]

    @classmethod
    def whole(cls, found: Whole, *, locale: Locale) -> Self:
        """The order on the wire."""
        cases = [OrderCaseAnswer.of(one) for one in found.cases]
        return cls.seen(found.order, locale=locale, refunds=_refunds(found.refunds), cases=cases)


class RefundsAnswer(Answer):
    """All refunds of an order, the oldest first."""

    refunds: list[RefundAnswer]

    @classmethod
    def of(cls, refunds: list[Refund]) -> Self:
        """The refunds on the wire."""
        return cls(refunds=_refunds(refunds))


class RefundBody(Body):
    """How much goes back, and why. Without an amount it is everything that is left."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amountFen": 990, "reason": "用户申请退款"}]})

    amount_fen: int | None = Field(None, ge=1, le=PRICE_FEN_MAX, description="whole fen; null: everything that is left")
    reason: Reason


class RefundedAnswer(Answer):
    """The credits are taken back, and the gateway is going to be asked."""

    success: Literal[True] = True
    refund: RefundAnswer

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """The answer as it is stored."""
        return cls(refund=RefundAnswer.of(answer["refund"]))


def _refunds(refunds: list[Refund]) -> list[RefundAnswer]:
    return [RefundAnswer.of(refunding.shown(one)) for one in refunds]
