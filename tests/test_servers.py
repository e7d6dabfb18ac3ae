"""The test servers themselves: fresh, private, and gone afterwards, whatever happens."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from atelier.accounts.models import RevocationRow
from atelier.kernel import migrate
from atelier.kernel.database import Database
from tests.conftest import OwnMariaServer, ProcessFactory
from tests.servers import ValkeyServer, free_port, is_open, until

ROOT = Path(__file__).parents[1]
# Run in a pytest of its own below: it starts one of everything, says so, and then ends or waits to be killed.
INNER = """
import os, pathlib, time

def test_inner(database_url, redis_url, process):
    wait = os.environ["THEN"] == "wait"
    process(["sleep", "600"] if wait else ["sh", "-c", "sleep 600 & sleep 600"]).start()
    pathlib.Path(os.environ["STARTED"] + "2" * database_url.startswith("mysql")).touch()
    while wait and database_url.startswith("mysql"):
        time.sleep(0.01)
    assert os.environ["THEN"] != "fail"
"""


def marked(marker: str) -> list[str]:
    """Command lines of the processes whose environment holds the marker; zombies have none."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("then", ["pass", "fail", "wait"])
def test_nothing_is_left_of_a_test_run(then: str, tmp_path: Path, process: ProcessFactory) -> None:
    suite, scratch, started = tmp_path / "suite", tmp_path / "scratch", tmp_path / "started"
    suite.mkdir()
    scratch.mkdir()
    (suite / "test_inner.py").write_text(INNER)
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
    run = process(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", *options, suite],
        env={"THEN": then, "STARTED": str(started), "TMPDIR": str(scratch)},
        cwd=ROOT,
    ).start()
    marker = f"STARTED={started}"
    until(lambda: Path(f"{started}2").exists() or not run.alive, what="the inner run starts", seconds_max=60)
    if then == "wait":
        assert "mariadbd" in " ".join(marked(marker))
        os.kill(run.pid, signal.SIGKILL)
    run.child.wait(60)
    if then == "wait":
        until(lambda: marked(marker) == [], what="everything died with the run")
    else:
        assert marked(marker) == []
        assert {"pass": "2 passed", "fail": "2 failed"}[then] in run.tail()
        assert not list(scratch.glob("atelier-*")), "data directories are deleted"


class TestDatabases:
    def test_each_test_gets_the_newest_schema_without_rows_of_others(self, db: Database) -> None:
        assert migrate.differences(db.url) == ""
        db.transact(add_mark)
        assert db.read(count_marks) == 1

    def test_a_second_test_sees_nothing_of_the_first(self, db: Database) -> None:
        assert db.read(count_marks) == 0

    def test_restore_makes_it_fresh_within_a_test(self, db: Database, restore: Callable[[], None]) -> None:
        db.transact(add_mark)
        restore()
        assert db.read(count_marks) == 0

    def test_an_empty_database_has_no_table(self, empty_database_url: str) -> None:
        database = Database(empty_database_url)
        with pytest.raises(DBAPIError):
            database.read(count_marks)
        database.close()


def add_mark(session: Session) -> None:
    session.add(RevocationRow(id="mark", created_ms=1, expires_ms=2))


def count_marks(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(RevocationRow)).one()


class TestOwnServers:
    def test_valkey_keeps_its_data_over_a_kill_when_told_to(self, valkey_server: Callable[..., ValkeyServer]) -> None:
        for persist in (True, False):
            server = valkey_server(persist=persist)
            with server.client() as client:
                client.set("key", "value")
            server.kill()
            assert not is_open(server.port)
            server.run()
            with server.client() as client:
                assert client.get("key") == (b"value" if persist else None)

    def test_a_frozen_valkey_answers_again_once_thawed(self, valkey_server: Callable[..., ValkeyServer]) -> None:
        server = valkey_server()
        server.freeze()
        with redis.Redis(port=server.port, socket_timeout=0.05, retry=Retry(NoBackoff(), 0)) as client:
            with pytest.raises(redis.TimeoutError):
                client.ping()
            server.thaw()
        with server.client() as client:
            assert client.ping()

    def test_mariadb_keeps_what_it_acknowledged_over_a_kill(self, mariadb_server: Callable[[], OwnMariaServer]) -> None:
        server = mariadb_server()
        database = Database(server.address)
        database.transact(add_mark)
        server.kill()
        server.run()
        assert database.read(count_marks) == 1
        assert server.stop() == 0
        database.close()


class TestProcess:
    def test_one_that_ends_too_early_says_why(self, process: ProcessFactory) -> None:
        with pytest.raises(RuntimeError, match="ended with 3 before it was ready:\nbecause"):
            process(["sh", "-c", "echo because; exit 3"]).start(ready=lambda: False)

    def test_one_that_is_never_ready_is_killed(self, process: ProcessFactory) -> None:
        child = process(["sleep", "600"])
        with pytest.raises(RuntimeError, match="not within"):
            child.start(ready=lambda: False, seconds_max=0.05)
        assert not child.alive

    def test_one_that_ignores_the_request_to_stop_is_killed_with_its_children(
        self, process: ProcessFactory, tmp_path: Path
    ) -> None:
        child_mark = tmp_path.as_posix()
        child = process(["sh", "-c", "trap '' TERM; sleep 600 & echo up; wait; wait"], env={"MARK": child_mark})
        child.start(ready=lambda: "up" in child.tail())
        assert len(marked(f"MARK={child_mark}")) == 2
        assert child.stop(seconds_max=0.1) == -signal.SIGKILL
        until(lambda: marked(f"MARK={child_mark}") == [], what="both are gone")

    def test_a_free_port_is_free(self) -> None:
        assert not is_open(free_port())
