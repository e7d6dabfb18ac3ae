"""The runner of transactions: all or nothing, once, whatever the database does meanwhile."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, String, Table, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from atelier.kernel import database as kernel
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Again, Database, DatabaseUnavailable, is_check_violation, is_duplicate, matched
from atelier.kernel.engines import UnsupportedDatabase
from atelier.kernel.errors import Transient
from tests.jobs.lifecycle import Workshop
from tests.kernel.proxy import LostAnswers

NOTES = Table(
    "notes", MetaData(), Column("id", String(36), primary_key=True), Column("value", BigInteger, nullable=False)
)
N = NOTES.c


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A runner on a database that has a table of notes, too."""
    made = Database(database_url, pool_size=4)
    NOTES.create(made.writer)
    yield made
    NOTES.drop(made.writer)
    made.close()


def write(session: Session, name: str, *, value: int) -> None:
    session.execute(insert(NOTES).values(id=name, value=value))


def add(session: Session, name: str, *, value: int) -> None:
    matched(session, update(NOTES).where(N.id == name).values(value=N.value + value))


def value(session: Session, name: str) -> int | None:
    return session.execute(select(N.value).where(N.id == name)).scalar_one_or_none()


class Counted:
    """Wraps a function and counts its runs."""

    def __init__(self, fn: Callable[[Session, int], Any]) -> None:
        self.runs = 0
        self._fn = fn

    def __call__(self, session: Session) -> Any:
        self.runs += 1
        return self._fn(session, self.runs)


class TestTransactions:
    def test_what_is_written_is_there_and_the_result_comes_back(self, db: Database) -> None:
        def work(session: Session, name: str, *, amount: int) -> str:
            write(session, name, value=amount)
            return f"{name}={amount}"

        assert db.transact(work, "a", amount=3) == "a=3"
        assert db.read(value, "a") == 3

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Transient])
    def test_any_error_undoes_all_and_is_raised_after_one_run(self, db: Database, error: type[BaseException]) -> None:
        def work(session: Session, _run: int) -> None:
            write(session, "a", value=1)
            raise error

        counted = Counted(work)
        with pytest.raises(error):
            db.transact(counted)
        assert (counted.runs, db.read(value, "a")) == (1, None)

    def test_a_broken_rule_of_the_data_is_not_tried_again(self, db: Database) -> None:
        db.transact(write, "a", value=1)
        twice = Counted(lambda session, _: write(session, "a", value=2))
        with pytest.raises(IntegrityError) as duplicate:
            db.transact(twice)
        assert (twice.runs, is_duplicate(duplicate.value), is_check_violation(duplicate.value)) == (1, True, False)
        missing = Counted(lambda session, _: session.execute(insert(NOTES).values(id="b")))
        with pytest.raises(DBAPIError) as absent:
            db.transact(missing)
        assert (missing.runs, is_check_violation(absent.value)) == (1, False)
        assert not isinstance(absent.value, IntegrityError) or not is_duplicate(absent.value)

    @pytest.mark.parametrize("run", ["transact", "read", "snapshot"])
    def test_an_error_does_not_repeat_what_was_asked_with_it(self, db: Database, run: str) -> None:
        def ask(session: Session) -> None:
            session.execute(text("SELECT :canary FROM nowhere"), {"canary": "canary-prompt-7c1e"})

        with pytest.raises(DBAPIError, match="nowhere") as raised:
            getattr(db, run)(ask)
        assert "canary-prompt-7c1e" not in str(raised.value)

    def test_a_lost_race_runs_the_function_again_from_the_start(self, db: Database) -> None:
        def work(session: Session, run: int) -> int:
            write(session, "a", value=run)
            if run < 3:
                raise Again
            return run

        assert db.transact(Counted(work)) == 3
        assert db.read(value, "a") == 3

    def test_a_race_that_is_lost_for_ever_ends_as_unavailable(self, db: Database) -> None:
        def work(session: Session, _run: int) -> None:
            write(session, "a", value=1)
            raise Again

        counted = Counted(work)
        with pytest.raises(DatabaseUnavailable) as caught:
            db.transact(counted)
        assert (counted.runs, caught.value.code) == (kernel.ATTEMPTS_MAX, "UNAVAILABLE")
        assert db.read(value, "a") is None

    def test_an_update_that_changes_nothing_still_matched(self, db: Database) -> None:
        db.transact(write, "a", value=1)
        same = update(NOTES).where(N.id == "a").values(value=1)
        assert db.transact(matched, same) == 1
        assert db.transact(matched, same.where(N.value == 2)) == 0

    def test_all_threads_together_lose_no_update(self, db: Database) -> None:
        db.transact(write, "a", value=0)

        def work(session: Session) -> None:
            seen = session.execute(select(N.value).where(N.id == "a").with_for_update()).scalar_one()
            session.execute(update(NOTES).where(N.id == "a").values(value=seen + 1))

        with ThreadPoolExecutor(12) as pool:
            for done in [pool.submit(db.transact, work) for _ in range(200)]:
                done.result()
        assert db.read(value, "a") == 200


class TestReading:
    def test_a_write_through_read_is_refused(self, db: Database) -> None:
        for write_in in (db.read, db.snapshot) if db.url.startswith("sqlite") else (db.read,):
            with pytest.raises(DBAPIError):
                write_in(write, "a", value=1)
        assert db.read(value, "a") is None

    def test_a_snapshot_keeps_nothing(self, db: Database) -> None:
        if not db.url.startswith("sqlite"):
            db.snapshot(write, "a", value=1)
        assert db.read(value, "a") is None

    def test_read_sees_each_commit_and_a_snapshot_one_moment(self, db: Database) -> None:
        db.transact(write, "a", value=1)

        def twice(session: Session) -> tuple[int | None, int | None]:
            first = value(session, "a")
            db.transact(add, "a", value=1)
            return first, value(session, "a")

        assert db.snapshot(twice) == (1, 1)
        assert db.read(value, "a") == 2

    @pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
    def test_a_snapshot_leaves_its_connection_as_it_was(self, database_url: str) -> None:
        db = Database(database_url, pool_size=1)

        def isolation(session: Session) -> str:
            return str(session.execute(text("SELECT @@SESSION.tx_isolation")).scalar_one())

        assert db.transact(isolation) == "READ-COMMITTED"
        assert db.snapshot(isolation) == "REPEATABLE-READ"
        assert db.transact(isolation) == "READ-COMMITTED"
        db.close()


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
class TestServer:
    def test_two_that_lock_crosswise_both_get_through(self, db: Database) -> None:
        for name in "ab":
            db.transact(write, name, value=0)
        met = threading.Barrier(2)

        def crosswise(names: str) -> Counted:
            def work(session: Session, run: int) -> None:
                add(session, names[0], value=1)
                if run == 1:
                    met.wait(timeout=10)
                add(session, names[1], value=1)

            return Counted(work)

        pair = crosswise("ab"), crosswise("ba")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(db.transact, pair))
        assert sorted(one.runs for one in pair) == [1, 2]
        assert (db.read(value, "a"), db.read(value, "b")) == (2, 2)

    def test_a_lock_that_is_held_too_long_is_waited_for_again(self, db: Database) -> None:
        db.transact(write, "a", value=0)
        second_run, holding = threading.Event(), threading.Event()

        def hold(session: Session) -> None:
            add(session, "a", value=1)
            holding.set()
            assert second_run.wait(timeout=20)

        def wait(session: Session, run: int) -> None:
            if run == 2:
                second_run.set()
            session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
            add(session, "a", value=10)

        waiting = Counted(wait)
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(db.transact, hold)
            assert holding.wait(timeout=10)
            db.transact(waiting)
            held.result()
        assert (waiting.runs, db.read(value, "a")) == (2, 11)

    def test_a_connection_that_is_killed_in_the_middle_is_replaced(self, db: Database) -> None:
        def work(session: Session, run: int) -> None:
            write(session, f"run {run}", value=1)
            if run == 1:
                db.transact(kill, session.execute(text("SELECT CONNECTION_ID()")).scalar_one())
            write(session, "a", value=run)

        counted = Counted(work)
        db.transact(counted)
        assert (counted.runs, db.read(value, "a"), db.read(value, "run 1")) == (2, 2, None)

    def test_connections_that_were_killed_while_idle_are_replaced(self, db: Database) -> None:
        def own_id(session: Session) -> int:
            return int(session.execute(text("SELECT CONNECTION_ID()")).scalar_one())

        idle = [db.transact(own_id), db.read(own_id), db.snapshot(own_id)]
        other = Database(db.url, pool_size=1)
        for connection_id in set(idle):
            other.transact(kill, connection_id)
        other.close()
        db.transact(write, "a", value=1)
        assert (db.read(value, "a"), db.snapshot(value, "a")) == (1, 1)

    def test_a_commit_whose_answer_is_lost_is_not_done_twice(self, database_url: str) -> None:
        with LostAnswers(database_url) as proxy:
            shop = Workshop(Database(proxy.url, pool_size=1))
            user_id = shop.user(credits=20)
            one = shop.submission(user_id, 5)
            proxy.lose_next_commit()
            (outcome,) = shop.submit_all([one])
            assert proxy.lost == 1
            assert not isinstance(outcome, Exception)
            assert shop.balance(user_id).held == 5
            assert shop.examine().totals == {}
            claimed = shop.claim_one(one.job_id)
            proxy.lose_next_commit()
            assert not shop.complete(claimed)
            assert proxy.lost == 2
            assert shop.job(one.job_id)["state"] == "completed"
            assert (shop.balance(user_id).balance, shop.balance(user_id).held) == (15, 0)
            assert shop.examine().totals == {}
            proxy.lose_next_commit()
            # It can't know its own work when it runs again, so it must not say "a duplicate", but that it can't say.
            with pytest.raises(DatabaseUnavailable):
                shop.topup(user_id, 7)
            assert shop.balance(user_id).balance == 22
            shop.db.close()


def test_a_server_that_is_away_is_unavailable_and_then_there_again(mariadb_server: Callable[[], Any]) -> None:
    server = mariadb_server()
    db = Database(server.address, pool_size=2)
    shop = Workshop(db)
    user_id = shop.user(credits=5)
    server.kill()
    for use in (lambda: shop.balance(user_id), lambda: shop.topup(user_id, 1), shop.examine):
        with pytest.raises(DatabaseUnavailable):
            use()
    server.run()
    shop.topup(user_id, 1)
    assert shop.balance(user_id).balance == 6
    assert shop.examine().totals == {}
    db.close()


def kill(session: Session, connection_id: int) -> None:
    session.execute(text(f"KILL CONNECTION {connection_id}"))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
class TestFile:
    def test_a_writer_waits_for_another_process(self, db: Database) -> None:
        lock = sqlite3.connect(db.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        lock.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(db.transact, write, "a", value=1)
            assert db.read(value, "a") is None
            assert not waiting.done()
            lock.execute("COMMIT")
            waiting.result(timeout=10)
        lock.close()
        assert db.read(value, "a") == 1

    def test_a_busy_file_is_tried_again_and_then_given_up(self, database_url: str) -> None:
        db = Database(database_url, pool_size=1)
        NOTES.create(db.writer)
        db.transact(impatient)
        lock = sqlite3.connect(db.url.removeprefix("sqlite:///"), isolation_level=None)
        tries: list[object] = []
        event.listen(db.writer, "handle_error", tries.append)
        lock.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable):
            db.transact(write, "a", value=1)
        assert len(tries) == kernel.ATTEMPTS_MAX

        def give_way(_context: object) -> None:
            if lock.in_transaction:
                lock.execute("ROLLBACK")

        event.listen(db.writer, "handle_error", give_way)
        db.transact(write, "a", value=1)
        assert db.read(value, "a") == 1
        lock.close()
        db.close()

    def test_readers_go_on_while_someone_writes(self, db: Database) -> None:
        db.transact(write, "a", value=1)

        def work(session: Session) -> int | None:
            add(session, "a", value=1)
            return db.read(value, "a")

        assert db.transact(work) == 1

    def test_the_file_is_set_up_as_promised(self, db: Database) -> None:
        wanted = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000, "synchronous": 1}
        for name, setting in wanted.items():
            assert db.transact(pragma, name) == db.read(pragma, name) == setting

    def test_a_missing_table_is_an_error_at_once(self, db: Database) -> None:
        counted = Counted(lambda session, _: session.execute(text("SELECT 1 FROM nowhere")))
        with pytest.raises(OperationalError):
            db.transact(counted)
        assert counted.runs == 1


def impatient(session: Session) -> None:
    session.execute(text("PRAGMA busy_timeout = 1"))


def pragma(session: Session, name: str) -> Any:
    return session.execute(text(f"PRAGMA {name}")).scalar_one()


def test_an_address_of_another_database_is_refused_with_what_is_supported() -> None:
    with pytest.raises(UnsupportedDatabase, match="postgresql:// is not supported: use mysql://"):
        Database("postgresql://a@b/c")
    assert now_ms() > 0
