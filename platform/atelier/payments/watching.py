"""Asking gateways what became of orders of which no notice has come, and closing those whose time is over.

A notice is only the quickest way to hear of a payment: whatever becomes of it, the order's gateway is asked on a
schedule (orders/asking.py) until the order has ended, and some more times after that. Many may do so at once: each
takes orders by moving their moment ahead, and one that dies loses nothing, because that moment comes again.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Gateway
from atelier.kernel import faults, ids, logs
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.ledger.posting import Posted
from atelier.orders import asking, states
from atelier.orders.asking import Due
from atelier.payments import canceling, settlement
from atelier.payments.settlement import Settled, SettlementIds

GROUP = 8
"""As many are asked at the same time: a gateway that hangs costs one answer's time for each group."""
SECONDS_MAX = 12.0
LEASE_MS = 3 * MINUTE_MS
log = logs.get(__name__)


class Watcher:
    """Watches for one process. `announce` is told each account that has changed, after the commit; threads call it."""

    def __init__(
        self, *, database: Database, gateways: Mapping[str, Gateway], announce: Callable[[Posted], object]
    ) -> None:
        self._database = database
        self._gateways = gateways
        self._announce = announce

    def run(self) -> int:
        """Ask for what is due, until nothing is or the time is up; how many orders. Raises DatabaseUnavailable."""
        until, total = time.monotonic() + SECONDS_MAX, 0
        silent: set[str] = set()
        with ThreadPoolExecutor(GROUP, thread_name_prefix="watch") as threads:
            while time.monotonic() < until:
                claimed = self._database.transact(asking.claim, limit=GROUP, lease_ms=LEASE_MS)
                asked = [due for due in claimed if due.order.provider not in silent]
                for due in claimed:
                    if due.order.provider in silent:
                        self._database.transact(asking.in_vain, due)
                answers = list(threads.map(self._ask, asked))
                silent |= _silent(asked, answers)
                total += len(claimed)
                if len(claimed) < GROUP:
                    break
        if total:
            log.info("orders.watched", number=total, silent=sorted(silent))
        return total

    def _ask(self, due: Due) -> bool:
        """Ask for one order and do what the answer says; whether there was one."""
        try:
            settled = self._expire(due) if _has_expired(due) else self._look(due)
        except (GatewayUnknown, GatewayRefused) as error:
            log.warning("orders.unanswered", order_id=due.order.id, provider=due.order.provider, error=str(error))
            self._database.transact(asking.in_vain, due)
            return False
        except Transient:
            raise
        except Exception:
            # One that can't be dealt with must not keep the others waiting.
            log.exception("orders.watch_failed", order_id=due.order.id)
            self._database.transact(asking.in_vain, due)
            return True
        if settled and settled.account:
            log.info("orders.found_paid", order_id=due.order.id, outcome=settled.outcome)
            self._announce(settled.account)
        return True

    def _look(self, due: Due) -> Settled | None:
        order, gateway = due.order, self._gateways.get(due.order.provider)
        if gateway is None:  # It was set up when the order was made. Its time passes as usual.
            return self._database.transact(asking.again, order_id=order.id)
        trade = gateway.query(order.order_no)
        faults.point("watch.after_query")
        if payment := canceling.payment_of(trade, provider=order.provider):
            made = SettlementIds.made(ids.new_id)
            settled = self._database.transact(settlement.settle_payment, payment, ids=made, now_ms=now_ms())
            if not settled.account:  # It opened a case, or someone else was quicker.
                self._database.transact(asking.again, order_id=order.id)
            return settled
        if trade.state == "paid":
            raise GatewayUnknown("paid, but neither by what nor how much")
        if order.state == states.CLOSED and trade.state == "pending":
            gateway.close(order.order_no)
        if order.state == states.PENDING and trade.state in {"closed", "refunded"}:
            return self._expire(due)
        return self._database.transact(asking.again, order_id=order.id)

    def _expire(self, due: Due) -> Settled | None:
        made = SettlementIds.made(ids.new_id)
        ended = canceling.close_expired(self._database, self._gateways, due.order, ids=made, now_ms=now_ms())
        return ended.settled


def _has_expired(due: Due) -> bool:
    return due.is_over and due.order.state == states.PENDING


def _silent(asked: list[Due], answers: list[bool]) -> set[str]:
    """Gateways that answered nobody: to wait for them again in the same minute would only keep the others waiting."""
    heard = {due.order.provider for due, answered in zip(asked, answers, strict=True) if answered}
    return {due.order.provider for due in asked} - heard
