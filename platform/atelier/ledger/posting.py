"""The one function that changes balances.

1. Lock the user accounts concerned, in the order of their ids (SQLite's writer has locked everything already).
2. Apply each move in turn to the counters in memory; a move that one cannot afford is refused and changes nothing.
3. Write all transfers with one INSERT, whose unique keys refuse what was done before, then the counters with one
   UPDATE per kind of change.

A hundred moves of one price cost the same three statements as one, so submissions and settlements are written in
company. The CHECK constraints stand behind the arithmetic, and UNIQUE(account, version) behind the lock. What passes
from one system account to another changes no counter: it is a transfer and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BigInteger, bindparam, insert, select, update
from sqlalchemy.orm import Session

from atelier.kernel.database import any_of, filled
from atelier.ledger.errors import InsufficientCredits, NoAccount
from atelier.ledger.models import ACCOUNTS, TRANSFERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of one user account, and the transfer that records it.

    credit, debit   change of what is posted, credits ≥ 0
    pending         change of what is held, positive for a hold, negative for its end
    amount          what the transfer says was moved
    """

    transfer_id: str
    key: str
    kind: str
    account_id: str
    counter_id: str
    amount: int
    credit: int = 0
    debit: int = 0
    pending: int = 0
    pending_id: str | None = None
    ref_type: str | None = None
    ref_id: str | None = None
    note: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A movement from one system account to another."""

    transfer_id: str
    key: str
    kind: str
    debit_id: str
    credit_id: str
    amount: int
    ref_type: str | None = None
    ref_id: str | None = None
    note: str | None = None


@dataclass(slots=True)
class Counters:
    """An account's counters, as locked."""

    credits: int
    debits: int
    pending: int
    version: int

    @property
    def balance(self) -> int:
        """Posted credits."""
        return self.credits - self.debits

    @property
    def available(self) -> int:
        """What may be spent."""
        return self.credits - self.debits - self.pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The account after a move."""

    account_id: str
    balance: int
    held: int
    version: int

    @property
    def available(self) -> int:
        """What may be spent."""
        return self.balance - self.held


def post(
    session: Session, moves: Sequence[Move], *, now_ms: int, passages: Iterable[Passage] = ()
) -> list[Posted | InsufficientCredits]:
    """Carry out the moves in order; each is posted, or refused without a trace. Raises NoAccount.

    The passages are carried out whatever becomes of the moves: who passes on what a move brings makes sure of it.
    """
    before = locked(session, {move.account_id for move in moves})
    counters = {account_id: replace(account) for account_id, account in before.items()}
    outcomes: list[Posted | InsufficientCredits] = []
    transfers: list[dict[str, Any]] = []
    for move in moves:
        account = counters[move.account_id]
        if move.debit + move.pending > 0 and account.available < move.debit + move.pending:
            outcomes.append(InsufficientCredits(balance=account.available, required=move.debit + move.pending))
            continue
        account.credits += move.credit
        account.debits += move.debit
        account.pending += move.pending
        account.version += 1
        transfers.append(_transfer(move, account, now_ms))
        outcomes.append(
            Posted(account_id=move.account_id, balance=account.balance, held=account.pending, version=account.version)
        )
    transfers += [_passage(one, now_ms) for one in passages]
    if transfers:
        session.connection().execute(_INSERT, filled(transfers, *_OPTIONAL))
        _write(session, before, counters)
    return outcomes


def locked(session: Session, account_ids: Iterable[str]) -> dict[str, Counters]:
    """The counters of these user accounts, which nobody else changes until this transaction has ended.

    Raises NoAccount.
    """
    wanted = sorted(account_ids)
    if not wanted:
        return {}
    found = session.connection().execute(_LOCK, {"accounts": wanted})
    counters = {row[0]: Counters(row[1], row[2], row[3], row[4]) for row in found}
    if len(counters) != len(wanted):
        raise NoAccount(next(account_id for account_id in wanted if account_id not in counters))
    return counters


def _write(session: Session, before: Mapping[str, Counters], after: Mapping[str, Counters]) -> None:
    """Accounts that change alike are written by one statement: a group of equal prices costs one UPDATE."""
    alike: dict[tuple[int, int, int, int], list[str]] = {}
    for account_id, now in after.items():
        was = before[account_id]
        if now.version > was.version:
            change = (
                now.credits - was.credits,
                now.debits - was.debits,
                now.pending - was.pending,
                now.version - was.version,
            )
            alike.setdefault(change, []).append(account_id)
    for (credit, debit, pending, steps), account_ids in alike.items():
        session.connection().execute(
            _CHANGE,
            {"credit": credit, "debit": debit, "pending": pending, "steps": steps, "accounts": sorted(account_ids)},
        )


_A = ACCOUNTS.c
_LOCK = (
    select(_A.id, _A.credits_posted, _A.debits_posted, _A.debits_pending, _A.version)
    .where(_A.id.in_(any_of("accounts")), _A.kind == "user")
    .order_by(_A.id)
    .with_for_update()
)
_CHANGE = (
    update(ACCOUNTS)
    .where(_A.id.in_(any_of("accounts")))
    .values(
        credits_posted=_A.credits_posted + bindparam("credit", type_=BigInteger),
        debits_posted=_A.debits_posted + bindparam("debit", type_=BigInteger),
        debits_pending=_A.debits_pending + bindparam("pending", type_=BigInteger),
        version=_A.version + bindparam("steps", type_=BigInteger),
    )
)


_INSERT = insert(TRANSFERS)
_OPTIONAL = ("pending_id", "ref_type", "ref_id", "note", "actor")


def _transfer(move: Move, account: Counters, now_ms: int) -> dict[str, Any]:
    inward = move.credit > 0
    return {
        "id": move.transfer_id,
        "key": move.key,
        "kind": move.kind,
        "debit_id": move.counter_id if inward else move.account_id,
        "credit_id": move.account_id if inward else move.counter_id,
        "amount": move.amount,
        "pending_id": move.pending_id,
        "account_id": move.account_id,
        "account_version": account.version,
        "balance_after": account.balance,
        "ref_type": move.ref_type,
        "ref_id": move.ref_id,
        "note": move.note,
        "actor": move.actor,
        "created_ms": now_ms,
    }


def _passage(one: Passage, now_ms: int) -> dict[str, Any]:
    return {
        "id": one.transfer_id,
        "key": one.key,
        "kind": one.kind,
        "debit_id": one.debit_id,
        "credit_id": one.credit_id,
        "amount": one.amount,
        "pending_id": None,
        "account_id": None,
        "account_version": None,
        "balance_after": None,
        "ref_type": one.ref_type,
        "ref_id": one.ref_id,
        "note": one.note,
        "actor": None,
        "created_ms": now_ms,
    }
