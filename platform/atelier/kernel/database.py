"""The one place that begins, commits, rolls back and retries.

Domain code is plain functions `fn(session, *, …)` that never commit. Workers run them with `database.transact(fn, …)`,
the event loop with `await async_database.transact(fn, …)`: the same function, the same engine, behind a bounded pool
of threads. A function may be run more than once, so it touches nothing but the session.
"""

import asyncio
import contextlib
import contextvars
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import BindParameter, CursorResult, Executable, MetaData, bindparam
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session

from atelier.kernel import engines
from atelier.kernel.errors import Refusal, Transient

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS_MAX = 8
# No attempt begins later than this: who waits for an answer is told that there is none, instead of waiting on.
ATTEMPT_SECONDS_MAX = 12
# MariaDB and MySQL: lock wait, deadlock, changed since read, and every way in which a server or a connection goes away.
RETRIED = frozenset(
    {
        1205,
        1213,
        1020,
        1040,
        1053,
        1077,
        1079,
        1152,
        1153,
        1158,
        1159,
        1160,
        1161,
        1184,
        1203,
        1927,
        2002,
        2003,
        2006,
        2013,
        2014,
        2055,
    }
)
DUPLICATE = 1062
LOCK_WAIT = 1205
CHECK_VIOLATED = frozenset({3819, 4025})


class Base(DeclarativeBase):
    """All tables. The naming convention gives every constraint the same name on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class DatabaseUnavailable(Transient):
    """The database could not serve the transaction now; nothing of it happened, or all of it did exactly once."""

    code: ClassVar[str] = "UNAVAILABLE"


class Again(Exception):
    """Raise inside a transaction to roll back and run the whole function again, because it lost a race."""


def matched(session: Session, statement: Executable, parameters: Mapping[str, Any] | None = None) -> int:
    """How many rows an UPDATE or DELETE matched (not changed: the MySQL driver is opened with FOUND_ROWS)."""
    return cast("CursorResult[Any]", session.execute(statement, parameters)).rowcount


def any_of(name: str) -> BindParameter[Any]:
    """The parameter of `column.in_(…)` in a statement that is made once: a list of any length.

    To make a statement takes several times as long as to send one that is there, so those of every submission, claim
    and settlement are constants.
    """
    return bindparam(name, expanding=True)


def filled(rows: list[dict[str, Any]], *optional: str) -> list[dict[str, Any]]:
    """The rows without those columns that none of them fills: every value costs time on its way to the server."""
    empty = [name for name in optional if all(row[name] is None for row in rows)]
    for row in rows:
        for name in empty:
            del row[name]
    return rows


def is_duplicate(error: IntegrityError) -> bool:
    """Whether a unique key, and nothing else, refused the row."""
    code = _code(error)
    return code == DUPLICATE or "UNIQUE constraint failed" in str(error.orig)


class Database:
    """Runs transactions for threads and processes. Make one per process, after any fork."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self.pool_size = pool_size
        self.writer, self.reader = engines.create(url, pool_size=pool_size)

    def transact(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` in one transaction and commit it. Raises DatabaseUnavailable when the database can't serve."""
        return self._run(self.writer, True, lambda session: fn(session, *args, **kwargs))

    def read(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn`, which only reads, without a transaction: each statement sees the newest committed rows."""
        return self._run(self.reader, False, lambda session: fn(session, *args, **kwargs))

    def snapshot(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn`, which only reads, so that all its statements see one moment."""

        def at_one_moment(session: Session) -> R:
            if session.get_bind().dialect.name != "sqlite":
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            return fn(session, *args, **kwargs)

        engine = self.reader if self.reader.dialect.name == "sqlite" else self.writer
        return self._run(engine, False, at_one_moment)

    def close(self) -> None:
        """Close every pooled connection."""
        self.writer.dispose()
        self.reader.dispose()

    def _run(self, engine: Engine, commit: bool, fn: Callable[[Session], R]) -> R:  # noqa: FBT001 - private
        begun, run = time.monotonic(), _Run(engine, commit=commit)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return run.once(fn)
            except (Again, DBAPIError, PoolTimeout, Refusal) as error:
                if not _may_run_again(error):
                    if run.is_in_doubt:
                        raise DatabaseUnavailable(type(error).__name__) from error
                    raise
                if attempt == ATTEMPTS_MAX or time.monotonic() - begun > ATTEMPT_SECONDS_MAX:
                    raise DatabaseUnavailable(type(error).__name__) from error
            time.sleep(random.uniform(0, min(0.4, 0.004 * 2**attempt)))  # noqa: S311 - jitter, not a secret
        raise AssertionError


class _Run:
    """One transaction, however often it is tried.

    It is in doubt when a commit was sent and not answered: it may have happened. A function that knows its own work
    when it runs again answers as if nothing had been; what any other says then (a name that is taken, a balance that is
    spent) may be its own doing, so it must not be told as the answer.
    """

    def __init__(self, engine: Engine, *, commit: bool) -> None:
        self.is_in_doubt = False
        self._engine = engine
        self._commit = commit

    def once(self, fn: Callable[[Session], R]) -> R:
        try:
            return self._once(fn)
        except InterfaceError:
            # A connection was closed under the driver: none that the pool holds is to be trusted.
            self._engine.dispose()
            raise
        except self._engine.dialect.loaded_dbapi.Error as error:
            # While a connection is set up or given back, SQLAlchemy lets the driver's own errors through.
            self._engine.dispose()
            raise OperationalError(None, None, error) from error

    def _once(self, fn: Callable[[Session], R]) -> R:
        with Session(self._engine, expire_on_commit=False, autoflush=False) as session:
            result = fn(session)
            if self._commit:
                self.is_in_doubt = True
                session.commit()
            else:
                session.rollback()
            return result


class AsyncDatabase:
    """The same transactions for an event loop: threads as many as connections, a bounded line before them."""

    def __init__(self, database: Database, *, waiting_max: int = 2_000) -> None:
        self.database = database
        self._threads = ThreadPoolExecutor(database.pool_size, thread_name_prefix="db")
        self._waiting_max = waiting_max

    async def transact(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Database.transact`. A cancellation is delivered only after the commit is decided."""
        return await self._in_thread(lambda: self.database.transact(fn, *args, **kwargs))

    async def read(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Database.read`."""
        return await self._in_thread(lambda: self.database.read(fn, *args, **kwargs))

    def close(self) -> None:
        """Wait for running transactions, then close the connections."""
        self._threads.shutdown(wait=True)
        self.database.close()

    async def _in_thread(self, work: Callable[[], R]) -> R:
        if self._threads._work_queue.qsize() > self._waiting_max:  # noqa: SLF001 - the executor shows its line nowhere else
            message = "too many transactions are waiting"
            raise DatabaseUnavailable(message)
        context = contextvars.copy_context()
        running = asyncio.get_running_loop().run_in_executor(self._threads, lambda: context.run(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                # Whoever cancels twice is as impatient as before: the transaction still ends first.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            if not running.cancelled():
                running.exception()
            raise


def _may_run_again(error: Exception) -> bool:
    if isinstance(error, Again | PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if _code(error) in RETRIED:
        return True
    orig = getattr(error, "orig", None)
    if type(orig).__name__ == "InterfaceError":
        return True  # The driver's word for a connection that was closed under it.
    text = str(orig or "")
    return "database is locked" in text or "database table is locked" in text or "Packet sequence number wrong" in text


def _code(error: Exception) -> int:
    arguments: tuple[Any, ...] = getattr(getattr(error, "orig", None), "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def is_lock_wait(error: DBAPIError) -> bool:
    """Whether a row stayed locked for as long as MariaDB or MySQL waits for it. SQLite locks no rows."""
    return _code(error) == LOCK_WAIT


def is_check_violation(error: DBAPIError) -> bool:
    """Whether a CHECK constraint refused the row: a bug upstream of it, never transient."""
    return _code(error) in CHECK_VIOLATED or "CHECK constraint failed" in str(error.orig)
