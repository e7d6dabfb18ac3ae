"""Paying creators what they are owed, and ending subscriptions."""

from atelier.contracts.messages import Tick
from atelier.generation.events import credits_changed
from atelier.kernel.clock import HOUR_MS
from atelier.ledger.posting import Posted
from atelier.marketplace import subscriptions
from atelier.marketplace.sharing import Sharer
from tasks import runtime


def share(_tick: Tick) -> None:
    """Pay every share that is due."""
    context = runtime.get()

    def tell(account: Posted) -> None:
        context.publisher.publish(account.account_id, [credits_changed(account)])

    offset_ms = context.settings.utc_offset_hours * HOUR_MS
    Sharer(database=context.database, announce=tell, utc_offset_ms=offset_ms).run()


def expire(_tick: Tick) -> None:
    """End the subscriptions that are over, and remind those whose subscriptions soon will be."""
    subscriptions.expire(runtime.get().database)
