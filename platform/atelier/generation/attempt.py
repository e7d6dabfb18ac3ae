"""One running attempt, as the provider sees it: progress and text go out live, and it is told when to stop."""

import threading
import time
from collections.abc import Callable

from atelier.jobs import states
from atelier.jobs.service import Claimed
from atelier.kernel.clock import now_ms
from atelier.live.events import Event
from atelier.providers.contract import Stopped

PROGRESS_SECONDS = 0.1
OUTPUT_SECONDS = 0.05
OUTPUT_CHARS_MAX = 8_192

CANCELED = "canceled"
EXPIRED = "expired"
LOST = "lost"
SHUTDOWN = "shutdown"


class Attempt:
    """The run context of one claim. Events are numbered from the claim's fence and sent at a bounded rate.

    `seq` is the number that the next event's follows, of a job that was parked and has sent some before.
    """

    def __init__(self, claimed: Claimed, send: Callable[[str, list[Event]], object], *, seq: int | None = None) -> None:
        self.claimed = claimed
        self.reason = ""
        self._send = send
        self._stop = threading.Event()
        self._seq = states.first_seq(claimed.fence) if seq is None else seq
        self._sent_at = time.monotonic()
        self._text: list[str] = []
        self._text_at = 0.0
        self._text_chars = 0

    def stop(self, reason: str) -> None:
        """End the attempt as soon as the provider looks; the first reason counts."""
        if not self._stop.is_set():
            self.reason = reason
            self._stop.set()

    def check(self) -> None:
        """Raise Stopped when the attempt is to end."""
        if self._stop.is_set():
            raise Stopped(self.reason)

    def sleep(self, seconds: float) -> None:
        """Wait, or raise Stopped as soon as the attempt is to end."""
        if self._stop.wait(seconds):
            raise Stopped(self.reason)

    def progress(self, fraction: float, step: str) -> None:
        """Send progress, at most ten times a second: what comes between is superseded anyway."""
        self.check()
        if (now := time.monotonic()) - self._sent_at >= PROGRESS_SECONDS:
            self._sent_at = now
            self._emit("job.progress", {"progress": round(max(0.0, min(1.0, fraction)), 3), "step": step[:80]})

    def output(self, delta: str) -> None:
        """Send a piece of text; pieces that come faster than twenty a second are joined, none is left out."""
        self.check()
        self._text.append(delta)
        self._text_chars += len(delta)
        if time.monotonic() - self._text_at >= OUTPUT_SECONDS or self._text_chars >= OUTPUT_CHARS_MAX:
            self.flush()

    def flush(self) -> None:
        """Send the text that waits, in events of a bounded size: a provider may give a whole book as one piece."""
        text, self._text, self._text_chars = "".join(self._text), [], 0
        if text:
            self._text_at = time.monotonic()
        for start in range(0, len(text), OUTPUT_CHARS_MAX):
            self._emit("job.output", {"delta": text[start : start + OUTPUT_CHARS_MAX]})

    def next_seq(self) -> int:
        """The number for the attempt's next event."""
        self._seq += 1
        return self._seq

    def _emit(self, kind: str, data: dict[str, object]) -> None:
        event = Event(type=kind, job_id=self.claimed.id, seq=self.next_seq(), at_ms=now_ms(), data=data)
        self._send(self.claimed.user_id, [event])
