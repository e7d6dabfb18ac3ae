"""Paying creators what they are owed, in groups, until nothing is due or the time is up."""

import time
from collections.abc import Callable

from atelier.kernel import ids, logs
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.ledger import earnings
from atelier.ledger.earnings import PaidOut
from atelier.ledger.posting import Posted

GROUP = 200
SECONDS_MAX = 8.0
"""A little less than the period, so that after an outage this leaves room for the other tasks of its worker."""
PUT_OFF_MS = 10 * MINUTE_MS
log = logs.get(__name__)


class Sharer:
    """Pays for one process. `announce` is told each account that has changed, after the commit."""

    def __init__(
        self, *, database: Database, announce: Callable[[Posted], object], utc_offset_ms: int, group: int = GROUP
    ) -> None:
        self._database = database
        self._announce = announce
        self._utc_offset_ms = utc_offset_ms
        self._group = group

    def run(self) -> int:
        """Pay what is due; how many shares. Raises Transient."""
        until, total = time.monotonic() + SECONDS_MAX, 0
        while time.monotonic() < until:
            found = self._some()
            total += found
            if found < self._group:
                break
        if total:
            log.info("shares.paid", number=total)
        return total

    def _some(self) -> int:
        try:
            return self._pay(number=self._group)
        except Transient:
            raise
        except Exception:
            # One that can't be paid must not keep the others waiting.
            log.exception("shares.group_failed")
            return sum(self._alone(one) for one in self._database.read(earnings.due, limit=self._group))

    def _alone(self, ref_id: str) -> int:
        try:
            return self._pay(number=1, only=ref_id)
        except Transient:
            raise
        except Exception:
            log.exception("shares.not_paid", ref_id=ref_id)
            self._database.transact(earnings.put_off, ref_id=ref_id, wait_ms=PUT_OFF_MS)
            return 0

    def _pay(self, *, number: int, only: str | None = None) -> int:
        transfer_ids = [ids.new_id() for _ in range(number)]
        paid: PaidOut = self._database.transact(
            earnings.pay_out,
            transfer_ids=transfer_ids,
            now_ms=now_ms(),
            utc_offset_ms=self._utc_offset_ms,
            only=only,
        )
        for account in paid.accounts:
            self._announce(account)
        return paid.number
