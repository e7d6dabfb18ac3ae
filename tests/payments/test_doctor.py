"""The doctor names each thing that a hand has changed in orders, and finds nothing in what the product wrote."""

import re
from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.generation import doctor
from atelier.generation.doctor import Report
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger.models import TRANSFERS
from atelier.orders.service import Order
from atelier.payments import resolving
from atelier.payments.resolving import Decision
from atelier.payments.settlement import SettlementIds
from tests.generation.test_doctor import UNCHECKED, WITHOUT_KEYS
from tests.payments.corruptions import PAYMENT_CORRUPTIONS, TWICE
from tests.payments.counter import Counter, paid
from tests.payments.desk import Desk

PARAMETERS = re.compile(r"(?<!\w):(\w+)")
# Keys of transfers, by their beginnings, and what the corruptions call them.
CALLED = {"topup:order:": "topup", "clawback:refund:": "took", "restore:refund:": "restored"}


class World:
    """One of everything."""

    def __init__(self, db: Database) -> None:
        self.desk, self.counter = Desk(db), Counter(db)
        desk, names = self.desk, {"fresh": new_id()}
        for name in ("paid", "pending", "closed", "half", "whole", "again", "going"):
            user_id = names[f"{name}_user"] = desk.user()
            order = desk.order(user_id, paid=name not in {"pending", "closed"})
            names[name] = order.id
            if name == "closed":
                assert self.counter.close(order)
            elif name == "half":
                names["part"] = desk.back(order, 400)
            elif name == "whole":
                desk.submit(user_id, 30)
                names["spent"] = desk.back(order)
            elif name == "again":
                names["failed"] = self._failed(user_id, order)
            elif name == "going":
                names["waiting"] = desk.want(order, 1)
        names |= self._cases()
        unsettled = str(self.counter.receive(paid(self.counter.order())))
        # What waits here may do so for as long as this machine needs.
        self.counter.age(unsettled, by_ms=-DAY_MS)
        db.transact(_forget_messages)
        self.names = names | {"unsettled": unsettled} | db.read(_transfers, things=names)

    def _failed(self, user_id: str, order: Order) -> str:
        """A refund that its gateway would not make, of whose debt a part was paid meanwhile."""
        desk = self.desk
        job_id, _ = (desk.submit(user_id, price) for price in (60, 40))
        refund_id = desk.want(order)
        assert desk.cancel(job_id, user_id).done
        desk.collect()
        desk.till.moods.append("refused")
        settled = desk.work(refund_id)
        assert settled is not None
        assert settled.outcome == "refund_failed"
        return refund_id

    def _cases(self) -> dict[str, str]:
        """One that became credits, and one that nobody has looked at."""
        order = self.counter.order()
        for payment_no in ("wrong-1", "wrong-2"):
            assert self.counter.take(paid(order, payment_no=payment_no, amount_fen=1)) == "wrong_amount"
        credited, unseen = (one["id"] for one in self.counter.cases() if one["kind"] == "wrong_amount")
        decision = Decision(
            case_id=credited,
            resolution="credit",
            note="核对过了",
            credits=5,
            admin_id=new_id(),
            ids=SettlementIds.made(new_id),
            refund_id=new_id(),
        )
        self.counter.db.transact(resolving.resolve, decision, now_ms=now_ms())
        return {"credited": credited, "unseen": unseen}

    def examine_after(self, *changes: str) -> Report:
        """What the doctor says of the world with these changes, which are undone afterwards."""
        with Session(self.desk.db.writer) as session:
            off, on = UNCHECKED[session.get_bind().dialect.name]
            session.execute(text(off))
            for change in changes:
                session.execute(text(change), {name: self.names[name] for name in PARAMETERS.findall(change)})
            report = doctor.examine(session, now_ms=now_ms())
            session.execute(text(on))
            session.rollback()
        return report

    def check(self, report: Report, named: Mapping[str, str]) -> None:
        """These checks and no others, about these things."""
        assert set(report.totals) == set(named), report.findings
        for check, whom in named.items():
            subjects = {one.subject for one in report.findings if one.check == check}
            assert {self.names[one] for one in whom.split()} <= subjects


def _forget_messages(session: Session) -> None:
    session.execute(delete(outbox.TABLE))


def _transfers(session: Session, *, things: Mapping[str, str]) -> dict[str, str]:
    by_id = {thing_id: name for name, thing_id in things.items()}
    names: dict[str, str] = {}
    for row in session.execute(select(TRANSFERS.c.id, TRANSFERS.c.key, TRANSFERS.c.ref_id)):
        start, _, rest = row.key.rpartition(":")
        if row.key.startswith("clawback:debt:"):
            names["of_debt"] = row.id
        elif row.key.startswith("topup:case:"):
            names["of_case"] = row.id
        elif (called := CALLED.get(f"{start}:")) and rest in by_id:
            names[f"{called}_{by_id[rest]}"] = row.id
    return names


@pytest.fixture
def world(db: Database) -> Iterator[World]:
    made = World(db)
    assert made.desk.examine().totals == {}
    yield made
    assert made.desk.examine().totals == {}


def test_each_is_named_and_nothing_else(world: World, subtests: pytest.Subtests) -> None:
    for name, (changes, named) in PAYMENT_CORRUPTIONS.items():
        with subtests.test(name):
            world.check(world.examine_after(changes), named)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_a_unique_key_prevents_is_named_too(world: World) -> None:
    table, change, named = TWICE
    world.check(world.examine_after(*(one.format(table=table) for one in WITHOUT_KEYS), change), named)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_check_of_what_is_new_passes_over_the_rest_and_not_over_what_waits(world: World) -> None:
    later = now_ms() + DAY_MS
    desk = world.desk
    desk.set(world.names["part"], amount_fen=401)
    desk.set(world.names["waiting"], due_ms=1)
    assert set(desk.examine(since_ms=now_ms() - DAY_MS).totals) == {"order.refunds", "refund.late"}
    assert set(desk.examine(since_ms=later).totals) == {"refund.late"}
    desk.set(world.names["part"], amount_fen=400)
    desk.set(world.names["waiting"], due_ms=later)


def test_broken_sums_are_about_money_and_what_is_late_is_not() -> None:
    late = {"order.expired", "refund.late", "payment.unsettled", "case.open"}
    checks = {check for _, named in PAYMENT_CORRUPTIONS.values() for check in named} | {"order.payment"}
    assert {check for check in checks if not doctor.is_about_money(check)} == late
