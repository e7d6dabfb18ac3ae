"""More tables of orders: what gateways said, what a person has to look at, and what the nightly comparison found."""

from typing import Any, cast

from sqlalchemy import CheckConstraint, Index, Integer, Table, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base


class EventRow(Base):
    """The inbox: a message of a gateway, stored once whatever number of times it comes.

    event_key   the gateway's own name of it, unique for each provider
    kind        payment, closed or refund
    fact        what it says, without what only concerns the payer: numbers, amounts, states
    due_ms      it waits to be settled, and somebody looks after it from then on (database clock); NULL once settled
    outcome     what it led to
    """

    __tablename__ = "payment_events"
    __table_args__ = (
        UniqueConstraint("provider", "event_key"),
        Index("ix_payment_events_due", "due_ms", "id"),
        Index("ix_payment_events_order", "order_no", "id"),
        Index("ix_payment_events_settled", "settled_ms"),
        CheckConstraint("kind IN ('payment', 'closed', 'refund')", name="kind"),
        CheckConstraint("(due_ms IS NULL) = (outcome IS NOT NULL)", name="settled"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    provider: Mapped[str] = mapped_column(Key(16))
    event_key: Mapped[str] = mapped_column(Key(128))
    kind: Mapped[str] = mapped_column(Key(12))
    order_no: Mapped[str] = mapped_column(Key(64))
    fact: Mapped[Any] = mapped_column(JsonDoc)
    due_ms: Mapped[int | None] = mapped_column(Millis)
    outcome: Mapped[str | None] = mapped_column(Key(24))
    received_ms: Mapped[int] = mapped_column(Millis)
    settled_ms: Mapped[int | None] = mapped_column(Millis)


class CaseRow(Base):
    """Something that a person has to look at, or that settled itself and must not stay unseen.

    case_key    names the matter, so that whoever finds it again opens no second case
    refund_no   names it to the gateway when its money is to go back: paid back once, however often it is asked for
    credits     what the user was given for it
    due_ms      when the gateway is to be asked (database clock), while its money is going back
    error       what the gateway said when it would not
    bill_day    the day of the gateway's bill that names what went back, once that bill was compared
    """

    __tablename__ = "payment_cases"
    __table_args__ = (
        UniqueConstraint("case_key"),
        Index("ix_payment_cases_state", "state", "id"),
        Index("ix_payment_cases_order", "order_no", "id"),
        Index("ix_payment_cases_due", "due_ms", "id"),
        Index("ix_payment_cases_bill", "provider", "resolution", "bill_day", "resolved_ms", "id"),
        UniqueConstraint("refund_no"),
        CheckConstraint("state IN ('open', 'returning', 'resolved')", name="state"),
        CheckConstraint("(state = 'returning') = (due_ms IS NOT NULL)", name="due"),
        CheckConstraint("(state = 'resolved') = (resolved_ms IS NOT NULL)", name="resolved"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    case_key: Mapped[str] = mapped_column(Key(160))
    kind: Mapped[str] = mapped_column(Key(32))
    state: Mapped[str] = mapped_column(Key(10))
    provider: Mapped[str] = mapped_column(Key(16))
    order_no: Mapped[str] = mapped_column(Key(64))
    order_id: Mapped[str | None] = mapped_column(Id())
    user_id: Mapped[str | None] = mapped_column(Id())
    payment_no: Mapped[str | None] = mapped_column(Key(64))
    amount_fen: Mapped[int | None] = mapped_column(Millis)
    details: Mapped[Any] = mapped_column(JsonDoc)
    resolution: Mapped[str | None] = mapped_column(Key(32))
    note: Mapped[str | None] = mapped_column(Name(200))
    resolved_by: Mapped[str | None] = mapped_column(Id())
    refund_no: Mapped[str | None] = mapped_column(Key(64))
    credits: Mapped[int | None] = mapped_column(Millis)
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    due_ms: Mapped[int | None] = mapped_column(Millis)
    error: Mapped[str | None] = mapped_column(Key(64))
    created_ms: Mapped[int] = mapped_column(Millis)
    resolved_ms: Mapped[int | None] = mapped_column(Millis)
    bill_day: Mapped[str | None] = mapped_column(Key(10))


class StatementRow(Base):
    """One day of one gateway's books (Beijing time), compared with ours.

    place    how many lines of the bill were looked at in runs that did not end: the next one goes on there
    totals   what the comparison counted, as JSON
    due_ms   when it is to be tried (database clock); NULL once it is done
    """

    __tablename__ = "payment_statements"
    __table_args__ = (
        UniqueConstraint("provider", "day"),
        Index("ix_payment_statements_due", "due_ms", "id"),
        CheckConstraint("state IN ('waiting', 'running', 'done')", name="state"),
        CheckConstraint("(state = 'done') = (due_ms IS NULL)", name="due"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    provider: Mapped[str] = mapped_column(Key(16))
    day: Mapped[str] = mapped_column(Key(10))
    state: Mapped[str] = mapped_column(Key(10))
    place: Mapped[int] = mapped_column(Millis)
    totals: Mapped[Any] = mapped_column(JsonDoc)
    tries: Mapped[int] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Key(64))
    due_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)
    finished_ms: Mapped[int | None] = mapped_column(Millis)


class FindingRow(Base):
    """A difference between a gateway's books and ours, and what was done about it."""

    __tablename__ = "payment_findings"
    __table_args__ = (
        UniqueConstraint("statement_id", "finding_key"),
        Index("ix_payment_findings_case", "case_id"),
        Index("ix_payment_findings_created", "created_ms"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    statement_id: Mapped[str] = mapped_column(Id())
    finding_key: Mapped[str] = mapped_column(Key(160))
    kind: Mapped[str] = mapped_column(Key(32))
    order_no: Mapped[str] = mapped_column(Key(64))
    payment_no: Mapped[str | None] = mapped_column(Key(64))
    theirs_fen: Mapped[int | None] = mapped_column(Millis)
    ours_fen: Mapped[int | None] = mapped_column(Millis)
    outcome: Mapped[str] = mapped_column(Key(32))
    case_id: Mapped[str | None] = mapped_column(Id())
    created_ms: Mapped[int] = mapped_column(Millis)


EVENTS = cast("Table", EventRow.__table__)
CASES = cast("Table", CaseRow.__table__)
STATEMENTS = cast("Table", StatementRow.__table__)
FINDINGS = cast("Table", FindingRow.__table__)
