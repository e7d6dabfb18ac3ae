"""What is owed for refunds is taken from whatever becomes available: held credits that are free again, earnings, gifts.

Top-ups pay debts in their own transaction, and so are never late. The rest comes from many places, none of which has to
know of debts: a few seconds later a sweep has seen it. Until then its owner may spend it; what is owed stays owed.
"""

from collections.abc import Callable

from atelier.kernel import logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger import debts
from atelier.ledger.posting import Posted
from atelier.payments.settlement import DEBTS_PAID_MAX, REFUND_REF_TYPE

USERS_MAX = 100
log = logs.get(__name__)


def collect(database: Database, *, announce: Callable[[Posted], None]) -> int:
    """Have users pay what they owe from what they have; how many did."""
    collected = 0
    for user_id in database.read(debts.payable, limit=USERS_MAX):
        paid = database.transact(
            debts.pay,
            user_id=user_id,
            ref_type=REFUND_REF_TYPE,
            cause=new_id(),
            transfer_ids=[new_id() for _ in range(DEBTS_PAID_MAX)],
            now_ms=now_ms(),
        )
        if paid:
            announce(paid)
            collected += 1
    if collected:
        log.info("debts.collected", users=collected)
    return collected
