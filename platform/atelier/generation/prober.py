"""A worker's part in testing a provider: one small call, with no job, no credits and no file."""

import threading
import time
from collections.abc import Mapping

from atelier.generation import outcomes, probing
from atelier.kernel import logs
from atelier.kernel.clock import SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import AtelierError
from atelier.providers.contract import GenerationRequest, Provider, ProviderUnavailable, Stopped
from atelier.providers.errors import TimedOut
from atelier.providers.later import LaterProvider, Unknown

PROMPT = "A red circle on white paper."
SECONDS_MAX = 60.0
log = logs.get(__name__)


class Probing:
    """The run context of a test: nobody watches, and it ends when its time is over."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._never = threading.Event()

    def progress(self, fraction: float, step: str) -> None:  # noqa: ARG002 - the protocol's names
        """Nobody is told."""
        self.check()

    def output(self, delta: str) -> None:  # noqa: ARG002 - the protocol's name
        """Nobody reads it."""
        self.check()

    def check(self) -> None:
        """Raise Stopped when the time is over."""
        if time.monotonic() >= self._until:
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait, or raise Stopped when the time is over."""
        self._never.wait(min(seconds, max(0.0, self._until - time.monotonic())))
        self.check()


class Prober:
    """Tests for one worker process. Providers that finish later (`later`) are asked for something they don't have."""

    def __init__(
        self, database: Database, *, providers: Mapping[str, Provider], later: Mapping[str, LaterProvider]
    ) -> None:
        self._database = database
        self._providers = providers
        self._later = later

    def test(self, probe_id: str) -> None:
        """Make the call and keep what came of it. Raises Transient when the database can't be reached."""
        name = self._database.read(probing.waiting, probe_id=probe_id)
        if name is None:
            return
        began = time.monotonic()
        outcome = self._outcome(name, probe_id)
        took_ms = int((time.monotonic() - began) * SECOND_MS)
        self._database.transact(probing.finish, probe_id=probe_id, outcome=outcome, took_ms=took_ms, now_ms=now_ms())
        log.info("provider.tested", provider=name, outcome=outcome, took_ms=took_ms)

    def _outcome(self, name: str, probe_id: str) -> str:
        try:
            return self._asked(name, f"probe:{probe_id}")
        except Stopped:
            return TimedOut.code
        except AtelierError as error:
            return error.code
        except Exception:
            log.exception("provider.test_failed", provider=name)
            return outcomes.BUG

    def _asked(self, name: str, key: str) -> str:
        if later := self._later.get(name):
            found = later.find(key)
            return ProviderUnavailable.code if isinstance(found, Unknown) else probing.OK
        provider = self._providers.get(name)
        if provider is None:
            return "PROVIDER_UNKNOWN"
        request = GenerationRequest(provider_key=key, attempt=1, model="", prompt=PROMPT, timeout_seconds=SECONDS_MAX)
        provider.run(request, Probing(SECONDS_MAX))
        return probing.OK
