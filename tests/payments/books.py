"""What users should have for what they paid: a plain model, which knows no more of the product than its promises."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from atelier.orders.service import Order
from tests.payments.bank import Paid

DEBTS_AT_ONCE = 8


@dataclass(eq=False)
class Sale:
    """An order as it should be. `going` and `credits` are of its refunds, by their ids; `wanted` is their money.

    too_many   as many fen its gateway may have paid back that nobody wanted
    """

    order: Order
    state: str = "pending"
    payment_no: str | None = None
    refunded: int = 0
    wanted: dict[str, int] = field(default_factory=dict[str, int])
    credits: dict[str, int] = field(default_factory=dict[str, int])
    going: set[str] = field(default_factory=set[str])
    was_refunded: bool = False
    too_many: int = 0

    @property
    def refunding(self) -> int:
        """What is on its way back."""
        return sum(self.wanted[one] for one in self.going)

    def close(self) -> None:
        """Nobody can pay it any more, unless someone has."""
        if self.state == "pending":
            self.state = "closed"

    def begin(self, refund_id: str, fen: int) -> int:
        """Money is to go back; the credits for it: what belongs to all that goes back, without what others took."""
        back = self.refunded + self.refunding + fen
        taken = sum(self.credits.values())
        self.wanted[refund_id], self.credits[refund_id] = (
            fen,
            max(0, self.order.credits * back // self.order.amount_fen - taken),
        )
        self.going.add(refund_id)
        return self.credits[refund_id]

    def end(self, refund_id: str, *, went: bool) -> None:
        """It has gone, or it has not."""
        self.going.discard(refund_id)
        if went:
            self.refunded += self.wanted[refund_id]
        else:
            del self.credits[refund_id]

    def full_state(self) -> str:
        """What it is called."""
        if self.state != "paid":
            return self.state
        if self.going:
            return "refunding"
        if not self.refunded:
            return "paid"
        return "refunded" if self.refunded == self.order.amount_fen else "partially_refunded"


@dataclass(eq=False)
class Case:
    """A matter for a person."""

    kind: str
    state: str
    said: Paid
    provider: str
    sale: Sale | None


@dataclass
class Debt:
    """What a refund could not take."""

    amount: int
    paid: int = 0
    is_open: bool = True


@dataclass
class Account:
    """What refunds took from a user at once, and what they could not take; by the refunds' ids, the oldest first."""

    taken: dict[str, int] = field(default_factory=dict[str, int])
    debts: dict[str, Debt] = field(default_factory=dict[str, Debt])

    def open(self) -> Iterator[Debt]:
        """What is owed."""
        return (debt for _, debt in sorted(self.debts.items()) if debt.is_open)


class People:
    """Everybody's credits."""

    def __init__(self) -> None:
        self.available: dict[str, int] = {}
        self.accounts: dict[str, Account] = {}
        self.released: set[str] = set()

    def come(self, user_id: str) -> None:
        """Someone new."""
        self.available[user_id], self.accounts[user_id] = 0, Account()

    def owed(self, user_id: str) -> int:
        """What a user owes."""
        return sum(debt.amount - debt.paid for debt in self.accounts[user_id].open())

    def debt_of(self, refund_id: str, user_id: str) -> int:
        """What one refund could not take at once."""
        debt = self.accounts[user_id].debts.get(refund_id)
        return debt.amount if debt else 0

    def buy(self, user_id: str, amount: int) -> None:
        """Credits for money: debts are paid first."""
        self.available[user_id] += amount
        self._pay(user_id)

    def take(self, user_id: str, refund_id: str, amount: int) -> None:
        """A refund takes what is there, and the rest is owed."""
        taken = min(amount, self.available[user_id])
        self.available[user_id] -= taken
        self.accounts[user_id].taken[refund_id] = taken
        if amount > taken:
            self.accounts[user_id].debts[refund_id] = Debt(amount - taken)

    def give_back(self, user_id: str, refund_id: str) -> None:
        """The refund failed: what it took comes back, and what was paid of its debt."""
        account = self.accounts[user_id]
        debt = account.debts.get(refund_id, Debt(0))
        debt.is_open = False
        back = account.taken[refund_id] + debt.paid
        self.available[user_id] += back
        if back:
            self._pay(user_id)

    def collect(self) -> list[str]:
        """Whoever owes and has pays; who they are."""
        payers = [one for one, available in self.available.items() if available and self.owed(one)]
        for user_id in payers:
            self._pay(user_id)
        return payers

    def _pay(self, user_id: str) -> None:
        for debt in list(self.accounts[user_id].open())[:DEBTS_AT_ONCE]:
            part = min(debt.amount - debt.paid, self.available[user_id])
            debt.paid += part
            self.available[user_id] -= part
            debt.is_open = debt.paid < debt.amount
