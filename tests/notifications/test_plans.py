"""No statement on notifications reads the table from its start."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.orm import Session

from atelier.kernel import clock
from atelier.kernel.ids import new_id
from atelier.notifications import queries, service
from atelier.notifications.models import Notification
from tests.notifications.town import Town

PEOPLE = [new_id() for _ in range(50)]
DELIVERED = {"kind": "role_changed", "data": {"role": "user"}, "ref_type": None, "ref_id": None, "due_ms": None}


def _fill(session: Session) -> None:
    now = clock.now_ms()
    rows = [
        {
            **DELIVERED,
            "id": new_id(),
            "user_id": who,
            "seq": now + n,
            "created_ms": now,
            "read_ms": now if n % 2 else None,
        }
        for n in range(60)
        for who in PEOPLE
    ]
    session.execute(insert(Notification), rows)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    session.execute(text("ANALYZE" if is_sqlite else "ANALYZE TABLE notifications"))


def _page(session: Session) -> Any:
    return queries.page(session, user_id=PEOPLE[0], unread_only=True, before=new_id(), offset=5, limit=20)


QUESTIONS: dict[str, Callable[[Session], Any]] = {
    "page": _page,
    "waiting": lambda session: queries.waiting(session, notification_id=new_id()),
    "newest": lambda session: queries.newest(session, user_id=PEOPLE[0]),
    "told since": lambda session: queries.told_since(session, user_ids=PEOPLE[:3], since=clock.now_ms() + 50),
    "undelivered": lambda session: queries.undelivered(session, counted_max=100),
    "settle": lambda session: service.settle(session, notification_id=new_id(), user_id=PEOPLE[0], live=True),
    "trim": lambda session: service.trim(session, user_id=PEOPLE[0]),
    "overdue": lambda session: service.requeue_overdue(session, now_ms=0),
    "read all": lambda session: service.mark_all_read(session, user_id=PEOPLE[0], now_ms=1),
}


@pytest.fixture
def crowded(town: Town) -> Town:
    """Fifty people with sixty notifications each."""
    town.db.transact(_fill)
    return town


def test_an_index_serves_every_question(crowded: Town) -> None:
    statements: list[tuple[str, str, Any]] = []
    name = ""

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "notifications" in statement:
            statements.append((name, statement, parameters))

    event.listen(crowded.db.writer, "before_cursor_execute", note)
    for asked, question in QUESTIONS.items():
        name = asked
        crowded.db.transact(question)
    event.remove(crowded.db.writer, "before_cursor_execute", note)
    assert {one for one, _, _ in statements} == set(QUESTIONS)
    plans = {(one, statement): crowded.db.transact(_plan, statement, given) for one, statement, given in statements}
    assert {asked: plan for asked, plan in plans.items() if _scans(plan)} == {}


def _plan(session: Session, statement: str, parameters: Any) -> list[dict[str, Any]]:
    connection = session.connection()
    prefix = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return [dict(row) for row in connection.exec_driver_sql(prefix + statement, parameters).mappings()]


def _scans(plan: list[dict[str, Any]]) -> bool:
    if "detail" in plan[0]:
        return any(row["detail"].startswith("SCAN notifications") for row in plan)
    return any(row["table"] == "notifications" and row["type"] in {"ALL", "index"} for row in plan)
