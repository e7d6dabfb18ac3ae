"""Removing what attempts have stored that did not win: their worker was killed after it, or found its lease lost.

Only jobs that ended hours ago are looked at, and only those that had an attempt which may have stored something; what
the job's result names stays, so versions of projects, which name a job's outputs, keep theirs.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from atelier.files import collecting as files
from atelier.jobs import states
from atelier.jobs.models import ATTEMPTS, JOBS, RESULTS
from atelier.kernel import logs
from atelier.kernel.clock import HOUR_MS
from atelier.kernel.database import Database
from atelier.storage.port import Storage

FOLDER = "outputs"
# A worker that lost its lease may not know it yet, and still be storing what it made.
ENDED_MS = 2 * HOUR_MS
WINDOW_MS = HOUR_MS
JOBS_PER_ROUND = 200
ROUNDS_MAX = 20
KEYS_PER_PAGE = 500
A, J = ATTEMPTS.c, JOBS.c
_KEY = re.compile(rf"{FOLDER}/[0-9a-f-]{{36}}/\d+/\d+\.\w+")
log = logs.get(__name__)


class Ended(NamedTuple):
    """A job with an attempt that did not win, and where the result of the one that did is."""

    job_id: str
    finished_ms: int
    kept: frozenset[str]


class Round(NamedTuple):
    """Some of them, and up to where everything is looked at."""

    jobs: list[Ended]
    after: str


def collect(database: Database, *, storage: Storage, now_ms: int) -> int:
    """Go on where the last call ended; how many files were removed. Raises Transient."""
    removed = 0
    for _ in range(ROUNDS_MAX):
        found = database.read(_next, before_ms=now_ms - ENDED_MS)
        if found is None:
            break
        for job in found.jobs:
            for key in list(_lost(storage, job)):
                storage.delete(key)
                removed += 1
        database.transact(files.sweep_on, folder=FOLDER, after=found.after)
    log.info("outputs.collected", removed=removed)
    return removed


def _lost(storage: Storage, job: Ended) -> Iterator[str]:
    after, folder = "", f"{FOLDER}/{job.job_id}"
    while keys := storage.keys(folder, after=after, limit=KEYS_PER_PAGE):
        # Another program's files in the same place are none of ours.
        yield from (key for key in keys if key not in job.kept and _KEY.fullmatch(key))
        after = keys[-1]


def _next(session: Session, *, before_ms: int) -> Round | None:
    text, _, job_id = files.swept(session, folder=FOLDER).partition("/")
    since_ms = int(text or 0)
    later = (J.finished_ms >= since_ms, or_(J.finished_ms > since_ms, J.id > job_id))
    first = select(J.finished_ms).where(*later).order_by(J.finished_ms).limit(1)
    begin_ms = session.connection().execute(first).scalar()
    if begin_ms is None or begin_ms >= before_ms:
        return None
    until_ms = min(begin_ms + WINDOW_MS, before_ms)
    rows = session.connection().execute(
        select(J.id, J.finished_ms, RESULTS.c.document)
        .outerjoin_from(JOBS, RESULTS, RESULTS.c.job_id == J.id)
        .where(*later, J.finished_ms < until_ms, _had_another_attempt())
        .order_by(J.finished_ms, J.id)
        .limit(JOBS_PER_ROUND)
    )
    jobs = [Ended(row[0], row[1], _kept(row[2])) for row in rows]
    if len(jobs) < JOBS_PER_ROUND:
        return Round(jobs, f"{until_ms}/")
    return Round(jobs, f"{jobs[-1].finished_ms}/{jobs[-1].job_id}")


def _had_another_attempt() -> Any:
    won = and_(J.state == states.COMPLETED, A.fence == J.fence)
    # Providers fail before anything is stored; of most failed attempts nothing need be looked for.
    stored_nothing = A.outcome.startswith("PROVIDER_", autoescape=True)
    return exists().where(A.job_id == J.id, ~won, or_(A.outcome.is_(None), ~stored_nothing))


def _kept(result: Any) -> frozenset[str]:
    outputs: list[dict[str, Any]] = result["outputs"] if result else []
    return frozenset(output["key"] for output in outputs if "key" in output)
