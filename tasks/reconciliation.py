"""Asking gateways about orders, and comparing their books with ours."""

from atelier.contracts.messages import Tick
from atelier.generation.events import credits_changed
from atelier.ledger.posting import Posted
from atelier.payments.comparing import Comparer
from atelier.payments.watching import Watcher
from tasks import runtime
from tasks.alone import alone


def watch(_tick: Tick) -> None:
    """Ask gateways what became of orders that nobody has told us of, and close those whose time is over."""
    context = runtime.get()
    Watcher(database=context.database, gateways=context.gateways, announce=_tell).run()


def compare(_tick: Tick) -> None:
    """Compare the days that are over and not compared yet.

    A large bill lasts longer than a period: the next tick finds it at work and leaves the slot to payments.
    """
    context = runtime.get()
    with alone(context.settings.data_dir / "compare.lock") as mine:
        if mine:
            Comparer(database=context.database, gateways=context.gateways, announce=_tell).run()


def _tell(account: Posted) -> None:
    runtime.get().publisher.publish(account.account_id, [credits_changed(account)])
