"""Putting the house's categories and agents into a marketplace, once or again."""

from dataclasses import asdict

from sqlalchemy import Row, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.catalog.models import AGENTS, CATEGORIES
from atelier.catalog.seed_content import SeedAgent
from atelier.kernel.database import Again, is_duplicate

A = AGENTS.c


def seed(session: Session, *, now_ms: int, development: bool) -> None:
    """Insert what is missing and follow what has changed; run again, it writes nothing.

    Categories are only added: an administrator may rename them. An agent that an administrator has archived stays so.
    `echo` is there in development and archived otherwise.
    """
    try:
        _categories(session)
        for agent in seed_content.AGENTS:
            _agent(session, agent, now_ms=now_ms)
        _echo(session, now_ms=now_ms, development=development)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error  # Another process is seeding too, and was first.
        raise


def _categories(session: Session) -> None:
    known = {name for row in session.connection().execute(select(CATEGORIES.c.id, CATEGORIES.c.slug)) for name in row}
    places = enumerate(seed_content.CATEGORIES)
    # An administrator may have given the slug of a deleted one to another.
    missing = [asdict(one) | {"position": place} for place, one in places if not {one.id, one.slug} & known]
    if missing:
        session.connection().execute(insert(CATEGORIES), missing)


def _echo(session: Session, *, now_ms: int, development: bool) -> None:
    stored = _stored(session, seed_content.ECHO.id)
    if development:
        _agent(session, seed_content.ECHO, now_ms=now_ms, revived=True)
    elif stored is not None and stored.status == "published":
        service.archive(session, agent_id=seed_content.ECHO.id, now_ms=now_ms)


def _agent(session: Session, agent: SeedAgent, *, now_ms: int, revived: bool = False) -> None:
    stored = _stored(session, agent.id)
    if stored is None:
        service.create(session, agent_id=agent.id, shown=agent.shown, status="review", now_ms=now_ms)
    elif stored.status == "archived" and not revived:
        return
    version = service.add_version(session, agent_id=agent.id, content=agent.content, now_ms=now_ms)
    reshown = service.show(session, agent_id=agent.id, shown=agent.shown, now_ms=now_ms)
    retagged = service.tag(session, agent_id=agent.id, tags=agent.tags)
    if reshown or retagged or stored is None or (stored.status, stored.version) != ("published", version):
        service.publish(session, agent_id=agent.id, version=version, now_ms=now_ms)


def _stored(session: Session, agent_id: str) -> Row[str, int] | None:
    return session.connection().execute(select(A.status, A.version).where(A.id == agent_id)).one_or_none()
