"""A gateway that keeps its own books, and a shop whose orders they are of: each can know what the other doesn't."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import BillLine, Gateway, Notice, Placed, ProviderName, Refund, ToPay, ToRefund, Trade
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger.models import ACCOUNTS, TRANSFERS
from atelier.ledger.posting import Posted
from atelier.orders import days
from atelier.orders import service as orders
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.payment_models import CASES, FINDINGS, STATEMENTS
from atelier.orders.service import NewOrder, Order
from atelier.payments import refunding, settlement
from atelier.payments.comparing import Comparer
from atelier.payments.refund_ends import Told, conclude
from atelier.payments.refunding import RefundWish
from atelier.payments.settlement import Payment, Settled, SettlementIds
from atelier.payments.watching import Watcher
from tests.jobs.lifecycle import Workshop

Row = dict[str, Any]
FEN = 990
CREDITS = 100
PROVIDERS: tuple[ProviderName, ...] = ("alipay", "wechat")


def day(ago: int) -> str:
    """The day so many days ago, in Beijing."""
    return days.shifted(days.day_of(now_ms()), -ago)


def noon(ago: int) -> int:
    """The middle of it."""
    return days.begin_ms(day(ago)) + 12 * HOUR_MS


@dataclass
class Books(Gateway):
    """One gateway. It answers from its trades, and gives out the bills that it has.

    silent   it answers nothing
    mute     the days of whose bills it says nothing
    breaks   so many lines of a bill come before the connection breaks, and how often it still does
    during   called with each line that is read
    """

    provider: ProviderName
    trades: dict[str, Trade] = field(default_factory=dict[str, Trade])
    bills: dict[str, list[BillLine]] = field(default_factory=dict[str, list[BillLine]])
    absent: set[str] = field(default_factory=set[str])
    mute: set[str] = field(default_factory=set[str])
    asked: list[str] = field(default_factory=list[str])
    closed: list[str] = field(default_factory=list[str])
    fetched: list[str] = field(default_factory=list[str])
    silent: bool = False
    breaks: list[int] = field(default_factory=list[int])
    during: Callable[[int], object] = lambda _place: None

    # -- what happens there

    def pay(self, order: Order, *, at_ms: int | None = None, fen: int | None = None, payment_no: str = "") -> Trade:
        """Someone pays; the bill of that day says so."""
        trade = Trade(
            order_no=order.order_no,
            state="paid",
            payment_no=payment_no or f"P{order.order_no}",
            amount_fen=order.amount_fen if fen is None else fen,
            paid_ms=noon(3) if at_ms is None else at_ms,
        )
        self.trades[order.order_no] = trade
        self.write(paid_line(trade))
        return trade

    def write(self, line: BillLine) -> None:
        """A line in the bill of its day."""
        self.bills.setdefault(days.day_of(line.at_ms), []).append(line)

    # -- what it is asked

    @property
    @override
    def name(self) -> ProviderName:
        return self.provider

    @override
    def query(self, order_no: str) -> Trade:
        self.asked.append(order_no)
        if self.silent:
            raise GatewayUnknown
        return self.trades.get(order_no, Trade(order_no=order_no, state="absent"))

    @override
    def close(self, order_no: str) -> None:
        if self.silent:
            raise GatewayUnknown
        known = self.trades.get(order_no)
        if known and known.state in {"paid", "refunded"}:
            raise GatewayRefused("paid")
        self.closed.append(order_no)
        self.trades[order_no] = Trade(order_no=order_no, state="closed")

    @override
    def bill(self, day: str) -> AbstractContextManager[Iterator[BillLine]]:
        return self._bill(day)

    @contextmanager
    def _bill(self, day: str) -> Generator[Iterator[BillLine]]:
        self.fetched.append(day)
        if self.silent or day in self.mute:
            raise GatewayUnknown
        if day in self.absent:
            raise GatewayRefused("absent")
        yield self._lines(self.bills.get(day, []))

    def _lines(self, lines: list[BillLine]) -> Iterator[BillLine]:
        breaks = self.breaks.pop(0) if self.breaks and lines else None
        for place, line in enumerate(lines):
            if place == breaks:
                raise GatewayUnknown("the connection broke")
            self.during(place)
            yield line

    @override
    def place(self, order: ToPay) -> Placed:
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


def paid_line(trade: Trade) -> BillLine:
    """The line of a payment."""
    assert trade.payment_no
    assert trade.amount_fen is not None
    assert trade.paid_ms is not None
    return BillLine(
        kind="payment",
        order_no=trade.order_no,
        payment_no=trade.payment_no,
        amount_fen=trade.amount_fen,
        at_ms=trade.paid_ms,
    )


def back_line(trade: Trade, *, refund_no: str, fen: int, at_ms: int) -> BillLine:
    """The line of a refund."""
    return replace(paid_line(trade), kind="refund", refund_no=refund_no, amount_fen=fen, at_ms=at_ms)


class Shop(Workshop):
    """One database, two gateways, and what is told to users."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.books: dict[str, Books] = {name: Books(name) for name in PROVIDERS}
        self.gateways: Mapping[str, Gateway] = self.books
        self.told: list[Posted] = []

    @property
    def there(self) -> Books:
        """The gateway that is meant where nothing else is said."""
        return self.books["alipay"]

    def order(self, *, fen: int = FEN, ago: int = 3, provider: ProviderName = "alipay", user_id: str = "") -> Order:
        """A pending order, made on the morning of that day."""
        new = NewOrder(
            id=new_id(),
            order_no=new_id().replace("-", ""),
            user_id=user_id or self.user(),
            provider=provider,
            channel="page",
            amount_fen=fen,
            credits=CREDITS,
            package_id=new_id(),
            items=[],
            return_url=None,
            lasts_ms=30 * 60_000,
        )
        self.db.transact(orders.create, new, now_ms=noon(ago) - HOUR_MS if ago else now_ms())
        return self.now(new.id)

    def now(self, order_id: str) -> Order:
        """The order as it is now."""
        found = self.db.read(orders.find, order_id=order_id)
        assert found is not None
        return found

    def notice(self, order: Order, trade: Trade) -> Settled:
        """The gateway tells us of the payment."""
        assert trade.payment_no
        assert trade.amount_fen is not None
        paid = Payment(
            provider=order.provider,
            order_no=order.order_no,
            payment_no=trade.payment_no,
            amount_fen=trade.amount_fen,
            currency="CNY",
            source="notice",
            paid_ms=trade.paid_ms,
        )
        return self.db.transact(settlement.settle_payment, paid, ids=self.ids(), now_ms=now_ms())

    def sold(
        self, *, ago: int = 3, at_ms: int | None = None, fen: int = FEN, provider: ProviderName = "alipay"
    ) -> Order:
        """An order that was paid, and of which the gateway told us."""
        order = self.order(ago=ago, fen=fen, provider=provider)
        trade = self.books[provider].pay(order, at_ms=noon(ago) if at_ms is None else at_ms)
        assert self.notice(order, trade).outcome == "credited"
        return self.now(order.id)

    def close(self, order: Order) -> None:
        """Here alone."""
        assert self.db.transact(orders.close, order_id=order.id, now_ms=now_ms())

    def give_back(self, order: Order, *, fen: int, at_ms: int | None = None, ended: bool = True) -> str:
        """Pay back a part, here; its number. `ended`: the gateway has said that it did."""
        wish = RefundWish(
            order_id=order.id,
            amount_fen=fen,
            reason="不想要了",
            admin_id=new_id(),
            refund_id=new_id(),
            refund_no=refunding.new_number(),
            transfer_id=new_id(),
        )
        self.db.transact(refunding.request, wish, keyed=None, now_ms=now_ms())
        if ended:
            told = Told(succeeded=True, source="query")
            at = noon(3) if at_ms is None else at_ms
            self.db.transact(conclude, refund_id=wish.refund_id, told=told, ids=self.ids(), now_ms=at)
        return wish.refund_no

    def ids(self) -> SettlementIds:
        """Fresh ones."""
        return SettlementIds.made(new_id)

    def watch(self) -> int:
        """The task that asks gateways."""
        return Watcher(database=self.db, gateways=self.gateways, announce=self.told.append).run()

    def compare(self, *, batch: int = 3, seconds_max: float = 20) -> int:
        """The nightly task."""
        comparer = Comparer(
            database=self.db, gateways=self.gateways, announce=self.told.append, batch=batch, seconds_max=seconds_max
        )
        return comparer.run()

    def due(self, order: Order, **columns: Any) -> None:
        """Let the moment have come at which its gateway is asked."""
        self.set(ORDERS, order.id, query_ms=1, **columns)

    def waits(self, order: Order) -> float | None:
        """In how many minutes its gateway is asked."""
        return self.db.read(_waits, order_id=order.id)

    def set(self, table: Table, row_id: str, **columns: Any) -> None:
        """Change a row behind everyone's back."""
        self.db.transact(_set, table, row_id=row_id, columns=columns)

    def cases(self) -> list[Row]:
        """All of them, the oldest first."""
        return self.db.read(_rows, CASES)

    def findings(self) -> list[Row]:
        """All of them, the oldest first."""
        return self.db.read(_rows, FINDINGS)

    def statements(self, provider: str = "alipay") -> dict[str, Row]:
        """By day."""
        return {row["day"]: row for row in self.db.read(_rows, STATEMENTS) if row["provider"] == provider}

    def topups(self, order_id: str) -> list[int]:
        """What was credited for an order."""
        return self.db.read(_topups, order_id=order_id)

    def hasten_days(self) -> None:
        """Let every day that is not done be due."""
        self.db.transact(_hasten)

    def rerun(self) -> None:
        """Have every day compared again."""
        self.db.transact(_rerun)

    def everything(self) -> dict[str, list[Row]]:
        """What a comparison may change, but for how often and when it was done."""
        found = {table.name: self.db.read(_rows, table) for table in (ORDERS, REFUNDS, CASES, FINDINGS)}
        found["accounts"] = self.db.read(_accounts)
        return found


def _waits(session: Session, *, order_id: str) -> float | None:
    query_ms = session.connection().execute(select(ORDERS.c.query_ms).where(ORDERS.c.id == order_id)).scalar_one()
    return None if query_ms is None else round((query_ms - now_ms()) / 60_000, 1)


def _set(session: Session, table: Table, *, row_id: str, columns: Row) -> None:
    session.connection().execute(update(table).where(table.c.id == row_id).values(**columns))


def _rows(session: Session, table: Table) -> list[Row]:
    return [dict(row) for row in session.connection().execute(select(table).order_by(table.c.id)).mappings()]


def _hasten(session: Session) -> None:
    session.connection().execute(update(STATEMENTS).where(STATEMENTS.c.due_ms.is_not(None)).values(due_ms=1))


def _rerun(session: Session) -> None:
    anew: Row = {"state": "waiting", "place": 0, "totals": {}, "due_ms": 1, "finished_ms": None}
    session.connection().execute(update(STATEMENTS).values(anew))


def _topups(session: Session, *, order_id: str) -> list[int]:
    mine = select(TRANSFERS.c.amount).where(TRANSFERS.c.ref_id == order_id, TRANSFERS.c.kind == "topup")
    return list(session.connection().scalars(mine))


def _accounts(session: Session) -> list[Row]:
    return [dict(row) for row in session.connection().execute(select(ACCOUNTS).order_by(ACCOUNTS.c.id)).mappings()]


def compare_twice(shop: Shop) -> None:
    """Nothing more comes of the second time."""
    shop.compare()
    before = shop.everything()
    shop.rerun()
    shop.compare()
    assert shop.everything() == before
    shop.relay()
    assert shop.examine().totals == {}
