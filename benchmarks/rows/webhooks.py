"""Notices of a gateway that one web process takes in: verified, stored with a message, acknowledged; no worker runs.

Each is signed and is of an order of its own, as after an hour in which a gateway could not reach us. They are signed
before the load, which would only measure itself otherwise. Afterwards the inbox has to hold every one of them.
"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.generation import doctor
from atelier.kernel.clock import now_ms
from atelier.orders.payment_models import EVENTS
from benchmarks import load, orders, people
from benchmarks.load import CONNECTIONS, WARM_SECONDS, Load, Request
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import SECRET, Stand
from tests.gateways import merchants

PATH = "/api/payments/webhooks/alipay"
PER_SECOND_MAX = 2_500
MERCHANT = {
    "ATELIER_PUBLIC_URL": "https://atelier.test",
    "ATELIER_ALIPAY_APP_ID": merchants.APP_ID,
    "ATELIER_ALIPAY_SELLER_ID": merchants.SELLER_ID,
    "ATELIER_ALIPAY_PRIVATE_KEY": merchants.private_pem(merchants.OURS),
    "ATELIER_ALIPAY_PUBLIC_KEY": merchants.public_pem(merchants.THEIRS),
}


def run(plan: Plan) -> list[Line]:
    """The line."""
    line = Line(name="webhooks, signed notices", unit="notices/s", aim="≥ 0.5")
    count = (plan.seconds + WARM_SECONDS) * PER_SECOND_MAX
    plan.say(f"webhooks: {count} notices are signed")
    requests = load.prepared(_signed(count), folder=plan.servers.folder, name="notices")
    for pair in range(plan.pairs):
        plan.say(f"webhooks: pair {pair + 1} of {plan.pairs}")
        floor, mine = plan.floor_accept(), _ours(plan, requests, count=count)
        line.floor.append(floor.per_second)
        line.ours.append(mine.per_second)
        line.notes |= {
            "floor p50 ms": floor.p50_ms,
            "p50 ms": mine.p50_ms,
            "p99 ms": mine.p99_ms,
            "floor cpu µs": {name: round(used) for name, used in floor.cpu_us.items()},
            "cpu µs": {name: round(used) for name, used in mine.cpu_us.items()},
        }
    return [line]


def _signed(count: int) -> Iterator[Request]:
    for number in range(count):
        changes = {"notify_id": f"N{number:033}", "out_trade_no": orders.number_of(number), "trade_no": f"P{number}"}
        yield Request(method="POST", path=PATH, body=merchants.alipay_notice(changes).decode(), form=True)


def _ours(plan: Plan, requests: Path, *, count: int) -> Load:
    with Stand(plan.servers, name="webhooks") as stand:
        crowd = people.invite(stand.database, secret=SECRET)
        orders.placed(stand.database, crowd, count=count, unpaid_every=1)
        stand.start("relay", **MERCHANT)
        stand.start("web", ATELIER_WEB_RELAY="false", **MERCHANT)
        measured = load.run(stand.port, requests, seconds=plan.seconds, watched=plan.beside(**stand.roles))
        _verify(stand, measured, count=count)
        return measured


def _verify(stand: Stand, measured: Load, *, count: int) -> None:
    """Raises AssertionError unless every notice that was acknowledged is there, and none was sent for a second time."""
    stored = stand.read(_stored)
    assert stored >= measured.requests > CONNECTIONS, f"{measured.requests} answers, {stored} notices"
    # Beginning again would measure how fast it is known that a notice has come before.
    assert stored < count, f"all {count} notices were sent: more have to be signed"
    report = stand.database.snapshot(doctor.examine, now_ms=now_ms())
    assert report.clean, [f"{finding.check} {finding.subject}" for finding in report.findings]


def _stored(session: Session) -> int:
    return session.connection().execute(select(func.count()).select_from(EVENTS)).scalar_one()
