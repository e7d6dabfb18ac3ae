"""A gateway's books, day by day: which days are to be compared with ours, how far each has come, and what was found.

Whoever compares a day holds it: the moment at which it is due was moved ahead by them alone, so that moment is what
they hold it by. Every change says which moment it expects; who was too slow, and has lost the day to another, matches
no row.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.gateways.port import CHANNELS
from atelier.kernel.clock import DAY_MS, HOUR_MS, db_now_ms
from atelier.kernel.database import Again, is_duplicate, matched
from atelier.orders import cases, days
from atelier.orders.models import ORDERS
from atelier.orders.payment_models import CASES, FINDINGS, STATEMENTS

S = STATEMENTS.c
F = FINDINGS.c
WAITING: Final = "waiting"
RUNNING: Final = "running"
DONE: Final = "done"
READY_MS = DAY_MS + 10 * HOUR_MS
"""So long after a day's beginning its bill is there: at ten in the morning of the next."""
FINDINGS_KEPT_DAYS = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A day of a gateway's books as stored."""

    id: str
    provider: str
    day: str
    state: str
    place: int
    totals: Any
    tries: int
    error: str | None
    due_ms: int | None
    created_ms: int
    finished_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFinding:
    """A difference. `key` names it within its day, so that whoever finds it again adds nothing.

    theirs_fen, ours_fen  what the gateway's books and ours said when it was found; None: nothing
    outcome               what was done about it: `credited`, `late`, or the kind of the case
    """

    id: str
    statement_id: str
    key: str
    kind: str
    order_no: str
    payment_no: str | None
    theirs_fen: int | None
    ours_fen: int | None
    outcome: str
    case_id: str | None


COLUMNS = tuple(S[name] for name in Statement.__dataclass_fields__)


def missing(session: Session, *, provider: str, days_back: int) -> list[str]:
    """The days since the first order, up to yesterday, that nobody has written down yet; at most so many back."""
    first = select(func.min(ORDERS.c.created_ms), db_now_ms())
    first_ms, now_ms = session.connection().execute(first).one()
    if first_ms is None:
        return []
    today = days.day_of(now_ms)
    day = max(days.day_of(first_ms), days.shifted(today, -days_back))
    known = select(S.day).where(S.provider == provider, S.day >= day)
    written = set(session.connection().scalars(known))
    found: list[str] = []
    while day < today:
        if day not in written:
            found.append(day)
        day = days.shifted(day, 1)
    return found


def add(session: Session, *, provider: str, new: Mapping[str, str], now_ms: int) -> int:
    """Write down days, by their ids, that are to be compared once their bills are there; how many are new."""
    known = set(session.connection().scalars(select(S.day).where(S.provider == provider, S.day.in_(new))))
    rows: list[dict[str, Any]] = [
        {
            "id": statement_id,
            "provider": provider,
            "day": day,
            "state": WAITING,
            "place": 0,
            "totals": {},
            "tries": 0,
            "due_ms": days.begin_ms(day) + READY_MS,
            "created_ms": now_ms,
        }
        for day, statement_id in sorted(new.items())
        if day not in known
    ]
    try:
        if rows:
            session.connection().execute(insert(STATEMENTS), rows)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise
    return len(rows)


def claim(session: Session, *, providers: Collection[str], lease_ms: int) -> Statement | None:
    """Take the day that has been due for longest; None when nothing is due."""
    now_ms = session.connection().execute(select(db_now_ms())).scalar_one()
    due = select(*COLUMNS).where(S.due_ms <= now_ms, S.provider.in_(providers)).order_by(S.due_ms, S.id).limit(1)
    row = session.connection().execute(due).mappings().one_or_none()
    if row is None:
        return None
    taken = _changed(session, Statement(**row), state=RUNNING, due_ms=now_ms + lease_ms)
    if taken is None:
        raise Again  # Someone else has just taken it.
    return taken


def advance(session: Session, held: Statement, *, place: int, totals: Any, lease_ms: int) -> Statement | None:
    """So many lines were looked at; None when the day was lost to someone else, and nothing may be written then."""
    now_ms = session.connection().execute(select(db_now_ms())).scalar_one()
    return _changed(session, held, place=place, totals=totals, tries=0, error=None, due_ms=now_ms + lease_ms)


def finish(session: Session, held: Statement, *, totals: Any, error: str | None) -> Statement | None:
    """It is compared; None when the day was lost."""
    now_ms = session.connection().execute(select(db_now_ms())).scalar_one()
    return _changed(session, held, state=DONE, totals=totals, error=error, due_ms=None, finished_ms=now_ms)


def put_off(session: Session, held: Statement, *, wait_ms: int, error: str | None) -> Statement | None:
    """Go on later; with an error it was one more try in vain. None when the day was lost."""
    now_ms = session.connection().execute(select(db_now_ms())).scalar_one()
    tries = held.tries + 1 if error else held.tries
    return _changed(session, held, tries=tries, error=error, due_ms=now_ms + wait_ms)


def rerun(session: Session, *, statement_id: str) -> Statement | None:
    """Have it compared again from the first line; whoever is at it loses it. None when there is no such day."""
    known = find(session, statement_id=statement_id)
    if known is None:
        return None
    anew: dict[str, Any] = {"state": WAITING, "place": 0, "totals": {}, "tries": 0, "error": None, "finished_ms": None}
    session.connection().execute(update(STATEMENTS).where(S.id == statement_id).values(**anew, due_ms=db_now_ms()))
    return find(session, statement_id=statement_id)


def find(session: Session, *, statement_id: str) -> Statement | None:
    """A day by its id."""
    row = session.connection().execute(select(*COLUMNS).where(S.id == statement_id)).mappings().one_or_none()
    return Statement(**row) if row else None


def of_days(session: Session, *, provider: str, wanted: Sequence[str]) -> dict[str, Statement]:
    """Those of these days that were written down."""
    rows = session.connection().execute(select(*COLUMNS).where(S.provider == provider, S.day.in_(wanted))).mappings()
    return {row["day"]: Statement(**row) for row in rows}


def note(session: Session, new: NewFinding, *, now_ms: int) -> bool:
    """Write a difference down; False when it was known."""
    known = select(F.id).where(F.statement_id == new.statement_id, F.finding_key == new.key)
    if session.connection().execute(known).scalar_one_or_none() is not None:
        return False
    row = {
        "id": new.id,
        "statement_id": new.statement_id,
        "finding_key": new.key,
        "kind": new.kind,
        "order_no": new.order_no,
        "payment_no": new.payment_no,
        "theirs_fen": new.theirs_fen,
        "ours_fen": new.ours_fen,
        "outcome": new.outcome,
        "case_id": new.case_id,
        "created_ms": now_ms,
    }
    try:
        session.connection().execute(insert(FINDINGS), row)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the comparison has come.

    compared_ms  by gateway: when the newest day that is done had ended
    uncompared   days that were written down and are not done
    open         differences whose cases wait for a person
    """

    compared_ms: Mapping[str, int]
    uncompared: int
    open: int


def standing(session: Session) -> Standing:
    """Read it."""
    connection = session.connection()
    compared: dict[str, int] = {}
    for provider in CHANNELS:
        newest = select(S.day).where(S.provider == provider, S.state == DONE).order_by(S.day.desc()).limit(1)
        if day := connection.execute(newest).scalar_one_or_none():
            compared[provider] = days.begin_ms(day) + DAY_MS
    waiting = select(func.count()).select_from(STATEMENTS).where(S.due_ms.is_not(None))
    found = select(func.count()).select_from(CASES).join(FINDINGS, F.case_id == CASES.c.id)
    return Standing(
        compared_ms=compared,
        uncompared=connection.execute(waiting).scalar_one(),
        open=connection.execute(found.where(CASES.c.state == cases.OPEN)).scalar_one(),
    )


def _changed(session: Session, held: Statement, **values: Any) -> Statement | None:
    mine = update(STATEMENTS).where(S.id == held.id, S.due_ms == held.due_ms)
    return replace(held, **values) if matched(session, mine.values(values)) else None
