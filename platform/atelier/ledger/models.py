"""The tables of the ledger: what everyone has, every movement that made it so, and what creators earned by it."""

from typing import cast

from sqlalchemy import CheckConstraint, Index, Integer, Table, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, Key, Millis, Name
from atelier.kernel.database import Base

# System accounts carry no counters, so that no row is hot: their balances are sums over transfers.
CLEARING = "system:clearing"  # spent on agents, to be shared between creator and platform
PLATFORM = "system:platform"  # the platform's shares, and what was spent on its own services
BONUS = "system:bonus"
TOPUP = "system:topup"
ADJUST = "system:adjust"
SYSTEM_ACCOUNTS = (CLEARING, PLATFORM, BONUS, TOPUP, ADJUST)


class AccountRow(Base):
    """One account. A user's account has the user's id. posted = credits − debits; available = posted − pending."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("debits_pending >= 0", name="pending"),
        CheckConstraint("kind <> 'user' OR credits_posted - debits_posted - debits_pending >= 0", name="available"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    kind: Mapped[str] = mapped_column(Key(8))
    credits_posted: Mapped[int] = mapped_column(Millis, default=0)
    debits_posted: Mapped[int] = mapped_column(Millis, default=0)
    debits_pending: Mapped[int] = mapped_column(Millis, default=0)
    version: Mapped[int] = mapped_column(Millis, default=0)
    created_ms: Mapped[int] = mapped_column(Millis)


class TransferRow(Base):
    """One movement, never changed. `account_id` is the user account that it touched, `account_version` that account's
    version after it, `pending_id` the hold that a capture or release resolves.

    The platform's share goes from one system account to another and touches no user's, so it has neither.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        UniqueConstraint("key"),
        UniqueConstraint("pending_id"),
        UniqueConstraint("account_id", "account_version"),
        Index("ix_transfers_ref", "ref_id"),
        Index("ix_transfers_created", "created_ms"),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("debit_id <> credit_id", name="sides"),
        CheckConstraint("(kind IN ('capture', 'release')) = (pending_id IS NOT NULL)", name="resolves"),
        CheckConstraint("account_id IS NOT NULL OR kind = 'share'", name="account"),
        CheckConstraint("(account_id IS NULL) = (account_version IS NULL)", name="version"),
        CheckConstraint("(account_id IS NULL) = (balance_after IS NULL)", name="balance"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    key: Mapped[str] = mapped_column(Key(96))
    kind: Mapped[str] = mapped_column(Key(16))
    debit_id: Mapped[str] = mapped_column(Id())
    credit_id: Mapped[str] = mapped_column(Id())
    amount: Mapped[int] = mapped_column(Millis)
    pending_id: Mapped[str | None] = mapped_column(Id())
    account_id: Mapped[str | None] = mapped_column(Id())
    account_version: Mapped[int | None] = mapped_column(Millis)
    balance_after: Mapped[int | None] = mapped_column(Millis)
    ref_type: Mapped[str | None] = mapped_column(Key(24))
    ref_id: Mapped[str | None] = mapped_column(Id())
    note: Mapped[str | None] = mapped_column(Name(200))
    actor: Mapped[str | None] = mapped_column(Id())
    created_ms: Mapped[int] = mapped_column(Millis)


class EarningRow(Base):
    """A creator's share of what was paid for one thing: a job's id is its row's, or a purchase's.

    gross, amount  what was paid, and the creator's part of it
    due_ms         0 or a moment (database time) while it waits in clearing; NULL once it was paid out
    paid_ms        when it was paid out
    """

    __tablename__ = "earnings"
    __table_args__ = (
        Index("ix_earnings_due", "due_ms", "ref_id"),
        Index("ix_earnings_creator", "creator_id", "paid_ms", "ref_id"),
        CheckConstraint("amount BETWEEN 0 AND gross", name="amount"),
        CheckConstraint("(due_ms IS NULL) = (paid_ms IS NOT NULL)", name="paid"),
    )

    ref_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    ref_type: Mapped[str] = mapped_column(Key(24))
    creator_id: Mapped[str] = mapped_column(Id())
    agent_id: Mapped[str] = mapped_column(Id())
    gross: Mapped[int] = mapped_column(Millis)
    amount: Mapped[int] = mapped_column(Millis)
    note: Mapped[str | None] = mapped_column(Name(200))
    due_ms: Mapped[int | None] = mapped_column(Millis)
    paid_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)


class EarningDayRow(Base):
    """What an agent has earned its creator on one day, which begins at `day_ms` in the operator's time zone."""

    __tablename__ = "earning_days"

    creator_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    day_ms: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    agent_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    gross: Mapped[int] = mapped_column(Millis)
    amount: Mapped[int] = mapped_column(Millis)


class DebtRow(Base):
    """Credits that a user owes for money that was paid back: spent before the refund, taken from what comes next.

    ref_id   the refund; amount is what was missing then, paid what was taken since
    open     1 while something is owed, NULL afterwards
    """

    __tablename__ = "credit_debts"
    __table_args__ = (
        Index("ix_credit_debts_open", "open", "user_id", "ref_id"),
        CheckConstraint("amount > 0 AND paid BETWEEN 0 AND amount", name="amount"),
        CheckConstraint("open IS NOT NULL OR ended_ms IS NOT NULL", name="open"),
    )

    ref_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    amount: Mapped[int] = mapped_column(Millis)
    paid: Mapped[int] = mapped_column(Millis)
    open: Mapped[int | None] = mapped_column(Integer)
    note: Mapped[str | None] = mapped_column(Name(200))
    created_ms: Mapped[int] = mapped_column(Millis)
    ended_ms: Mapped[int | None] = mapped_column(Millis)


ACCOUNTS = cast("Table", AccountRow.__table__)
TRANSFERS = cast("Table", TransferRow.__table__)
EARNINGS = cast("Table", EarningRow.__table__)
EARNING_DAYS = cast("Table", EarningDayRow.__table__)
DEBTS = cast("Table", DebtRow.__table__)
