"""Generating into a project: who may, and the version that a completed job adds to it.

Submissions and settlements come in groups of many users' jobs, of which few are for a project: the others cost nothing
here, and those together hardly more than one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.ending import Ending
from atelier.kernel.errors import Refusal
from atelier.workshop import access, saves
from atelier.workshop.errors import ProjectNotFound, TooManyVersions


class Into(NamedTuple):
    """Where the result of a job belongs, beside its owner: what its ending doesn't say."""

    project_id: str
    user_id: str
    agent_id: str
    kind: str
    versions_max: int


class Wish(Protocol):
    """What is looked at of a submission."""

    @property
    def job_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def project_id(self) -> str | None: ...
    @property
    def save_version(self) -> bool: ...


def refused(session: Session, wishes: Sequence[Wish], *, versions_max: int | None) -> Mapping[str, Refusal]:
    """By job, why it can't be for the project that it names: the user may not write to it, or it is full."""
    named = [(one, one.project_id) for one in wishes if one.project_id is not None]
    if not named:
        return {}
    counts = access.writable(session, wanted=[(project_id, one.user_id) for one, project_id in named])
    refusals: dict[str, Refusal] = {}
    for one, project_id in named:
        count = counts.get((project_id, one.user_id))
        if count is None:
            # Also where the user may read: whoever asks to write learns as much as a stranger.
            refusals[one.job_id] = ProjectNotFound(project_id)
        elif one.save_version and versions_max is not None and count >= versions_max:
            refusals[one.job_id] = TooManyVersions(limit=versions_max)
    return refusals


def request(session: Session, wishes: Sequence[Wish], *, now_ms: int) -> None:
    """Note which results are to become versions."""
    wanted = [(one.job_id, one.project_id) for one in wishes if one.save_version and one.project_id is not None]
    saves.request(session, wanted, now_ms=now_ms)


def save(session: Session, ended: Sequence[tuple[Ending, Into | None]], *, now_ms: int) -> None:
    """Make the versions that these jobs, which end in this transaction, were to become."""
    made = [_made(ending, into) for ending, into in ended if into and ending.state == states.COMPLETED]
    if made:
        saves.carry_out(session, made, now_ms=now_ms)


def _made(ending: Ending, into: Into) -> saves.Made:
    outputs: list[dict[str, Any]] = ending.result["outputs"]
    return saves.Made(job_id=ending.job_id, outputs=outputs, **into._asdict())
