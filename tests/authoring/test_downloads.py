"""Downloads are people: whoever bought an agent or had a job of it completed, once, whenever it is counted."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.catalog.authoring_models import COUNTED, USERS
from atelier.catalog.models import AGENTS
from atelier.jobs.models import JOBS
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.marketplace import downloads
from tests.authoring.conftest import Studio
from tests.ledger.test_races import at_once
from tests.live.harness import Person


def downloaded(session: Session, *, agent_id: str) -> int:
    return int(session.execute(select(AGENTS.c.downloads_count).where(AGENTS.c.id == agent_id)).scalar_one())


def known(session: Session, *, agent_id: str) -> list[str]:
    return list(session.scalars(select(USERS.c.user_id).where(USERS.c.agent_id == agent_id)))


def _date_back(session: Session, *, user_id: str, by_ms: int) -> None:
    session.execute(update(JOBS).where(JOBS.c.user_id == user_id).values(finished_ms=JOBS.c.finished_ms - by_ms))


async def test_everyone_who_used_or_bought_it_counts_once(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator)
    buyer, failing = studio.world.person(), studio.world.person()
    for _ in range(3):
        studio.used(reader, agent["id"])
    studio.bought(reader, agent["id"])
    studio.bought(buyer, agent["id"])
    studio.used(creator, agent["id"])
    job_id = studio.world.job(failing, agent_id=agent["id"], held=0)
    studio.world.claim(job_id, silently=True)
    studio.world.finish(job_id, "failed", silently=True)
    assert downloads.count(studio.db) == 2
    assert set(studio.db.read(known, agent_id=agent["id"])) == {reader.id, buyer.id}
    assert (await studio.read(agent["id"]))["downloadsCount"] == 2
    assert downloads.count(studio.db) == 0, "counting again changes nothing"
    studio.used(failing, agent["id"])
    studio.used(reader, agent["id"])
    assert downloads.count(studio.db) == 1
    assert (await studio.read(agent["id"]))["downloadsCount"] == 3


async def test_days_that_were_missed_are_made_good(studio: Studio, creator: Person) -> None:
    agent = await studio.publish(creator)
    people = [studio.world.person() for _ in range(4)]
    for age, person in enumerate(people):
        studio.used(person, agent["id"])
        studio.db.transact(_date_back, user_id=person.id, by_ms=age * 40 * DAY_MS)
    assert downloads.count(studio.db) == 4
    assert studio.db.read(downloaded, agent_id=agent["id"]) == 4


async def test_what_is_committed_late_is_still_counted(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator)
    downloads.count(studio.db)
    studio.used(reader, agent["id"])
    studio.db.transact(_date_back, user_id=reader.id, by_ms=downloads.OVERLAP_MS // 2)
    assert downloads.count(studio.db) == 1


async def test_two_workers_that_count_at_once_count_once(studio: Studio, creator: Person) -> None:
    agent = await studio.publish(creator)
    for _ in range(6):
        studio.used(studio.world.person(), agent["id"])
    counted = at_once(lambda _: downloads.count(studio.db), threads=4)
    assert sorted(one for one in counted if isinstance(one, int)) == [0, 0, 0, 6]
    assert studio.db.read(downloaded, agent_id=agent["id"]) == 6


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_marketplace_without_anybody_is_counted_in_one_step(db: Database) -> None:
    assert db.transact(downloads.count_slice) == (0, True)
    (until,) = db.read(lambda session: session.scalars(select(COUNTED.c.until_ms)).all())
    assert abs(until - now_ms()) < 60_000
