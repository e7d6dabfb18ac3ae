"""What a provider is that finishes later: it takes a request in a second and works on it for minutes.

Nobody waits for it with a worker's slot. A submission has three outcomes: accepted, rejected, or unknown, when nobody
can say whether it arrived (a time-out, a 5xx, a connection that was lost after sending). What is unknown is looked up
by its key before anything is submitted again, so that one job is generated once.

A provider knows nothing of jobs, users or credits; instances are shared by threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from atelier.providers.contract import GenerationRequest, GenerationResult, ProviderRejected, ProviderUnavailable

Failure = ProviderRejected | ProviderUnavailable
Progress = Literal["queued", "running", "succeeded", "failed", "missing"]


class TaskLost(ProviderUnavailable):
    """The provider took the request and knows nothing of it any more."""

    code: ClassVar[str] = "PROVIDER_TASK_LOST"


class NotTaken(ProviderUnavailable):
    """Whether the request arrived was unknown, and now it is known that it did not."""

    code: ClassVar[str] = "PROVIDER_NOT_TAKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider has it, under this id of its own."""

    upstream_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider certainly doesn't have it: for good, or for now."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody can say whether the provider has it. `reason` is one of our own words, for the log."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The provider answers that it has nothing under the key."""


Submitted = Accepted | Rejected | Unknown
Found = Accepted | Absent | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a task is. `missing` means that the provider answered and doesn't know it.

    fraction     0…1, None where the provider doesn't say
    result       of a success: what `fetch` needs
    failure      of a failure: whether it may be tried again is in its kind
    ended_ms     when it ended, by the provider's clock; None where it doesn't say
    """

    state: Progress
    fraction: float | None = None
    result: Any = None
    failure: Failure | None = None
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often to ask.

    first    seconds before the first look at a new task, while nothing is known of how long they take
    least    between two looks, at least
    most     between two looks, at most
    late     how long after an unknown submission the request may still arrive
    """

    first: float = 10.0
    least: float = 3.0
    most: float = 30.0
    late: float = 60.0


class LaterProvider(Protocol):
    """A named source of generations that finish later. No method waits for long; each gives up by itself.

    list_max   how many tasks one call of `poll` may name
    keyed      whether the provider refuses a second request with the same key: then sending again can't generate twice
    """

    name: str
    pace: Pace
    list_max: int
    keyed: bool

    def submit(self, request: GenerationRequest) -> Submitted:
        """Hand the request over. Never raises for what the world did: that is what the outcomes are for."""
        ...

    def find(self, provider_key: str) -> Found:
        """The task that was submitted under this key."""
        ...

    def poll(self, upstream_ids: Sequence[str]) -> Mapping[str, Status]:
        """How far these are; who is not in the answer is not known to be anything. Raises ProviderUnavailable."""
        ...

    def fetch(self, status: Status) -> GenerationResult:
        """What a task that succeeded made. Raises ProviderRejected or ProviderUnavailable.

        BadAnswer says that what it made is no good: a few of these, and it is generated anew. Whatever is only away
        for now must be another ProviderUnavailable, which is fetched again for as long as it takes.
        """
        ...

    def cancel(self, upstream_id: str) -> bool:
        """Stop the task if the provider can; whether it did. Raises ProviderUnavailable."""
        ...
