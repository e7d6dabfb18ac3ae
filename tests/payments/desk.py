"""Orders that are paid and paid back, through the product's own verbs, and what an administrator sees of it."""

from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.contracts import oplog, outbox
from atelier.contracts.idempotency import Keyed
from atelier.contracts.messages import PAYMENTS_REFUND
from atelier.gateways.port import Channel, Notice, ProviderName
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger import debts
from atelier.ledger import service as ledger
from atelier.notifications.models import Notification
from atelier.orders import refunds
from atelier.orders import service as orders
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.payment_models import CASES
from atelier.orders.service import NewOrder, Order
from atelier.payments import collecting, inbox, refunding, repaying, settlement
from atelier.payments.refunding import RefundWish, Requested
from atelier.payments.settlement import Payment, Settled, SettlementIds
from tests.jobs.lifecycle import Workshop
from tests.payments.till import Till

Row = dict[str, Any]
LEASE_MS = 30_000
CHANNELS: dict[str, Channel] = {"alipay": "page", "wechat": "native"}


class Desk(Workshop):
    """One database, a till for each gateway, and an administrator."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.tills: dict[str, Till] = {"alipay": Till(name="alipay"), "wechat": Till(name="wechat")}
        self.till = self.tills["alipay"]
        self.admin_id = new_id()

    # -- ordering and paying

    def order(
        self, user_id: str, *, fen: int = 1_000, gives: int = 100, provider: ProviderName = "alipay", paid: bool = True
    ) -> Order:
        """An order of this user, paid unless it is said otherwise."""
        new = NewOrder(
            id=new_id(),
            order_no=new_id().replace("-", ""),
            user_id=user_id,
            provider=provider,
            channel=CHANNELS[provider],
            amount_fen=fen,
            credits=gives,
            package_id=new_id(),
            items=[],
            return_url=None,
            lasts_ms=60_000,
        )
        made = self.db.transact(orders.create, new, now_ms=now_ms())
        if paid:
            assert self.pay(made).outcome == "credited"
        return self.now(made)

    def pay(self, order: Order) -> Settled:
        """The gateway says that it was paid."""
        paid = Payment(
            provider=order.provider,
            order_no=order.order_no,
            payment_no=f"P{order.order_no}",
            amount_fen=order.amount_fen,
            currency="CNY",
            source="query",
        )
        return self.db.transact(settlement.settle_payment, paid, ids=self.ids(), now_ms=now_ms())

    def orders_of(self, user_id: str) -> list[str]:
        """The numbers of the user's orders, the oldest first."""
        mine = select(ORDERS.c.order_no).where(ORDERS.c.user_id == user_id).order_by(ORDERS.c.id)
        return [one["order_no"] for one in self.db.read(_rows, statement=mine)]

    def now(self, order: Order) -> Order:
        """The order as it is now."""
        found = self.db.read(orders.find, order_id=order.id)
        assert found is not None
        return found

    # -- paying back

    def wish(self, order: Order, fen: int | None = None) -> RefundWish:
        """The administrator wants so much to go back, or everything that is left."""
        return RefundWish(
            order_id=order.id,
            amount_fen=fen,
            reason="用户申请退款",
            admin_id=self.admin_id,
            refund_id=new_id(),
            refund_no=refunding.new_number(),
            transfer_id=new_id(),
        )

    def grant(self, wish: RefundWish, *, keyed: Keyed | None = None) -> Requested:
        """Request it. Raises what it was refused for."""
        return self.db.transact(refunding.request, wish, keyed=keyed, now_ms=now_ms())

    def want(self, order: Order, fen: int | None = None) -> str:
        """The id of a refund that is requested."""
        wish = self.wish(order, fen)
        self.grant(wish)
        return wish.refund_id

    def work(self, refund_id: str, *, lease_ms: int = LEASE_MS) -> Settled | None:
        """A worker takes its message."""
        return repaying.pay_back(self.db, gateways=self.tills, refund_id=refund_id, lease_ms=lease_ms)

    def later(self, refund_id: str) -> Settled | None:
        """The same, when it is due next."""
        self.set(refund_id, due_ms=1)
        return self.work(refund_id)

    def back(self, order: Order, fen: int | None = None) -> str:
        """Money goes back, without any trouble."""
        refund_id = self.want(order, fen)
        settled = self.work(refund_id)
        assert settled is not None
        assert settled.outcome == "refunded"
        return refund_id

    def set(self, refund_id: str, **columns: Any) -> None:
        """Change a refund behind everyone's back."""
        self.db.transact(_set_refund, refund_id=refund_id, columns=columns)

    def refund(self, refund_id: str) -> refunds.Refund:
        """The refund as it is now."""
        found = self.db.read(refunds.find, refund_id=refund_id)
        assert found is not None
        return found

    def refunds(self, order: Order) -> list[refunds.Refund]:
        """The order's refunds, the oldest first."""
        return self.db.read(refunds.of_order, order_id=order.id)

    def due_ms(self, refund_id: str) -> int | None:
        """When it is to be asked about."""
        return self.db.read(_due, refund_id=refund_id)

    def notice(
        self,
        order: Order,
        refund_no: str | None,
        *,
        fen: int | None = None,
        together: int | None = None,
        state: Literal["succeeded", "failed", "processing"] = "succeeded",
        payment_no: str | None = None,
        key: str = "",
    ) -> Settled | None:
        """A notice of money that went back comes in and is settled; None when it was here before."""
        event_id = new_id()
        notice = Notice(
            provider="alipay" if order.provider == "alipay" else "wechat",
            event_key=key or new_id(),
            kind="refund",
            order_no=order.order_no,
            payment_no=payment_no or f"P{order.order_no}",
            amount_fen=order.amount_fen,
            refund_no=refund_no,
            refund_fen=fen,
            refund_state=state,
            fact={"refunded_fen": together},
        )
        self.db.transact(inbox.store, notice, event_id=event_id, now_ms=now_ms())
        return self.db.transact(inbox.settle, event_id=event_id, ids=self.ids(), now_ms=now_ms())

    # -- credits

    def spend(self, user_id: str, amount: int) -> None:
        """Spend credits. Raises InsufficientCredits."""
        self.db.transact(ledger.consume, self.entry(user_id, amount, "consume"), now_ms=now_ms())

    def owed(self, user_id: str) -> int:
        """What the user owes."""
        return self.db.read(debts.owed, user_id=user_id)

    def collect(self) -> list[str]:
        """The sweep; the users who paid."""
        told: list[str] = []
        collecting.collect(self.db, announce=lambda account: told.append(account.account_id))
        return told

    # -- what is to be seen

    def cases(self) -> list[Row]:
        """All cases, oldest first."""
        return self.db.read(_rows, statement=select(CASES).order_by(CASES.c.id))

    def told(self, user_id: str) -> list[tuple[str, Row]]:
        """What the user was told, oldest first: kind and data."""
        mine = select(Notification.kind, Notification.data).where(Notification.user_id == user_id)
        return [(one["kind"], one["data"]) for one in self.db.read(_rows, statement=mine.order_by(Notification.id))]

    def operations(self, action: str = "ADMIN_ORDER_REFUND") -> list[Row]:
        """What was logged of this action."""
        log = oplog.TABLE
        return self.db.read(_rows, statement=select(log).where(log.c.action == action).order_by(log.c.id))

    def messages(self) -> int:
        """How many messages of refunds wait."""
        mine = select(outbox.TABLE.c.id).where(outbox.TABLE.c.contract == PAYMENTS_REFUND.name)
        return len(self.db.read(_rows, statement=mine))

    def ids(self) -> SettlementIds:
        """Fresh ones."""
        return SettlementIds.made(new_id)


def _set_refund(session: Session, *, refund_id: str, columns: Row) -> None:
    session.execute(update(REFUNDS).where(REFUNDS.c.id == refund_id).values(columns))


def _due(session: Session, *, refund_id: str) -> int | None:
    due_ms: int | None = session.execute(select(REFUNDS.c.due_ms).where(REFUNDS.c.id == refund_id)).scalar_one()
    return due_ms


def _rows(session: Session, *, statement: Any) -> list[Row]:
    return [dict(row) for row in session.execute(statement).mappings()]
