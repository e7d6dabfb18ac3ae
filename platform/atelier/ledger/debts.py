"""Credits for which money was paid back: taken from what is available, and the rest owed by what comes next.

Nothing becomes negative by it. What a user has spent before a refund, or set aside for a job that runs, is a debt.
Every later top-up pays debts first, in the transaction that posts it. Whatever else becomes available while something
is owed, such as credits of a job that was canceled, is collected soon after: see `payable`. The account is locked
before its debts, everywhere.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from atelier.ledger import models
from atelier.ledger.errors import InsufficientCredits
from atelier.ledger.models import ACCOUNTS, DEBTS
from atelier.ledger.posting import Move, Posted, locked, post

A = ACCOUNTS.c
D = DEBTS.c
OPEN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack:
    """Take back `credits` of a user for the thing that `ref_type` and `ref_id` name."""

    transfer_id: str
    user_id: str
    credits: int
    ref_type: str
    ref_id: str
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """What was there to be taken; the rest is owed. `account` is None when there was nothing."""

    taken: int
    owed: int
    account: Posted | None


def take_back(session: Session, one: TakeBack, *, now_ms: int) -> TakenBack:
    """Take what is available, and write down what is missing. Raises NoAccount."""
    available = max(0, locked(session, [one.user_id])[one.user_id].available)
    taken = min(available, one.credits)
    account = None
    if taken:
        key = f"clawback:{one.ref_type}:{one.ref_id}"
        account = _posted(session, _move(one, key=key, kind="clawback", debit=taken), now_ms=now_ms)
    if owed := one.credits - taken:
        row = {
            "ref_id": one.ref_id,
            "user_id": one.user_id,
            "amount": owed,
            "paid": 0,
            "open": OPEN,
            "note": one.note,
            "created_ms": now_ms,
        }
        session.connection().execute(insert(DEBTS), row)
    return TakenBack(taken=taken, owed=owed, account=account)


def pay(
    session: Session, *, user_id: str, ref_type: str, cause: str, transfer_ids: Sequence[str], now_ms: int
) -> Posted | None:
    """Pay a user's debts, the oldest first, from what is available now; as many as there are ids. None: nothing owed.

    `cause` names what brought the credits, so that no debt is paid twice by it.
    """
    available = locked(session, [user_id])[user_id].available
    rows = session.connection().execute(
        select(D.ref_id, D.amount - D.paid, D.note)
        .where(D.user_id == user_id, D.open == OPEN)
        .order_by(D.ref_id)
        .limit(len(transfer_ids))
        .with_for_update()
    )
    account = None
    for (ref_id, owed, note), transfer_id in zip(rows.all(), transfer_ids, strict=False):
        part = min(owed, available)
        if part <= 0:
            break
        available -= part
        debt = TakeBack(
            transfer_id=transfer_id, user_id=user_id, credits=part, ref_type=ref_type, ref_id=ref_id, note=note
        )
        account = _posted(
            session, _move(debt, key=f"clawback:debt:{ref_id}:{cause}", kind="clawback", debit=part), now_ms=now_ms
        )
        ended = {"open": None, "ended_ms": now_ms} if part == owed else {}
        session.connection().execute(update(DEBTS).where(D.ref_id == ref_id).values(paid=D.paid + part, **ended))
    return account


def give_back(session: Session, one: TakeBack, *, now_ms: int) -> Posted | None:
    """The money was not paid back after all: undo what `take_back` took and wrote down, and what was paid of it since.

    `one.credits` is what was taken at once. None when nothing had been taken. Raises NoAccount.
    """
    locked(session, [one.user_id])
    debt = (
        session.connection()
        .execute(select(D.paid).where(D.ref_id == one.ref_id, D.user_id == one.user_id).with_for_update())
        .one_or_none()
    )
    if debt is not None:
        session.connection().execute(update(DEBTS).where(D.ref_id == one.ref_id).values(open=None, ended_ms=now_ms))
    total = one.credits + (debt.paid if debt else 0)
    if not total:
        return None
    key = f"restore:{one.ref_type}:{one.ref_id}"
    return _posted(session, _move(one, key=key, kind="restore", credit=total), now_ms=now_ms)


def payable(session: Session, *, limit: int) -> list[str]:
    """Users who owe something and have something."""
    found = (
        select(D.user_id)
        .join(ACCOUNTS, A.id == D.user_id)
        .where(D.open == OPEN, A.credits_posted - A.debits_posted > A.debits_pending)
        .distinct()
        .limit(limit)
    )
    return list(session.connection().scalars(found))


def left(session: Session, *, ref_id: str) -> int:
    """What is still owed of one debt; 0 when there is none."""
    one = select(D.amount - D.paid).where(D.ref_id == ref_id, D.open == OPEN)
    return int(session.connection().execute(one).scalar_one_or_none() or 0)


def owed(session: Session, *, user_id: str) -> int:
    """What a user owes."""
    return owed_by(session, user_ids=[user_id])[user_id]


def owed_by(session: Session, *, user_ids: Collection[str]) -> dict[str, int]:
    """What each of these users owes."""
    found = dict.fromkeys(user_ids, 0)
    rows = session.connection().execute(
        select(D.user_id, func.sum(D.amount - D.paid))
        .where(D.open == OPEN, D.user_id.in_(list(user_ids)))
        .group_by(D.user_id)
    )
    for user_id, debt in rows:
        found[user_id] = int(debt)
    return found


def _move(one: TakeBack, *, key: str, kind: str, debit: int = 0, credit: int = 0) -> Move:
    return Move(
        transfer_id=one.transfer_id,
        key=key,
        kind=kind,
        account_id=one.user_id,
        counter_id=models.TOPUP,
        amount=debit or credit,
        debit=debit,
        credit=credit,
        ref_type=one.ref_type,
        ref_id=one.ref_id,
        note=one.note,
    )


def _posted(session: Session, move: Move, *, now_ms: int) -> Posted:
    (outcome,) = post(session, [move], now_ms=now_ms)
    if isinstance(outcome, InsufficientCredits):  # The account is locked, and the amount was what it has.
        raise outcome
    return outcome
