"""A gateway within the test where orders are paid and closed: it has books of its own, and says what it is told to."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Literal

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import (
    BillLine,
    Notice,
    Placed,
    ProviderName,
    Refund,
    ToPay,
    ToRefund,
    Trade,
    TradeState,
)

# lost: done, and nobody hears of it · unheard: not done · refused · broken: the client itself fails
Mood = Literal["lost", "unheard", "refused", "broken"]


@dataclass
class Booth:
    """One merchant's account, with which nobody does anything but place orders, ask and close.

    `moods` are for the next calls, whatever they ask; without one a call just goes well.

    `meanwhile` happens just before the next closing; a call waits at `gate` while that is not set.
    """

    name: ProviderName = "alipay"
    moods: deque[Mood] = field(default_factory=deque[Mood])
    placed: list[ToPay] = field(default_factory=list[ToPay])
    states: dict[str, TradeState] = field(default_factory=dict[str, TradeState])
    amounts: dict[str, int] = field(default_factory=dict[str, int])
    meanwhile: Callable[[str], None] | None = None
    gate: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._lock = Lock()
        self.gate.set()

    def pay(self, order_no: str, *, amount_fen: int | None = None) -> None:
        """The payer pays."""
        assert self.states[order_no] == "pending"
        self.states[order_no] = "paid"
        self.amounts[order_no] = amount_fen or self.amounts[order_no]

    def place(self, order: ToPay) -> Placed:
        self.gate.wait(20)
        with self._lock:
            mood = self._mood()
            self.placed.append(order)
            self.states.setdefault(order.order_no, "pending")
            self.amounts[order.order_no] = order.amount_fen
            if mood == "lost":
                raise GatewayUnknown
            number = f"{order.order_no}-{len(self.placed)}"
        if order.channel == "jsapi":
            return Placed(parameters={"package": f"prepay_id={number}", "signType": "RSA"})
        if order.channel in {"qr", "native"}:
            return Placed(code_url=f"weixin://wxpay/bizpayurl?pr={number}")
        return Placed(payment_url=f"https://pay.test/{order.channel}?order={number}")

    def query(self, order_no: str) -> Trade:
        with self._lock:
            self._mood()
            state = self.states.get(order_no, "absent")
            if state != "paid":
                return Trade(order_no=order_no, state=state)
            return Trade(order_no=order_no, state=state, payment_no=f"P{order_no}", amount_fen=self.amounts[order_no])

    def close(self, order_no: str) -> None:
        if self.meanwhile:
            self.meanwhile(order_no)
        with self._lock:
            mood = self._mood()
            if self.states.get(order_no) == "paid":
                raise GatewayRefused("ORDERPAID")
            self.states[order_no] = "closed"
            if mood == "lost":
                raise GatewayUnknown

    def _mood(self) -> Mood | None:
        mood = self.moods.popleft() if self.moods else None
        if mood == "unheard":
            raise GatewayUnknown
        if mood == "refused":
            raise GatewayRefused("SYSTEM_BUSY")
        if mood == "broken":
            message = "the answer could not be read"
            raise ValueError(message)
        return mood

    def refund(self, wanted: ToRefund) -> Refund:
        raise NotImplementedError(wanted)

    def query_refund(self, *, order_no: str, refund_no: str) -> Refund:
        raise NotImplementedError(order_no, refund_no)

    def bill(self, day: str) -> AbstractContextManager[Iterator[BillLine]]:
        raise NotImplementedError(day)

    def notice(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:
        raise NotImplementedError(headers, body, now_ms)

    def close_connections(self) -> None:
        pass
