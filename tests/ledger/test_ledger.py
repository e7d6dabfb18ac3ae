"""The ledger's verbs: what each moves, and that a refused one leaves no trace."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.database import Database, is_check_violation, is_duplicate
from atelier.kernel.ids import new_id
from atelier.ledger import queries
from atelier.ledger import service as ledger
from atelier.ledger.errors import HoldResolved, InsufficientCredits, NoAccount
from atelier.ledger.models import ACCOUNTS, TRANSFERS
from atelier.ledger.posting import Posted
from atelier.ledger.service import Entry, Hold, Resolution
from tests.jobs.lifecycle import Workshop, terms


def stored(session: Session, *, user_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The account's row and its transfers, oldest first."""
    account = session.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == user_id)).mappings().one()
    moved = select(TRANSFERS).where(TRANSFERS.c.account_id == user_id).order_by(TRANSFERS.c.account_version)
    return dict(account), [dict(row) for row in session.execute(moved).mappings()]


def a_hold(user_id: str, amount: int, *, thing: str | None = None) -> Hold:
    ref_id = thing or new_id()
    return Hold(
        transfer_id=new_id(),
        key=f"hold:thing:{ref_id}",
        user_id=user_id,
        amount=amount,
        ref_type="thing",
        ref_id=ref_id,
    )


def resolution(hold: Hold, amount: int | None) -> Resolution:
    return Resolution(transfer_id=new_id(), hold_key=hold.key, amount=amount, terms=terms() if amount else None)


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


class Posting(NamedTuple):
    """A verb, what the user has after it, and the sides of its transfer; "user" stands for the user's account."""

    verb: Callable[..., Posted]
    amount: int
    balance: int
    spent: int
    debit: str
    credit: str


POSTINGS = [
    Posting(ledger.topup, 30, 130, 0, "system:topup", "user"),
    Posting(ledger.bonus, 30, 130, 0, "system:bonus", "user"),
    Posting(ledger.consume, 30, 70, 30, "user", "system:platform"),
    Posting(ledger.adjust, 30, 130, 0, "system:adjust", "user"),
    Posting(ledger.adjust, -30, 70, 30, "user", "system:adjust"),
]


class End(NamedTuple):
    """What is taken of a hold of 40, and the balance and the transfer that this makes."""

    taken: int | None
    balance: int
    kind: str
    amount: int


ENDS = [
    End(40, 60, "capture", 40),
    End(15, 85, "capture", 15),
    End(0, 100, "capture", 0),
    End(None, 100, "release", 40),
]


class TestVerbs:
    @pytest.mark.parametrize("case", POSTINGS)
    def test_each_moves_its_amount_between_the_user_and_its_counterpart(self, shop: Workshop, case: Posting) -> None:
        user_id = shop.user(credits=100)
        entry = Entry(
            transfer_id=new_id(),
            key=f"test:{new_id()}",
            user_id=user_id,
            amount=case.amount,
            ref_type="order",
            ref_id=new_id(),
            note="备注",
            actor=new_id(),
        )
        posted = shop.db.transact(case.verb, entry, now_ms=1_234)
        assert posted == Posted(account_id=user_id, balance=case.balance, held=0, version=2)
        assert shop.balance(user_id) == queries.Balance(balance=case.balance, held=0, spent=case.spent, version=2)
        _, transfers = shop.db.read(stored, user_id=user_id)
        assert transfers[1] == {
            "id": entry.transfer_id,
            "key": entry.key,
            "kind": case.verb.__name__,
            "debit_id": user_id if case.debit == "user" else case.debit,
            "credit_id": user_id if case.credit == "user" else case.credit,
            "amount": 30,
            "pending_id": None,
            "account_id": user_id,
            "account_version": 2,
            "balance_after": case.balance,
            "ref_type": "order",
            "ref_id": entry.ref_id,
            "note": "备注",
            "actor": entry.actor,
            "created_ms": 1_234,
        }

    def test_a_hold_reserves_and_posts_nothing(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        assert db.transact(ledger.hold, [a_hold(user_id, 40)], now_ms=1) == [
            Posted(account_id=user_id, balance=100, held=40, version=2)
        ]
        balance = shop.balance(user_id)
        assert (balance.available, balance.spent) == (60, 0)

    @pytest.mark.parametrize("end", ENDS)
    def test_the_end_of_a_hold_takes_its_part_and_frees_the_rest(self, shop: Workshop, end: End) -> None:
        user_id = shop.user(credits=100)
        hold = a_hold(user_id, 40)
        shop.db.transact(ledger.hold, [hold], now_ms=1)
        assert shop.db.transact(ledger.resolve, [resolution(hold, end.taken)], now_ms=2) == [
            Posted(account_id=user_id, balance=end.balance, held=0, version=3)
        ]
        _, transfers = shop.db.read(stored, user_id=user_id)
        written = transfers[2]
        assert (written["kind"], written["amount"], written["pending_id"]) == (end.kind, end.amount, hold.transfer_id)
        assert written["key"] == hold.key.replace("hold:", f"{end.kind}:")

    def test_a_statement_shows_what_was_posted_newest_first_with_the_balance_after(
        self, db: Database, shop: Workshop
    ) -> None:
        user_id = shop.user(credits=100)
        first, second = a_hold(user_id, 40), a_hold(user_id, 10)
        db.transact(ledger.hold, [first, second], now_ms=1)
        db.transact(ledger.resolve, [resolution(first, 25), resolution(second, None)], now_ms=2)
        db.transact(ledger.consume, shop.entry(user_id, 5, "consume"), now_ms=3)
        lines, total = db.read(queries.statement, user_id=user_id, offset=0, limit=10)
        assert [(line.kind, line.amount, line.balance_after) for line in lines] == [
            ("consume", -5, 70),
            ("capture", -25, 75),
            ("topup", 100, 100),
        ]
        assert total == 3
        assert db.read(queries.statement, user_id=user_id, offset=1, limit=1) == ([lines[1]], 3)


class TestRefusals:
    def refused(self, db: Database, user_id: str, error: type[Exception], fn: Callable[..., Any], *args: Any) -> Any:
        before = db.read(stored, user_id=user_id)
        with pytest.raises(error) as caught:
            db.transact(fn, *args, now_ms=9)
        assert db.read(stored, user_id=user_id) == before
        return caught.value

    @pytest.mark.parametrize(("verb", "sign"), [(ledger.consume, 1), (ledger.adjust, -1)])
    def test_one_credit_too_few_is_refused_without_a_trace(
        self, db: Database, shop: Workshop, verb: Callable[..., Posted], sign: int
    ) -> None:
        user_id = shop.user(credits=100)
        db.transact(ledger.hold, [a_hold(user_id, 40)], now_ms=1)
        refusal = self.refused(db, user_id, InsufficientCredits, verb, shop.entry(user_id, sign * 61, "spend"))
        assert (refusal.balance, refusal.required) == (60, 61)
        db.transact(verb, shop.entry(user_id, sign * 60, "spend"), now_ms=2)
        assert shop.balance(user_id).available == 0

    def test_the_same_key_is_refused_by_the_database(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        entry = shop.entry(user_id, 5, "topup")
        db.transact(ledger.topup, entry, now_ms=1)
        again = Entry(transfer_id=new_id(), key=entry.key, user_id=user_id, amount=5)
        assert is_duplicate(self.refused(db, user_id, IntegrityError, ledger.topup, again))

    def test_a_key_that_differs_only_in_its_case_is_another_key(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user()
        for key in ("topup:a", "topup:A"):
            db.transact(ledger.topup, Entry(transfer_id=new_id(), key=key, user_id=user_id, amount=1), now_ms=1)
        assert shop.balance(user_id).balance == 2

    def test_someone_without_an_account_and_a_system_account_can_not_spend(self, db: Database, shop: Workshop) -> None:
        for account_id in (new_id(), "system:platform"):
            with pytest.raises(NoAccount):
                db.transact(ledger.consume, shop.entry(account_id, 1, "spend"), now_ms=1)

    def test_a_negative_amount_moves_nothing_in_either_direction(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        for verb in (ledger.topup, ledger.bonus, ledger.consume):
            assert is_check_violation(self.refused(db, user_id, DBAPIError, verb, shop.entry(user_id, -5, "bad")))
        self.refused(db, user_id, DBAPIError, ledger.hold, [a_hold(user_id, -5)])

    @pytest.mark.parametrize("first", [40, None])
    @pytest.mark.parametrize("second", [40, 0, None])
    def test_a_hold_ends_once(self, db: Database, shop: Workshop, first: int | None, second: int | None) -> None:
        user_id = shop.user(credits=100)
        hold = a_hold(user_id, 40)
        db.transact(ledger.hold, [hold, a_hold(user_id, 60)], now_ms=1)
        db.transact(ledger.resolve, [resolution(hold, first)], now_ms=2)
        self.refused(db, user_id, HoldResolved, ledger.resolve, [resolution(hold, second)])

    def test_a_hold_ends_once_also_within_one_batch(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        hold = a_hold(user_id, 40)
        db.transact(ledger.hold, [hold], now_ms=1)
        self.refused(db, user_id, HoldResolved, ledger.resolve, [resolution(hold, 1), resolution(hold, None)])

    def test_an_unknown_hold_and_more_than_was_held_are_refused(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        hold = a_hold(user_id, 40)
        self.refused(db, user_id, HoldResolved, ledger.resolve, [resolution(hold, 1)])
        db.transact(ledger.hold, [hold], now_ms=1)
        for amount in (41, -1):
            self.refused(db, user_id, AssertionError, ledger.resolve, [resolution(hold, amount)])

    def test_one_bad_resolution_undoes_its_whole_batch(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user(credits=100)
        hold = a_hold(user_id, 40)
        db.transact(ledger.hold, [hold], now_ms=1)
        self.refused(
            db, user_id, HoldResolved, ledger.resolve, [resolution(hold, 1), resolution(a_hold(user_id, 1), 1)]
        )


class TestBatches:
    def test_each_hold_is_judged_after_those_before_it(self, db: Database, shop: Workshop) -> None:
        rich, poor = shop.user(credits=100), shop.user(credits=10)
        holds = [
            a_hold(poor, 8),
            a_hold(rich, 60),
            a_hold(poor, 3),
            a_hold(rich, 41),
            a_hold(poor, 2),
            a_hold(rich, 40),
        ]
        outcomes = db.transact(ledger.hold, holds, now_ms=1)
        assert [None if isinstance(one, InsufficientCredits) else (one.held, one.version) for one in outcomes] == [
            (8, 2),
            (60, 2),
            None,
            None,
            (10, 3),
            (100, 3),
        ]
        refusal = outcomes[2]
        assert isinstance(refusal, InsufficientCredits)
        assert (refusal.balance, refusal.required) == (2, 3)
        assert (shop.balance(rich).available, shop.balance(poor).available) == (0, 0)

    def test_a_batch_that_is_refused_altogether_writes_nothing(self, db: Database, shop: Workshop) -> None:
        users = [shop.user(credits=1), shop.user()]
        before = [db.read(stored, user_id=user_id) for user_id in users]
        outcomes = db.transact(ledger.hold, [a_hold(user_id, 2) for user_id in users], now_ms=1)
        assert all(isinstance(one, InsufficientCredits) for one in outcomes)
        assert [db.read(stored, user_id=user_id) for user_id in users] == before

    def test_ends_of_many_prices_and_users_are_written_together(self, db: Database, shop: Workshop) -> None:
        users = [shop.user(credits=100) for _ in range(7)]
        holds = [a_hold(user_id, 3 + number) for user_id in users for number in range(4)]
        db.transact(ledger.hold, holds, now_ms=1)
        taken = [None if number % 3 == 0 else number % 4 for number in range(len(holds))]
        posted = db.transact(ledger.resolve, [resolution(*pair) for pair in zip(holds, taken, strict=True)], now_ms=2)
        assert [one.account_id for one in posted] == [hold.user_id for hold in holds]
        for number, user_id in enumerate(users):
            spent = sum(one or 0 for one in taken[4 * number : 4 * number + 4])
            assert shop.balance(user_id) == queries.Balance(balance=100 - spent, held=0, spent=spent, version=9)
        assert shop.examine().totals == {}

    def test_every_transfer_carries_on_from_the_one_before(self, db: Database, shop: Workshop) -> None:
        user_id = shop.user(credits=50)
        holds = [a_hold(user_id, 5) for _ in range(4)]
        db.transact(ledger.hold, holds, now_ms=1)
        db.transact(ledger.bonus, shop.entry(user_id, 7, "bonus"), now_ms=2)
        db.transact(ledger.resolve, [resolution(hold, 2) for hold in holds], now_ms=3)
        account, transfers = db.read(stored, user_id=user_id)
        assert [one["account_version"] for one in transfers] == list(range(1, account["version"] + 1))
        assert [one["balance_after"] for one in transfers] == [50, 50, 50, 50, 50, 57, 55, 53, 51, 49]
