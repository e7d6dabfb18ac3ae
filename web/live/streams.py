"""What Redis still knows of a job's past: its stream of events, read for many jobs in one round trip.

Nothing here fails: when Redis is away, slow or empty there is no past, and the database has the state.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from atelier.kernel import logs
from atelier.live import wire
from atelier.live.events import PROGRESS
from atelier.live.wire import Notice
from web.live.health import Patience

log = logs.get(__name__)

NEWEST_ENTRIES = 8
PAST_SECONDS = 1.0
"""A past of a thousand events takes its time to arrive, and who asked for it has nothing else to get it from."""

Owners = Mapping[str, str]
"""The user of each job."""


class Streams:
    """Reads streams. `patience` is for what is nice to know; a past is waited for longer."""

    def __init__(self, redis: Redis, *, patience: Patience) -> None:
        self._redis = redis
        self._patience = patience
        self._past_patience = Patience(wait_seconds=PAST_SECONDS)

    async def after(self, wanted: Mapping[str, int], *, owners: Owners) -> dict[str, list[Notice]]:
        """The events of each job with a higher number than given, in order."""
        commands = [("XRANGE", wire.stream(job_id), f"({seq}-0", "+") for job_id, seq in wanted.items()]
        answers = await self._ask(commands, self._past_patience)
        return {
            job_id: list(_notices(owners[job_id], job_id, answer))
            for job_id, answer in zip(wanted, answers, strict=False)
        }

    async def progress(self, job_ids: Sequence[str], *, owners: Owners) -> dict[str, Notice]:
        """The newest progress of each job, if it is among its newest events."""
        commands = [("XREVRANGE", wire.stream(job_id), "+", "-", "COUNT", NEWEST_ENTRIES) for job_id in job_ids]
        found: dict[str, Notice] = {}
        for job_id, answer in zip(job_ids, await self._ask(commands, self._patience), strict=False):
            for notice in _notices(owners[job_id], job_id, answer):
                if notice.type == PROGRESS:
                    found.setdefault(job_id, notice)
        return found

    async def _ask(self, commands: Sequence[tuple[Any, ...]], patience: Patience) -> list[Any]:
        if not commands:
            return []
        pipe: Any = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)

        async def answers() -> list[Any]:
            found: list[Any] = await pipe.execute(raise_on_error=False)
            return found

        return await patience.ask(answers) or []


def _notices(user_id: str, job_id: str, answer: Any) -> Iterable[Notice]:
    if isinstance(answer, Exception) or not answer:
        return
    for entry_id, fields in answer:
        try:
            notice = wire.entry(user_id, job_id, entry_id, fields[b"e"])
        except (KeyError, ValueError):
            log.warning("live.entry_unreadable", job_id=job_id)
            continue
        yield notice
