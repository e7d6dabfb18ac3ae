"""Any order of what payers, gateways, administrators and workers can do, against books that fit on three pages."""

from collections import Counter as Tally
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, invariant, multiple, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run
from typing_extensions import override

from atelier.kernel.database import Database
from atelier.ledger.errors import InsufficientCredits
from atelier.orders.service import Order
from tests.bounds import of_machine
from tests.payments.books import Sale
from tests.payments.desk import Desk
from tests.payments.paying_back import PayingBack

# What only says that something waits.
WAITING = {"order.expired", "refund.late"}


Held = tuple[str, str, int]


class Money(PayingBack):
    """All the rules, and what must be so after each of them.

    The doctor takes longer than everything else: it looks after every so-manieth step, and at the end.
    """

    examined_every = 1
    steps = 0

    users = PayingBack.users
    jobs = Bundle("jobs")

    # -- credits that come and go otherwise

    @rule(user_id=users, part=st.integers(0, 3))
    def spend(self, user_id: str, part: int) -> None:
        """A part of what is there; or one more than that."""
        available = self.people.available[user_id]
        amount = -(-available // part) if part else available + 1
        if not amount:
            return
        if self.people.available[user_id] < amount:
            with pytest.raises(InsufficientCredits):
                self.desk.spend(user_id, amount)
        else:
            self.desk.spend(user_id, amount)
            self.people.available[user_id] -= amount

    @rule(target=jobs, user_id=users, part=st.integers(1, 3))
    def hold(self, user_id: str, part: int) -> Held | MultipleResults[Held]:
        price = self.people.available[user_id] // part
        if not price:
            return multiple()
        self.people.available[user_id] -= price
        return self.desk.submit(user_id, price), user_id, price

    @rule(job=jobs)
    def release(self, job: Held) -> None:
        job_id, user_id, price = job
        if job_id not in self.people.released:
            assert self.desk.cancel(job_id, user_id).done
            self.people.released.add(job_id)
            self.people.available[user_id] += price

    @precondition(lambda self: any(self.people.owed(one) for one in self.people.available))
    @rule()
    def collect(self) -> None:
        assert sorted(self.desk.collect()) == sorted(self.people.collect())

    # -- what must be so

    @invariant()
    def books_agree(self) -> None:
        for user_id, available in self.people.available.items():
            balance = self.desk.balance(user_id)
            assert (balance.available, self.desk.owed(user_id)) == (available, self.people.owed(user_id))
            assert available >= 0
        for sale in self.sold.values():
            self._check(sale, self.desk.now(sale.order))
        self.steps += 1
        if self.steps % self.examined_every == 0:
            self._examine()

    def _examine(self) -> None:
        report = self.desk.examine()
        assert set(report.totals) <= WAITING, report.findings

    def _check(self, sale: Sale, order: Order) -> None:
        assert order.state == sale.full_state()
        assert (order.payment_no, order.refunded_fen, order.refunding_fen) == (
            sale.payment_no,
            sale.refunded,
            sale.refunding,
        )
        assert not (sale.was_refunded and order.state == "paid")
        sale.was_refunded |= order.state == "refunded"
        bank = self.bank_of(sale)
        assert sale.refunded + sale.refunding <= order.amount_fen
        assert bank.left(order.order_no) >= -sale.too_many, "nothing but what a gateway errs by goes back twice"
        going = [one for one in self.desk.refunds(sale.order) if one.state != "failed"]
        assert sum(one.credits for one in going) == sum(
            one.taken + self.people.debt_of(one.id, order.user_id) for one in going
        )

    @override
    def teardown(self) -> None:
        self._examine()
        found = Tally(row["kind"] for row in self.desk.cases())
        wanted = Tally(case.kind for case in self.cases.values())
        assert all(found[kind] == number for kind, number in wanted.items())
        assert not (found.keys() - wanted.keys() - {"refund_failed", "refund_differs"})


# Examples, steps of each, and after how many of them the doctor looks.
_FEW = pytest.param("sqlite", (6, 40, 10))
_MANY = [pytest.param(engine, (30, 50, 2), marks=pytest.mark.proof) for engine in ("sqlite", "mariadb")]


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("engine", "bounds"), [_FEW, *_MANY], indirect=["engine"])
def test_both_books_agree_to_the_fen_and_to_the_credit(
    db: Database, restore: Callable[[], None], bounds: tuple[int, int, int]
) -> None:
    number, steps, every = bounds

    class Fresh(Money):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.desk = Desk(db)
            self.desk.tills.update(self.banks)
            self.examined_every = every

    run(Fresh, settings=of_machine(number, steps=steps))
