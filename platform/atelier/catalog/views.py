"""Counting who looked at which agent: once per viewer and day."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog.authoring_models import VIEWS
from atelier.catalog.models import AGENTS
from atelier.kernel import tokens
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Again, is_duplicate
from atelier.kernel.keyring import Keyring

A = AGENTS.c
PURPOSE = "agent.view"
KEPT_MS = 2 * DAY_MS


def key(keyring: Keyring, *, agent_id: str, viewer: str, now_ms: int) -> str:
    """What stands for this viewer, agent and day (UTC). Without the secret nobody can tell who it was.

    A new current key begins the day anew: a viewer may count twice on the day of a rotation.
    """
    return tokens.derived(keyring.current, PURPOSE, f"{now_ms // DAY_MS}/{agent_id}/{viewer}")


def count(session: Session, *, seen: Mapping[str, str], now_ms: int) -> int:
    """Count views, given as key → agent; those that were counted before don't count again. How many were new."""
    known = set(session.connection().scalars(select(VIEWS.c.key).where(VIEWS.c.key.in_(list(seen)))))
    fresh = {one: agent_id for one, agent_id in sorted(seen.items()) if one not in known}
    if not fresh:
        return 0
    try:
        session.connection().execute(insert(VIEWS), [{"key": one, "created_ms": now_ms} for one in fresh])
    except IntegrityError as error:
        # Another process counts the same view at this moment.
        if is_duplicate(error):
            raise Again from error
        raise
    for agent_id, number in sorted(Counter(fresh.values()).items()):
        more = update(AGENTS).where(A.id == agent_id).values(view_count=A.view_count + number)
        session.connection().execute(more)
    return len(fresh)
