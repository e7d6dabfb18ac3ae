"""What the books are about. Money is whole fen; times are milliseconds since the epoch, by the sandbox's clock."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Provider = Literal["alipay", "wechat"]
State = Literal["unseen", "pending", "paid", "refunded", "finished", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrade:
    """An order as the merchant places it.

    token  names its cashier page, which nobody can guess
    payer  whom it is for: an openid, for payments inside WeChat
    """

    provider: Provider
    order_no: str
    trade_no: str
    token: str
    amount_fen: int
    currency: str
    subject: str
    channel: str
    notify_url: str
    return_url: str
    payer: str
    created_ms: int
    expires_ms: int

    def columns(self) -> dict[str, Any]:
        """By column."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Somebody paid."""

    payment_no: str
    amount_fen: int
    buyer: str
    at_ms: int

    def columns(self) -> dict[str, Any]:
        """By column."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """Money that is to go back. `notify_url` is where its end is told, if the merchant wants to hear of it."""

    refund_no: str
    gateway_no: str
    amount_fen: int
    reason: str
    notify_url: str
    at_ms: int

    def columns(self) -> dict[str, Any]:
        """By column."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund as it stands: PROCESSING, SUCCESS, CLOSED or ABNORMAL."""

    id: int
    refund_no: str
    gateway_no: str
    amount_fen: int
    reason: str
    notify_url: str
    at_ms: int
    state: str
    ended_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade(NewTrade):
    """A trade with everything that has happened to it. `marks` say when what happened last."""

    id: int
    marks: Mapping[str, int]
    payments: tuple[Payment, ...]
    refunds: tuple[Refund, ...]

    @property
    def paid_fen(self) -> int:
        """What came in."""
        return sum(one.amount_fen for one in self.payments)

    @property
    def refunded_fen(self) -> int:
        """What has gone back."""
        return sum(one.amount_fen for one in self.refunds if one.state == "SUCCESS")

    @property
    def leaving_fen(self) -> int:
        """What has gone back or is on its way."""
        return sum(one.amount_fen for one in self.refunds if one.state in {"SUCCESS", "PROCESSING"})

    def state(self, now_ms: int) -> State:
        """What it is now. `unseen`: it was ordered, and no payer has looked at it."""
        if self.payments:
            if "finished" in self.marks:
                return "finished"
            return "refunded" if self.refunded_fen >= self.paid_fen else "paid"
        if "closed" in self.marks or self.expires_ms <= now_ms:
            return "closed"
        return "pending" if "opened" in self.marks else "unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotice:
    """What the merchant is to be told.

    kind     payment, closed, refund or other
    key      names the event; it is the same whenever it is told
    content  what is told, not signed yet
    """

    kind: str
    key: str
    url: str
    content: Mapping[str, Any]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(NewNotice):
    """A notice with every attempt to deliver it."""

    id: int
    trade_id: int
    provider: Provider
    order_no: str
    attempts: tuple[Mapping[str, Any], ...] = field(default=())
