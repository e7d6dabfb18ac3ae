"""Lines of a bill beside our books: which of them fit, and what is done about the others.

A payment that we don't know is settled like any other; a refund that we don't know is settled as if its notice came.
The refund of a case is known by the case: its number says which.
Everything else that differs opens a case. What was done is written down in the transaction that does it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from atelier.gateways.port import BillLine
from atelier.orders import cases, resolutions, statements, states
from atelier.orders import service as orders
from atelier.orders.cases import NewCase
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.payment_models import CASES
from atelier.orders.resolutions import Case
from atelier.orders.service import Order
from atelier.orders.statements import NewFinding, Statement
from atelier.payments import refund_notices, returning, settlement
from atelier.payments.returning import Said
from atelier.payments.settlement import Payment, Settled, SettlementIds

O = ORDERS.c  # noqa: E741 - the table's initial, as everywhere
R = REFUNDS.c
C = CASES.c
KNOWN = "known"


def unfit(session: Session, lines: Sequence[BillLine], *, provider: str) -> list[BillLine]:
    """Those lines of which our books say nothing, or something else."""
    payments = {line.order_no: None for line in lines if line.kind == "payment"}
    refunds = {line.refund_no: None for line in lines if line.kind == "refund"}
    returns = _returns(lines)
    columns = (O.order_no, O.payment_no, O.amount_fen, O.currency)
    paid = select(*columns).where(O.order_no.in_(payments), O.provider == provider)
    back = select(R.refund_no, R.amount_fen).where(
        R.refund_no.in_(refunds), R.provider == provider, R.state == states.SUCCEEDED
    )
    booked: set[tuple[Any, ...]] = {tuple(row) for row in session.connection().execute(paid)}
    returned: set[tuple[Any, ...]] = {tuple(row) for row in session.connection().execute(back)} if refunds else set()
    if returns:
        went = select(C.refund_no, C.amount_fen).where(*_went(returns, provider=provider))
        returned |= {tuple(row) for row in session.connection().execute(went)}
    return [
        line
        for line in lines
        if (
            (line.order_no, line.payment_no, line.amount_fen, line.currency) not in booked
            if line.kind == "payment"
            else (line.refund_no, line.amount_fen) not in returned
        )
    ]


def mark(session: Session, lines: Sequence[BillLine], *, provider: str, day: str) -> None:
    """Remember that this day's bill names what these lines are of."""
    payments = [line.payment_no for line in lines if line.kind == "payment"]
    refunds = [line.refund_no for line in lines if line.kind == "refund"]
    if payments:
        named = update(ORDERS).where(O.provider == provider, O.payment_no.in_(payments), O.bill_day.is_(None))
        session.connection().execute(named.values(bill_day=day))
    if refunds:
        named = update(REFUNDS).where(R.provider == provider, R.refund_no.in_(refunds), R.bill_day.is_(None))
        session.connection().execute(named.where(R.state == states.SUCCEEDED).values(bill_day=day))
    if returns := _returns(lines):
        went = update(CASES).where(*_went(returns, provider=provider), C.bill_day.is_(None))
        session.connection().execute(went.values(bill_day=day))


def book_payment(
    session: Session, line: BillLine, *, statement: Statement, ids: SettlementIds, finding_id: str, now_ms: int
) -> Settled:
    """Settle a payment that does not fit; `known` if it fits by now."""
    order = orders.lock(session, order_no=line.order_no)
    ours_fen = None
    if order and order.provider == statement.provider and order.payment_no == line.payment_no:
        ours_fen = order.amount_fen
        if (ours_fen, order.currency) == (line.amount_fen, line.currency):
            return Settled(outcome=KNOWN, order=order)
        settled = _differs(session, line, order, statement=statement, case_id=ids.case_id, now_ms=now_ms)
    else:
        paid = Payment(
            provider=statement.provider,
            order_no=line.order_no,
            payment_no=line.payment_no,
            amount_fen=line.amount_fen,
            currency=line.currency,
            source="bill",
            paid_ms=line.at_ms,
        )
        settled = settlement.settle_payment(session, paid, ids=ids, now_ms=now_ms)
    kind = "missing_here" if ours_fen is None else "amount_differs"
    _note(session, line, settled, statement=statement, finding=(finding_id, kind, ours_fen), now_ms=now_ms)
    return settled


def book_refund(
    session: Session, line: BillLine, *, statement: Statement, ids: SettlementIds, finding_id: str, now_ms: int
) -> Settled:
    """Settle a refund that does not fit; `known` if it fits by now."""
    assert line.refund_no is not None, "it is a refund"
    named = {"provider": statement.provider, "order_no": line.order_no, "refund_no": line.refund_no}
    if case := resolutions.lock_by_refund(session, **named):
        return _book_return(session, line, case, statement=statement, ids=ids, finding_id=finding_id, now_ms=now_ms)
    fact = {
        "payment_no": line.payment_no,
        "refund_no": line.refund_no,
        "refund_fen": line.amount_fen,
        "refund_state": states.SUCCEEDED,
        "fact": {"gateway_no": line.gateway_no},
    }
    settled = refund_notices.settle(
        session, provider=statement.provider, order_no=line.order_no, fact=fact, ids=ids, now_ms=now_ms
    )
    mark(session, [line], provider=statement.provider, day=statement.day)
    if settled.outcome != KNOWN:
        booked = select(R.amount_fen).where(R.refund_no == line.refund_no, R.state == states.SUCCEEDED)
        ours_fen = session.connection().execute(booked).scalar_one_or_none() if settled.case_id else None
        kind = "refund_missing_here" if ours_fen is None else "refund_differs"
        _note(session, line, settled, statement=statement, finding=(finding_id, kind, ours_fen), now_ms=now_ms)
    return settled


def _book_return(
    session: Session,
    line: BillLine,
    case: Case,
    *,
    statement: Statement,
    ids: SettlementIds,
    finding_id: str,
    now_ms: int,
) -> Settled:
    said = Said(succeeded=True, amount_fen=line.amount_fen)
    settled = returning.conclude(session, case_id=case.id, said=said, new_id=ids.case_id, now_ms=now_ms)
    mark(session, [line], provider=statement.provider, day=statement.day)
    was_told = settled.outcome != returning.RETURNED
    after = resolutions.find(session, case_id=case.id)
    ours_fen = after.amount_fen if after and was_told and after.resolution == resolutions.REFUNDED else None
    kind = "refund_differs" if was_told else "refund_missing_here"
    _note(session, line, settled, statement=statement, finding=(finding_id, kind, ours_fen), now_ms=now_ms)
    return settled


def _returns(lines: Sequence[BillLine]) -> set[tuple[str, str]]:
    """Numbers of refunds and orders of the lines that are of cases."""
    return {
        (line.refund_no, line.order_no)
        for line in lines
        if line.refund_no and line.refund_no.startswith(resolutions.REFUND_PREFIX)
    }


def _went(returns: set[tuple[str, str]], *, provider: str) -> tuple[ColumnElement[bool], ...]:
    """The cases of these whose money has gone back."""
    numbers, orders_of = (sorted({one[part] for one in returns}) for part in (0, 1))
    # A number is one case's, and so of one order: the pairs need not be compared.
    named = (C.refund_no.in_(numbers), C.order_no.in_(orders_of), C.provider == provider)
    return (*named, C.resolution == resolutions.REFUNDED)


def _differs(
    session: Session, line: BillLine, order: Order, *, statement: Statement, case_id: str, now_ms: int
) -> Settled:
    details = {"day": statement.day, "oursFen": order.amount_fen}
    new = NewCase(
        id=case_id,
        kind="amount_differs",
        key=f"{line.order_no}:{line.payment_no}",
        provider=statement.provider,
        order_no=line.order_no,
        order_id=order.id,
        user_id=order.user_id,
        payment_no=line.payment_no,
        amount_fen=line.amount_fen,
        details=details if line.currency == order.currency else details | {"currency": line.currency},
    )
    return Settled(outcome=new.kind, case_id=cases.open_once(session, new, now_ms=now_ms), order=order)


def _note(
    session: Session,
    line: BillLine,
    settled: Settled,
    *,
    statement: Statement,
    finding: tuple[str, str, int | None],
    now_ms: int,
) -> None:
    if settled.outcome == KNOWN:
        return
    finding_id, kind, ours_fen = finding
    new = NewFinding(
        id=finding_id,
        statement_id=statement.id,
        key=f"{kind}:{line.refund_no or line.payment_no}:{line.order_no}",
        kind=kind,
        order_no=line.order_no,
        payment_no=line.payment_no,
        theirs_fen=line.amount_fen,
        ours_fen=ours_fen,
        outcome=settled.outcome,
        case_id=settled.case_id,
    )
    statements.note(session, new, now_ms=now_ms)
