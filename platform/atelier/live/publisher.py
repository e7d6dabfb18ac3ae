"""Sending events from a worker: one round trip, a bounded wait, and never an error.

Events are news, not truth: what can't be sent now is found in the database by everyone who watches.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from atelier.kernel import logs
from atelier.kernel.batching import Batcher
from atelier.live import wire
from atelier.live.events import Event
from atelier.live.wire import Command, Notice

log = logs.get(__name__)

ANSWER_SECONDS = 0.25
QUIET_SECONDS = 1.0
TRIES = 2
FINAL_TRIES = 3
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What one caller sends."""

    notices: Sequence[Notice]
    final: bool
    also: Sequence[Command]


class Publisher:
    """Sends for all threads of a process. Make one per process, after any fork."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._quiet_until = 0.0
        self._parcels: Batcher[_Parcel, bool] = Batcher(self._send_together)

    def publish(
        self, user_id: str, events: Sequence[Event], *, final: bool = False, also: Sequence[Command] = ()
    ) -> bool:
        """Record the events and tell everyone who watches; False when that failed.

        Threads that publish at once share one round trip. It takes at most half a second, and nothing while Redis was
        found frozen a moment ago; a final event is tried harder: at most a second. `also` are commands that go the
        same way, for samples and counters.
        """
        notices = [wire.noticed(user_id, event) for event in events]
        return self._parcels.call(_Parcel(notices, final, also)) if notices else True

    def count(self, counting: Sequence[Command]) -> bool:
        """Count what no event tells of; False when that failed."""
        return self._parcels.call(_Parcel([], False, counting)) if counting else True

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    def _send_together(self, parcels: Sequence[_Parcel]) -> Sequence[bool]:
        final = any(one.final for one in parcels)
        made = [command for one in parcels for command in one.also]
        made += wire.commands([notice for one in parcels for notice in one.notices], final=False)
        return [self._send(made, tries=FINAL_TRIES if final else TRIES, insist=final)] * len(parcels)

    def _send(self, made: Sequence[Command], *, tries: int, insist: bool) -> bool:
        for tried in range(tries):
            if not insist and time.monotonic() < self._quiet_until:
                return False
            if tried > 1:
                time.sleep(PAUSE_SECONDS)
            try:
                return self._answered(made)
            except RedisTimeout:
                self._quiet_until = time.monotonic() + QUIET_SECONDS
            except RedisError as error:
                # The first error is mostly a pooled connection that a restart of the server has closed.
                if tried == tries - 1:
                    log.warning("live.not_sent", error=type(error).__name__)
        return False

    def _answered(self, made: Sequence[Command]) -> bool:
        pipe: Any = self._redis.pipeline(transaction=False)
        for command in made:
            pipe.execute_command(*command)
        # An entry that its stream has already, or that is older than its newest, is refused: as it should be.
        answers: list[Any] = pipe.execute(raise_on_error=False)
        return not isinstance(answers[-1], Exception)
