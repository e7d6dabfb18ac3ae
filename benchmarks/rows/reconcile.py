"""A bill of a hundred thousand lines beside as many orders: lines in a second, and how much memory it needs more.

Half a percent of the payments are not known here, and are settled one by one on the way. The lines come from memory:
unpacking and reading a gateway's file is not in these figures.
"""

from pathlib import Path
from time import perf_counter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.orders.models import ORDERS
from atelier.orders.payment_models import FINDINGS, STATEMENTS
from atelier.payments.comparing import Comparer
from benchmarks import orders, people
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand

COUNT = 100_000
UNPAID_EVERY = 200
MEMORY_MB_MAX = 30
STATUS = Path("/proc/self/status")
FORGET_PEAK = "5"


def run(plan: Plan) -> list[Line]:
    """The line."""
    line = Line(name=f"reconcile, {COUNT:,} lines", unit="lines/s", aim=f"memory grows by < {MEMORY_MB_MAX} MB")
    for pair in range(plan.pairs):
        plan.say(f"reconcile: run {pair + 1} of {plan.pairs}")
        with Stand(plan.servers, name="reconcile") as stand:
            crowd = people.invite(stand.database, secret=SECRET)
            orders.placed(stand.database, crowd, count=COUNT, unpaid_every=UNPAID_EVERY)
            before_kb = _forget_peak()
            seconds = _compared(stand)
            grown_mb = (_status_kb("VmHWM") - before_kb) / 1024
            line.ours.append(COUNT / seconds)
            line.notes["memory grown, MB"] = max(grown_mb, line.notes.get("memory grown, MB", 0.0))
            _verify(stand)
    return [line]


def _compared(stand: Stand) -> float:
    comparer = Comparer(
        database=stand.database,
        gateways={"alipay": orders.Biller(COUNT)},
        announce=lambda _account: None,
        seconds_max=3_600,
    )
    began = perf_counter()
    comparer.run()
    return perf_counter() - began


def _forget_peak() -> int:
    """Let the peak be what is used now, in kB."""
    Path("/proc/self/clear_refs").write_text(FORGET_PEAK, encoding="ascii")
    return _status_kb("VmRSS")


def _status_kb(name: str) -> int:
    found = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(found.split()[1])


def _verify(stand: Stand) -> None:
    state, place, named, found = stand.read(_outcome)
    assert (state, place) == ("done", COUNT), (state, place)
    assert (named, found) == (COUNT, COUNT // UNPAID_EVERY), (named, found)


def _outcome(session: Session) -> tuple[str, int, int, int]:
    connection = session.connection()
    statement = select(STATEMENTS.c.state, STATEMENTS.c.place).where(STATEMENTS.c.day == orders.day())
    state, place = connection.execute(statement).one()
    named = select(func.count()).select_from(ORDERS).where(ORDERS.c.bill_day == orders.day())
    found = select(func.count()).select_from(FINDINGS)
    return state, place, connection.execute(named).scalar_one(), connection.execute(found).scalar_one()
