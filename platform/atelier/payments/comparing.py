"""The nightly comparison: each day of each gateway's books beside ours, until both say the same or a case says why not.

Every day since the first order is written down when it is over, and compared when its bill is there; nights that were
missed are made good the same way, the oldest first. Many may do so at once: a day is held by one of them.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Gateway
from atelier.kernel import ids, logs
from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, db_now_ms, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.ledger.posting import Posted
from atelier.orders import days, statements
from atelier.orders.statements import Statement
from atelier.payments import unseen
from atelier.payments.one_bill import BATCH, LEASE_MS, Changed, Lost, OneBill

SECONDS_MAX = 20.0
# How far back a gateway's bills go, or are of any use.
DAYS_BACK: Mapping[str, int] = {"alipay": 365, "wechat": 90}
ABSENT = "absent"
RETRY_MS_MIN = 5 * MINUTE_MS
RETRY_MS_MAX = 6 * HOUR_MS
QUIET_MS = statements.READY_MS + DAY_MS
"""So long after a day's beginning, a bill that is not there is none: nothing was paid."""
log = logs.get(__name__)


class Comparer:
    """Compares for one process. `announce` is told each account that has changed, after the commit."""

    def __init__(
        self,
        *,
        database: Database,
        gateways: Mapping[str, Gateway],
        announce: Callable[[Posted], object],
        batch: int = BATCH,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        self._database = database
        self._gateways = gateways
        self._announce = announce
        self._batch = batch
        self._seconds_max = seconds_max

    def run(self) -> int:
        """Compare what is due, until nothing is or the time is up; how many days. Raises DatabaseUnavailable."""
        for provider in sorted(self._gateways):
            self._write_down(provider)
        until, number = time.monotonic() + self._seconds_max, 0
        while held := self._database.transact(statements.claim, providers=sorted(self._gateways), lease_ms=LEASE_MS):
            number += self._compare(held)
            if time.monotonic() > until:
                break
        return number

    def _write_down(self, provider: str) -> None:
        new = self._database.read(statements.missing, provider=provider, days_back=DAYS_BACK[provider])
        if new:
            made = {day: ids.new_id() for day in new}
            self._database.transact(statements.add, provider=provider, new=made, now_ms=now_ms())

    def _compare(self, held: Statement) -> bool:
        """Whether the day is done."""
        bill = OneBill(held, database=self._database, announce=self._announce, batch=self._batch)
        try:
            return self._read(bill)
        except Lost:
            return False
        except Changed:
            log.warning("statement.changed", provider=held.provider, day=held.day, place=held.place)
            self._database.transact(statements.rerun, statement_id=held.id)
        except GatewayRefused as error:
            self._put_off(bill.held, error=error.reason)
        except GatewayUnknown as error:
            self._put_off(bill.held, error=error.code)
        except Transient:
            raise
        except Exception:
            # A day that can't be compared must not keep the others waiting.
            log.exception("statement.failed", provider=held.provider, day=held.day)
            self._put_off(bill.held, error="INTERNAL")
        return False

    def _read(self, bill: OneBill) -> bool:
        held, error = bill.held, None
        with ExitStack() as opened:
            try:
                lines = opened.enter_context(self._gateways[held.provider].bill(held.day))
            except GatewayRefused as refused:
                if refused.reason != ABSENT or not self._database.read(_is_quiet, held):
                    raise
                lines, error = iter(()), ABSENT
            if bill.compare(lines, seconds_max=self._seconds_max):
                return self._finish(bill, error=error)
        self._database.transact(statements.put_off, bill.held, wait_ms=0, error=None)
        return False

    def _finish(self, bill: OneBill, *, error: str | None) -> bool:
        totals = bill.totals()
        done = self._database.transact(statements.finish, bill.held, totals=totals, error=error)
        if done:
            log.info("statement.compared", provider=done.provider, day=done.day, **totals["theirs"])
        return done is not None

    def _put_off(self, held: Statement, *, error: str) -> None:
        wait_ms = min(RETRY_MS_MIN * 2 ** min(held.tries, 10), RETRY_MS_MAX)
        log.warning("statement.put_off", provider=held.provider, day=held.day, error=error, tries=held.tries + 1)
        self._database.transact(statements.put_off, held, wait_ms=wait_ms, error=error[:64])


def _is_quiet(session: Session, held: Statement) -> bool:
    """Whether a bill that is not there is none: nothing of ours is of that day, or nobody will make one any more."""
    passed_ms = session.connection().execute(select(db_now_ms())).scalar_one() - days.begin_ms(held.day)
    if passed_ms > DAYS_BACK[held.provider] * DAY_MS:
        return True
    return passed_ms > QUIET_MS and not unseen.any_booked(session, provider=held.provider, day=held.day)
