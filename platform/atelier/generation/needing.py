"""What submissions wait for: their own queue and provider, and those of the steps that they are put together from."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy.orm import Session

from atelier.catalog import queries as catalog
from atelier.contracts import queues
from atelier.contracts.queues import WORKFLOW
from atelier.generation.story import WORKFLOWS
from atelier.generation.workflow import Order
from atelier.jobs.lane_models import PROVIDER, QUEUE

Control = tuple[str, str]
"""Kind and name of what can be held back."""


class Wish(Protocol):
    """A submission."""

    @property
    def job_id(self) -> str: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def agent_version(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def input(self) -> dict[str, Any]: ...
    @property
    def config(self) -> dict[str, Any]: ...


def controls_of(session: Session, wishes: Sequence[Wish]) -> Mapping[str, frozenset[Control]]:
    """By job, the queues and providers that it and its steps will wait for."""
    return {one.job_id: _own(one.kind, one.provider) | _of_steps(session, one) for one in wishes}


def _own(kind: str, provider: str) -> frozenset[Control]:
    return frozenset({(QUEUE, queues.waits_in(kind=kind, provider=provider)), (PROVIDER, provider)})


def _of_steps(session: Session, one: Wish) -> frozenset[Control]:
    if one.provider != WORKFLOW:
        return frozenset()
    agent = catalog.version(session, agent_id=one.agent_id, version=one.agent_version)
    workflow = WORKFLOWS.get(agent.model) if agent else None
    steps = workflow.steps(Order(input=one.input, config=one.config)) if workflow else ()
    agents = catalog.runnable_many(session, agent_ids={step.agent_id for step in steps}) if steps else {}
    return frozenset[Control]().union(*(_own(agent.kind, agent.provider) for agent in agents.values()))
