"""What the nightly comparison found, as administrators see it, and having a day compared anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.kernel.clock import DAY_MS, db_now_ms
from atelier.orders import cases, days, statements
from atelier.orders.errors import StatementNotFound, StatementTooOld
from atelier.orders.payment_models import CASES, FINDINGS, STATEMENTS
from atelier.orders.statements import Statement
from atelier.payments.comparing import DAYS_BACK

S = STATEMENTS.c
F = FINDINGS.c
C = CASES.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which days: of a gateway, in a state, of a time (both ends are days, and belong to it)."""

    provider: str | None = None
    state: str | None = None
    from_day: str | None = None
    until_day: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Differences of one kind: how many, what the two books said of them, and how many wait for a person."""

    number: int = 0
    theirs_fen: int = 0
    ours_fen: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A day, with its differences by their kinds."""

    statement: Statement
    found: Mapping[str, Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference. `case_state` is that of its case now, None when there is none."""

    id: str
    finding_key: str
    kind: str
    order_no: str
    payment_no: str | None
    theirs_fen: int | None
    ours_fen: int | None
    outcome: str
    case_id: str | None
    case_state: str | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """An administrator wants a day compared anew, and says why."""

    statement_id: str
    admin_id: str
    reason: str
    address: str | None
    user_agent: str | None


def page(session: Session, *, wanted: Wanted, offset: int, limit: int) -> tuple[list[Report], int]:
    """A page of days, the newest first, and how many there are."""
    conditions = _conditions(wanted)
    chosen = select(*statements.COLUMNS).where(*conditions).order_by(S.day.desc(), S.provider)
    rows = session.connection().execute(chosen.offset(offset).limit(limit)).mappings()
    found = [Statement(**row) for row in rows]
    counted = select(func.count()).select_from(STATEMENTS).where(*conditions)
    kinds = _found(session, [one.id for one in found])
    reports = [Report(statement=one, found=kinds.get(one.id, {})) for one in found]
    return reports, session.connection().execute(counted).scalar_one()


def one(session: Session, *, statement_id: str) -> Report:
    """Raises StatementNotFound."""
    statement = statements.find(session, statement_id=statement_id)
    if statement is None:
        raise StatementNotFound
    return Report(statement=statement, found=_found(session, [statement_id]).get(statement_id, {}))


def findings(session: Session, *, statement_id: str, kind: str | None, after: str | None, limit: int) -> list[Finding]:
    """Differences of a day in the order of their keys, those after the one with the id `after`."""
    columns = (*(F[name] for name in Finding.__dataclass_fields__ if name != "case_state"), C.state.label("case_state"))
    chosen = select(*columns).join_from(FINDINGS, CASES, C.id == F.case_id, isouter=True)
    chosen = chosen.where(F.statement_id == statement_id).order_by(F.finding_key)
    if kind:
        chosen = chosen.where(F.finding_key.startswith(f"{kind}:", autoescape=True))
    if after:
        last = select(F.finding_key).where(F.id == after, F.statement_id == statement_id)
        chosen = chosen.where(F.finding_key > (session.connection().execute(last).scalar_one_or_none() or ""))
    return [Finding(**row) for row in session.connection().execute(chosen.limit(limit)).mappings()]


def rerun(session: Session, wanted: Rerun, *, now_ms: int) -> Report:
    """Have the day compared from its first line. Raises StatementNotFound, and StatementTooOld if its bill is gone."""
    known = one(session, statement_id=wanted.statement_id).statement
    today_ms = session.connection().execute(select(db_now_ms())).scalar_one()
    if today_ms - days.begin_ms(known.day) > DAYS_BACK[known.provider] * DAY_MS:
        raise StatementTooOld
    statements.rerun(session, statement_id=known.id)
    operation = oplog.Operation(
        action="ADMIN_STATEMENT_RERUN",
        user_id=wanted.admin_id,
        resource_type="payment_statement",
        resource_id=known.id,
        details={"provider": known.provider, "day": known.day, "reason": wanted.reason},
        address=wanted.address,
        user_agent=wanted.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)
    return one(session, statement_id=known.id)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.provider:
        conditions.append(S.provider == wanted.provider)
    if wanted.state:
        conditions.append(S.state == wanted.state)
    if wanted.from_day:
        conditions.append(S.day >= wanted.from_day)
    if wanted.until_day:
        conditions.append(S.day <= wanted.until_day)
    return conditions


def _found(session: Session, statement_ids: Sequence[str]) -> dict[str, dict[str, Found]]:
    waiting = func.sum(case((C.state == cases.OPEN, 1), else_=0))
    fen = (func.coalesce(func.sum(F.theirs_fen), 0), func.coalesce(func.sum(F.ours_fen), 0))
    rows = session.connection().execute(
        select(F.statement_id, F.kind, func.count(), *fen, waiting)
        .join_from(FINDINGS, CASES, C.id == F.case_id, isouter=True)
        .where(F.statement_id.in_(statement_ids))
        .group_by(F.statement_id, F.kind)
        .order_by(F.statement_id, F.kind)
    )
    found: dict[str, dict[str, Found]] = {}
    for statement_id, kind, number, theirs_fen, ours_fen, opened in rows:
        of_kind = Found(number=number, theirs_fen=int(theirs_fen), ours_fen=int(ours_fen), open=int(opened))
        found.setdefault(statement_id, {})[kind] = of_kind
    return found
