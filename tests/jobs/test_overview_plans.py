"""However many jobs there are and whatever is asked for: an index leads, and a bounded number of rows is read."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.orm import Session

from atelier.contracts import queues
from atelier.jobs import dead_letters, overview, reasons, states, walking
from atelier.jobs.models import DEAD_LETTERS, JOBS
from atelier.kernel import ids
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id

CHUNK = 10_000
USERS = [new_id() for _ in range(50)]
AGENTS = [new_id() for _ in range(20)]
KINDS = ("text", "image", "audio", "video")
STATES = (*["completed"] * 90, *["failed"] * 6, *["canceled"] * 3, "running")
CODES = ("PROVIDER_TIMEOUT", "PROVIDER_REJECTED", "INTERNAL")
BORN_MS = now_ms() - 86_400_000
RARE = "rare-provider"


def _job(number: int) -> dict[str, Any]:
    kind, state, at_ms = KINDS[number % 4], STATES[number % 100], BORN_MS + number * 100
    is_alive, provider = state in states.ALIVE, "echo" if number % 9 else queues.WORKFLOW
    return {
        "id": f"{ids.floor(at_ms)}-7000-8000-{number:012x}",
        "user_id": USERS[number % 50],
        "agent_id": AGENTS[number % 20],
        "agent_version": 1,
        "kind": kind,
        "queue": queues.waits_in(kind=kind, provider=provider),
        "provider": RARE if number == 7 else provider,
        "state": state,
        "attempts_max": 3,
        "deadline_ms": at_ms + 3_600_000,
        "held": 0,
        "input": {},
        "config": {},
        "error_code": CODES[number % 3] if state == "failed" else None,
        "created_ms": at_ms,
        "finished_ms": None if is_alive else at_ms,
    }


def _fill(session: Session, *, crowd: int) -> None:
    connection = session.connection()
    for start in range(0, crowd, CHUNK):
        connection.execute(insert(JOBS), [_job(number) for number in range(start, start + CHUNK)])
    failed = [job["id"] for job in map(_job, range(crowd)) if job["state"] == "failed"]
    for start in range(0, len(failed), 1_000):
        dead_letters.bury(session, failed[start : start + 1_000])
    is_sqlite = connection.dialect.name == "sqlite"
    connection.execute(text("ANALYZE" if is_sqlite else "ANALYZE TABLE jobs, dead_letters"))


GIVEN: dict[str, Any] = {
    "state": "failed",
    "reason": "bug",
    "error_code": "INTERNAL",
    "agent_id": AGENTS[3],
    "provider": "echo",
    "queue": "generation.text",
    "kind": "text",
    "user_id": USERS[3],
    "from_ms": BORN_MS + 1_000_000,
    "until_ms": BORN_MS + 9_000_000,
}


def _combinations() -> Iterator[dict[str, Any]]:
    for number in (0, 1, 2, len(GIVEN) - 1, len(GIVEN)):
        for names in itertools.combinations(GIVEN, number):
            yield {name: GIVEN[name] for name in names}


@pytest.mark.parametrize("crowd", [20_000, pytest.param(100_000, marks=pytest.mark.proof)])
def test_an_index_leads_and_few_rows_are_read(db: Database, crowd: int) -> None:
    db.transact(_fill, crowd=crowd)
    check_plans(db)
    check_a_needle(db, crowd)
    check_walks(db, crowd)


def check_plans(crowded: Database) -> None:
    """Whatever is combined, no statement reads a table from its start."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "jobs" in statement or "dead_letters" in statement:
            statements.append((statement, parameters))

    event.listen(crowded.reader, "before_cursor_execute", note)
    for given in _combinations():
        crowded.read(overview.page, overview.Filter(**given), limit=50)
        of_letters = {name: value for name, value in given.items() if name != "state"}
        crowded.read(dead_letters.page, dead_letters.Filter(**of_letters), limit=50)
    for state in (*states.ALIVE, *states.FINISHED):
        crowded.read(overview.page, overview.Filter(state=state, provider=RARE), limit=50)
    crowded.read(dead_letters.counts)
    event.remove(crowded.reader, "before_cursor_execute", note)
    distinct = dict(statements)
    assert len(distinct) > 80
    scanned = {
        statement: plan for statement, given in distinct.items() if (plan := crowded.read(_scans, statement, given))
    }
    assert scanned == {}


def _scans(session: Session, statement: str, parameters: Any) -> list[dict[str, Any]]:
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    prefix = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
    plan = [dict(row) for row in connection.exec_driver_sql(prefix + statement, parameters).mappings()]
    if is_sqlite:
        tables = ("SCAN jobs", "SCAN dead_letters")
        return [row for row in plan if row["detail"].startswith(tables)]
    ours = {JOBS.name, DEAD_LETTERS.name}
    return [row for row in plan if row["table"] in ours and row["type"] in {"ALL", "index"}]


def check_a_needle(crowded: Database, crowd: int) -> None:
    """Find one job among all, by something that no index knows: each page looks at so many rows at most."""
    pages, before = 0, None
    found: list[overview.Seen] = []
    while not found:
        wanted = overview.Filter(provider=RARE, before=before)
        found, before = crowded.read(overview.page, wanted, limit=50)
        pages += 1
        assert found or before
    assert [one.provider for one in found] == [RARE]
    assert pages == crowd // walking.SCANNED_MAX
    narrow = overview.Filter(provider=RARE, until_ms=BORN_MS + 100_000)
    (one,), _ = crowded.read(overview.page, narrow, limit=50)
    assert one.id == found[0].id


def check_walks(crowded: Database, crowd: int) -> None:
    """What is found is what a search of everything would find."""
    jobs = [_job(number) for number in range(crowd)]
    cases: tuple[dict[str, Any], ...] = (
        {"state": "running", "agent_id": AGENTS[19]},
        {"queue": "generation.video", "user_id": USERS[3], "state": "canceled"},
        {"reason": "bug", "state": "failed", "kind": "image"},
        {"kind": "audio", "error_code": "PROVIDER_REJECTED"},
        {"kind": "video"},
        {"kind": "video", "queue": "generation.compose"},
        {"kind": "video", "provider": queues.WORKFLOW, "state": "failed"},
    )
    for given in cases:
        equal = {name: value for name, value in given.items() if name != "reason"}
        wanted = [
            job["id"]
            for job in reversed(jobs)
            if all(job[name] == value for name, value in equal.items())
            and ("reason" not in given or reasons.of(job["error_code"]) == given["reason"])
        ]
        found: list[str] = []
        before: str | None = None
        while before or not found:
            page, before = crowded.read(overview.page, overview.Filter(**given, before=before), limit=200)
            found += [one.id for one in page]
            if before is None:
                break
        assert found == wanted, given
