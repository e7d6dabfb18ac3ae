"""Payments: settling what gateways have told, and sending back what belongs to nobody."""

from atelier.contracts.messages import CaseMessage, PaymentMessage
from atelier.generation.events import credits_changed
from atelier.kernel import logs
from atelier.kernel.clock import SECOND_MS, now_ms
from atelier.kernel.ids import new_id
from atelier.payments import inbox, returning
from atelier.payments.settlement import SettlementIds
from tasks import runtime

CALLS = 2
MORE_SECONDS = 10
log = logs.get(__name__)


def settle(message: PaymentMessage) -> None:
    """Settle one message of a gateway."""
    context = runtime.get()
    ids = SettlementIds.made(new_id)
    settled = context.database.transact(inbox.settle, event_id=message.event_id, ids=ids, now_ms=now_ms())
    if settled is None:
        return
    log.info("payments.settled", event_id=message.event_id, outcome=settled.outcome, case_id=settled.case_id)
    if account := settled.account:
        context.publisher.publish(account.account_id, [credits_changed(account)])


def send_back(message: CaseMessage) -> None:
    """Ask a gateway for the money of one case."""
    context = runtime.get()
    # Two calls at most, each as long as it may last: nobody else asks meanwhile.
    lease_ms = int((CALLS * context.settings.payment_answer_seconds + MORE_SECONDS) * SECOND_MS)
    returning.send_back(context.database, gateways=context.gateways, case_id=message.case_id, lease_ms=lease_ms)
