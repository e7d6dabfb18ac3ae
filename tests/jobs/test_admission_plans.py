"""What dealing out a place reads is the same with twenty jobs waiting and with thousands."""

import pytest
from sqlalchemy.orm import Session

from atelier.generation import taking
from atelier.generation.taking import Places
from atelier.jobs import explain
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from benchmarks import plans
from benchmarks.plans import UseCase
from tests.jobs.floor import PROVIDERS
from tests.jobs.lifecycle import Workshop

USERS = 20
WAITING = 3_000
WINDOW = 4
ROWS_READ_MAX = 400
# Read from end to end without harm: it has a row for each queue and provider that is held back.
SMALL_TABLES = ("controls",)


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_a_place_is_dealt_out_by_as_much_whatever_waits(db: Database) -> None:
    shop = Workshop(db)
    users = [shop.user() for _ in range(USERS)]
    jobs = [shop.submit(user_id, 0) for user_id in users]
    few = _dealt(db, jobs[0])
    for first in range(0, WAITING, 500):
        shop.submit_all([shop.submission(users[(first + n) % USERS], 0) for n in range(500)])
    many = _dealt(db, jobs[0])
    assert many.rows_read <= few.rows_read + USERS
    assert many.rows_read < ROWS_READ_MAX
    assert [scan for scan in many.scans if not any(f" of {table} " in scan for table in SMALL_TABLES)] == []


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_a_line_is_read_up_to_its_bound(db: Database) -> None:
    shop = Workshop(db)
    user_id = shop.user()
    shop.submit_all([shop.submission(user_id, 0) for _ in range(WAITING)])

    def read(session: Session) -> UseCase:
        return plans.examine(session, "line", lambda again: explain.line(again, queue="generation.text", window=WINDOW))

    seen = db.transact(read)
    assert seen.rows_read <= 2 * explain.FRONT_MAX
    assert [scan for scan in seen.scans if not any(f" of {table} " in scan for table in SMALL_TABLES)] == []


def _dealt(db: Database, job_id: str) -> UseCase:
    places = Places(owner=f"w:{new_id()}", lease_ms=60_000, window=WINDOW, providers=PROVIDERS)

    def take(session: Session) -> object:
        return taking.take(session, asked=[job_id], places=places, chosen=set[str](), now_ms=now_ms())

    with Session(db.writer) as session:
        seen = plans.examine(session, "take", take)
        session.rollback()
    return seen
