"""How the database reaches the rows of every statement on the paths of submitting, running and reading jobs.

Each use case runs once on the full table; what it sends is caught at the driver, explained, and counted.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from atelier.accounts import queries as accounts
from atelier.catalog import queries as catalog
from atelier.catalog import seed_content
from atelier.dispatch import relay
from atelier.generation.settle import settle
from atelier.generation.submit import submit
from atelier.jobs import queries, states
from atelier.jobs import service as jobs
from atelier.jobs.queries import Filter
from atelier.jobs.service import Held
from atelier.kernel import ids
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.ledger import queries as ledger
from benchmarks import work
from benchmarks.people import Person

ROWS_READ_MAX = 12_000
"""A list counts up to ten thousand jobs; nothing else comes near."""
SCANS = {"ALL", "index"}
# A row for each queue and provider that somebody holds back: to read them all is what is wanted.
SMALL = frozenset({"controls"})
EXPLAINED = ("SELECT", "UPDATE", "DELETE")
_READ = "Handler_read"


@dataclass(frozen=True, slots=True)
class UseCase:
    """What one use case asked of the database: rows read in all, and the ways that its statements took."""

    name: str
    rows_read: int
    statements: int
    scans: tuple[str, ...]


def examined(database: Database, person: Person, job_id: str) -> list[UseCase]:
    """Every use case, on a table where `person` owns the finished job `job_id`. Leaves one more job behind."""
    agent = work.echo(database)
    new = work.submission(agent, person.user_id)
    mine = Filter(user_id=person.user_id)
    failed = Filter(user_id=person.user_id, state=states.FAILED)
    held: list[jobs.Claimed] = []

    def claim(session: Session) -> None:
        held[:] = jobs.claim(session, job_ids=[new.job_id], owner=f"bench:{ids.new_id()}", lease_ms=work.LEASE_MS)

    def overdue(session: Session) -> None:
        for state in states.ALIVE:
            queries.overdue(session, queue="generation.text", state=state, limit=100)

    cases: dict[str, Callable[[Session], object]] = {
        "identity": lambda session: accounts.identity(session, user_id=person.user_id),
        "agent": lambda session: catalog.runnable(session, agent_id=seed_content.ECHO.id),
        "submit": lambda session: submit(session, [new], limits=work.LIMITS),
        "relay": lambda session: relay.claim(session, claimant="bench"),
        "claim": claim,
        "pulses": lambda session: jobs.pulses(session, held=[Held(job_id=new.job_id, fence=1)]),
        "renew": lambda session: jobs.renew(session, held=[Held(job_id=new.job_id, fence=1)], lease_ms=work.LEASE_MS),
        "sweep": overdue,
        "settle": lambda session: settle(session, [work.settlement(one) for one in held], now_ms=now_ms()),
        "poll": lambda session: queries.snapshots(session, job_ids=[job_id]),
        "result": lambda session: queries.stored(session, job_id=job_id, user_id=person.user_id),
        "list": lambda session: queries.page(session, mine, offset=0, limit=20),
        "list of one state": lambda session: queries.page(session, failed, offset=0, limit=20),
        "balance": lambda session: ledger.balance(session, user_id=person.user_id),
    }
    return [database.transact(examine, name, case) for name, case in cases.items()]


def examine(session: Session, name: str, case: Callable[[Session], object]) -> UseCase:
    """Run one use case, and see what it asked of the database."""
    connection = session.connection()
    connection.execute(text("flush status"))
    with _caught(connection.engine) as sent:
        case(session)
    told = connection.execute(text("show session status like 'Handler_read%'")).all()
    rows_read = sum(int(row[1]) for row in told)
    scans = [scan for statement, values in sent for scan in _scans(session, statement, values)]
    return UseCase(name, rows_read, len(sent), tuple(scans))


@contextmanager
def _caught(engine: Engine) -> Generator[list[tuple[str, Any]]]:
    sent: list[tuple[str, Any]] = []

    def catch(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:  # noqa: FBT001
        sent.append((statement, values))

    event.listen(engine, "before_cursor_execute", catch)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", catch)


def _scans(session: Session, statement: str, values: Any) -> Iterator[str]:
    """The tables that a statement reads from end to end, with what the server expects of that."""
    if not statement.lstrip().startswith(EXPLAINED):
        return
    for row in session.connection().exec_driver_sql(f"EXPLAIN {statement}", values).mappings():
        table = row["table"]
        # A derived table is the result of the line below it, which is judged by itself.
        if row["type"] in SCANS and table and table not in SMALL and not str(table).startswith("<"):
            yield f"{row['type']} of {table} ({row['rows']} rows): {statement[:120]}"
