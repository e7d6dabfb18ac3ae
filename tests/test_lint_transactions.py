"""The linter of the transaction rules: each rule catches its bad sample and lets the good one pass."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import lint_transactions

ROOT = Path(__file__).parents[1]
GOOD = """
from sqlalchemy.orm import Session
from atelier.kernel import clock
from atelier.ledger import service as ledger

def settle(session: Session, *, job_id: str, now_ms: int) -> int:
    ledger.capture(session, key=f"capture:job:{job_id}", now_ms=now_ms)
    with session.begin_nested():
        session.execute(update(jobs).values(at=clock.db_now_ms()))
    return now_ms

def enqueue(session: Session, contract: Contract, message: Message, *, now_ms: int) -> None:
    session.execute(insert(outbox).values(name=contract.name))

def read(path):
    return open(path).read(), clock.now_ms()
"""
BAD = {
    "commits": ("def f(session):\n    session.commit()", "belongs to the runner"),
    "rolls back elsewhere": ("def f(connection):\n    connection.rollback()", "belongs to the runner"),
    "begins by itself": ("with engine.begin() as connection:\n    pass", "belongs to the runner"),
    "returning": ("def f(session):\n    session.execute(update(t).returning(t.c.id))", "doesn't exist on MySQL"),
    "async": ("async def f(session):\n    pass", "plain, not async"),
    "positional": ("def f(session, a, b, c):\n    pass", "keyword-only"),
    "method, positional": ("class A:\n    def f(self, session, a, b, c):\n        pass", "keyword-only"),
    "renamed session": ("def f(tx: Session):\n    pass", "is called session"),
    "session not first": ("def f(*, tx: orm.Session):\n    pass", "is called session"),
    "clock by name": ("from atelier.kernel.clock import now_ms\ndef f(session):\n    now_ms()", "clock.now_ms"),
    "clock by module": ("from atelier.kernel import clock\ndef f(session):\n    clock.now_ms()", "clock.now_ms"),
    "fresh id": ("from atelier.kernel import ids as i\ndef f(session):\n    i.new_id()", "ids.new_id"),
    "datetime": ("from datetime import datetime\ndef f(session):\n    datetime.now(UTC)", "datetime.now"),
    "time": ("import time as t\ndef f(session):\n    t.monotonic()", "time.monotonic"),
    "randomness": ("from random import choice\ndef f(session):\n    choice([1])", "random.choice"),
    "http": ("import httpx\ndef f(session):\n    httpx.Client().get('/')", "httpx.Client"),
    "redis": ("import redis.asyncio\ndef f(session):\n    redis.asyncio.Redis()", "redis.asyncio.Redis"),
    "file": ("def f(session):\n    open('x')", "open()"),
    "file by method": ("def f(session):\n    (folder / 'x').write_text('')", "write_text"),
    "sleep": ("def f(session, *, context):\n    context.sleep(1)", "sleep"),
    "in a nested function": ("def f(session):\n    def g():\n        open('x')\n    g()", "open()"),
    "in a lambda": ("from time import sleep\ndb.transact(lambda session: sleep(1))", "time.sleep"),
    "nested transaction": ("def f(session, *, db):\n    db.transact(g)", "transact"),
}


def test_good_code_passes() -> None:
    assert lint_transactions.check_source(GOOD, path="platform/atelier/generation/settle.py") == []


@pytest.mark.parametrize("name", BAD)
def test_each_breach_is_found_once_with_its_line(name: str) -> None:
    source, rule = BAD[name]
    breaches = lint_transactions.check_source(source, path="platform/atelier/jobs/claim.py")
    assert [rule in breach.rule for breach in breaches] == [True]
    assert 1 <= breaches[0].line <= source.count("\n") + 1


def test_the_runner_may_commit() -> None:
    source = "def _run(self, engine):\n    session.commit()"
    assert lint_transactions.check_source(source, path="platform/atelier/kernel/database.py") == []


def test_the_command_fails_on_a_bad_file_and_on_an_empty_place(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f(session):\n    session.commit()\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    for place, expected in ((bad, f"{bad.as_posix()}:2:"), (empty, "0 files")):
        done = subprocess.run(
            [sys.executable, "-m", "tools.lint_transactions", place],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert expected in done.stdout


def test_the_project_keeps_the_rules() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.lint_transactions"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
