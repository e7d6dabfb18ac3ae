"""Removing bytes: of files that were deleted, of uploads that were never finished, and of what has no row at all.

Everything here may run twice, late, or in two processes at once: what is gone stays gone, and what is needed is never
taken for something else.
"""

from collections.abc import Collection

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.files import direct, models, names
from atelier.files.models import FILES, SWEEPS
from atelier.kernel import clock, logs
from atelier.kernel.database import Again, Database, is_duplicate, matched
from atelier.storage.port import Storage

KEYS_PER_PAGE = 500
PAGES_MAX = 100
ROUNDS_MAX = 50
# A file gets its key before its bytes are stored and its row after that: so long it may take.
ORPHAN_MS = 2 * clock.HOUR_MS
F = FILES.c
S = SWEEPS.c
log = logs.get(__name__)


def remove(database: Database, *, storage: Storage, file_id: str) -> bool:
    """Delete the bytes of a deleted file, then its row; False when there is nothing to do. Raises Transient."""
    key = database.read(_to_remove, file_id=file_id)
    if key is None:
        return False
    storage.delete(key)
    return database.transact(_forget, file_id=file_id)


def collect(database: Database, *, storage: Storage, now_ms: int) -> dict[str, int]:
    """One round of everything; how much of each. Raises Transient."""
    done = {"lapsed": 0, "requeued": 0, "forgotten": 0}
    for _ in range(ROUNDS_MAX):
        lapsed = database.transact(direct.lapse, now_ms=now_ms)
        forgotten = database.transact(direct.forget_refused)
        done["lapsed"] += lapsed
        done["forgotten"] += forgotten
        if max(lapsed, forgotten) < direct.ROWS_MAX:
            break
    done["requeued"] = database.transact(direct.requeue, now_ms=now_ms)
    done["incoming"] = _collect_incoming(database, storage)
    done["orphans"] = _collect_orphans(database, storage, before=names.floor(names.FILES, now_ms - ORPHAN_MS))
    log.info("files.collected", **done)
    return done


def _collect_incoming(database: Database, storage: Storage) -> int:
    """An upload is announced before it is sent: what nobody waits for may go, whatever its age."""
    after, removed = "", 0
    for _ in range(PAGES_MAX):
        keys = storage.keys(names.INCOMING, after=after, limit=KEYS_PER_PAGE)
        awaited = database.read(_known, keys=keys, states=(models.PENDING, models.CHECKING))
        removed += _delete(storage, [key for key in keys if key not in awaited])
        if len(keys) < KEYS_PER_PAGE:
            break
        after = keys[-1]
    return removed


def _collect_orphans(database: Database, storage: Storage, *, before: str) -> int:
    """Go on where the last round ended, as far as files are old enough to have a row if they ever get one."""
    after, removed = database.read(swept, folder=names.FILES), 0
    for _ in range(PAGES_MAX):
        keys = [key for key in storage.keys(names.FILES, after=after, limit=KEYS_PER_PAGE) if key < before]
        if not keys:
            break
        known = database.read(_known, keys=keys, states=None)
        removed += _delete(storage, [key for key in keys if key not in known])
        after = keys[-1]
        database.transact(sweep_on, folder=names.FILES, after=after)
    return removed


def _delete(storage: Storage, keys: Collection[str]) -> int:
    # Another program's files in the same place are none of ours.
    ours = [key for key in keys if names.is_key(key)]
    for key in ours:
        storage.delete(key)
    return len(ours)


def _to_remove(session: Session, *, file_id: str) -> str | None:
    wanted = select(F.key).where(F.id == file_id, F.state == models.REMOVING)
    return session.connection().execute(wanted).scalar_one_or_none()


def _forget(session: Session, *, file_id: str) -> bool:
    return matched(session, delete(FILES).where(F.id == file_id, F.state == models.REMOVING)) == 1


def _known(session: Session, *, keys: Collection[str], states: Collection[str] | None) -> set[str]:
    wanted = select(F.key).where(F.key.in_(list(keys)))
    if states is not None:
        wanted = wanted.where(F.state.in_(list(states)))
    return set(session.connection().execute(wanted).scalars())


def swept(session: Session, *, folder: str) -> str:
    """Up to where this folder was searched, nothing at first."""
    return session.connection().execute(select(S.after).where(S.folder == folder)).scalar_one_or_none() or ""


def sweep_on(session: Session, *, folder: str, after: str) -> None:
    """Note that this folder was searched up to there."""
    if matched(session, update(SWEEPS).where(S.folder == folder).values(after=after)):
        return
    try:
        session.connection().execute(insert(SWEEPS).values(folder=folder, after=after))
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise
