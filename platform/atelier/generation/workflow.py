"""Jobs that are put together from other jobs, as data: steps, what each comes after, and what it asks for.

    nothing seen ──► steps without predecessors start ──► each end may start others ──► the last step is done: completed
                                                     └──► a required step failed: nothing starts any more, failed

Pure: what is to be done follows from what became of the steps, in whatever order that happened, and however often it
is asked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from atelier.jobs import states
from atelier.kernel.errors import Refusal

STEP_CHARS_MAX = 80
STEP_CANCELED = "STEP_CANCELED"
"""Why a job failed of which somebody has canceled a step that it can't do without."""

BUGS: Final = (Refusal, ArithmeticError, LookupError, TypeError, ValueError)
"""What a workflow raises that can't use what it is given: an order it wasn't made for, or what its steps have made."""

Outputs = Sequence[Mapping[str, Any]]
Made = Mapping[str, Outputs]
"""What steps have made, by their names; those that could be done without, and failed, are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a user has asked for."""

    input: Mapping[str, Any]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a step asks of its agent. `sources` are files that others have made, by the name of their part in it."""

    prompt: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sources: Mapping[str, Outputs] = field(default_factory=dict[str, Outputs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One job of another agent.

    after     names of the steps that must have ended before; their order in the workflow is before this one's
    required  whether everything fails with it; otherwise the others go on without what it would have made
    weight    its part in the progress, compared with the others'
    """

    name: str
    agent_id: str
    make: Callable[[Order, Made], Work]
    after: tuple[str, ...] = ()
    required: bool = True
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What a composite agent does. The last of the steps is required, makes the result, and comes after all others."""

    name: str
    steps: Callable[[Order], Sequence[Step]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of a step that was started."""

    state: str
    error_code: str | None = None

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.state in states.ALIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done now: start these steps; or nothing, when it is `over`, in this state and for this reason."""

    start: tuple[Step, ...] = ()
    over: str | None = None
    error_code: str | None = None


def decide(steps: Sequence[Step], seen: Mapping[str, Seen]) -> Decision:
    """What follows from what became of the steps so far."""
    for step in steps:
        one = seen.get(step.name)
        if step.required and one is not None and one.state in {states.FAILED, states.CANCELED}:
            return Decision(over=states.FAILED, error_code=one.error_code or STEP_CANCELED)
    last = seen.get(steps[-1].name)
    if last is not None and last.state == states.COMPLETED:
        return Decision(over=states.COMPLETED)
    ended = {name for name, one in seen.items() if not one.alive}
    ready = [step for step in steps[:-1] if step.name not in seen and ended.issuperset(step.after)]
    if last is None and ended.issuperset(step.name for step in steps[:-1]):
        ready.append(steps[-1])
    return Decision(start=tuple(ready))


def progress(steps: Sequence[Step], seen: Mapping[str, Seen]) -> float:
    """How much of the work has ended, from 0 to 1."""
    ended = sum(step.weight for step in steps if (one := seen.get(step.name)) and not one.alive)
    return ended / sum(step.weight for step in steps)


class Told(TypedDict):
    """What an event tells of how far a job is."""

    progress: float
    step: str


def told(fraction: float, working: Iterable[str]) -> Told:
    """So much of the work has ended, and these steps wait or run."""
    return {"progress": round(fraction, 3), "step": ", ".join(working)[:STEP_CHARS_MAX]}


def told_seq(fence: int, *, ended: int) -> int:
    """The number of the event that tells of so many steps that have ended.

    Who looks holds no lease: how many have ended grows by itself, and is the same for whoever says it.
    """
    return states.look_seq(fence, since_ms=ended * states.LOOK_MS) + 1


def count_ended(seen: Mapping[str, Seen]) -> int:
    """How many steps have ended: it only grows."""
    return sum(not one.alive for one in seen.values())
