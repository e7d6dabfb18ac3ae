"""What a payment gateway is to us, whichever it is. Money is whole fen; times are milliseconds since the epoch, UTC.

A call has three endings: an answer, GatewayRefused (it said no), GatewayUnknown (nobody can say: ask again with the
same numbers). No call belongs inside a transaction.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

ProviderName = Literal["alipay", "wechat"]
Channel = Literal["page", "wap", "qr", "native", "h5", "jsapi"]
CHANNELS: Mapping[str, tuple[Channel, ...]] = {"alipay": ("page", "wap", "qr"), "wechat": ("native", "h5", "jsapi")}

TradeState = Literal["absent", "pending", "paid", "closed", "refunded"]
RefundState = Literal["absent", "processing", "succeeded", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPay:
    """An order as a gateway is told of it. `openid` is the payer's, for `jsapi`; `address` theirs, for `h5`."""

    order_no: str
    amount_fen: int
    subject: str
    channel: Channel
    created_ms: int
    expires_ms: int
    return_url: str | None = None
    address: str | None = None
    openid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """How the payer gets to pay: a page, the text of a QR code, or the parameters of a JSAPI call."""

    payment_url: str | None = None
    code_url: str | None = None
    parameters: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What a gateway says of an order. `absent`: it has never heard of it. `payment_no` is there once it is paid.

    refunded   it was paid and something went back: everything with Alipay, perhaps only a part with WeChat Pay
    """

    order_no: str
    state: TradeState
    payment_no: str | None = None
    amount_fen: int | None = None
    currency: str = "CNY"
    paid_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRefund:
    """Money to pay back. The same `refund_no` is paid back once, however often it is asked for."""

    order_no: str
    payment_no: str
    refund_no: str
    amount_fen: int
    total_fen: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """What a gateway says of a refund."""

    refund_no: str
    state: RefundState
    gateway_no: str | None = None
    amount_fen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A verified message of a gateway. `event_key` names it; it is constant over repetitions of one event.

    kind    payment: the order is paid · closed: it can't be paid any more · refund: money went back
            other: nothing that concerns us (someone opened the cashier, say); `order_no` may be empty then
    refund_fen   what went back this time; None with Alipay, which only says what went back in all (ask for the refund)
    fact    what is kept of it: ids, amounts and states, nothing about the payer
    """

    provider: ProviderName
    event_key: str
    kind: Literal["payment", "closed", "refund", "other"]
    order_no: str
    payment_no: str | None = None
    amount_fen: int | None = None
    currency: str = "CNY"
    paid_ms: int | None = None
    refund_no: str | None = None
    refund_fen: int | None = None
    refund_state: RefundState | None = None
    fact: Mapping[str, str | int | None] = field(default_factory=dict[str, str | int | None])


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of a day's bill: a payment, or a refund (which has a `refund_no`). Amounts are positive."""

    kind: Literal["payment", "refund"]
    order_no: str
    payment_no: str
    amount_fen: int
    at_ms: int
    refund_no: str | None = None
    gateway_no: str | None = None
    currency: str = "CNY"


class Gateway(Protocol):
    """One gateway, for one merchant. Safe to share between threads; every method but `notice` and `accepted` may block.

    Raises GatewayRefused and GatewayUnknown; `notice` raises Forged.
    """

    @property
    def name(self) -> ProviderName:
        """What it is called in orders and routes."""
        ...

    def place(self, order: ToPay) -> Placed:
        """Make a way to pay the order; asked again, another one for the same order."""
        ...

    def query(self, order_no: str) -> Trade:
        """What became of an order."""
        ...

    def close(self, order_no: str) -> None:
        """Let nobody pay it any more; no error if the gateway has never heard of it, or closed it before.

        Raises GatewayRefused when it was paid.
        """
        ...

    def refund(self, wanted: ToRefund) -> Refund:
        """Pay back."""
        ...

    def query_refund(self, *, order_no: str, refund_no: str) -> Refund:
        """What became of a refund."""
        ...

    def bill(self, day: str) -> AbstractContextManager[Iterator[BillLine]]:
        """The lines of a day (`YYYY-MM-DD`, Beijing time), read as they come: memory stays flat.

        Raises GatewayRefused with the reason `absent` where that day has no bill (yet).
        """
        ...

    def notice(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:
        """A verified message that is for this merchant. Raises Forged."""
        ...

    def close_connections(self) -> None:
        """Give back what it holds."""
        ...
