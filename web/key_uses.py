"""When API keys were last used: noted in memory with each request, written down beside the requests, once a minute.

A key is written a few seconds after its first use of a minute. Of a process that dies in between that is lost, and
nothing else.
"""

import asyncio
from collections import OrderedDict

from atelier.accounts import api_keys
from atelier.kernel import clock, logs
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.errors import Transient

log = logs.get(__name__)

WRITE_SECONDS = 2.0
KEYS_MAX = 20_000
BATCH_MAX = 500


class KeyUses:
    """One per process; `note` is for the event loop, and never waits."""

    def __init__(self, db: AsyncDatabase) -> None:
        self._db = db
        self._written: OrderedDict[str, int] = OrderedDict()
        self._waiting: set[str] = set()

    def note(self, key_id: str, now_ms: int) -> None:
        """The key was used."""
        written = self._written.get(key_id)
        if written is not None and now_ms - written < clock.MINUTE_MS:
            return
        if len(self._waiting) < KEYS_MAX:
            self._waiting.add(key_id)

    async def run(self) -> None:
        """Write down what was noted, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            try:
                await self.write()
            except Transient as error:
                log.warning("key_uses.unwritten", code=error.code, keys=len(self._waiting))

    async def write(self) -> None:
        """Write down what was noted. Raises Transient; then it is noted still."""
        while self._waiting:
            some, now_ms = sorted(self._waiting)[:BATCH_MAX], clock.now_ms()
            await self._db.transact(api_keys.note_used, key_ids=some, now_ms=now_ms)
            self._waiting.difference_update(some)
            for key_id in some:
                self._written[key_id] = now_ms
                self._written.move_to_end(key_id)
            while len(self._written) > KEYS_MAX:
                self._written.popitem(last=False)

    async def close(self) -> None:
        """The last words of a process that stops."""
        try:
            await self.write()
        except Transient as error:
            log.warning("key_uses.unwritten", code=error.code, keys=len(self._waiting))
