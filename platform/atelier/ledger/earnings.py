"""What creators earn: owed by every capture, paid out in groups.

A capture must not wait for the account of the agent's creator, or everyone who uses a popular agent would wait for one
row. So it only writes down what is owed, and a task pays that out soon after: many shares with the statements of one,
each exactly once, because its row is locked while it is due and its transfer has a key of its own. The creator of
something that is bought is paid in the same transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import BigInteger, String, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel import faults
from atelier.kernel.clock import DAY_MS, db_now_ms
from atelier.kernel.database import Again, is_duplicate
from atelier.ledger.models import EARNING_DAYS, EARNINGS
from atelier.ledger.posting import Posted, post
from atelier.ledger.shares import Earning

E = EARNINGS.c
D = EARNING_DAYS.c
AT_ONCE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidOut:
    """How many shares were paid out, and how the creators' accounts stand after it."""

    number: int
    accounts: tuple[Posted, ...]


def owe(session: Session, earnings: Iterable[Earning], *, now_ms: int) -> None:
    """Write down what is to be paid out, at once whatever any clock says."""
    rows = [asdict(one) | {"due_ms": AT_ONCE, "created_ms": now_ms} for one in earnings]
    if rows:
        session.connection().execute(insert(EARNINGS), rows)


def paid(session: Session, earning: Earning, *, now_ms: int, utc_offset_ms: int) -> None:
    """Write down what was paid in this transaction."""
    row = asdict(earning) | {"paid_ms": now_ms, "created_ms": now_ms}
    session.connection().execute(insert(EARNINGS), row)
    _add_up(session, [earning], begun_ms=day_ms(now_ms, utc_offset_ms=utc_offset_ms))


def pay_out(
    session: Session, *, transfer_ids: Sequence[str], now_ms: int, utc_offset_ms: int, only: str | None = None
) -> PaidOut:
    """Pay what is due, the oldest first, as many as there are ids; `only` is the `ref_id` of a single one.

    Whoever does so at the same time waits for the locks of the rows, and then finds others. Raises NoAccount.
    """
    found = _locked(session, limit=len(transfer_ids), only=only)
    moves = [
        move
        for one, transfer_id in zip(found, transfer_ids, strict=False)
        for move in one.moves(thing=f"{one.ref_type}:{one.ref_id}", transfer_id=transfer_id)
    ]
    posted = post(session, moves, now_ms=now_ms)
    if found:
        done = update(EARNINGS).where(E.ref_id.in_([one.ref_id for one in found]))
        session.connection().execute(done.values(due_ms=None, paid_ms=now_ms))
        _add_up(session, found, begun_ms=day_ms(now_ms, utc_offset_ms=utc_offset_ms))
        faults.point("shares.before_commit")
    # The last one of each account says how it stands.
    accounts = {one.account_id: one for one in posted if isinstance(one, Posted)}
    return PaidOut(number=len(found), accounts=tuple(accounts.values()))


def due(session: Session, *, limit: int) -> list[str]:
    """The `ref_id` of what is due, the oldest first."""
    return list(session.connection().scalars(select(E.ref_id).where(_IS_DUE).order_by(*_OLDEST).limit(limit)))


def put_off(session: Session, *, ref_id: str, wait_ms: int) -> None:
    """Let others go first: this one can't be paid out now."""
    waiting = update(EARNINGS).where(E.ref_id == ref_id, E.due_ms.is_not(None))
    session.connection().execute(waiting.values(due_ms=db_now_ms() + wait_ms))


_IS_DUE = E.due_ms <= db_now_ms()
_OLDEST = (E.due_ms, E.ref_id)
_EARNING = (E.ref_type, E.ref_id, E.creator_id, E.agent_id, E.gross, E.amount, E.note)


def _locked(session: Session, *, limit: int, only: str | None) -> list[Earning]:
    statement = select(*_EARNING).where(_IS_DUE).order_by(*_OLDEST).limit(limit).with_for_update()
    if only is not None:
        statement = statement.where(E.ref_id == only)
    return [Earning(**row) for row in session.connection().execute(statement).mappings()]


def day_ms(now_ms: int, *, utc_offset_ms: int) -> int:
    """When the operator's day began."""
    return (now_ms + utc_offset_ms) // DAY_MS * DAY_MS - utc_offset_ms


_MORE = (
    update(EARNING_DAYS)
    .where(
        D.creator_id == bindparam("creator", type_=String),
        D.day_ms == bindparam("day", type_=BigInteger),
        D.agent_id == bindparam("agent", type_=String),
    )
    .values(
        number=D.number + bindparam("more", type_=BigInteger),
        gross=D.gross + bindparam("more_gross", type_=BigInteger),
        amount=D.amount + bindparam("more_amount", type_=BigInteger),
    )
)


def _add_up(session: Session, earnings: Iterable[Earning], *, begun_ms: int) -> None:
    """Add them to the sums of the day that began then."""
    sums: dict[tuple[str, str], list[int]] = {}
    for one in earnings:
        total = sums.setdefault((one.creator_id, one.agent_id), [0, 0, 0])
        total[:] = total[0] + 1, total[1] + one.gross, total[2] + one.amount
    connection = session.connection()
    creators = sorted({creator_id for creator_id, _ in sums})
    there = select(D.creator_id, D.agent_id).where(D.creator_id.in_(creators), D.day_ms == begun_ms)
    known = {(row[0], row[1]) for row in connection.execute(there)}
    new: list[dict[str, Any]] = []
    more: list[dict[str, Any]] = []
    for (creator_id, agent_id), total in sorted(sums.items()):
        names, rows = (_ADDED, more) if (creator_id, agent_id) in known else (D.keys(), new)
        rows.append(dict(zip(names, (creator_id, begun_ms, agent_id, *total), strict=True)))
    try:
        if new:
            connection.execute(insert(EARNING_DAYS), new)
    except IntegrityError as error:
        # Whoever pays a creator has locked their account; but shares of nothing lock none, and may come first.
        if is_duplicate(error):
            raise Again from error
        raise
    if more:
        connection.execute(_MORE, more)


_ADDED = ("creator", "day", "agent", "more", "more_gross", "more_amount")
