"""What webhooks cost those who have none, and that no statement reads a table from its start."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from atelier.jobs.models import JOBS
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.webhooks import events
from atelier.webhooks.events import Ended, NewJobWebhook
from tests.webhooks.desk import Desk

Statements = list[tuple[str, Any]]


def noted(db: Database, run: Callable[[Session], object]) -> Statements:
    """What is asked of the database meanwhile."""
    statements: Statements = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append((statement, parameters))

    event.listen(db.writer, "before_cursor_execute", note)
    db.transact(run)
    event.remove(db.writer, "before_cursor_execute", note)
    return statements


def plan(connection: Connection, statement: str, parameters: Any) -> list[tuple[str, str]]:
    """Each table that is read, and by which index; none when it is read from its start."""
    is_sqlite = connection.dialect.name == "sqlite"
    found = connection.exec_driver_sql(("EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN ") + statement, parameters)
    if is_sqlite:
        return [(row[3], "" if row[3].startswith("SCAN") and "SUBQUERY" not in row[3] else "index") for row in found]
    return [(row.table, row.key or "") for row in found if row.table and not row.table.startswith("<")]


@pytest.fixture
def crowd(desk: Desk) -> Desk:
    """Many jobs, endpoints and events, most of them other people's."""
    jobs = [desk.shop.submission(desk.user_id, 0) for _ in range(200)]
    desk.shop.submit_all(jobs)
    for _ in range(300):
        desk.webhook("https://example.com/", user_id=new_id())
    desk.db.transact(
        events.follow,
        [NewJobWebhook(job_id=one.job_id, user_id=desk.user_id, url="https://a.example/") for one in jobs],
        now_ms=now_ms(),
    )
    ended = [Ended(one.job_id, "completed", new_id()) for one in jobs]
    desk.db.transact(events.record, ended, owners=JOBS, now_ms=now_ms())
    desk.messages()
    if not desk.db.url.startswith("sqlite"):
        tables = "jobs, webhook_endpoints, webhook_events, webhook_attempts, job_webhooks"
        desk.db.transact(lambda session: session.execute(text(f"ANALYZE TABLE {tables}")).all())
    return desk


def test_a_group_of_jobs_that_nobody_follows_costs_one_select(desk: Desk) -> None:
    ended = [Ended(desk.job(), "completed", new_id()) for _ in range(40)]
    asked = noted(desk.db, lambda session: events.record(session, ended, owners=JOBS, now_ms=now_ms()))
    assert [statement.split()[0] for statement, _ in asked] == ["SELECT"]
    assert noted(desk.db, lambda session: events.record(session, [], owners=JOBS, now_ms=now_ms())) == []


def test_a_group_of_jobs_that_is_followed_has_what_waits_counted_once_and_costs_two_inserts(desk: Desk) -> None:
    desk.webhook("https://example.com/")
    ended = [Ended(desk.job(url="https://example.org/"), "completed", new_id()) for _ in range(40)]
    asked = noted(desk.db, lambda session: events.record(session, ended, owners=JOBS, now_ms=now_ms()))
    assert [statement.split()[0] for statement, _ in asked] == ["SELECT", "SELECT", "INSERT", "INSERT"]
    assert ["FROM webhook_events" in statement for statement, _ in asked[:2]] == [False, True]
    assert len(desk.events()) == 80


def test_every_statement_finds_its_rows_by_an_index(crowd: Desk) -> None:
    target_id = crowd.events()[0].target_id
    crowd.webhook("https://example.com/")
    mine = [Ended(crowd.job(), "failed", new_id())]

    def everything(session: Session) -> None:
        events.record(session, mine, owners=JOBS, now_ms=now_ms())
        events.owner(session, target_id=target_id)
        claimed = events.claim(session, target_id=target_id, attempt_id=new_id(), now_ms=now_ms())
        assert claimed
        events.settle(session, claimed, events.Heard(status=200), now_ms=now_ms())
        events.requeue_overdue(session, now_ms=now_ms())

    asked = [one for one in noted(crowd.db, everything) if one[0].startswith(("SELECT", "UPDATE"))]
    assert len(asked) > 6
    with crowd.db.writer.connect() as connection:
        for statement, parameters in asked:
            for table, index in plan(connection, statement, parameters):
                assert index, (table, statement)
