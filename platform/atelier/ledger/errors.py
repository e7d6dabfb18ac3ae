"""What the ledger refuses."""

from typing import ClassVar

from atelier.kernel.errors import Refusal


class InsufficientCredits(Refusal):
    """Less is available than is required."""

    code: ClassVar[str] = "INSUFFICIENT_CREDITS"

    def __init__(self, *, balance: int, required: int) -> None:
        super().__init__(balance=balance, required=required)
        self.balance = balance
        self.required = required


class HoldResolved(Refusal):
    """The hold was captured or released before, or never existed."""

    code: ClassVar[str] = "HOLD_RESOLVED"


class NoAccount(Refusal):
    """The user has no account."""

    code: ClassVar[str] = "NOT_FOUND"
