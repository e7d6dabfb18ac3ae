"""Looking at everything that providers finish later: a few calls for many jobs, and no slot held while they work.

A round lasts until nothing is parked or its time is over. It takes the jobs that are due, moves each ahead to its next
look, asks the provider for all of them at once, and hands the ends to a few threads, so that one slow result keeps
nobody waiting. A provider that is away is asked less and less often; its jobs stay parked, and nothing is lost.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from atelier.generation.finishing import Finisher
from atelier.generation.run import Runner
from atelier.generation.watching import Noticed, Watch
from atelier.kernel.clock import SECOND_MS
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.publisher import Publisher
from atelier.providers.later import LaterProvider

THREADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every provider's watch works with."""

    settings: Settings
    database: Database
    publisher: Publisher
    runner: Runner


class Poller:
    """Polls for one process; any number of processes do no harm. Make one per process, after any fork."""

    def __init__(
        self,
        tools: Tools,
        providers: Mapping[str, LaterProvider],
        *,
        noticed: Callable[[Noticed], object] = lambda _: None,
    ) -> None:
        self._ending = ThreadPoolExecutor(THREADS, thread_name_prefix="ending")
        self._stopped = threading.Event()
        self._watches = [self._watch(tools, provider, noticed) for provider in providers.values()]

    def round(self, *, seconds: float) -> None:
        """Look until nothing is parked, `seconds` at most; each provider in a thread, so that none waits for others."""
        until = time.monotonic() + seconds
        others = [threading.Thread(target=one.run, args=(until,), name="polling") for one in self._watches[1:]]
        for thread in others:
            thread.start()
        for one in self._watches[:1]:
            one.run(until)
        for thread in others:
            thread.join()

    def stop(self) -> None:
        """End the round soon."""
        self._stopped.set()

    def close(self) -> None:
        """End, once what is being ended has been."""
        self.stop()
        self._ending.shutdown(wait=True)

    def _watch(self, tools: Tools, provider: LaterProvider, noticed: Callable[[Noticed], object]) -> Watch:
        finisher = Finisher(
            provider=provider,
            database=tools.database,
            runner=tools.runner,
            send=tools.publisher.publish,
            backoff_ms=tools.settings.backoff_ms,
        )
        return Watch(
            finisher,
            threads=self._ending,
            stopped=self._stopped,
            lease_ms=tools.settings.lease_seconds * SECOND_MS,
            noticed=noticed,
        )
