"""Views of agents, counted beside the requests: a read never waits for a write, and works when the write fails.

What was seen is kept in the process, each viewer once a day, and written down every second in one transaction.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from itertools import islice

from aiohttp import web

from atelier.catalog import views
from atelier.kernel import clock, logs
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.errors import Transient
from atelier.kernel.keyring import Keyring
from web.background import heed_cancellation, running
from web.border import counted_as
from web.routing import Call
from web.services import SERVICES

EVERY_SECONDS = 1.0
WAITING_MAX = 10_000
KNOWN_MAX = 50_000
AT_ONCE = 500
log = logs.get(__name__)


class Views:
    """What this process has seen and not written yet, and what it knows to be written."""

    def __init__(self, db: AsyncDatabase, *, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring
        self._waiting: dict[str, str] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._dropped = 0

    @property
    def waiting(self) -> int:
        """How many views are not written yet."""
        return len(self._waiting)

    def saw(self, call: Call, agent_id: str) -> None:
        """Note that whoever asks has looked at the agent. Costs microseconds; never fails."""
        viewer = call.identity.user_id if call.identity else counted_as(call.address)
        self.note(views.key(self._keyring, agent_id=agent_id, viewer=viewer, now_ms=call.now_ms), agent_id)

    def note(self, key: str, agent_id: str) -> None:
        """Let one view wait to be written, unless it waits or was written already."""
        if key in self._known or key in self._waiting:
            return
        if len(self._waiting) < WAITING_MAX:
            self._waiting[key] = agent_id
        else:
            self._dropped += 1  # A database that has been away for so long has other sorrows.

    async def flush(self) -> None:
        """Write what waits. Raises Transient when the database is away; then everything waits on."""
        while self._waiting:
            group = dict(islice(self._waiting.items(), AT_ONCE))
            await self._db.transact(views.count, seen=group, now_ms=clock.now_ms())
            self._written(group)
        if self._dropped:
            log.warning("views.dropped", number=self._dropped)
            self._dropped = 0

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            heed_cancellation()
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.flush()
            except Transient as error:
                log.warning("views.not_written", waiting=self.waiting, error=type(error).__name__)

    def _written(self, group: Mapping[str, str]) -> None:
        for key in group:
            self._waiting.pop(key, None)
            self._known[key] = None
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)


VIEWS: web.AppKey[Views] = web.AppKey("views", Views)


def install(application: web.Application) -> None:
    """Make it a part of the application. What was seen last is written before the application ends."""

    async def serve(application: web.Application) -> AsyncIterator[None]:
        services = application[SERVICES]
        counted = Views(services.db, keyring=services.settings.keyring)
        application[VIEWS] = counted
        async with running(views=counted.run):
            yield
        try:
            await counted.flush()
        except Transient as error:
            log.warning("views.not_written", waiting=counted.waiting, error=type(error).__name__)

    application.cleanup_ctx.append(serve)
