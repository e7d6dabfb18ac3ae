"""Removing results that were kept for as long as was promised, and to which no version of a project refers."""

from sqlalchemy.orm import Session

from atelier.jobs import results
from atelier.jobs.results import Due
from atelier.kernel import faults, logs
from atelier.kernel.clock import DAY_MS, MINUTE_MS
from atelier.kernel.database import Database
from atelier.storage.port import Storage, StorageUnavailable
from atelier.workshop import references

RESULTS_PER_ROUND = 50
ROUNDS_MAX = 200
# What a version refers to is looked at once a day: the version may be deleted.
REFERRED_MS = DAY_MS
# Whoever marks a result removes its files within this time, or another does it after.
REMOVING_MS = 30 * MINUTE_MS
log = logs.get(__name__)


def expire(database: Database, *, storage: Storage, now_ms: int) -> int:
    """Go on where the last call ended; how many results were removed. What can't be removed now comes again."""
    removed = 0
    for _ in range(ROUNDS_MAX):
        going = database.transact(mark, now_ms=now_ms)
        if going is None:
            break
        faults.point("expiring.after_mark")
        removed += sum(_remove(database, storage, one) for one in going)
    if removed:
        log.info("results.expired", removed=removed)
    return removed


def mark(session: Session, *, now_ms: int) -> list[Due] | None:
    """Decide what of the results whose time is over goes; None when there are none."""
    found = results.due(session, now_ms=now_ms, limit=RESULTS_PER_ROUND)
    if not found:
        return None
    # The rows are held, so no version can come to refer to one of these meanwhile. What is gone stays gone.
    there = [one.job_id for one in found if not one.gone]
    kept = references.referred(session, job_ids=there) | results.of_families(session, job_ids=there)
    going = [one for one in found if one.job_id not in kept]
    results.put_off(session, job_ids=kept, until_ms=now_ms + REFERRED_MS)
    results.mark(session, job_ids=[one.job_id for one in going], now_ms=now_ms, until_ms=now_ms + REMOVING_MS)
    return going


def _remove(database: Database, storage: Storage, one: Due) -> bool:
    try:
        for key in one.keys:
            storage.delete(key)
            faults.point("expiring.after_delete")
    except StorageUnavailable as error:
        log.warning("results.not_removed", job_id=one.job_id, error_code=error.code)
        return False
    database.transact(results.empty, job_id=one.job_id)
    faults.point("expiring.after_empty")
    return True
