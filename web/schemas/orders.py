"""Orders of credits: made, paid, read."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from atelier.gateways.port import Channel, ProviderName
from atelier.orders.queries import Filter
from atelier.orders.service import Order
from web import qr
from web.messages import Locale
from web.schemas.model import Answer, Body, PageQuery, Pagination, Timestamp
from web.schemas.money import PRICE_FEN_MAX, Yuan
from web.schemas.packages import PackageAnswer

Status = Literal["pending", "paid", "closed", "refunding", "partially_refunded", "refunded"]
Type = Literal["credits_purchase"]
DEFAULT_CHANNELS: dict[str, Channel] = {"alipay": "page", "wechat": "native"}
OPENID = Field(
    None,
    min_length=1,
    max_length=128,
    pattern=r"^[A-Za-z0-9_-]+$",
    description="who pays, within the WeChat application; needed for `jsapi`",
)


class BuyBody(Body):
    """Which package, and how it is going to be paid."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"packageId": "01990000-0000-7000-8000-0000000a0002", "paymentMethod": "alipay"}]
        }
    )

    package_id: str = Field(min_length=1, max_length=64)
    payment_method: ProviderName
    channel: Channel | None = Field(
        None, description="alipay: page (default), wap, qr; wechat: native (default), h5, jsapi"
    )
    return_url: str | None = Field(
        None, min_length=1, max_length=500, description="where the payer is sent afterwards; from the allow-list"
    )
    openid: str | None = OPENID
    expected_fen: int | None = Field(
        None, ge=1, le=PRICE_FEN_MAX, description="the price that the buyer saw; another one is PRICE_CHANGED"
    )

    @property
    def by(self) -> Channel:
        """The way of paying."""
        return self.channel or DEFAULT_CHANNELS[self.payment_method]


class PayBody(Body):
    """Nothing, but for `jsapi`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}]})

    openid: str | None = OPENID


class OrderedAnswer(Answer):
    """An order that waits to be paid, and how: at a page, by a QR code, or with the parameters of a JSAPI call."""

    order_id: str
    order_no: str
    payment_url: str | None
    code_url: str | None
    qr_svg: str | None = Field(description="`codeUrl` as a picture, an SVG element")
    parameters: dict[str, str] | None
    amount: Yuan
    amount_fen: int
    credits: int
    expires_at: Timestamp

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """The answer as it is stored, drawn."""
        code_url: str | None = stored["codeUrl"]
        drawn = qr.svg(code_url) if code_url else None
        return cls.model_validate({**stored, "amount": stored["amountFen"], "qrSvg": drawn})


class OrderAnswer(Answer):
    """An order. `paymentId` is the gateway's number of the payment."""

    id: str
    order_no: str
    type: Type
    status: Status
    total_amount: Yuan
    total_fen: int
    currency: Literal["CNY"]
    credits_amount: int
    items: list[PackageAnswer]
    payment_method: ProviderName
    payment_id: str | None
    paid_at: Timestamp | None
    refunded_fen: int
    expires_at: Timestamp
    created_at: Timestamp

    @classmethod
    def of(cls, order: Order, *, locale: Locale) -> Self:
        """The order as its owner sees it."""
        return cls.model_validate(shown(order, locale=locale))


class OrdersQuery(PageQuery):
    """Which orders."""

    status: Status | None = None
    type: Type | None = None

    def wanted(self, user_id: str) -> Filter:
        """The filter that this asks for."""
        return Filter(user_id=user_id, state=self.status, type=self.type)


class OrdersAnswer(Answer):
    """A page of the caller's orders, newest first."""

    orders: list[OrderAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, orders: list[Order], *, total: int, query: OrdersQuery, locale: Locale) -> Self:
        """The page."""
        page = [OrderAnswer.of(one, locale=locale) for one in orders]
        return cls(orders=page, pagination=Pagination.of(query, total=total))


def shown(order: Order, *, locale: Locale) -> dict[str, Any]:
    """What an order's owner sees of it."""
    return {
        "id": order.id,
        "order_no": order.order_no,
        "type": order.type,
        "status": order.state,
        "total_amount": order.amount_fen,
        "total_fen": order.amount_fen,
        "currency": order.currency,
        "credits_amount": order.credits,
        "items": [PackageAnswer.of_item(item, locale=locale) for item in order.items],
        "payment_method": order.provider,
        "payment_id": order.payment_no,
        "paid_at": order.paid_ms,
        "refunded_fen": order.refunded_fen,
        "expires_at": order.expires_ms,
        "created_at": order.created_ms,
    }
