"""Pictures of agents: kept as long as an agent shows them, published or proposed, and removed with the last of that."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog import drafts
from atelier.catalog.models import AGENTS
from atelier.files import models as files
from atelier.files import names, service

A = AGENTS.c


@contextmanager
def tidied(session: Session, *, agent_id: str, now_ms: int) -> Generator[None]:
    """Remove the pictures that the agent, whose row is locked, shows before the block and no longer after it."""
    before = _shown(session, agent_id)
    yield
    for owner_id, address in before - _shown(session, agent_id):
        if file_id := names.own_id(address):
            service.retire(
                session,
                file_id=file_id,
                owner_id=owner_id,
                kind=files.ICON,
                size=0,
                state=files.READY,
                now_ms=now_ms,
            )


def _shown(session: Session, agent_id: str) -> set[tuple[str, str]]:
    """The pictures with their owner, who is the agent's creator."""
    row = session.connection().execute(select(A.creator_id, A.icon_url).where(A.id == agent_id)).one()
    proposed = drafts.draft(session, agent_id=agent_id)
    found = [row.icon_url, proposed.definition.icon_url if proposed else None]
    return {(row.creator_id, address) for address in found if address is not None}
