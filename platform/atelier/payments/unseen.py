"""What we booked and no bill of the gateway names: each opens a case, once.

Which bill names a payment is told by the gateway's time of it. Where two days meet, either of their bills may, so that
what lies there is judged when both have been compared. A refund has our time of it, which may be much later than the
gateway's: it is given half a day to either side. Days that were compared before are looked at again for a week, because
something may have been booked after that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, not_, select, update
from sqlalchemy.orm import Session

from atelier.kernel.clock import DAY_MS, HOUR_MS
from atelier.orders import cases, days, resolutions, statements, states
from atelier.orders import service as orders
from atelier.orders.cases import NewCase
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.payment_models import CASES, FINDINGS, STATEMENTS
from atelier.orders.statements import NewFinding, Statement

O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere
R = REFUNDS.c
C = CASES.c
BACK_DAYS = 7
PAYMENT_EDGE_MS = HOUR_MS
REFUND_EDGE_MS = 12 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A payment of ours, or with its number a refund, that no bill names. `case_id`: stray money went back by it."""

    id: str
    order_no: str
    order_id: str | None
    user_id: str | None
    payment_no: str
    amount_fen: int
    at_ms: int
    refund_no: str | None = None
    case_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time that is judged, without `until_ms`, and how far into it one has come: `after`, a moment and an id."""

    from_ms: int
    until_ms: int
    after: tuple[int, str] = (-1, "")


def around(day: str) -> list[str]:
    """The days on which it depends what of this day is judged now."""
    return [days.shifted(day, number) for number in range(-BACK_DAYS - 1, 2)]


def span(day: str, known: Mapping[str, Statement], *, edge_ms: int) -> Span:
    """What is judged when this day has been compared; `known` are the statements of the days around it."""
    first = day
    for _ in range(BACK_DAYS):
        before = known.get(days.shifted(first, -1))
        if before is None or before.state != statements.DONE:
            break
        first = before.day
    is_first = days.shifted(first, -1) not in known
    following = known.get(days.shifted(day, 1))
    has_next = following is not None and following.state == statements.DONE
    return Span(
        from_ms=days.begin_ms(first) + (-edge_ms if is_first else edge_ms),
        until_ms=days.begin_ms(day) + DAY_MS + (edge_ms if has_next else -edge_ms),
    )


def payments(session: Session, *, provider: str, span: Span, limit: int) -> list[Unseen]:
    """Payments that were credited and that no bill names, the oldest first."""
    columns = (
        O.id,
        O.order_no,
        O.id.label("order_id"),
        O.user_id,
        O.payment_no,
        O.amount_fen,
        O.paid_ms.label("at_ms"),
    )
    wanted = select(*columns).where(O.provider == provider, O.bill_day.is_(None), _within(O.paid_ms, O.id, span))
    rows = session.connection().execute(wanted.order_by(O.paid_ms, O.id).limit(limit)).mappings()
    return [Unseen(**row) for row in rows]


def refunds(session: Session, *, provider: str, span: Span, limit: int) -> list[Unseen]:
    """Refunds of ours that went through and that no bill names, the oldest first."""
    columns = (R.id, O.order_no, R.order_id, R.user_id, O.payment_no, R.amount_fen, R.finished_ms.label("at_ms"))
    ours = and_(R.provider == provider, R.bill_day.is_(None), R.state == states.SUCCEEDED, R.external == 0)
    wanted = select(*columns, R.refund_no).join_from(REFUNDS, ORDERS, R.order_id == O.id)
    wanted = wanted.where(ours, _within(R.finished_ms, R.id, span)).order_by(R.finished_ms, R.id)
    return [Unseen(**row) for row in session.connection().execute(wanted.limit(limit)).mappings()]


def returns(session: Session, *, provider: str, span: Span, limit: int) -> list[Unseen]:
    """Cases whose money went back and that no bill names, the oldest first."""
    columns = (C.id, C.order_no, C.order_id, C.user_id, C.payment_no, C.amount_fen, C.refund_no, C.id.label("case_id"))
    wanted = select(*columns, C.resolved_ms.label("at_ms")).where(
        _returned(provider), C.bill_day.is_(None), _within(C.resolved_ms, C.id, span)
    )
    rows = session.connection().execute(wanted.order_by(C.resolved_ms, C.id).limit(limit)).mappings()
    return [Unseen(**row) for row in rows]


# What is looked for, and how far from its own day a bill may name it.
EDGES_MS = ((payments, PAYMENT_EDGE_MS), (refunds, REFUND_EDGE_MS), (returns, REFUND_EDGE_MS))


def judge(session: Session, one: Unseen, *, statement: Statement, case_id: str, finding_id: str, now_ms: int) -> bool:
    """Open a case, unless a bill names it after all; whether there is one now."""
    if one.case_id:
        resolutions.lock(session, case_id=one.case_id)
    elif one.order_id:
        orders.lock_by_id(session, order_id=one.order_id)
    if day := _named(session, one):
        table = REFUNDS if one.refund_no else ORDERS
        session.connection().execute(update(table).where(table.c.id == one.id).values(bill_day=day))
        return False
    details = {"day": statement.day, "refundNo": one.refund_no}
    new = NewCase(
        id=case_id,
        kind="missing_in_bill",
        key=f"{one.order_no}:{one.refund_no or one.payment_no}",
        provider=statement.provider,
        order_no=one.order_no,
        order_id=one.order_id,
        user_id=one.user_id,
        payment_no=one.payment_no,
        amount_fen=one.amount_fen,
        details=details | {"caseId": one.case_id} if one.case_id else details,
    )
    opened = cases.open_once(session, new, now_ms=now_ms)
    kind = "refund_missing_in_bill" if one.refund_no else "missing_in_bill"
    finding = NewFinding(
        id=finding_id,
        statement_id=statement.id,
        key=f"{kind}:{one.refund_no or one.payment_no}:{one.order_no}",
        kind=kind,
        order_no=one.order_no,
        payment_no=one.payment_no,
        theirs_fen=None,
        ours_fen=one.amount_fen,
        outcome=new.kind,
        case_id=opened,
    )
    statements.note(session, finding, now_ms=now_ms)
    return True


def totals(session: Session, *, provider: str, day: str) -> dict[str, int]:
    """What we have booked of that which the day's bill names."""
    paid = select(func.count(), func.coalesce(func.sum(O.amount_fen), 0))
    back = select(func.count(), func.coalesce(func.sum(R.amount_fen), 0))
    stray = select(func.count(), func.coalesce(func.sum(C.amount_fen), 0))
    connection = session.connection()
    payments, payments_fen = connection.execute(paid.where(O.provider == provider, O.bill_day == day)).one()
    refunds, refunds_fen = connection.execute(back.where(R.provider == provider, R.bill_day == day)).one()
    strays, strays_fen = connection.execute(stray.where(_returned(provider), C.bill_day == day)).one()
    return {
        "payments": payments,
        "payments_fen": int(payments_fen),
        "refunds": refunds + strays,
        "refunds_fen": int(refunds_fen) + int(strays_fen),
    }


def any_booked(session: Session, *, provider: str, day: str) -> bool:
    """Whether anything of ours is of this day."""
    begin_ms = days.begin_ms(day)
    paid = select(O.id).where(O.provider == provider, O.paid_ms >= begin_ms, O.paid_ms < begin_ms + DAY_MS)
    back = select(R.id).where(R.provider == provider, R.finished_ms >= begin_ms, R.finished_ms < begin_ms + DAY_MS)
    stray = select(C.id).where(_returned(provider), C.bill_day.is_(None))
    stray = stray.where(C.resolved_ms >= begin_ms, C.resolved_ms < begin_ms + DAY_MS)
    found = (session.connection().execute(one.limit(1)).scalar_one_or_none() for one in (paid, back, stray))
    return any(one is not None for one in found)


def _named(session: Session, one: Unseen) -> str | None:
    """The day of a bill that names it: it was booked later, by the person who resolved the case of that line."""
    if one.refund_no:
        return None
    named = (
        select(STATEMENTS.c.day)
        .join_from(CASES, FINDINGS, FINDINGS.c.case_id == CASES.c.id)
        .join(STATEMENTS, STATEMENTS.c.id == FINDINGS.c.statement_id)
        .where(CASES.c.order_no == one.order_no, CASES.c.payment_no == one.payment_no)
        .where(FINDINGS.c.theirs_fen.is_not(None))
        .limit(1)
    )
    day: str | None = session.connection().execute(named).scalar_one_or_none()
    return day


def _returned(provider: str) -> ColumnElement[bool]:
    # What had only been unclear, and was found to be refunded, has no number of its own.
    return and_(C.provider == provider, C.resolution == resolutions.REFUNDED, C.refund_no.is_not(None))


def _within(moment: ColumnElement[int], key: ColumnElement[str], span: Span) -> ColumnElement[bool]:
    at_ms, last = span.after
    begin_ms = max(span.from_ms, at_ms)
    return and_(moment >= begin_ms, moment < span.until_ms, not_(and_(moment == at_ms, key <= last)))
