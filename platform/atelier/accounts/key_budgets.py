"""What the jobs of a key hold and have used: two counters in the key's row, changed where jobs begin and end.

Rows of keys are locked after those of jobs and projects, and before those of accounts. A group of jobs that came
without keys costs no statement; any other costs one to lock and one to change, however many jobs and keys it has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, case, select, update
from sqlalchemy.orm import Session

from atelier.accounts.api_keys import is_active
from atelier.accounts.errors import KeyCreditsExhausted
from atelier.accounts.key_models import KEYS
from atelier.kernel.errors import Refusal, Unauthorized

K = KEYS.c


@dataclass(frozen=True, slots=True)
class Spending:
    """What one job of a key holds (at its beginning), or held and has used (at its end)."""

    key_id: str
    held: int
    used: int = 0


@dataclass(slots=True)
class Budget:
    """How a locked key stands. `limit` None: only the user's credits limit it; not `active`: it has ended meanwhile."""

    limit: int | None
    spent: int
    active: bool


@dataclass(slots=True)
class Budgets:
    """The keys of a group of new jobs, locked until the transaction ends."""

    by_key: dict[str, Budget] = field(default_factory=dict[str, Budget])
    taken: Counter[str] = field(default_factory=Counter[str])

    def refusal(self, key_id: str, amount: int) -> Refusal | None:
        """Why the key may not hold so much more, if it may not."""
        budget = self.by_key.get(key_id)
        if budget is None or not budget.active:
            return Unauthorized()
        if budget.limit is not None and budget.spent + amount > budget.limit:
            return KeyCreditsExhausted(limit=budget.limit, spent=budget.spent, required=amount)
        return None

    def take(self, spendings: Iterable[Spending]) -> None:
        """These jobs hold so much of their keys'."""
        for one in spendings:
            self.by_key[one.key_id].spent += one.held
            self.taken[one.key_id] += one.held


def lock(session: Session, key_ids: Iterable[str]) -> Budgets:
    """How these keys stand; one that is not there is not in it."""
    wanted = sorted(set(key_ids))
    if not wanted:
        return Budgets()
    rows = session.connection().execute(
        select(K.id, K.credit_limit, K.credits_held + K.credits_used, case((is_active(), 1), else_=0))
        .where(K.id.in_(wanted))
        .order_by(K.id)
        .with_for_update()
    )
    return Budgets({row[0]: Budget(row[1], row[2], bool(row[3])) for row in rows})


def hold(session: Session, budgets: Budgets) -> None:
    """Write down what was taken of them."""
    _add(session, held={key_id: amount for key_id, amount in budgets.taken.items() if amount}, used={})


def settle(session: Session, spendings: Iterable[Spending]) -> None:
    """These jobs hold nothing any longer, and have used so much."""
    held, used = Counter[str](), Counter[str]()
    for one in spendings:
        held[one.key_id] -= one.held
        used[one.key_id] += one.used
    _add(session, held=held, used=used)


def _add(session: Session, *, held: Mapping[str, int], used: Mapping[str, int]) -> None:
    changed = sorted(key_id for key_id in {*held, *used} if held.get(key_id) or used.get(key_id))
    if not changed:
        return
    values: dict[Any, ColumnElement[int]] = {
        column: column + case({key_id: by.get(key_id, 0) for key_id in changed}, value=K.id)
        for column, by in ((K.credits_held, held), (K.credits_used, used))
        if by
    }
    session.connection().execute(update(KEYS).where(K.id.in_(changed)).values(values))
