"""When to look at a task again, learned from how long tasks of its kind took.

Nothing is asked before hardly any task was ever done; then at a rate that follows from how widely the ends were
spread, and more and more slowly for one that takes longer than almost all. While nothing is known, the wait grows with
the age of the task. What is learned is a matter of efficiency only, so it lives and dies with the process.
"""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from atelier.kernel.clock import SECOND_MS
from atelier.providers.later import Pace

KNOWN_MIN = 8
KNOWN_MAX = 128
KINDS_MAX = 1_024
LEARN_EVERY = 8
LOOKS_IN_SPREAD = 4
GROWTH = 0.15
EARLY = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """Between which ages tasks of a kind end: one in ten earlier, one in ten later."""

    low_ms: int
    high_ms: int


class Kind:
    """The newest durations of one kind of task."""

    def __init__(self) -> None:
        self._took: deque[int] = deque(maxlen=KNOWN_MAX)
        self._new = 0
        self.spread: Spread | None = None

    def learn(self, took_ms: int) -> None:
        """Count one more."""
        self._took.append(took_ms)
        self._new += 1
        if len(self._took) >= KNOWN_MIN and (self.spread is None or self._new >= LEARN_EVERY):
            known, self._new = sorted(self._took), 0
            tenth = len(known) // 10
            self.spread = Spread(known[tenth], known[-1 - tenth])


class Rhythm:
    """The waits of one provider. `kind` names what is alike: a version of an agent, which has one model."""

    def __init__(self, pace: Pace) -> None:
        self._least = int(pace.least * SECOND_MS)
        self._most = int(pace.most * SECOND_MS)
        self._guard = threading.Lock()
        self._kinds: OrderedDict[str, Kind] = OrderedDict()
        self._all = Kind()

    @property
    def kinds(self) -> int:
        """How many kinds are known."""
        return len(self._kinds)

    def learn(self, kind: str, took_ms: int) -> None:
        """One of this kind was done after so long."""
        with self._guard:
            self._all.learn(took_ms)
            known = self._kinds.setdefault(kind, Kind())
            self._kinds.move_to_end(kind)
            known.learn(took_ms)
            if len(self._kinds) > KINDS_MAX:
                self._kinds.popitem(last=False)

    def wait_ms(self, kind: str, age_ms: int) -> int:
        """How long until the next look at a task of this age."""
        with self._guard:
            known = self._kinds.get(kind)
            spread = (known.spread if known else None) or self._all.spread
        if spread is None:
            return self._within(age_ms * GROWTH)
        early = int(spread.low_ms * EARLY)
        if age_ms < early:
            return max(self._least, early - age_ms)
        if age_ms <= spread.high_ms:
            return self._within((spread.high_ms - early) / LOOKS_IN_SPREAD)
        return self._within(max(spread.high_ms - early, age_ms - early) * GROWTH)

    def _within(self, wait_ms: float) -> int:
        return max(1, min(self._most, max(self._least, int(wait_ms))))
