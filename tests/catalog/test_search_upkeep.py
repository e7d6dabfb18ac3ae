"""Making the index anew, keeping it in step, and noticing when it isn't."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from atelier.catalog import search_checks, search_documents, search_postings, search_upkeep, service
from atelier.catalog.models import AGENTS
from atelier.catalog.search_models import DOCUMENTS, POSTINGS, STATE
from atelier.catalog.search_postings import Change
from atelier.catalog.search_rows import BLOCK
from atelier.kernel import invariants
from atelier.kernel.database import Database
from atelier.kernel.invariants import Finding
from tests.catalog import market
from tests.catalog.finding import searched
from tests.catalog.market import NOW, Made, ident


def index(session: Session) -> dict[tuple[str, int], bytes]:
    return {(row.key, row.block): row.bits for row in session.connection().execute(select(POSTINGS))}


def documents(session: Session) -> list[Any]:
    return list(session.connection().execute(select(DOCUMENTS).order_by(DOCUMENTS.c.number)))


def findings(db: Database) -> set[tuple[str, str]]:
    found: Sequence[Finding] = db.read(
        lambda session: invariants.gather(session, search_checks.FAMILIES, now_ms=NOW).examples
    )
    assert {one.severity for one in found} <= {"warning"}
    return {(one.check, one.subject) for one in found}


def agents(count: int = 5) -> list[Made]:
    return [
        Made(number=n, name=f"海报 Poster {n}", tags=("设计", f"tag {n}"), description="描述 description " * n)
        for n in range(count)
    ]


def test_an_index_made_anew_is_the_one_that_has_grown(db: Database) -> None:
    db.transact(market.fill, agents=agents())
    grown, described = db.read(index), db.read(documents)
    assert grown
    assert search_upkeep.rebuild(db) == 5
    assert db.read(index) == grown
    assert db.read(documents) == described


def test_a_lost_index_is_made_anew(db: Database) -> None:
    db.transact(market.fill, agents=agents())
    db.transact(lambda session: session.execute(delete(POSTINGS)))
    db.transact(lambda session: session.execute(delete(DOCUMENTS)))
    assert searched(db, "海报") == []
    assert search_upkeep.renew(db) is True
    assert searched(db, "海报") == ["agent-4", "agent-3", "agent-2", "agent-1", "agent-0"]
    assert search_upkeep.renew(db) is False


def test_rows_that_lead_nowhere_are_gone_from_a_new_index(db: Database) -> None:
    db.transact(market.fill, agents=agents())
    before = db.read(index)

    def break_it(session: Session) -> None:
        change = Change(number=3 * BLOCK + 7, before={}, after={"海报": 2, "ghost": 2})
        search_postings.apply(session, [change, Change(number=2, before={}, after={"ghost": 15})])
        session.execute(update(AGENTS).where(AGENTS.c.id == ident(4)).values(status="archived"))

    db.transact(break_it)
    search_upkeep.rebuild(db)
    after = db.read(index)
    assert {block for _, block in after} == {0}
    assert "ghost" not in {key for key, _ in after}
    assert searched(db, "海报") == ["agent-3", "agent-2", "agent-1", "agent-0"]
    db.transact(service.publish, agent_id=ident(4), version=1, now_ms=NOW)
    assert db.read(index) == before


def test_an_interrupted_rebuild_is_done_again(db: Database) -> None:
    db.transact(market.fill, agents=agents())
    search_upkeep.rebuild(db)

    def stop(done: int, blocks: int) -> None:
        raise KeyboardInterrupt(done, blocks)

    with pytest.raises(KeyboardInterrupt):
        search_upkeep.rebuild(db, say=stop)
    assert search_upkeep.renew(db) is True


def test_counters_that_have_changed_count_after_a_refresh(db: Database) -> None:
    db.transact(market.fill, agents=agents())
    counted = {1: (450, 3), 3: (100, 5_000_000)}

    def count(session: Session) -> None:
        for number, (rating, downloads) in counted.items():
            values = {"rating_avg": rating, "downloads_count": downloads}
            session.execute(update(AGENTS).where(AGENTS.c.id == ident(number)).values(**values))

    db.transact(count)
    assert search_upkeep.refresh(db) == 2
    assert search_upkeep.refresh(db) == 0
    refreshed = db.read(index)
    search_upkeep.rebuild(db)
    assert db.read(index) == refreshed


def test_an_index_that_agrees_is_left_alone(db: Database) -> None:
    db.transact(market.fill, agents=agents())
    before = db.read(index)
    for _ in range(2):
        db.transact(service.reindex, agent_id=ident(1))
    assert db.read(index) == before


def test_the_doctor_notices_who_cannot_be_found_and_who_should_not_be(db: Database) -> None:
    db.transact(market.fill, agents=agents())
    assert findings(db) == set()

    def break_it(session: Session) -> None:
        session.execute(delete(DOCUMENTS).where(DOCUMENTS.c.agent_id == ident(0)))
        session.execute(update(AGENTS).where(AGENTS.c.id == ident(1)).values(status="archived"))
        session.execute(update(AGENTS).where(AGENTS.c.id == ident(2)).values(creator_id=ident(99)))

    db.transact(break_it)
    assert findings(db) == {
        ("search.agent", ident(0)),
        ("search.document", ident(1)),
        ("search.facts", ident(2)),
    }
    search_upkeep.rebuild(db)
    assert findings(db) == set()


def test_a_missing_lock_row_is_no_silent_success(db: Database) -> None:
    db.transact(lambda session: session.execute(delete(STATE)))
    with pytest.raises(AssertionError):
        db.transact(search_documents.lock)
    db.transact(lambda session: session.execute(insert(STATE).values(id=1, writes=0, layout=0)))
    db.transact(search_documents.lock)
