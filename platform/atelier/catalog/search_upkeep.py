"""Making the index anew, and keeping what is counted elsewhere in step with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Row, delete, func, or_, select, update
from sqlalchemy.orm import Session

from atelier.catalog import search_documents as documents
from atelier.catalog import search_postings as postings
from atelier.catalog.models import AGENT_TAGS, AGENTS, TAGS
from atelier.catalog.search_documents import Document
from atelier.catalog.search_models import DOCUMENTS, POSTINGS, STATE
from atelier.catalog.search_postings import Change, Gathered
from atelier.catalog.search_rows import BLOCK, BLOCK_BITS
from atelier.kernel.database import Database

LAYOUT: Final = 1
"""Grows with every change of what the rows of the index mean: `renew` then makes it anew."""
AGENTS_AT_ONCE: Final = 1_000
SPAN: Final = 5_000
RECOUNTED_AT_ONCE: Final = 200

A = AGENTS.c
D = DOCUMENTS.c
S = STATE.c


def renew(database: Database) -> bool:
    """Make the index anew if it was made by other rules, or never; whether it was."""
    if database.read(_layout) == LAYOUT:
        return False
    rebuild(database)
    return True


def rebuild(database: Database, *, say: Callable[[int, int], None] | None = None) -> int:
    """Make the whole index anew from what is published; how many agents it has.

    Searches go on meanwhile, each block changes at once; who publishes waits for a block. `say` is told how many of
    how many blocks are done.
    """
    database.transact(_set_layout, layout=0)
    after: str | None = ""
    while after is not None:
        after = database.transact(_document, after=after)
    blocks = database.transact(_drop_unpublished)
    for block in range(blocks):
        database.transact(_rebuild_block, block=block)
        if say:
            say(block + 1, blocks)
    database.transact(_set_layout, layout=LAYOUT)
    return database.read(_count)


def refresh(database: Database) -> int:
    """Let downloads and ratings that have changed since count in the order of agents; of how many."""
    changed, after = 0, 0
    last = database.read(_last_number)
    while after < last:
        agent_ids = database.read(_outdated, after=after, until=after + SPAN)
        for place in range(0, len(agent_ids), RECOUNTED_AT_ONCE):
            changed += database.transact(_recount, agent_ids=agent_ids[place : place + RECOUNTED_AT_ONCE])
        after += SPAN
    return changed


def _outdated(session: Session, *, after: int, until: int) -> Sequence[str]:
    """The agents of a span of numbers whose counters have changed, in the order of their numbers."""
    changed = or_(D.rating_avg != A.rating_avg, D.downloads_count != A.downloads_count)
    joined = select(D.agent_id).join(AGENTS, A.id == D.agent_id)
    return session.connection().scalars(joined.where(D.number > after, D.number <= until, changed)).all()


def _recount(session: Session, *, agent_ids: Sequence[str]) -> int:
    documents.lock(session)
    facts = documents.facts(session, agent_ids=agent_ids)
    changes: list[Change] = []
    for agent_id, old in documents.stored(session, agent_ids=agent_ids).items():
        counters = {name: facts[agent_id][name] for name in ("rating_avg", "downloads_count")}
        new = replace(old, **counters)
        changes.append(Change(number=new.number, before=documents.digits(old), after=documents.digits(new)))
        session.connection().execute(update(DOCUMENTS).where(D.number == new.number).values(**counters))
    postings.apply(session, changes)
    return len(changes)


def _document(session: Session, *, after: str) -> str | None:
    """Write the documents of the next published agents; the id of the last one, None when there are no more."""
    documents.lock(session)
    wanted = select(A.id, A.name, A.description).where(A.status == "published", A.id > after)
    rows = session.connection().execute(wanted.order_by(A.id).limit(AGENTS_AT_ONCE)).all()
    documents.put(session, _documents(session, rows))
    return rows[-1].id if rows else None


def _documents(session: Session, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Document]:
    agent_ids = [row.id for row in rows]
    known = documents.stored(session, agent_ids=agent_ids)
    facts, tags = documents.facts(session, agent_ids=agent_ids), _tags(session, agent_ids)
    number = documents.next_number(session)
    made: list[Document] = []
    for row in rows:
        old = known.get(row.id)
        made.append(
            documents.made(
                number=old.number if old else number,
                agent_id=row.id,
                name=row.name,
                tags=tags.get(row.id, []),
                description=row.description,
                copied=facts[row.id],
            )
        )
        number += 0 if old else 1
    return made


def _tags(session: Session, agent_ids: Sequence[str]) -> Mapping[str, list[str]]:
    rows = session.connection().execute(
        select(AGENT_TAGS.c.agent_id, TAGS.c.name)
        .join(TAGS, TAGS.c.id == AGENT_TAGS.c.tag_id)
        .where(AGENT_TAGS.c.agent_id.in_(agent_ids))
        .order_by(AGENT_TAGS.c.agent_id, AGENT_TAGS.c.position)
    )
    found: dict[str, list[str]] = {}
    for agent_id, name in rows:
        found.setdefault(agent_id, []).append(name)
    return found


def _drop_unpublished(session: Session) -> int:
    """Drop the documents of agents that are not published, and the blocks that nobody is in; how many blocks remain."""
    documents.lock(session)
    gone = select(D.agent_id).join(AGENTS, A.id == D.agent_id).where(A.status != "published")
    documents.drop(session, agent_ids=session.connection().scalars(gone).all())
    blocks = (_last_number(session) >> BLOCK_BITS) + 1
    session.connection().execute(delete(POSTINGS).where(POSTINGS.c.block >= blocks))
    return blocks


def _rebuild_block(session: Session, *, block: int) -> None:
    documents.lock(session)
    gathered = Gathered(block)
    rows = select(DOCUMENTS).where(D.number.between(block * BLOCK, block * BLOCK + BLOCK - 1))
    for row in session.connection().execute(rows).mappings():
        document = Document(**row)
        gathered.add(document.number, documents.masks(document))
    postings.replace(session, gathered=gathered, block=block)


def _set_layout(session: Session, *, layout: int) -> None:
    session.connection().execute(update(STATE).where(S.id == 1).values(layout=layout))


def _layout(session: Session) -> int:
    layout: int = session.connection().execute(select(S.layout).where(S.id == 1)).scalar_one()
    return layout


def _last_number(session: Session) -> int:
    return session.connection().scalar(select(func.max(D.number))) or 0


def _count(session: Session) -> int:
    return session.connection().scalar(select(func.count()).select_from(DOCUMENTS)) or 0
