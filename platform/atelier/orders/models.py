"""The tables of orders: packages, orders and refunds. Money is whole fen, credits are whole credits."""

from typing import Any, cast

from sqlalchemy import CheckConstraint, Index, Integer, Table, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base

ZERO = text("0")


class PackageRow(Base):
    """A package of credits. Every change of what it costs or gives is a new `version`; orders keep what they were."""

    __tablename__ = "credit_packages"
    __table_args__ = (
        CheckConstraint("price_fen > 0", name="price"),
        CheckConstraint("credits > 0", name="credits"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    name_zh: Mapped[str] = mapped_column(Name(60))
    name_en: Mapped[str] = mapped_column(Name(60))
    price_fen: Mapped[int] = mapped_column(Millis)
    credits: Mapped[int] = mapped_column(Millis)
    active: Mapped[int] = mapped_column(Integer)
    position: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(Millis)
    updated_ms: Mapped[int] = mapped_column(Millis)


class OrderRow(Base):
    """One order of credits.

    order_no      what names it to the gateway: 32 characters that nobody can guess
    provider      the gateway, `alipay` or `wechat`; `channel` is the way of paying there
    items         the package as it was when it was ordered
    payment_no    the gateway's number of the payment, once it is known
    refunded_fen  what was paid back; refunding_fen is what is being paid back
    expires_ms    until when it can be paid (database clock)
    query_ms      when the gateway is to be asked next what became of it (database clock); NULL when nobody has to ask
    bill_day      the day of the gateway's bill that names the payment, once that bill was compared
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("order_no"),
        UniqueConstraint("provider", "payment_no"),
        Index("ix_orders_user", "user_id", "id"),
        Index("ix_orders_query", "query_ms", "id"),
        Index("ix_orders_created", "created_ms"),
        Index("ix_orders_paid", "provider", "paid_ms", "id"),
        Index("ix_orders_bill", "provider", "bill_day", "paid_ms", "id"),
        Index("ix_orders_state", "state", "id"),
        CheckConstraint(
            "state IN ('pending', 'paid', 'closed', 'refunding', 'partially_refunded', 'refunded')", name="state"
        ),
        CheckConstraint("amount_fen > 0 AND credits > 0", name="amount"),
        CheckConstraint("refunded_fen >= 0 AND refunding_fen >= 0", name="refunds"),
        CheckConstraint("refunded_fen + refunding_fen <= amount_fen", name="refunded"),
        CheckConstraint("(state IN ('pending', 'closed')) = (paid_ms IS NULL)", name="paid"),
        CheckConstraint("(paid_ms IS NULL) = (payment_no IS NULL)", name="payment"),
        CheckConstraint("state <> 'refunded' OR refunded_fen = amount_fen", name="whole"),
        CheckConstraint("(state = 'refunding') = (refunding_fen > 0)", name="refunding"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    order_no: Mapped[str] = mapped_column(Key(32))
    user_id: Mapped[str] = mapped_column(Id())
    type: Mapped[str] = mapped_column(Key(24))
    provider: Mapped[str] = mapped_column(Key(16))
    channel: Mapped[str] = mapped_column(Key(16))
    state: Mapped[str] = mapped_column(Key(20))
    amount_fen: Mapped[int] = mapped_column(Millis)
    currency: Mapped[str] = mapped_column(Key(3))
    credits: Mapped[int] = mapped_column(Millis)
    package_id: Mapped[str] = mapped_column(Id())
    items: Mapped[Any] = mapped_column(JsonDoc)
    payment_no: Mapped[str | None] = mapped_column(Key(64))
    refunded_fen: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    refunding_fen: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    return_url: Mapped[str | None] = mapped_column(Name(500))
    expires_ms: Mapped[int] = mapped_column(Millis)
    query_ms: Mapped[int | None] = mapped_column(Millis)
    queries: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    created_ms: Mapped[int] = mapped_column(Millis)
    paid_ms: Mapped[int | None] = mapped_column(Millis)
    closed_ms: Mapped[int | None] = mapped_column(Millis)
    bill_day: Mapped[str | None] = mapped_column(Key(10))


class RefundRow(Base):
    """Money that goes back for an order.

    refund_no    what names it to the gateway: asking twice with the same number pays back once
    credits      what the user gives back for it: `taken` at once, the rest is a debt
    due_ms       when the gateway is to be asked, first or again (database clock); NULL once it has ended
    external     it was made at the gateway and not here
    bill_day     the day of the gateway's bill that names it, once that bill was compared
    """

    __tablename__ = "refunds"
    __table_args__ = (
        UniqueConstraint("refund_no"),
        Index("ix_refunds_order", "order_id", "id"),
        Index("ix_refunds_due", "due_ms", "id"),
        Index("ix_refunds_finished", "provider", "finished_ms", "id"),
        Index("ix_refunds_bill", "provider", "bill_day", "finished_ms", "id"),
        CheckConstraint("state IN ('requested', 'processing', 'succeeded', 'failed')", name="state"),
        CheckConstraint("amount_fen > 0", name="amount"),
        CheckConstraint("taken >= 0 AND taken <= credits", name="taken"),
        CheckConstraint("(state IN ('requested', 'processing')) = (finished_ms IS NULL)", name="finished"),
        CheckConstraint("finished_ms IS NULL OR due_ms IS NULL", name="due"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    refund_no: Mapped[str] = mapped_column(Key(64))
    order_id: Mapped[str] = mapped_column(Id())
    user_id: Mapped[str] = mapped_column(Id())
    provider: Mapped[str] = mapped_column(Key(16))
    state: Mapped[str] = mapped_column(Key(12))
    amount_fen: Mapped[int] = mapped_column(Millis)
    credits: Mapped[int] = mapped_column(Millis)
    taken: Mapped[int] = mapped_column(Millis)
    external: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    reason: Mapped[str] = mapped_column(Name(200))
    admin_id: Mapped[str | None] = mapped_column(Id())
    gateway_no: Mapped[str | None] = mapped_column(Key(64))
    error: Mapped[str | None] = mapped_column(Key(64))
    tries: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    due_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)
    finished_ms: Mapped[int | None] = mapped_column(Millis)
    bill_day: Mapped[str | None] = mapped_column(Key(10))


PACKAGES = cast("Table", PackageRow.__table__)
ORDERS = cast("Table", OrderRow.__table__)
REFUNDS = cast("Table", RefundRow.__table__)
