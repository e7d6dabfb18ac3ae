"""What orders refuse."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, NotFound, RateLimited, Refusal


class PackageNotFound(NotFound):
    """There is no such package, or it is not sold any more."""

    code: ClassVar[str] = "PACKAGE_NOT_FOUND"


class PriceDiffers(Conflict):
    """The package costs something else than the user expected: `price_fen`."""

    code: ClassVar[str] = "PRICE_CHANGED"

    def __init__(self, *, price_fen: int) -> None:
        super().__init__(priceFen=price_fen)


class OrderNotFound(NotFound):
    """No such order, or someone else's."""

    code: ClassVar[str] = "ORDER_NOT_FOUND"


class OrderNotPending(Conflict):
    """It was paid, canceled or has expired: nobody can pay it any more. `orderStatus` says what it is."""

    code: ClassVar[str] = "ORDER_NOT_PENDING"

    def __init__(self, *, status: str) -> None:
        super().__init__(order_status=status)


class OrderNotRefundable(Conflict):
    """Nothing of it was paid, or everything was paid back. `orderStatus` says what it is."""

    code: ClassVar[str] = "ORDER_NOT_REFUNDABLE"

    def __init__(self, *, status: str) -> None:
        super().__init__(order_status=status)


class RefundTooLarge(Refusal):
    """More than what was paid and not yet paid back. `refundableFen` is left."""

    code: ClassVar[str] = "REFUND_TOO_LARGE"

    def __init__(self, *, refundable_fen: int) -> None:
        super().__init__(refundableFen=refundable_fen)


class PaymentMethodUnsupported(Refusal):
    """This gateway is not set up here, or has no such way of paying."""

    code: ClassVar[str] = "PAYMENT_METHOD_UNSUPPORTED"


class ReturnUrlForbidden(Refusal):
    """The payer may not be sent to this address."""

    code: ClassVar[str] = "RETURN_URL_FORBIDDEN"


class TooManyPendingOrders(RateLimited):
    """The user has as many unpaid orders as one may have; `retry_after` seconds until the first of them expires."""

    code: ClassVar[str] = "TOO_MANY_PENDING_ORDERS"


class CaseNotFound(NotFound):
    """There is no such case."""


class CaseResolved(Conflict):
    """Somebody has resolved it already, or its money is going back. `status` says which."""

    code: ClassVar[str] = "CASE_RESOLVED"

    def __init__(self, *, status: str) -> None:
        super().__init__(status=status)


class ResolutionUnsuitable(Conflict):
    """This case can't be resolved so: nothing was paid that could go back or be credited, or nobody is known."""

    code: ClassVar[str] = "RESOLUTION_UNSUITABLE"


class StatementNotFound(NotFound):
    """There is no such day."""


class StatementTooOld(Conflict):
    """The gateway does not give out the bill of this day any more."""

    code: ClassVar[str] = "STATEMENT_TOO_OLD"
