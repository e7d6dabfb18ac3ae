"""Views are counted beside the requests: once per viewer and day, and a read never waits for them."""

import asyncio
import time
from collections.abc import Callable

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, views
from atelier.catalog.authoring_models import VIEWS as TABLE
from atelier.catalog.models import AGENTS
from atelier.generation import retention
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.keyring import Keyring
from atelier.kernel.settings import Settings
from tests.authoring.conftest import Studio, opened
from tests.furnishing import furnish
from tests.live.harness import Person, eventually
from web.views import VIEWS, WAITING_MAX, Views

KEYRING = Keyring.of("4f1d0a7c9be24d0f8a63b5e7c2d19480")

ECHO, OUTLINE = seed_content.ECHO.id, seed_content.AGENTS[0].id


def counted(session: Session, *, agent_id: str) -> int:
    return int(session.execute(select(AGENTS.c.view_count).where(AGENTS.c.id == agent_id)).scalar_one())


def rows(session: Session) -> int:
    return session.execute(select(func.count()).select_from(TABLE)).scalar_one()


async def test_each_viewer_counts_once_a_day(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator)
    for who in (None, None, reader, reader, creator, studio.admin):
        await studio.read(agent["id"], who=who)
    tag = (await studio.ask("GET", f"/api/agents/{agent['id']}", who=reader)).headers["ETag"]
    await studio.ask("GET", f"/api/agents/{agent['id']}", who=reader, If_None_Match=tag)
    async with studio.served.client.head(f"/api/agents/{ECHO}") as answer:
        assert answer.status == 200
    counting = studio.served.application[VIEWS]
    await eventually(lambda: counting.waiting == 0, what="the views are written")
    assert studio.db.read(counted, agent_id=agent["id"]) == 2
    assert studio.db.read(rows) == 2
    assert studio.db.read(counted, agent_id=ECHO) == 0, "asking for the headers alone is no view"
    assert (await studio.read(agent["id"]))["viewCount"] == 2


async def test_what_was_seen_last_is_counted_before_the_role_ends(
    db: Database, settings: Callable[..., Settings]
) -> None:
    async for studio in opened(db, settings(web_relay=False)):
        await studio.read(ECHO)
    assert db.read(counted, agent_id=ECHO) == 1


async def test_a_read_neither_waits_for_a_write_nor_fails_with_it(studio: Studio) -> None:
    """The table of views is away: agents are read as fast as ever, and the views wait."""
    studio.db.transact(_rename, before="agent_views", after="agent_views_away")
    began = time.monotonic()
    for agent in (ECHO, OUTLINE):
        assert (await studio.read(agent))["viewCount"] == 0
    assert time.monotonic() - began < 5
    counting = studio.served.application[VIEWS]
    with pytest.raises(Exception, match="agent_views"):
        await counting.flush()
    assert counting.waiting == 2
    studio.db.transact(_rename, before="agent_views_away", after="agent_views")
    await counting.flush()
    assert (counting.waiting, studio.db.read(counted, agent_id=OUTLINE)) == (0, 1)


def _rename(session: Session, *, before: str, after: str) -> None:
    session.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
async def test_a_read_passes_a_locked_row(studio: Studio) -> None:
    """Someone holds the agent's row for long: it is read meanwhile, and the view is counted afterwards."""
    held, released = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(session: Session) -> None:
        session.execute(select(AGENTS.c.id).where(AGENTS.c.id == ECHO).with_for_update())
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(30)

    holding = asyncio.create_task(asyncio.to_thread(studio.db.transact, hold))
    await held.wait()
    async with asyncio.timeout(2):
        assert (await studio.read(ECHO))["viewCount"] == 0
    released.set()
    await holding
    await eventually(lambda: studio.db.read(counted, agent_id=ECHO) == 1, what="the view is counted")


def test_a_view_that_two_processes_saw_counts_once(db: Database) -> None:
    db.transact(furnish)
    now = now_ms()
    keys = [views.key(KEYRING, agent_id=ECHO, viewer=name, now_ms=now) for name in ("a", "b", "c")]
    first, second = dict.fromkeys(keys[:2], ECHO), dict.fromkeys(keys[1:], ECHO)
    assert [db.transact(views.count, seen=seen, now_ms=now) for seen in (first, second, first)] == [2, 1, 0]
    assert db.read(counted, agent_id=ECHO) == 3
    tomorrow = views.key(KEYRING, agent_id=ECHO, viewer="a", now_ms=now + DAY_MS)
    assert db.transact(views.count, seen={tomorrow: ECHO}, now_ms=now + DAY_MS) == 1


def test_nobody_can_tell_from_the_table_who_looked() -> None:
    known = views.key(KEYRING, agent_id=ECHO, viewer="192.0.2.1", now_ms=0)
    assert known == views.key(KEYRING, agent_id=ECHO, viewer="192.0.2.1", now_ms=DAY_MS - 1)
    others = {
        views.key(Keyring.of("another" * 5), agent_id=ECHO, viewer="192.0.2.1", now_ms=0),
        views.key(KEYRING, agent_id=OUTLINE, viewer="192.0.2.1", now_ms=0),
        views.key(KEYRING, agent_id=ECHO, viewer="192.0.2.2", now_ms=0),
        views.key(KEYRING, agent_id=ECHO, viewer="192.0.2.1", now_ms=DAY_MS),
    }
    assert len({known, *others}) == 5
    assert [column.name for column in TABLE.columns] == ["key", "created_ms"]


def test_keys_are_forgotten_after_two_days(db: Database) -> None:
    db.transact(furnish)
    for age in (0, 1, 3, 9):
        at = now_ms() - age * DAY_MS
        db.transact(views.count, seen={views.key(KEYRING, agent_id=ECHO, viewer="x", now_ms=at): ECHO}, now_ms=at)
    retention.prune(db, operations_kept_days=400)
    assert (db.read(rows), db.read(counted, agent_id=ECHO)) == (2, 4)


async def test_what_waits_is_bounded(studio: Studio) -> None:
    """A crowd of strangers comes while nothing can be written."""
    counting: Views = studio.served.application[VIEWS]
    for number in range(WAITING_MAX):
        counting.note(f"key-{number}", ECHO)
    await studio.read(OUTLINE)
    assert counting.waiting <= WAITING_MAX
    await counting.flush()
    assert studio.db.read(counted, agent_id=ECHO) == WAITING_MAX
