"""Orders by the thousand, and a gateway whose bill of one day names each of them as paid."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.gateways.errors import GatewayUnknown
from atelier.gateways.port import BillLine, Gateway, Notice, Placed, ProviderName, Refund, ToPay, ToRefund, Trade
from atelier.kernel import ids
from atelier.kernel.clock import DAY_MS, HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.orders import days, states
from atelier.orders.models import ORDERS
from benchmarks.people import Person

FEN = 990
CREDITS = 100
AGO = 3
CHUNK = 2_000


def day() -> str:
    """The day of all of them."""
    return days.shifted(days.day_of(now_ms()), -AGO)


def placed(database: Database, people: Sequence[Person], *, count: int, unpaid_every: int) -> None:
    """Insert so many orders of that day; every so-manieth is not known to be paid."""
    for first in range(0, count, CHUNK):
        rows = [
            _row(number, people[number % len(people)], paid=number % unpaid_every != 0)
            for number in range(first, min(first + CHUNK, count))
        ]
        database.transact(_insert, rows)


def number_of(number: int) -> str:
    """What names the order to the gateway."""
    return f"B{number:031}"


def _insert(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    session.connection().execute(insert(ORDERS), rows)


def _row(number: int, person: Person, *, paid: bool) -> dict[str, Any]:
    at_ms = days.begin_ms(day()) + 6 * HOUR_MS + number
    return {
        "id": ids.new_id(),
        "order_no": number_of(number),
        "user_id": person.user_id,
        "type": "credits_purchase",
        "provider": "alipay",
        "channel": "page",
        "state": states.PAID if paid else states.PENDING,
        "amount_fen": FEN,
        "currency": "CNY",
        "credits": CREDITS,
        "package_id": "bench",
        "items": [],
        "payment_no": f"P{number}" if paid else None,
        "expires_ms": at_ms + DAY_MS,
        "query_ms": None if paid else 2**50,
        "created_ms": at_ms,
        "paid_ms": at_ms if paid else None,
    }


@dataclass(frozen=True)
class Biller(Gateway):
    """It gives out bills, and does nothing else."""

    count: int

    @property
    @override
    def name(self) -> ProviderName:
        return "alipay"

    @override
    def bill(self, day: str) -> AbstractContextManager[Iterator[BillLine]]:
        return self._bill(day)

    @contextmanager
    def _bill(self, name: str) -> Generator[Iterator[BillLine]]:
        yield self._lines() if name == day() else iter(())

    def _lines(self) -> Iterator[BillLine]:
        at_ms = days.begin_ms(day()) + 6 * HOUR_MS
        for number in range(self.count):
            yield BillLine(
                kind="payment",
                order_no=number_of(number),
                payment_no=f"P{number}",
                amount_fen=FEN,
                at_ms=at_ms + number,
            )

    @override
    def place(self, order: ToPay) -> Placed:
        raise GatewayUnknown

    @override
    def query(self, order_no: str) -> Trade:
        raise GatewayUnknown

    @override
    def close(self, order_no: str) -> None:
        raise GatewayUnknown

    @override
    def refund(self, wanted: ToRefund) -> Refund:
        raise GatewayUnknown

    @override
    def query_refund(self, *, order_no: str, refund_no: str) -> Refund:
        raise GatewayUnknown

    @override
    def notice(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Notice:
        raise GatewayUnknown

    @override
    def close_connections(self) -> None:
        pass
