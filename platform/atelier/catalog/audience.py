"""Who uses an agent: counted once per user, however often they run or buy it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog.authoring_models import COUNTED, USERS
from atelier.catalog.models import AGENTS
from atelier.kernel.database import Again, is_duplicate

A = AGENTS.c
U = USERS.c
CHUNK = 500

Pair = tuple[str, str]
"""Agent and user."""


def until(session: Session, *, name: str) -> int:
    """How far the count of this name has come, locked until the transaction ends; 0 at its beginning."""
    mark = select(COUNTED.c.until_ms).where(COUNTED.c.name == name).with_for_update()
    found = session.connection().scalar(mark)
    if found is None:
        try:
            session.connection().execute(insert(COUNTED).values(name=name, until_ms=0))
        except IntegrityError as error:
            if is_duplicate(error):
                raise Again from error  # Another worker begins the count at this moment.
            raise
    return found or 0


def moved(session: Session, *, name: str, until_ms: int) -> None:
    """Note how far the count has come."""
    session.connection().execute(update(COUNTED).where(COUNTED.c.name == name).values(until_ms=until_ms))


def add(session: Session, *, first_ms: Mapping[Pair, int]) -> int:
    """Note users of agents with the time of their first use; those that are known stay. How many were new.

    The creator of an agent is no user of it, and an agent that doesn't exist has none.
    """
    new = 0
    pairs = iter(sorted(first_ms))
    while chunk := list(islice(pairs, CHUNK)):
        fresh = _unknown(session, chunk)
        if fresh:
            rows = [{"agent_id": one[0], "user_id": one[1], "first_ms": first_ms[one]} for one in fresh]
            session.connection().execute(insert(USERS), rows)
        for agent_id, number in sorted(Counter(agent_id for agent_id, _ in fresh).items()):
            more = update(AGENTS).where(A.id == agent_id).values(downloads_count=A.downloads_count + number)
            session.connection().execute(more)
        new += len(fresh)
    return new


def uses(session: Session, *, agent_id: str, user_id: str) -> bool:
    """Whether the user is known to have used or bought the agent; who did so a minute ago may not be known yet."""
    found = select(U.user_id).where(U.agent_id == agent_id, U.user_id == user_id)
    return session.connection().execute(found).first() is not None


def _unknown(session: Session, pairs: Iterable[Pair]) -> list[Pair]:
    wanted = list(pairs)
    known = session.connection().execute(
        select(U.agent_id, U.user_id).where(
            # The plain list of ids is for databases that can't search an index by pairs.
            U.agent_id.in_(sorted({agent_id for agent_id, _ in wanted})),
            tuple_(U.agent_id, U.user_id).in_(wanted),
        )
    )
    there = {(row.agent_id, row.user_id) for row in known}
    agents = sorted({agent_id for agent_id, _ in wanted})
    made_by = session.connection().execute(select(A.id, A.creator_id).where(A.id.in_(agents)))
    creators = {row.id: row.creator_id for row in made_by}
    return [
        (agent_id, user_id)
        for agent_id, user_id in wanted
        if (agent_id, user_id) not in there and creators.get(agent_id, user_id) != user_id
    ]
