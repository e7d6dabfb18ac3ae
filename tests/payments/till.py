"""A gateway within the test: it keeps books of its own, and can be told how its next calls go."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Literal

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import BillLine, Notice, Placed, ProviderName, Refund, ToPay, ToRefund, Trade

# lost: done, and nobody hears of it · unheard: not done · busy: it says that it is at it · refused
# closed: accepted and given up · more: pays back a fen too much · broken: the client itself fails, after it was done
Mood = Literal["lost", "unheard", "busy", "refused", "closed", "more", "broken"]


@dataclass
class Till:
    """One merchant's account. `moods` are for the next calls, whatever they ask; without one a call just goes well."""

    name: ProviderName = "alipay"
    moods: deque[Mood] = field(default_factory=deque[Mood])
    refunds: dict[str, Refund] = field(default_factory=dict[str, Refund])
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    orders: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self._lock = Lock()

    def paid_back(self, order_no: str) -> int:
        """What went back for an order, in fen."""
        gone = [one for one in self.refunds.values() if one.state == "succeeded"]
        return sum(one.amount_fen or 0 for one in gone if self.orders[one.refund_no] == order_no)

    def finish(self, refund_no: str, *, succeeded: bool = True) -> None:
        """What it was at is done."""
        self.refunds[refund_no] = replace(self.refunds[refund_no], state="succeeded" if succeeded else "failed")

    def refund(self, wanted: ToRefund) -> Refund:
        """Pay back, once for each number."""
        with self._lock:
            mood = self._mood("refund", wanted.refund_no)
            if mood == "unheard":
                raise GatewayUnknown
            if mood == "refused":
                raise GatewayRefused("NOT_ENOUGH")
            if wanted.refund_no not in self.refunds:
                self.orders[wanted.refund_no] = wanted.order_no
                self.refunds[wanted.refund_no] = Refund(
                    refund_no=wanted.refund_no,
                    state="processing" if mood == "busy" else "failed" if mood == "closed" else "succeeded",
                    gateway_no=f"G{wanted.refund_no}",
                    amount_fen=wanted.amount_fen + (mood == "more"),
                )
            return self._answered(mood, self.refunds[wanted.refund_no])

    def query_refund(self, *, order_no: str, refund_no: str) -> Refund:
        """What became of a refund."""
        with self._lock:
            mood = self._mood("query", refund_no)
            if mood in {"unheard", "lost"}:
                raise GatewayUnknown
            if mood == "refused":
                raise GatewayRefused("SYSTEM_BUSY")
            known = self.refunds.get(refund_no)
            if known and self.orders[refund_no] == order_no:
                return known
            return Refund(refund_no=refund_no, state="absent")

    def _mood(self, call: str, refund_no: str) -> Mood | None:
        self.asked.append((call, refund_no))
        return self.moods.popleft() if self.moods else None

    def _answered(self, mood: Mood | None, answer: Refund) -> Refund:
        if mood == "lost":
            raise GatewayUnknown
        if mood == "broken":
            message = "the answer could not be read"
            raise ValueError(message)
        return answer

    def place(self, order: ToPay) -> Placed:
        """Nobody pays here."""
        raise NotImplementedError(order)

    def query(self, order_no: str) -> Trade:
        """Nobody asks here."""
        raise NotImplementedError(order_no)

    def close(self, order_no: str) -> None:
        """Nobody closes anything here."""
        raise NotImplementedError(order_no)

    def bill(self, day: str) -> AbstractContextManager[Iterator[BillLine]]:
        """There is none."""
        raise NotImplementedError(day)

    def notice(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:
        """Nobody sends any."""
        raise NotImplementedError(headers, body, now_ms)

    def close_connections(self) -> None:
        """There are none."""
