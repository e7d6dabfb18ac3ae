"""Reading the ledger: balances, statements, and what creators earned."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from atelier.ledger.models import ACCOUNTS, EARNING_DAYS, EARNINGS, TRANSFERS

COUNTED_MAX = 10_000
# What a person sees as a line of the statement: holds and releases move nothing.
POSTED_KINDS = ("capture", "topup", "bonus", "consume", "purchase", "clawback", "restore", "share", "adjust")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """balance = posted credits; held = open holds; available = balance − held; spent = everything ever taken."""

    balance: int
    held: int
    spent: int
    version: int

    @property
    def available(self) -> int:
        """What may be spent."""
        return self.balance - self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a statement. `amount` is signed; `balance_after` is what was posted after it.

    `version` is the account's after it: it orders the statement.
    """

    id: str
    version: int
    kind: str
    amount: int
    balance_after: int
    note: str | None
    ref_type: str | None
    ref_id: str | None
    created_ms: int


def balance(session: Session, *, user_id: str) -> Balance:
    """A user's balance; zeros for someone without an account."""
    row = (
        session.connection()
        .execute(
            select(
                ACCOUNTS.c.credits_posted, ACCOUNTS.c.debits_posted, ACCOUNTS.c.debits_pending, ACCOUNTS.c.version
            ).where(ACCOUNTS.c.id == user_id)
        )
        .one_or_none()
    )
    if row is None:
        return Balance(balance=0, held=0, spent=0, version=0)
    return Balance(balance=row[0] - row[1], held=row[2], spent=row[1], version=row[3])


def balances(session: Session, *, user_ids: Collection[str]) -> dict[str, Balance]:
    """The balances of these users; zeros for those without an account."""
    found = dict.fromkeys(user_ids, Balance(balance=0, held=0, spent=0, version=0))
    columns = ACCOUNTS.c
    rows = session.connection().execute(
        select(
            columns.id, columns.credits_posted, columns.debits_posted, columns.debits_pending, columns.version
        ).where(columns.id.in_(list(user_ids)))
    )
    for user_id, credits_posted, debits_posted, pending, version in rows:
        found[user_id] = Balance(
            balance=credits_posted - debits_posted, held=pending, spent=debits_posted, version=version
        )
    return found


def statement(session: Session, *, user_id: str, offset: int, limit: int) -> tuple[list[Line], int]:
    """A page of the statement, newest first, and how many lines there are (counted up to COUNTED_MAX)."""
    rows = session.connection().execute(_lines(user_id).offset(offset).limit(limit))
    lines = [_line(row, user_id) for row in rows]
    counted = select(TRANSFERS.c.id).where(*_posted(user_id)).limit(COUNTED_MAX).subquery()
    return lines, session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


def statement_before(session: Session, *, user_id: str, version: int | None, limit: int) -> list[Line]:
    """The newest lines of the statement, or those that come before the line of this version."""
    wanted = _lines(user_id).limit(limit)
    if version is not None:
        wanted = wanted.where(TRANSFERS.c.account_version < version)
    return [_line(row, user_id) for row in session.connection().execute(wanted)]


def _posted(user_id: str) -> tuple[ColumnElement[bool], ...]:
    return TRANSFERS.c.account_id == user_id, TRANSFERS.c.kind.in_(POSTED_KINDS)


def _lines(user_id: str) -> Select[*tuple[Any, ...]]:
    columns = TRANSFERS.c
    shown = (
        *(columns.id, columns.account_version, columns.kind, columns.amount, columns.credit_id),
        *(columns.balance_after, columns.note, columns.ref_type, columns.ref_id, columns.created_ms),
    )
    return select(*shown).where(*_posted(user_id)).order_by(columns.account_version.desc())


def _line(row: Any, user_id: str) -> Line:
    return Line(
        id=row.id,
        version=row.account_version,
        kind=row.kind,
        amount=row.amount if row.credit_id == user_id else -row.amount,
        balance_after=row.balance_after,
        note=row.note,
        ref_type=row.ref_type,
        ref_id=row.ref_id,
        created_ms=row.created_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLine:
    """Credits that were set aside, and what became of them: `taken` is 0 after a release, None while it is open."""

    transfer_id: str
    amount: int
    created_ms: int
    resolution: str | None
    taken: int | None
    resolved_ms: int | None


def hold_line(session: Session, *, key: str) -> HoldLine | None:
    """The hold with this business key."""
    ended = TRANSFERS.alias()
    columns = TRANSFERS.c
    row = (
        session.connection()
        .execute(
            select(columns.id, columns.amount, columns.created_ms, ended.c.kind, ended.c.amount, ended.c.created_ms)
            .select_from(TRANSFERS.outerjoin(ended, ended.c.pending_id == columns.id))
            .where(columns.key == key)
        )
        .one_or_none()
    )
    if row is None:
        return None
    taken = None if row[3] is None else row[4] if row[3] == "capture" else 0
    return HoldLine(
        transfer_id=row[0], amount=row[1], created_ms=row[2], resolution=row[3], taken=taken, resolved_ms=row[5]
    )


@dataclass(frozen=True, slots=True)
class EarnedLine:
    """A share that a creator was paid: `amount` of `gross`, for the thing that `ref_type` and `ref_id` name."""

    ref_type: str
    ref_id: str
    agent_id: str
    gross: int
    amount: int
    paid_ms: int


@dataclass(frozen=True, slots=True)
class Earned:
    """How many shares, of how much in all, and how much they were."""

    number: int = 0
    gross: int = 0
    amount: int = 0

    def __add__(self, other: "Earned") -> "Earned":
        """Both together."""
        return Earned(self.number + other.number, self.gross + other.gross, self.amount + other.amount)


def earned_lines(
    session: Session, *, creator_id: str, from_ms: int | None, until_ms: int | None, offset: int, limit: int
) -> tuple[list[EarnedLine], int]:
    """A page of what a creator was paid, newest first, and how many lines there are (counted up to COUNTED_MAX)."""
    mine = _earned(creator_id, from_ms=from_ms, until_ms=until_ms)
    rows = session.connection().execute(_EARNED_LINES.where(*mine).offset(offset).limit(limit))
    lines = [EarnedLine(**row) for row in rows.mappings()]
    counted = select(EARNINGS.c.ref_id).where(*mine).limit(COUNTED_MAX).subquery()
    return lines, session.connection().execute(select(func.count()).select_from(counted)).scalar_one()


def earned_before(
    session: Session,
    *,
    creator_id: str,
    from_ms: int | None,
    until_ms: int | None,
    last: EarnedLine | None,
    limit: int,
) -> list[EarnedLine]:
    """The newest lines of the same, or those that come after the `last` one of a page."""
    mine = _earned(creator_id, from_ms=from_ms, until_ms=until_ms)
    if last is not None:
        paid_ms, ref_id = EARNINGS.c.paid_ms, EARNINGS.c.ref_id
        mine.append(or_(paid_ms < last.paid_ms, and_(paid_ms == last.paid_ms, ref_id < last.ref_id)))
    rows = session.connection().execute(_EARNED_LINES.where(*mine).limit(limit))
    return [EarnedLine(**row) for row in rows.mappings()]


def _earned(creator_id: str, *, from_ms: int | None, until_ms: int | None) -> list[ColumnElement[bool]]:
    columns = EARNINGS.c
    mine: list[ColumnElement[bool]] = [columns.creator_id == creator_id, columns.paid_ms.is_not(None)]
    if from_ms is not None:
        mine.append(columns.paid_ms >= from_ms)
    if until_ms is not None:
        mine.append(columns.paid_ms < until_ms)
    return mine


_EARNED_LINES = select(*(EARNINGS.c[field.name] for field in fields(EarnedLine))).order_by(
    EARNINGS.c.paid_ms.desc(), EARNINGS.c.ref_id.desc()
)


def earned_by_agent(session: Session, *, creator_id: str, since_ms: Sequence[int]) -> dict[str, list[Earned]]:
    """What each of a creator's agents has earned since each of these beginnings of days."""
    columns = EARNING_DAYS.c
    summed = [
        func.coalesce(func.sum(case((columns.day_ms >= since, each), else_=0)), 0)
        for since in since_ms
        for each in (columns.number, columns.gross, columns.amount)
    ]
    rows = session.connection().execute(
        select(columns.agent_id, *summed).where(columns.creator_id == creator_id).group_by(columns.agent_id)
    )
    return {
        agent_id: [Earned(*(int(one) for one in sums[at : at + 3])) for at in range(0, len(sums), 3)]
        for agent_id, *sums in rows
    }


def owed(session: Session, *, creator_id: str) -> int:
    """How much a creator will be paid for what was captured already."""
    columns = EARNINGS.c
    waiting = select(func.coalesce(func.sum(columns.amount), 0)).where(
        columns.creator_id == creator_id, columns.paid_ms.is_(None)
    )
    return int(session.connection().execute(waiting).scalar_one())
