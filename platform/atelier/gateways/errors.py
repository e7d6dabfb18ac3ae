"""What gateways refuse, and what they are refused for."""

from typing import ClassVar

from atelier.kernel.errors import Refusal, Transient


class Forged(Refusal):
    """A message that the gateway did not sign, or that was changed or sent again. `by` is what gave it away."""

    code: ClassVar[str] = "NOTICE_FORGED"

    def __init__(self, by: str) -> None:
        super().__init__(f"forged: {by}")
        self.by = by


class GatewayRefused(Refusal):
    """The gateway understood and said no. `reason` is its own code."""

    code: ClassVar[str] = "GATEWAY_REFUSED"

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class GatewayUnknown(Transient):
    """Nobody can say whether the gateway did it: ask again with the same numbers."""

    code: ClassVar[str] = "GATEWAY_UNKNOWN"
