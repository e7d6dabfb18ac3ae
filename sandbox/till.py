"""The rules that both gateways share: who may pay, close and pay back what, and what the merchant is told of it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from atelier.gateways.sandbox_identity import Identity
from sandbox import alipay_messages, wechat_messages
from sandbox.books import Books
from sandbox.clock import Clock, beijing
from sandbox.trade import NewNotice, NewRefund, NewTrade, Payment, Provider, Refund, State, Trade

Reason = Literal["absent", "other", "paid", "closed", "finished", "unpaid", "too_much", "other_refund", "ended"]
_SAME: Final = {
    "alipay": ("amount_fen", "currency"),
    "wechat": ("amount_fen", "currency", "subject", "channel", "payer"),
}


class Denied(Exception):
    """The rules say no. Each gateway has words of its own for the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order as a merchant asks for it."""

    provider: Provider
    order_no: str
    amount_fen: int
    currency: str = "CNY"
    subject: str
    channel: str
    notify_url: str
    return_url: str = ""
    payer: str = ""
    expires_ms: int


class Till:
    """All changes of the books. `changed` is called after each of them."""

    def __init__(
        self, books: Books, *, clock: Clock, identity: Callable[[], Identity], changed: Callable[[], None]
    ) -> None:
        self.books = books
        self.clock = clock
        self._identity = identity
        self._changed = changed

    def state(self, trade: Trade) -> State:
        """What the trade is now."""
        return trade.state(self.clock.now_ms)

    def find(self, provider: Provider, *, order_no: str = "", trade_no: str = "") -> Trade:
        """A trade by either number; the gateway's own one counts if both are given. Denied `absent`."""
        named = {"trade_no": trade_no} if trade_no else {"order_no": order_no}
        found = self.books.find(provider=provider, **named)
        if found is None and trade_no:
            paid = self.books.find_paid(payment_no=trade_no)
            found = paid if paid and paid.provider == provider else None
        # Alipay has not heard of a trade before its payer has seen it.
        if found is None or (provider == "alipay" and self.state(found) == "unseen"):
            raise Denied("absent")
        return found

    def place(self, wanted: Wanted) -> Trade:
        """Take an order, once: the same one again is the same trade. Denied `other`, `paid`, `closed`."""
        found = self.books.find(provider=wanted.provider, order_no=wanted.order_no)
        if found is not None:
            if any(getattr(found, name) != getattr(wanted, name) for name in _SAME[wanted.provider]):
                raise Denied("other")
            self._require_open(found)
            return found
        now_ms = self.clock.now_ms
        made = self.books.add_trade(
            NewTrade(
                **{name: getattr(wanted, name) for name in Wanted.__dataclass_fields__},
                trade_no=_number(wanted.provider, now_ms),
                token=secrets.token_urlsafe(24),
                created_ms=now_ms,
            )
        )
        self._changed()
        return made

    def open(self, trade: Trade) -> Trade:
        """A payer looks at it."""
        if self.state(trade) == "unseen":
            return self.books.mark(trade, "opened", at_ms=self.clock.now_ms)
        return trade

    def pay(
        self, trade: Trade, *, amount_fen: int | None = None, buyer: str = "", again: bool = False, late: bool = False
    ) -> Trade:
        """Take the money. Denied `paid` unless `again`, `closed` unless `late`: both happen, and neither should."""
        if not ((late and self.state(trade) == "closed") or (again and trade.payments)):
            self._require_open(trade)
        now_ms = self.clock.now_ms
        payment = Payment(
            payment_no=_number(trade.provider, now_ms) if trade.payments else trade.trade_no,
            amount_fen=trade.amount_fen if amount_fen is None else amount_fen,
            buyer=buyer or trade.payer or _somebody(trade.provider),
            at_ms=now_ms,
        )
        says = alipay_messages if trade.provider == "alipay" else wechat_messages
        paid = self.books.add_payment(
            trade, payment, notice=says.payment_notice(trade, payment, identity=self._identity())
        )
        self._changed()
        return paid

    def fail(self, trade: Trade) -> Trade:
        """The payer's bank refuses: nothing is booked but that, and the payer may try again."""
        self._require_open(trade)
        return self.books.mark(trade, "failed", at_ms=self.clock.now_ms)

    def close(self, trade: Trade) -> Trade:
        """Let nobody pay it any more. Denied `paid`, `closed`."""
        self._require_open(trade)
        return self._close(trade, self.clock.now_ms)

    def expire(self, trade: Trade) -> None:
        """Its time may be over."""
        if not trade.payments and "closed" not in trade.marks and trade.expires_ms <= self.clock.now_ms:
            self._close(trade, trade.expires_ms)

    def finish(self, trade: Trade) -> Trade:
        """Months have passed: it can't be refunded any more. Denied `unpaid`."""
        if not trade.payments:
            raise Denied("unpaid")
        told = None
        if trade.provider == "alipay":
            told = alipay_messages.payment_notice(
                trade, trade.payments[0], identity=self._identity(), status="TRADE_FINISHED"
            )
        finished = self.books.mark(trade, "finished", at_ms=self.clock.now_ms, notice=told)
        self._changed()
        return finished

    def refund(
        self,
        trade: Trade,
        *,
        refund_no: str,
        amount_fen: int,
        reason: str = "",
        notify_url: str = "",
        end: str = "SUCCESS",
    ) -> tuple[Trade, Refund, bool]:
        """Pay back, once for each number. `end` is how it ends: SUCCESS, ABNORMAL, CLOSED, or empty for not yet.

        Answers the trade, the refund, and whether it is new. Denied `unpaid`, `finished`, `too_much`, `other_refund`.
        """
        known = next((one for one in trade.refunds if one.refund_no == refund_no), None)
        if known is not None:
            if known.amount_fen != amount_fen:
                raise Denied("other_refund")
            return trade, known, False
        if not trade.payments:
            raise Denied("unpaid")
        if "finished" in trade.marks:
            raise Denied("finished")
        if not 0 < amount_fen <= trade.paid_fen - trade.leaving_fen:
            raise Denied("too_much")
        now_ms = self.clock.now_ms
        new = NewRefund(
            refund_no=refund_no,
            gateway_no=_number(trade.provider, now_ms, refund=True),
            amount_fen=amount_fen,
            reason=reason,
            notify_url=notify_url,
            at_ms=now_ms,
        )
        trade = self.books.add_refund(trade, new)
        refund = trade.refunds[-1]
        if end:
            trade, refund = self.end_refund(trade, refund, state=end)
        return trade, refund, True

    def end_refund(self, trade: Trade, refund: Refund, *, state: str) -> tuple[Trade, Refund]:
        """Let a refund end. Denied `ended` when it has ended before."""
        if refund.state != "PROCESSING":
            raise Denied("ended")
        now_ms = self.clock.now_ms
        notice = self._told_of_refund(trade, refund, state, now_ms)
        trade = self.books.end_refund(trade, refund, state=state, at_ms=now_ms, notice=notice)
        self._changed()
        return trade, next(one for one in trade.refunds if one.id == refund.id)

    def _told_of_refund(self, trade: Trade, refund: Refund, state: str, now_ms: int) -> NewNotice | None:
        identity = self._identity()
        if trade.provider == "alipay":
            told = state == "SUCCESS"
            return alipay_messages.refund_notice(trade, refund, identity=identity, at_ms=now_ms) if told else None
        if not refund.notify_url:
            return None
        return wechat_messages.refund_notice(trade, refund, identity=identity, state=state, at_ms=now_ms)

    def _close(self, trade: Trade, at_ms: int) -> Trade:
        told = None
        if trade.provider == "alipay" and "opened" in trade.marks:
            told = alipay_messages.closed_notice(trade, identity=self._identity(), at_ms=at_ms)
        closed = self.books.mark(trade, "closed", at_ms=at_ms, notice=told)
        self._changed()
        return closed

    def _require_open(self, trade: Trade) -> None:
        if trade.payments:
            raise Denied("paid")
        if self.state(trade) == "closed":
            raise Denied("closed")


def _number(provider: Provider, now_ms: int, *, refund: bool = False) -> str:
    day = beijing(now_ms)[:10].replace("-", "")
    tail = "".join(secrets.choice("0123456789") for _ in range(14))
    if refund:
        return f"50{day}{tail}{tail[:4]}"
    return f"{day}2200{tail}" if provider == "alipay" else f"4200{day}{tail}00"


def _somebody(provider: Provider) -> str:
    return f"2088{secrets.randbelow(10**12):012d}" if provider == "alipay" else f"o{secrets.token_hex(13)}x"
