"""Everything that can be wrong with a key's counters is named, and nothing else is."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from atelier.generation import doctor
from atelier.generation.doctor import Report
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from tests.generation.key_corruptions import KEY_CORRUPTIONS
from tests.generation.test_doctor import PARAMETERS, UNCHECKED
from tests.jobs import keys
from tests.jobs.lifecycle import Workshop


class World:
    """See tests.generation.key_corruptions."""

    def __init__(self, db: Database) -> None:
        self.db, shop = db, Workshop(db)
        user, other = shop.user(credits=100), shop.user(credits=100)
        key, other_key = keys.make(db, user, limit=50), keys.make(db, other)
        done, waiting = (shop.submission(user, 10, key_id=key.id) for _ in range(2))
        shop.submit_all([done, waiting, shop.submission(user, 5), shop.submission(other, 5)])
        assert shop.complete(shop.claim_one(done.job_id), used=7)
        self.names = {"key": key.id, "other_key": other_key.id, "done": done.job_id, "waiting": waiting.job_id}

    def examine_after(self, statement: str, *, since_ms: int | None = None) -> Report:
        """What the doctor says after this change, which is undone afterwards."""
        with Session(self.db.writer) as session:
            off, on = UNCHECKED[session.get_bind().dialect.name]
            session.execute(text(off))
            session.execute(text(statement), {name: self.names[name] for name in PARAMETERS.findall(statement)})
            report = doctor.examine(session, now_ms=now_ms(), since_ms=since_ms)
            session.execute(text(on))
            session.rollback()
        return report


def test_each_is_named_and_nothing_else(db: Database, subtests: pytest.Subtests) -> None:
    world = World(db)
    clean = "UPDATE jobs SET key_id = key_id"
    assert world.examine_after(clean).totals == {}
    for name, (changes, named) in KEY_CORRUPTIONS.items():
        with subtests.test(name):
            report = world.examine_after(changes)
            assert set(report.totals) == set(named), report.findings
            assert not report.clean
            for check, whom in named.items():
                assert {one.subject for one in report.findings if one.check == check} == {
                    world.names[one] for one in whom.split()
                }
                assert not doctor.is_about_money(check), "a key's limit is no reason to sell nothing"
    assert world.examine_after(clean).totals == {}


def test_the_check_of_each_minute_leaves_sums_to_the_whole_one(db: Database) -> None:
    world = World(db)
    moved = KEY_CORRUPTIONS["a waiting job is put to another's key"].changes
    assert set(world.examine_after(moved, since_ms=now_ms() - 60_000).totals) == {"key.owner"}
