"""Credits that go back, what is owed of them, and how it is paid: against a model, and with many threads at once."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.kernel.database import Database, is_duplicate
from atelier.kernel.ids import new_id
from atelier.ledger import debts
from atelier.ledger import service as ledger
from atelier.ledger.debts import TakeBack
from atelier.ledger.errors import InsufficientCredits
from atelier.ledger.models import DEBTS
from atelier.ledger.posting import Posted
from atelier.ledger.service import Hold, Resolution
from tests.jobs.lifecycle import Workshop, terms
from tests.ledger.test_races import a_hold, at_once, kinds

REF = "refund"
IDS = 8
OF_REFUNDS = {"clawback.refund", "debt.refund"}


@pytest.fixture
def shop(database_url: str) -> Iterator["Shop"]:
    db = Database(database_url, pool_size=16)
    yield Shop(db)
    db.close()


class Shop(Workshop):
    """Credits that are bought, and go back."""

    def buy(self, user_id: str, amount: int, *, ids: int = IDS) -> Posted:
        """A top-up, which pays debts first; the account after it."""
        return self.db.transact(_buy, self, user_id=user_id, amount=amount, ids=ids)

    def take(self, user_id: str, amount: int, *, ref_id: str | None = None) -> TakeBack:
        """So much goes back."""
        one = TakeBack(
            transfer_id=new_id(), user_id=user_id, credits=amount, ref_type=REF, ref_id=ref_id or new_id(), note="N1"
        )
        self.db.transact(debts.take_back, one, now_ms=1)
        return one

    def undo(self, user_id: str, ref_id: str, taken: int) -> Posted | None:
        """It does not go back after all."""
        one = TakeBack(transfer_id=new_id(), user_id=user_id, credits=taken, ref_type=REF, ref_id=ref_id)
        return self.db.transact(debts.give_back, one, now_ms=3)

    def collect(self, user_id: str) -> Posted | None:
        """Pay from what is there."""
        return self.db.transact(_pay, user_id=user_id, ids=IDS)

    def owed(self, user_id: str) -> int:
        """What the user owes."""
        return self.db.read(debts.owed, user_id=user_id)

    def broken(self) -> dict[str, int]:
        """What the doctor minds, but that nothing of this was for a refund: those are told of in tests/payments."""
        return {name: count for name, count in self.examine().totals.items() if name not in OF_REFUNDS}

    def debts(self, user_id: str) -> list[tuple[int, int, bool]]:
        """Amount, what is paid, and whether it is open; the oldest first."""
        return self.db.read(_debts, user_id=user_id)


def _buy(session: Session, shop: Shop, *, user_id: str, amount: int, ids: int) -> Posted:
    account = ledger.topup(session, shop.entry(user_id, amount, "topup"), now_ms=2)
    return _pay(session, user_id=user_id, ids=ids) or account


def _pay(session: Session, *, user_id: str, ids: int) -> Posted | None:
    transfer_ids = [new_id() for _ in range(ids)]
    return debts.pay(session, user_id=user_id, ref_type=REF, cause=new_id(), transfer_ids=transfer_ids, now_ms=2)


def _debts(session: Session, *, user_id: str) -> list[tuple[int, int, bool]]:
    columns = DEBTS.c
    mine = select(columns.amount, columns.paid, columns.open).where(columns.user_id == user_id).order_by(columns.ref_id)
    return [(row[0], row[1], row[2] is not None) for row in session.execute(mine)]


# -- a model on half a page


@dataclass
class Debt:
    amount: int
    paid: int = 0
    open: bool = True


@dataclass
class Model:
    """What a user has, holds and owes."""

    available: int = 0
    held: list[int] = field(default_factory=list[int])
    taken: dict[str, int] = field(default_factory=dict[str, int])
    debts: dict[str, Debt] = field(default_factory=dict[str, Debt])

    def take(self, ref_id: str, amount: int) -> None:
        taken = min(self.available, amount)
        self.available -= taken
        self.taken[ref_id] = taken
        if amount > taken:
            self.debts[ref_id] = Debt(amount - taken)

    def pay(self, most: int = IDS) -> None:
        for _, debt in sorted(self.open())[:most]:
            part = min(debt.amount - debt.paid, self.available)
            self.available -= part
            debt.paid += part
            debt.open = debt.paid < debt.amount

    def undo(self, ref_id: str) -> None:
        self.available += self.taken.pop(ref_id)
        if debt := self.debts.get(ref_id):
            self.available += debt.paid
            debt.open = False

    def open(self) -> list[tuple[str, Debt]]:
        return [(ref_id, debt) for ref_id, debt in self.debts.items() if debt.open]


class Machine(RuleBasedStateMachine):
    """The ledger and the model do the same."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self.shop = Shop(db)
        self.user_id = self.shop.user()
        self.model = Model()
        self.holds: list[Hold] = []

    @rule(amount=st.integers(1, 30), ids=st.sampled_from([0, 1, 2, IDS]))
    def buy(self, amount: int, ids: int) -> None:
        self.shop.buy(self.user_id, amount, ids=ids)
        self.model.available += amount
        self.model.pay(ids)

    @rule(amount=st.integers(1, 20))
    def be_given(self, amount: int) -> None:
        self.shop.db.transact(ledger.adjust, self.shop.entry(self.user_id, amount, "adjust"), now_ms=2)
        self.model.available += amount

    @rule(amount=st.integers(1, 40))
    def spend(self, amount: int) -> None:
        entry = self.shop.entry(self.user_id, amount, "consume")
        if amount > self.model.available:
            with pytest.raises(InsufficientCredits):
                self.shop.db.transact(ledger.consume, entry, now_ms=2)
            return
        self.shop.db.transact(ledger.consume, entry, now_ms=2)
        self.model.available -= amount

    @precondition(lambda self: self.model.available > 0)
    @rule(part=st.floats(0, 1))
    def hold(self, part: float) -> None:
        one = a_hold(self.user_id, max(1, int(part * self.model.available)))
        self.shop.db.transact(ledger.hold, [one], now_ms=2)
        self.holds.append(one)
        self.model.available -= one.amount
        self.model.held.append(one.amount)

    @precondition(lambda self: self.holds)
    @rule(captured=st.booleans())
    def end_a_hold(self, captured: bool) -> None:  # noqa: FBT001 - hypothesis names it
        one, amount = self.holds.pop(0), self.model.held.pop(0)
        end = Resolution(
            transfer_id=new_id(),
            hold_key=one.key,
            amount=amount if captured else None,
            terms=terms() if captured else None,
        )
        self.shop.db.transact(ledger.resolve, [end], now_ms=2)
        self.model.available += 0 if captured else amount

    @rule(amount=st.integers(0, 40))
    def take(self, amount: int) -> None:
        ref_id = new_id()
        self.shop.take(self.user_id, amount, ref_id=ref_id)
        self.model.take(ref_id, amount)

    @precondition(lambda self: self.model.taken)
    @rule(which=st.integers(0, 9))
    def undo(self, which: int) -> None:
        ref_id = sorted(self.model.taken)[which % len(self.model.taken)]
        self.shop.undo(self.user_id, ref_id, self.model.taken[ref_id])
        self.model.undo(ref_id)

    @rule()
    def collect(self) -> None:
        wanted = bool(self.model.open()) and self.model.available > 0
        assert self.shop.db.read(debts.payable, limit=5) == ([self.user_id] if wanted else [])
        self.shop.collect(self.user_id)
        self.model.pay()

    @invariant()
    def both_say_the_same(self) -> None:
        balance = self.shop.balance(self.user_id)
        assert (balance.available, balance.held) == (self.model.available, sum(self.model.held))
        assert balance.available >= 0
        kept = [(debt.amount, debt.paid, debt.open) for _, debt in sorted(self.model.debts.items())]
        assert self.shop.debts(self.user_id) == kept
        assert self.shop.owed(self.user_id) == sum(debt.amount - debt.paid for _, debt in self.model.open())

    @override
    def teardown(self) -> None:
        assert self.shop.broken() == {}


def test_whatever_happens_the_ledger_does_what_the_model_does(db: Database, restore: Callable[[], None]) -> None:
    class Fresh(Machine):
        def __init__(self) -> None:
            restore()
            super().__init__(db)

    checked = settings(
        max_examples=8, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow], derandomize=True
    )
    run_state_machine_as_test(Fresh, settings=checked)


# -- one thing at a time


class TestPaying:
    def test_the_oldest_debt_is_paid_first_and_the_rest_is_the_users(self, shop: Shop) -> None:
        user_id = shop.user()
        shop.take(user_id, 30)
        shop.take(user_id, 20)
        shop.buy(user_id, 40)
        assert shop.debts(user_id) == [(30, 30, False), (20, 10, True)]
        assert (shop.balance(user_id).available, shop.owed(user_id)) == (0, 10)
        shop.buy(user_id, 15)
        assert (shop.balance(user_id).available, shop.owed(user_id)) == (5, 0)
        assert shop.broken() == {}

    def test_more_debts_than_one_top_up_pays_are_collected(self, shop: Shop) -> None:
        user_id = shop.user()
        for _ in range(IDS + 3):
            shop.take(user_id, 1)
        shop.buy(user_id, 100)
        assert shop.owed(user_id) == 3
        assert shop.db.read(debts.payable, limit=5) == [user_id]
        shop.collect(user_id)
        assert (shop.balance(user_id).available, shop.owed(user_id)) == (100 - IDS - 3, 0)

    def test_held_credits_are_collected_when_they_are_free(self, shop: Shop) -> None:
        user_id = shop.user(credits=50)
        hold = a_hold(user_id, 50)
        shop.db.transact(ledger.hold, [hold], now_ms=1)
        shop.take(user_id, 50)
        assert (shop.owed(user_id), shop.db.read(debts.payable, limit=5)) == (50, [])
        release = Resolution(transfer_id=new_id(), hold_key=hold.key, amount=None)
        shop.db.transact(ledger.resolve, [release], now_ms=2)
        shop.collect(user_id)
        assert (shop.balance(user_id).available, shop.owed(user_id)) == (0, 0)
        assert shop.broken() == {}

    def test_what_was_paid_of_a_debt_comes_back_with_the_rest(self, shop: Shop) -> None:
        user_id = shop.user(credits=10)
        one = shop.take(user_id, 50)
        shop.buy(user_id, 25)
        account = shop.undo(user_id, one.ref_id, 10)
        assert account is not None
        assert (account.available, shop.owed(user_id)) == (35, 0)
        shop.buy(user_id, 5)
        assert shop.balance(user_id).available == 40
        assert shop.broken() == {}

    def test_nothing_is_given_back_twice(self, shop: Shop) -> None:
        user_id = shop.user(credits=10)
        one = shop.take(user_id, 50)
        shop.undo(user_id, one.ref_id, 10)
        with pytest.raises(IntegrityError) as caught:
            shop.undo(user_id, one.ref_id, 10)
        assert is_duplicate(caught.value)
        assert shop.balance(user_id).available == 10


class TestAtOnce:
    @pytest.mark.parametrize("seed", range(3))
    def test_credits_that_go_back_while_they_are_spent_are_never_missing(self, shop: Shop, seed: int) -> None:
        user_id = shop.user(credits=100)
        order = list(range(12))
        random.Random(seed).shuffle(order)

        def act(number: int) -> object:
            kind = order[number] % 3
            if kind == 0:
                return shop.take(user_id, 25).credits
            if kind == 1:
                return shop.buy(user_id, 10).available
            return shop.db.transact(ledger.consume, shop.entry(user_id, 15, "consume"), now_ms=1)

        outcomes = at_once(act, threads=12)
        assert set(kinds(outcomes)) <= {"int", "Posted", "InsufficientCredits"}
        balance, spent = shop.balance(user_id), 15 * kinds(outcomes)["Posted"]
        assert balance.available >= 0
        # What was bought is spent, has gone back, or is there; and what went back too far is owed.
        assert balance.available - shop.owed(user_id) == 100 + 4 * 10 - 4 * 25 - spent
        shop.collect(user_id)
        assert shop.balance(user_id).available == 0 or shop.owed(user_id) == 0
        assert shop.broken() == {}

    def test_top_ups_at_once_pay_a_debt_once(self, shop: Shop) -> None:
        user_id = shop.user()
        shop.take(user_id, 45)
        shop.take(user_id, 10)

        def act(number: int) -> object:
            return shop.collect(user_id) if number % 3 == 0 else shop.buy(user_id, 10)

        outcomes = at_once(act, threads=12)
        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert (shop.balance(user_id).available, shop.owed(user_id)) == (80 - 55, 0)
        assert shop.debts(user_id) == [(45, 45, False), (10, 10, False)]
        assert shop.broken() == {}

    def test_a_debt_that_is_paid_while_its_refund_fails_is_whole_again(self, shop: Shop) -> None:
        users = [shop.user() for _ in range(6)]
        taken = {user_id: shop.take(user_id, 30) for user_id in users}

        def act(number: int) -> object:
            user_id = users[number // 2]
            if number % 2:
                return shop.buy(user_id, 20)
            return shop.undo(user_id, taken[user_id].ref_id, 0)

        outcomes = at_once(act, threads=12)
        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert Counter(shop.balance(one).available for one in users) == Counter({20: 6})
        assert {shop.owed(one) for one in users} == {0}
        assert shop.broken() == {}
