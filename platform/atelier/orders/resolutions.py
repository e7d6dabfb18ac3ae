"""Cases as stored, and the ways in which they end.

open ──credited | dismissed──────────────► resolved
 │ ▲
 │ └──the gateway refused──┐
 └──its money is to go back─► returning ──► resolved (refunded)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import PAYMENTS_RETURN, CaseMessage
from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.database import matched
from atelier.orders.cases import OPEN, RESOLVED, STRAY_MONEY
from atelier.orders.payment_models import CASES

C = CASES.c
RETURNING: Final = "returning"
REFUND_PREFIX: Final = "case-"
CREDITED: Final = "credited"
REFUNDED: Final = "refunded"
DISMISSED: Final = "dismissed"
COUNTED_MAX = 10_000
OVERDUE_MS = MINUTE_MS
OVERDUE_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case as stored."""

    id: str
    kind: str
    state: str
    provider: str
    order_no: str
    order_id: str | None
    user_id: str | None
    payment_no: str | None
    amount_fen: int | None
    details: Mapping[str, Any]
    resolution: str | None
    note: str | None
    resolved_by: str | None
    refund_no: str | None
    credits: int | None
    tries: int
    error: str | None
    created_ms: int
    resolved_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which cases; None is any."""

    state: str | None = None
    kind: str | None = None
    provider: str | None = None


COLUMNS = tuple(C[name] for name in Case.__dataclass_fields__)


def find(session: Session, *, case_id: str) -> Case | None:
    """A case by its id."""
    return _one(session, C.id == case_id)


def refund_no(case_id: str) -> str:
    """What names the money of a case to its gateway: one number, so that it goes back once."""
    return f"{REFUND_PREFIX}{case_id}"


def lock_by_refund(session: Session, *, provider: str, order_no: str, refund_no: str) -> Case | None:
    """The case whose money goes back, or was to go back, under this number for this order; locked as by `lock`."""
    if not refund_no.startswith(REFUND_PREFIX):
        return None
    return _one(session, and_(C.refund_no == refund_no, C.provider == provider, C.order_no == order_no), locked=True)


def lock(session: Session, *, case_id: str) -> Case | None:
    """A case by its id; nobody else changes it until this transaction has ended. Accounts are locked after it."""
    return _one(session, C.id == case_id, locked=True)


def sent_back_fen(session: Session, *, order_no: str) -> tuple[int, int]:
    """What of an order's stray money has gone back, and what may be going or have gone."""
    mine = (C.order_no == order_no, C.refund_no.is_not(None))
    sums = select(C.state, func.sum(C.amount_fen)).where(*mine, or_(C.state == RETURNING, C.resolution == REFUNDED))
    fen = {row[0]: int(row[1]) for row in session.connection().execute(sums.group_by(C.state))}
    return fen.get(RESOLVED, 0), fen.get(RETURNING, 0)


def given_away(session: Session, *, provider: str, order_no: str, payment_no: str) -> tuple[str, str] | None:
    """Kind and id of the case by which this money was sent back, or is on its way, or became credits; None if none was.

    Until this transaction has ended nobody resolves a case of this money. The order is locked by the caller.
    """
    same = (C.order_no == order_no, C.payment_no == payment_no, C.provider == provider, C.kind.in_(STRAY_MONEY))
    mine = select(C.kind, C.id, C.state, C.resolution).where(*same).order_by(C.id).with_for_update()
    for row in session.connection().execute(mine):
        if row.state == RETURNING or row.resolution in {REFUNDED, CREDITED}:
            return row.kind, row.id
    return None


def page(session: Session, *, wanted: Filter, offset: int, limit: int) -> tuple[list[Case], int]:
    """A page of cases, newest first, and how many there are (counted up to COUNTED_MAX)."""
    conditions = _conditions(wanted)
    newest = select(*COLUMNS).where(*conditions).order_by(C.id.desc()).offset(offset).limit(limit)
    found = [Case(**row) for row in session.connection().execute(newest).mappings()]
    counted = select(C.id).where(*conditions).limit(COUNTED_MAX).subquery()
    return found, session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


def waiting_by_kind(session: Session) -> dict[str, int]:
    """How many cases of each kind are not resolved."""
    alive = select(C.kind, func.count()).where(C.state.in_((OPEN, RETURNING))).group_by(C.kind)
    return {row[0]: row[1] for row in session.connection().execute(alive)}


def resolve(
    session: Session,
    case: Case,
    *,
    resolution: str,
    note: str | None,
    by: str | None,
    now_ms: int,
    credits: int | None = None,  # noqa: A002 - the product's word
) -> bool:
    """Open or returning → resolved; False when it was resolved before. The case is locked by the caller."""
    alive = update(CASES).where(C.id == case.id, C.state != RESOLVED)
    values = {"state": RESOLVED, "resolution": resolution, "note": note, "resolved_by": by, "credits": credits}
    return matched(session, alive.values(**values, due_ms=None, error=None, resolved_ms=now_ms)) == 1


def send_back(session: Session, case: Case, *, refund_no: str, note: str, by: str, now_ms: int) -> bool:
    """Open → returning: its money is to go back, and the gateway is asked; False when it is not open."""
    waiting = update(CASES).where(C.id == case.id, C.state == OPEN)
    values = {"state": RETURNING, "refund_no": refund_no, "note": note, "resolved_by": by, "tries": 0, "error": None}
    if matched(session, waiting.values(**values, due_ms=db_now_ms())) != 1:
        return False
    outbox.enqueue(session, PAYMENTS_RETURN, CaseMessage(case_id=case.id), now_ms=now_ms)
    return True


def claim(session: Session, *, case_id: str, lease_ms: int) -> Case | None:
    """Count a try before anything is asked, and let nobody else ask for so long; None when it is not due."""
    due = update(CASES).where(C.id == case_id, C.state == RETURNING, C.due_ms <= db_now_ms())
    if matched(session, due.values(tries=C.tries + 1, due_ms=db_now_ms() + lease_ms)) != 1:
        return None
    return find(session, case_id=case_id)


def put_off(session: Session, *, case_id: str, wait_ms: int, error: str | None, now_ms: int) -> None:
    """The gateway does not know yet: ask it again after so long."""
    again = update(CASES).where(C.id == case_id, C.state == RETURNING)
    if matched(session, again.values(due_ms=db_now_ms() + wait_ms, error=error)):
        outbox.enqueue(session, PAYMENTS_RETURN, CaseMessage(case_id=case_id), now_ms=now_ms, delay_ms=wait_ms)


def reopen(session: Session, case: Case, *, error: str) -> bool:
    """Returning → open: the gateway would not, and someone has to look again."""
    failed = update(CASES).where(C.id == case.id, C.state == RETURNING)
    values = {"state": OPEN, "due_ms": None, "error": error, "note": None, "resolved_by": None}
    return matched(session, failed.values(**values)) == 1


def requeue_overdue(session: Session, *, now_ms: int) -> int:
    """Send another message for returns that are a minute late; how many that are."""
    overdue = (C.due_ms.is_not(None), C.due_ms < db_now_ms() - OVERDUE_MS)
    lost = session.connection().scalars(select(C.id).where(*overdue).order_by(C.due_ms).limit(OVERDUE_MAX)).all()
    again = [
        (PAYMENTS_RETURN, CaseMessage(case_id=one))
        for one in lost
        if matched(session, update(CASES).where(C.id == one, *overdue).values(due_ms=db_now_ms()))
    ]
    outbox.enqueue_many(session, again, now_ms=now_ms)
    return len(again)


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    asked = ((C.state, wanted.state), (C.kind, wanted.kind), (C.provider, wanted.provider))
    return [column == value for column, value in asked if value is not None]


def _one(session: Session, condition: ColumnElement[bool], *, locked: bool = False) -> Case | None:
    statement = select(*COLUMNS).where(condition)
    row = session.connection().execute(statement.with_for_update() if locked else statement).mappings().one_or_none()
    return Case(**row) if row else None
