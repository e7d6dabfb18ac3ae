"""One day's bill, compared line by line with our books.

It is read in batches: their lines are looked up together, what doesn't fit is settled one by one, and then the place is
moved on, in the transaction that remembers which bill names what. Whoever is killed leaves a place from which the next
one goes on; that one reads the bill again from its beginning, but books nothing twice. Refunds that don't fit come at
the end, because a bill may name a refund before its payment. Then what no line names is judged.
"""

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from atelier.gateways.port import BillLine
from atelier.kernel import faults, ids
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.kernel.database import Database
from atelier.ledger.posting import Posted
from atelier.orders import days, statements
from atelier.orders.statements import Statement
from atelier.payments import bill_lines, unseen
from atelier.payments.settlement import Settled, SettlementIds
from atelier.payments.unseen import Span, Unseen

BATCH = 500
LEASE_MS = 10 * MINUTE_MS
NUMBER_MAX = 64


class Lost(Exception):
    """Somebody else compares the day now, or it is to be compared anew."""


class Changed(Exception):
    """The bill is not the one with which the comparison began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the lines up to a place add up to. `digest` tells a bill from another."""

    lines: int = 0
    payments: int = 0
    payments_fen: int = 0
    refunds: int = 0
    refunds_fen: int = 0
    digest: int = 0

    def plus(self, lines: Iterable[BillLine]) -> "Tally":
        """With these lines more."""
        paid, back, digest = [0, 0], [0, 0], self.digest
        for line in lines:
            added = paid if line.kind == "payment" else back
            added[:] = added[0] + 1, added[1] + line.amount_fen
            words = (line.kind, line.order_no, line.payment_no, line.refund_no or "", str(line.amount_fen))
            digest = zlib.crc32("\n".join(words).encode(), digest)
        return Tally(
            lines=self.lines + paid[0] + back[0],
            payments=self.payments + paid[0],
            payments_fen=self.payments_fen + paid[1],
            refunds=self.refunds + back[0],
            refunds_fen=self.refunds_fen + back[1],
            digest=digest,
        )


class OneBill:
    """Compares a day that is held. `announce` is told each account that has changed, after the commit."""

    def __init__(
        self, held: Statement, *, database: Database, announce: Callable[[Posted], object], batch: int = BATCH
    ) -> None:
        self.held = held
        self._database = database
        self._announce = announce
        self._batch_size = batch
        self._tally = Tally(**held.totals.get("theirs", {}))
        self._refunds: list[BillLine] = []

    def compare(self, lines: Iterable[BillLine], *, seconds_max: float) -> bool:
        """Whether the end was reached; otherwise the time was up. Raises Lost, Changed, and what the lines raise."""
        rest = map(_named, lines)
        self._repeat(rest)
        until = time.monotonic() + seconds_max
        while batch := list(islice(rest, self._batch_size)):
            self._compare_some(batch)
            if time.monotonic() > until:
                return False
        for line in self._refunds:
            self._book(bill_lines.book_refund, line)
        self._judge()
        return True

    def totals(self) -> dict[str, Any]:
        """What the gateway's books say up to here, and what ours say of the same."""
        ours = self._database.read(unseen.totals, provider=self.held.provider, day=self.held.day)
        return {"theirs": asdict(self._tally), "ours": ours}

    def _repeat(self, rest: Iterator[BillLine]) -> None:
        """Pass the lines that were compared before; of those, only refunds may still have to be settled."""
        passed = Tally()
        while more := list(islice(rest, min(self._batch_size, self.held.place - passed.lines))):
            passed = passed.plus(more)
            self._unfit([line for line in more if line.kind == "refund"])
        if passed != self._tally:
            raise Changed

    def _compare_some(self, batch: Sequence[BillLine]) -> None:
        for line in self._unfit(batch):
            self._book(bill_lines.book_payment, line)
        self._tally = self._tally.plus(batch)
        self._hold(self._database.transact(_advance, self.held, batch, totals={"theirs": asdict(self._tally)}))

    def _unfit(self, lines: Sequence[BillLine]) -> list[BillLine]:
        """The payments that don't fit; such refunds are kept for the end."""
        found = self._database.read(bill_lines.unfit, lines, provider=self.held.provider)
        self._refunds += [line for line in found if line.kind == "refund"]
        return [line for line in found if line.kind == "payment"]

    def _book(self, book: Callable[..., Settled], line: BillLine) -> None:
        settled = self._database.transact(
            book,
            line,
            statement=self.held,
            ids=SettlementIds.made(ids.new_id),
            finding_id=ids.new_id(),
            now_ms=now_ms(),
        )
        if settled.account:
            self._announce(settled.account)

    def _judge(self) -> None:
        """Open a case for everything of ours that should have been named by now."""
        known = self._database.read(
            statements.of_days, provider=self.held.provider, wanted=unseen.around(self.held.day)
        )
        known[self.held.day] = self.held
        for find, edge_ms in unseen.EDGES_MS:
            span = unseen.span(self.held.day, known, edge_ms=edge_ms)
            while found := self._unseen(find, span):
                for one in found:
                    self._judge_one(one, known)
                span = replace(span, after=(found[-1].at_ms, found[-1].id))
                self._hold(self._database.transact(_advance, self.held, (), totals=self.held.totals))

    def _unseen(self, find: Callable[..., list[Unseen]], span: Span) -> list[Unseen]:
        return self._database.read(find, provider=self.held.provider, span=span, limit=self._batch_size)

    def _judge_one(self, one: Unseen, known: Mapping[str, Statement]) -> None:
        statement = known.get(days.day_of(one.at_ms), self.held)
        self._database.transact(
            unseen.judge, one, statement=statement, case_id=ids.new_id(), finding_id=ids.new_id(), now_ms=now_ms()
        )

    def _hold(self, held: Statement | None) -> None:
        if held is None:
            raise Lost
        self.held = held


def _advance(session: Session, held: Statement, batch: Sequence[BillLine], *, totals: Any) -> Statement | None:
    # The day first: who has lost it must not wait for orders.
    further = statements.advance(session, held, place=held.place + len(batch), totals=totals, lease_ms=LEASE_MS)
    if further:
        bill_lines.mark(session, batch, provider=held.provider, day=held.day)
        faults.point("compare.before_commit")
    return further


def _named(line: BillLine) -> BillLine:
    """With numbers that a key can hold: others may sell under the same merchant, with numbers of their own kind."""
    numbers = (line.order_no, line.payment_no, line.refund_no or "", line.gateway_no or "")
    is_named = line.kind == "payment" or line.refund_no
    if is_named and all(number.isascii() and len(number) <= NUMBER_MAX for number in numbers):
        return line
    order_no, payment_no, refund_no, gateway_no = map(_key, numbers)
    if line.kind == "refund":
        return replace(
            line,
            order_no=order_no,
            payment_no=payment_no,
            refund_no=refund_no or gateway_no or payment_no,
            gateway_no=gateway_no or None,
        )
    return replace(line, order_no=order_no, payment_no=payment_no)


def _key(number: str) -> str:
    if number.isascii() and len(number) <= NUMBER_MAX:
        return number
    written = number.encode("ascii", "backslashreplace").decode()
    return f"{written[: NUMBER_MAX - 17]}~{sha256(number.encode()).hexdigest()[:16]}"
