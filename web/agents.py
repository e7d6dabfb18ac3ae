"""The runnable agents of one web process, remembered for a moment: a submission seldom has to ask for its agent."""

import time
from collections import OrderedDict

from atelier.catalog import queries
from atelier.catalog.runtime import RunnableAgent
from atelier.generation.errors import AgentUnavailable
from atelier.kernel.database import AsyncDatabase
from web.identity import Identity

FRESH_SECONDS = 2.0
ENTRIES_MAX = 2_000


class Agents:
    """What an agent costs and does may be two seconds old; a job names the version that it was sold."""

    def __init__(self, db: AsyncDatabase) -> None:
        self._db = db
        self._known: OrderedDict[str, tuple[float, RunnableAgent | None]] = OrderedDict()

    async def usable(self, agent_id: str, user: Identity, *, now_ms: int) -> RunnableAgent:
        """The version of the agent that runs for this user.

        Raises AgentUnavailable unless it is published, archived after the user has bought it, or the user's own to try
        out.
        """
        agent = await self._get(agent_id)
        if agent is None:
            raise AgentUnavailable(agent_id)
        if agent.status == "published" or user.role == "admin" or agent.creator_id == user.user_id:
            return agent
        if agent.status == "archived" and await self._bought(agent_id, user, now_ms=now_ms):
            return agent
        raise AgentUnavailable(agent_id)

    def forget(self, agent_id: str) -> None:
        """Ask the database next time, because this process has just changed the agent."""
        self._known.pop(agent_id, None)

    async def _bought(self, agent_id: str, user: Identity, *, now_ms: int) -> bool:
        return await self._db.read(queries.purchased, user_id=user.user_id, agent_id=agent_id, now_ms=now_ms)

    async def _get(self, agent_id: str) -> RunnableAgent | None:
        entry = self._known.get(agent_id)
        now = time.monotonic()
        if entry is not None and now - entry[0] < FRESH_SECONDS:
            return entry[1]
        agent = await self._db.read(queries.runnable, agent_id=agent_id)
        self._known[agent_id] = (now, agent)
        self._known.move_to_end(agent_id)
        if len(self._known) > ENTRIES_MAX:
            self._known.popitem(last=False)
        return agent
