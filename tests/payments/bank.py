"""A gateway within the test that has books of both kinds: what was paid, and what went back."""

from dataclasses import dataclass, field
from itertools import count

from typing_extensions import override

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Refund, ToRefund, Trade, TradeState
from tests.payments.till import Till


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Money that came; `order_no` is what the payer said that it is for."""

    order_no: str
    payment_no: str
    fen: int


@dataclass
class Bank(Till):
    """Payers may pay at any time: whatever is closed, and as often as they like."""

    open: dict[str, bool] = field(default_factory=dict[str, bool])
    payments: dict[str, list[Paid]] = field(default_factory=dict[str, list[Paid]])
    numbers: "count[int]" = field(default_factory=count)

    def place_order(self, order_no: str) -> None:
        """It can be paid from now on."""
        self.open[order_no] = True

    def pay(self, order_no: str, fen: int) -> Paid:
        """Someone pays."""
        paid = Paid(order_no=order_no, payment_no=f"{self.name}-{next(self.numbers)}", fen=fen)
        self.payments.setdefault(order_no, []).append(paid)
        return paid

    def first(self, order_no: str) -> Paid | None:
        """What an order was paid with, as far as one can ask for it."""
        return next(iter(self.payments.get(order_no, ())), None)

    def left(self, order_no: str) -> int:
        """What has come for an order and not gone back, or is not about to."""
        gone = sum(one.amount_fen or 0 for one in self.refunds_of(order_no) if one.state != "failed")
        return sum(one.fen for one in self.payments.get(order_no, ())) - gone

    def refunds_of(self, order_no: str) -> list[Refund]:
        """What went back for an order, is going or would not."""
        return [one for number, one in self.refunds.items() if self.orders[number] == order_no]

    def pay_back_by_hand(self, order_no: str, refund_no: str, fen: int) -> None:
        """On its own pages, somebody who did not ask us."""
        self.orders[refund_no] = order_no
        self.refunds[refund_no] = Refund(refund_no=refund_no, state="succeeded", amount_fen=fen)

    @override
    def refund(self, wanted: ToRefund) -> Refund:
        if wanted.refund_no not in self.refunds and self.left(wanted.order_no) < wanted.amount_fen:
            self.moods.clear()
            raise GatewayRefused("TOO_MUCH")
        return super().refund(wanted)

    @override
    def query(self, order_no: str) -> Trade:
        self._require_answer("query", order_no)
        return self.trade(order_no)

    def trade(self, order_no: str) -> Trade:
        """What it says of an order."""
        first = self.first(order_no)
        if first is None:
            return Trade(order_no=order_no, state="pending" if self.open[order_no] else "closed")
        state: TradeState = "refunded" if self.paid_back(order_no) else "paid"
        return Trade(order_no=order_no, state=state, payment_no=first.payment_no, amount_fen=first.fen)

    @override
    def close(self, order_no: str) -> None:
        is_lost = self._require_answer("close", order_no) == "lost"
        if self.first(order_no):
            raise GatewayRefused("ORDERPAID")
        self.open[order_no] = False
        if is_lost:
            raise GatewayUnknown

    def _require_answer(self, call: str, order_no: str) -> str | None:
        mood = self._mood(call, order_no)
        if mood in {"unheard", "busy", "broken"}:
            raise GatewayUnknown
        if mood in {"refused", "closed"}:
            raise GatewayRefused("SYSTEM_BUSY")
        return mood
