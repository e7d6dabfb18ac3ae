"""Paying back, and collecting what is owed for it."""

from atelier.contracts.messages import RefundMessage
from atelier.generation.events import credits_changed
from atelier.kernel.clock import SECOND_MS
from atelier.ledger.posting import Posted
from atelier.payments import collecting, repaying
from tasks import runtime

CALLS = 2
MORE_SECONDS = 10


def refund(message: RefundMessage) -> None:
    """Ask the gateway of one refund."""
    context = runtime.get()
    # Two calls at most, each as long as it may last: nobody else asks meanwhile.
    lease_seconds = CALLS * context.settings.payment_answer_seconds + MORE_SECONDS
    settled = repaying.pay_back(
        context.database,
        gateways=context.gateways,
        refund_id=message.refund_id,
        lease_ms=int(lease_seconds * SECOND_MS),
    )
    if settled and settled.account:
        _tell(settled.account)


def collect() -> None:
    """Have those who owe credits pay them from what they have."""
    collecting.collect(runtime.get().database, announce=_tell)


def _tell(account: Posted) -> None:
    runtime.get().publisher.publish(account.account_id, [credits_changed(account)])
