"""A run context that keeps what a provider reports, for tests and for trying a provider from the command line."""

import threading
from collections.abc import Callable

from atelier.providers.contract import Stopped


class RecordedRun:
    """A real `RunContext` without a job: everything is kept in memory, and `stop` ends the attempt from any thread.

    `stop_when` is asked at every call; when it answers True the attempt is stopped, as a cancellation would.
    """

    def __init__(self, *, stop_when: Callable[["RecordedRun"], bool] | None = None) -> None:
        self.fractions: list[float] = []
        self.steps: list[str] = []
        self.deltas: list[str] = []
        self.sleeps: list[float] = []
        self.checks = 0
        self._stop_when = stop_when
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the attempt: its next call raises `Stopped`, a sleep is cut short."""
        self._stopped.set()

    @property
    def text(self) -> str:
        """Everything that was streamed so far."""
        return "".join(self.deltas)

    def progress(self, fraction: float, step: str) -> None:
        self.fractions.append(fraction)
        self.steps.append(step)
        self._end_if_stopped()

    def output(self, delta: str) -> None:
        self.deltas.append(delta)
        self._end_if_stopped()

    def check(self) -> None:
        self.checks += 1
        self._end_if_stopped()

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self._end_if_stopped()
        self._stopped.wait(seconds)
        self._end_if_stopped()

    def _end_if_stopped(self) -> None:
        if self._stop_when is not None and self._stop_when(self):
            self._stopped.set()
        if self._stopped.is_set():
            raise Stopped
