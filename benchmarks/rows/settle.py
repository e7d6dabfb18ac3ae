"""Payments that are settled in a second: notices that lie in the inbox, through relay and money worker.

The notices wait in the outbox while both stand by; the time runs from the moment in which their messages become due to
the end of the last settlement.
"""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atelier.contracts.outbox import TABLE as OUTBOX
from atelier.gateways.port import Notice
from atelier.generation import doctor
from atelier.kernel import ids
from atelier.kernel.clock import HOUR_MS, db_now_ms, now_ms
from atelier.kernel.database import Database
from atelier.orders.payment_models import EVENTS
from atelier.payments import inbox
from benchmarks import orders, people
from benchmarks.load import cpu_seconds
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand, wait

COUNT = 2_000
WARMING = 50


def run(plan: Plan) -> list[Line]:
    """The line."""
    line = Line(name="settle, notices in the inbox", unit="payments/s", aim="stated")
    for pair in range(plan.pairs):
        plan.say(f"settle: run {pair + 1} of {plan.pairs}")
        line.ours.append(_settled(plan, line))
    return [line]


def _settled(plan: Plan, line: Line) -> float:
    with Stand(plan.servers, name="settle") as stand:
        crowd = people.invite(stand.database, secret=SECRET)
        orders.placed(stand.database, crowd, count=COUNT + WARMING, unpaid_every=1)
        for number in range(COUNT):
            _told(stand.database, number)
        stand.database.transact(_postpone)
        stand.start("relay", "money")
        for number in range(COUNT, COUNT + WARMING):
            _told(stand.database, number)
        wait(lambda: stand.read(_waiting) == COUNT, what="worker and relay are ready")
        watched = plan.beside(**stand.roles)
        before = {name: cpu_seconds(pid) for name, pid in watched.items()}
        began_ms = stand.database.transact(_release)
        wait(lambda: stand.read(_waiting) == 0, what="all payments are settled", seconds_max=300)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in watched.items()}
        line.notes["cpu µs"] = {name: round(seconds * 1_000_000 / COUNT) for name, seconds in used.items()}
        report = stand.database.snapshot(doctor.examine, now_ms=now_ms())
        assert report.clean, [f"{finding.check} {finding.subject}" for finding in report.findings]
        return COUNT / (stand.read(_last_end) - began_ms) * 1_000


def _told(database: Database, number: int) -> None:
    notice = Notice(
        provider="alipay",
        event_key=f"payment:{number}",
        kind="payment",
        order_no=orders.number_of(number),
        payment_no=f"P{number}",
        amount_fen=orders.FEN,
        paid_ms=now_ms(),
    )
    database.transact(inbox.store, notice, event_id=ids.new_id(), now_ms=now_ms())


def _postpone(session: Session) -> None:
    session.connection().execute(update(OUTBOX).values(available_ms=db_now_ms() + HOUR_MS))


def _release(session: Session) -> int:
    session.connection().execute(update(OUTBOX).values(available_ms=0))
    return session.connection().execute(select(db_now_ms())).scalar_one()


def _waiting(session: Session) -> int:
    waiting = select(func.count()).select_from(EVENTS).where(EVENTS.c.due_ms.is_not(None))
    return session.connection().execute(waiting).scalar_one()


def _last_end(session: Session) -> int:
    ended: int = session.connection().execute(select(func.max(EVENTS.c.settled_ms))).scalar_one()
    return ended
