"""The figures of the database that /metrics shows."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from atelier.generation import gauges, verdicts
from atelier.generation.doctor import Report
from atelier.generation.gauges import Gauges
from atelier.jobs.reasons import REASONS
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.kernel.database import Database
from atelier.mail.queue import Letter, enqueue
from tests.jobs.lifecycle import Workshop
from tests.payments.counter import Counter, paid


@pytest.fixture
def collect(db: Database) -> Callable[[], Gauges]:
    return lambda: db.read(gauges.collect, now_ms=now_ms())


def change(session: Session, *, statement: str) -> None:
    session.execute(text(statement))


def test_an_empty_platform_shows_every_figure_at_rest(collect: Callable[[], Gauges]) -> None:
    kinds, states = ("text", "image", "audio", "video", "compose"), ("pending", "running")
    assert collect() == Gauges(
        jobs={(kind, state): 0 for kind in kinds for state in states},
        oldest_waiting={f"generation.{kind}": 0.0 for kind in kinds},
        held=0,
        outbox_rows=0,
        outbox_lag=0.0,
        mail_backlog=0,
        undelivered=0,
        webhooks_waiting=0,
        webhooks_disabled=0,
        compared={},
        uncompared=0,
        differences=0,
        unsettled=0,
        cases={},
        dead_letters=dict.fromkeys(REASONS, 0),
        dead_messages=0,
        held_back=[],
        violations=None,
        warnings=None,
        checked=None,
    )


def test_jobs_are_counted_while_they_live_and_so_is_what_they_hold(db: Database, collect: Callable[[], Gauges]) -> None:
    shop = Workshop(db)
    user_id = shop.user(credits=100)
    first, second, third = (shop.submit(user_id, 5) for _ in range(3))
    shop.submit(user_id, 7, kind="image")
    shop.claim_one(first)
    assert shop.complete(shop.claim_one(second))
    shown = collect()
    assert {pair: count for pair, count in shown.jobs.items() if count} == {
        ("text", "running"): 1,
        ("text", "pending"): 1,
        ("image", "pending"): 1,
    }
    assert shown.held == 17 == shop.balance(user_id).held
    assert shop.cancel(third, user_id).done
    assert (collect().held, collect().jobs["text", "pending"]) == (12, 0)


def test_waiting_is_counted_from_when_a_job_could_run(db: Database, collect: Callable[[], Gauges]) -> None:
    shop = Workshop(db)
    old = shop.submit(shop.user(), 0)
    db.transact(change, statement="UPDATE jobs SET created_ms = created_ms - 90000")
    young = shop.submit(shop.user(), 0)
    assert 90 <= collect().oldest_waiting["generation.text"] < 120
    assert shop.put_back(shop.claim_one(old), wait_ms=10 * MINUTE_MS)
    assert collect().oldest_waiting["generation.text"] < 30
    shop.claim_one(young)
    assert collect().oldest_waiting["generation.text"] == 0


def test_messages_lag_from_when_they_were_due(db: Database, collect: Callable[[], Gauges]) -> None:
    shop = Workshop(db)
    shop.submit(shop.user(), 0)
    assert (collect().outbox_rows, collect().outbox_lag < 30) == (1, True)
    for statement, lag in (
        ("UPDATE outbox SET created_ms = created_ms - 90000", 90),
        ("UPDATE outbox SET available_ms = 9000000000000, tries = 1", 90),
        ("UPDATE outbox SET tries = 0", 0),
    ):
        db.transact(change, statement=statement)
        assert lag <= collect().outbox_lag < lag + 30
    shop.relay()
    assert (collect().outbox_rows, collect().outbox_lag) == (0, 0)


def test_letters_count_until_they_are_sent(db: Database, collect: Callable[[], Gauges]) -> None:
    letter = Letter(email_id="1", template="verify", ref="1", user_id="u", recipient="a@b.cn", locale="zh")
    db.transact(enqueue, letter=letter, now_ms=now_ms())
    assert collect().mail_backlog == 1
    db.transact(change, statement="UPDATE emails SET state = 'sent'")
    assert collect().mail_backlog == 0


def test_what_gateways_sent_and_nobody_ordered_is_counted(db: Database, collect: Callable[[], Gauges]) -> None:
    counter = Counter(db)
    order = counter.order()
    assert counter.take(paid(order, amount_fen=1)) == "wrong_amount"
    assert counter.take(paid(order, order_no="f" * 32)) == "unknown_order"
    assert counter.receive(paid(order))
    shown = collect()
    assert (shown.unsettled, shown.cases) == (1, {"wrong_amount": 1, "unknown_order": 1})


def test_the_verdict_is_shown_with_its_age(db: Database, collect: Callable[[], Gauges]) -> None:
    report = Report(
        findings=(), totals={"job.hold": 2, "job.lease": 1}, violations=2, warnings=1, examined=3, whole=True
    )
    db.transact(verdicts.store, report, now_ms=now_ms() - 90_000)
    shown = collect()
    assert (shown.violations, shown.warnings) == (2, 1)
    assert shown.checked is not None
    assert 90 <= shown.checked < 120


def test_no_figure_reads_a_whole_table(db: Database) -> None:
    """The plan of every statement names an index; only the queues' own small tables are read from their start."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement != "BEGIN":
            statements.append((statement, parameters))

    shop = Workshop(db)
    user_id = shop.user()
    shop.submit_all([shop.submission(user_id, 0) for _ in range(1_000)])
    db.transact(change, statement="UPDATE jobs SET state = 'completed'")
    shop.submit(user_id, 0)
    db.transact(change, statement="ANALYZE" if db.url.startswith("sqlite") else "ANALYZE TABLE jobs, emails, outbox")
    event.listen(db.reader, "before_cursor_execute", note)
    db.read(gauges.collect, now_ms=now_ms())
    event.remove(db.reader, "before_cursor_execute", note)
    scanned = {table for one in statements for table in db.read(_scanned, statement=one)}
    assert scanned <= {"outbox", "verdicts", "controls", "dead_messages"}
    assert len(statements) == 18


def _scanned(session: Session, *, statement: tuple[str, Any]) -> set[str]:
    connection = session.connection()
    prefix = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    plan = connection.exec_driver_sql(prefix + statement[0], statement[1]).mappings().all()
    if connection.dialect.name == "sqlite":
        scans = [row["detail"].split()[1] for row in plan if row["detail"].startswith("SCAN")]
    else:
        scans = [row["table"] for row in plan if row["type"] in {"ALL", "index"}]
    return {table for table in scans if not table.startswith(("<", "anon"))}
