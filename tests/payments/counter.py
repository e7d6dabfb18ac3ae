"""Orders, and what gateways say of them, driven through the product's own verbs on one database."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.contracts.outbox import TABLE as OUTBOX
from atelier.gateways.port import Notice, ProviderName
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger.models import TRANSFERS
from atelier.notifications.models import Notification
from atelier.orders import service as orders
from atelier.orders.models import ORDERS
from atelier.orders.payment_models import CASES, EVENTS
from atelier.orders.service import NewOrder, Order
from atelier.payments import inbox
from atelier.payments.settlement import Settled, SettlementIds
from tests.jobs.lifecycle import Workshop

PRICE_FEN = 990
CREDITS = 100
LASTS_MS = 30 * 60_000


@dataclass(frozen=True)
class Counter:
    """Where credits are sold. `shop` has the users and their balances."""

    db: Database

    @property
    def shop(self) -> Workshop:
        """Users, credits, the doctor."""
        return Workshop(self.db)

    def order(self, user_id: str | None = None, **changes: Any) -> Order:
        """A pending order of a new user, unless it is somebody's."""
        number = new_id().replace("-", "")
        new = NewOrder(
            id=new_id(),
            order_no=number,
            user_id=user_id or self.shop.user(),
            provider="alipay",
            channel="page",
            amount_fen=PRICE_FEN,
            credits=CREDITS,
            package_id=new_id(),
            items=[],
            return_url=None,
            lasts_ms=LASTS_MS,
        )
        return self.db.transact(orders.create, replace(new, **changes), now_ms=now_ms())

    def see(self, order: Order) -> Order:
        """The order as it is now."""
        found = self.db.read(orders.find, order_id=order.id)
        assert found is not None
        return found

    def close(self, order: Order) -> bool:
        """Let nobody pay it any more."""
        return self.db.transact(orders.close, order_id=order.id, now_ms=now_ms())

    def receive(self, notice: Notice) -> str | None:
        """Take a notice in; the id of its row, None when it was there before."""
        event_id = new_id()
        stored = self.db.transact(inbox.store, notice, event_id=event_id, now_ms=now_ms())
        return event_id if stored else None

    def settle(self, event_id: str) -> Settled | None:
        """What the worker does."""
        ids = SettlementIds.made(new_id)
        return self.db.transact(inbox.settle, event_id=event_id, ids=ids, now_ms=now_ms())

    def take(self, notice: Notice) -> str:
        """Take a notice in and settle it; what came of it."""
        event_id = self.receive(notice)
        assert event_id is not None, "it is new"
        settled = self.settle(event_id)
        assert settled is not None
        return settled.outcome

    def take_at_once(self, *notices: Notice) -> list[str]:
        """Settle them in as many threads; what came of each."""
        events = [event_id for notice in notices if (event_id := self.receive(notice))]
        with ThreadPoolExecutor(len(events)) as threads:
            settled = list(threads.map(self.settle, events))
        return sorted(one.outcome for one in settled if one)

    def available(self, order: Order) -> int:
        """What the order's user has."""
        return self.shop.balance(order.user_id).available

    def transfers(self, order: Order) -> list[str]:
        """The keys of the user's transfers, in order."""
        return self.db.read(_transfers, user_id=order.user_id)

    def told(self, order: Order) -> list[tuple[str, Mapping[str, Any]]]:
        """Kind and data of the user's notifications."""
        return self.db.read(_told, user_id=order.user_id)

    def cases(self) -> list[Mapping[str, Any]]:
        """Every case, the oldest first."""
        return self.db.read(_rows, CASES)

    def events(self) -> list[Mapping[str, Any]]:
        """The whole inbox."""
        return self.db.read(_rows, EVENTS)

    def messages(self, contract: str) -> list[str]:
        """What waits to be sent by this contract."""
        return self.db.read(_messages, contract=contract)

    def age(self, event_id: str, *, by_ms: int) -> None:
        """Let so much time pass for a message that waits."""
        self.db.transact(_age, event_id=event_id, by_ms=by_ms)

    def record(self, order: Order, **values: Any) -> None:
        """Change the row by hand."""
        self.db.transact(_record, order_id=order.id, values=values)


def paid(order: Order, *, payment_no: str | None = None, event_key: str = "", **changes: Any) -> Notice:
    """That the order was paid, as its gateway would say it."""
    number = payment_no or f"p-{order.id}"
    notice = Notice(
        provider=_provider(order),
        event_key=event_key or f"payment:{new_id()}",
        kind="payment",
        order_no=order.order_no,
        payment_no=number,
        amount_fen=order.amount_fen,
        paid_ms=1_700_000_000_000,
        fact={"status": "TRADE_SUCCESS"},
    )
    return replace(notice, **changes)


def closed(order: Order) -> Notice:
    """That nobody can pay the order any more."""
    return Notice(provider=_provider(order), event_key=f"closed:{order.id}", kind="closed", order_no=order.order_no)


def _provider(order: Order) -> ProviderName:
    return "alipay" if order.provider == "alipay" else "wechat"


def _transfers(session: Session, *, user_id: str) -> list[str]:
    columns = TRANSFERS.c
    return list(
        session.scalars(select(columns.key).where(columns.account_id == user_id).order_by(columns.account_version))
    )


def _told(session: Session, *, user_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    mine = select(Notification.kind, Notification.data).where(Notification.user_id == user_id)
    return [(row[0], row[1]) for row in session.execute(mine.order_by(Notification.id))]


def _rows(session: Session, table: Any) -> list[Mapping[str, Any]]:
    return [dict(row) for row in session.execute(select(table).order_by(table.c.id)).mappings()]


def _messages(session: Session, *, contract: str) -> list[str]:
    columns = OUTBOX.c
    return list(session.scalars(select(columns.message).where(columns.contract == contract).order_by(columns.id)))


def _age(session: Session, *, event_id: str, by_ms: int) -> None:
    columns = EVENTS.c
    older = {"due_ms": columns.due_ms - by_ms, "received_ms": columns.received_ms - by_ms}
    session.execute(update(EVENTS).where(columns.id == event_id).values(older))


def _record(session: Session, *, order_id: str, values: Mapping[str, Any]) -> None:
    session.execute(update(ORDERS).where(ORDERS.c.id == order_id).values(**values))
