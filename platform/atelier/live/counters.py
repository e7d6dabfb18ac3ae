"""What the workers count, kept where every web process can show it: one hash, which may be lost like any counter.

Fields are `<counter> <labels…>`; durations have one field per bucket, as Prometheus wants them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from atelier.live.wire import Command

KEY = "atelier:counters"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0)
BOUNDS = (*map(str, SECONDS), "+Inf")

ENDED = "ended"  # kind, state
CALLS = "calls"  # provider, outcome
WAITED = "waited"  # kind, bound: from submission to the first claim
RAN = "ran"  # kind, bound: one attempt's run
CHECKED = "checked"  # outcome, reason: a direct upload
HOOKED = "hooked"  # outcome, reason: an attempt at an outgoing webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A counter with its labels and how much it grew."""

    counter: str
    labels: tuple[str, ...]
    value: int


def add(counts: Iterable[Count]) -> list[Command]:
    """The commands that count."""
    return [("HINCRBY", KEY, " ".join((one.counter, *one.labels)), one.value) for one in counts if one.value]


def ended(*, kind: str, state: str, waited_ms: int) -> list[Count]:
    """A job has ended."""
    return [Count(counter=ENDED, labels=(kind, state), value=1), *_duration(WAITED, kind, waited_ms)]


def called(*, provider: str, outcome: str, kind: str, run_ms: int) -> list[Count]:
    """An attempt has called its provider."""
    return [Count(counter=CALLS, labels=(provider, outcome), value=1), *_duration(RAN, kind, run_ms)]


def checked(*, outcome: str, reason: str) -> Count:
    """A worker has looked at a direct upload."""
    return Count(counter=CHECKED, labels=(outcome, reason), value=1)


def hooked(*, outcome: str, reason: str) -> Count:
    """A worker has tried to tell an outgoing webhook."""
    return Count(counter=HOOKED, labels=(outcome, reason), value=1)


def _duration(counter: str, kind: str, ms: int) -> list[Count]:
    bound = BOUNDS[bisect_left(SECONDS, ms / 1_000)]
    return [
        Count(counter=counter, labels=(kind, bound), value=1),
        Count(counter=counter, labels=(kind, "ms"), value=ms),
    ]


def read(stored: Mapping[bytes, bytes]) -> list[Count]:
    """What the hash holds; fields that are none of ours are passed over."""
    counts: list[Count] = []
    for field, value in stored.items():
        counter, *labels = field.decode().split(" ")
        if counter in {ENDED, CALLS, WAITED, RAN, CHECKED, HOOKED} and len(labels) == 2:
            counts.append(Count(counter=counter, labels=tuple(labels), value=int(value)))
    return counts
