"""Paying creators what they are owed, and renewing and ending subscriptions."""

from collections.abc import Callable

from atelier.contracts.messages import Tick
from atelier.generation.events import credits_changed
from atelier.kernel.clock import HOUR_MS
from atelier.ledger.posting import Posted
from atelier.marketplace import subscriptions
from atelier.marketplace.renewing import Renewer, Rules
from atelier.marketplace.sharing import Sharer
from tasks import runtime
from tasks.runtime import Runtime


def share(_tick: Tick) -> None:
    """Pay every share that is due."""
    context = runtime.get()
    offset_ms = context.settings.utc_offset_hours * HOUR_MS
    Sharer(database=context.database, announce=_teller(context), utc_offset_ms=offset_ms).run()


def expire(_tick: Tick) -> None:
    """Renew the subscriptions whose users wish it, end those that are over, and remind of those that soon will be."""
    context = runtime.get()
    rules = Rules(
        platform_percent=context.settings.platform_share_percent,
        utc_offset_ms=context.settings.utc_offset_hours * HOUR_MS,
        needs_verification=context.settings.spending_needs_verification,
    )
    Renewer(database=context.database, announce=_teller(context), rules=rules).run()
    subscriptions.expire(context.database)


def _teller(context: Runtime) -> Callable[[Posted], None]:
    def tell(account: Posted) -> None:
        context.publisher.publish(account.account_id, [credits_changed(account)])

    return tell
