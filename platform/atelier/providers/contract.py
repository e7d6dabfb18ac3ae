"""What a provider is: something that turns one request into outputs, reporting progress while it works.

A provider knows nothing of jobs, users or credits. It gets a frozen request and a run context, and either returns
a result or raises one of the errors below. It may be run again for the same job after a crash: `provider_key` is
the same each time, so a provider whose upstream knows idempotency keys must pass it on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from atelier.kernel.errors import Refusal, Transient


class ProviderRejected(Refusal):
    """The provider said no for good (bad prompt, moderation, wrong model): never retried."""

    code: ClassVar[str] = "PROVIDER_REJECTED"


class ProviderUnavailable(Transient):
    """The provider could not serve now (network, 5xx, rate limit): the job is tried again later."""

    code: ClassVar[str] = "PROVIDER_UNAVAILABLE"
    blames_provider: ClassVar[bool] = True
    """Whether it says something about the provider, and not about this request alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One attempt of one job.

    provider_key  deterministic per job (`job:<id>`), the same in every attempt
    attempt       1 for the first attempt
    model         the provider's own name of the model, "" where it has only one
    prompt        the rendered prompt
    parameters    already validated against the agent's schemas and merged with its defaults
    timeout_seconds  what is left of the attempt; a provider must give up before
    sources       files to work with, by the name of their part in it
    callback_url  where a provider that finishes later may tell that there is news; empty: nowhere
    """

    provider_key: str
    attempt: int
    model: str
    prompt: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timeout_seconds: float = 300.0
    callback_url: str = ""
    sources: Mapping[str, Sequence["Source"]] = field(default_factory=dict[str, Sequence["Source"]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that something else has made."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One thing that was made. `data` is the file's bytes; texts are UTF-8. `metadata` is public."""

    type: str  # text | image | audio | video
    content_type: str
    data: bytes
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationResult:
    """Everything one attempt made, in order, never empty."""

    outputs: tuple[Output, ...]


class RunContext(Protocol):
    """How a running attempt talks back. Every method may raise `Stopped`; let it pass through."""

    def progress(self, fraction: float, step: str) -> None:
        """Report progress between 0 and 1 with a short step name; cheap, call it as often as is natural."""
        ...

    def output(self, delta: str) -> None:
        """Stream a piece of text as it is produced."""
        ...

    def check(self) -> None:
        """Raise `Stopped` if the attempt must end (canceled, deadline, lease lost). Call it at least every second."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the attempt must end (then raise `Stopped`)."""
        ...


class Stopped(Exception):
    """The attempt must end now: its result would be thrown away."""


class Provider(Protocol):
    """A named source of generations. Instances are shared by threads."""

    name: str

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Generate, or raise ProviderRejected or ProviderUnavailable."""
        ...
