"""Jobs of the echo agent in every state, made by the functions that make them in production."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from atelier.catalog import queries as catalog
from atelier.catalog import runtime, seed_content
from atelier.catalog.runtime import RunnableAgent
from atelier.contracts.outbox import TABLE as OUTBOX
from atelier.generation.settle import Settlement, settle
from atelier.generation.submit import Accepted, Limits, Submission, submit
from atelier.jobs import service as jobs
from atelier.jobs import states
from atelier.jobs.ending import Ending
from atelier.jobs.models import JOBS
from atelier.jobs.service import Claimed
from atelier.kernel import ids
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.ledger.shares import Terms
from benchmarks.people import Person

T = TypeVar("T")
GROUP = 48
PROMPT = {"prompt": "a cat"}
BODY = f'{{"agentId":"{seed_content.ECHO.id}","inputData":{{"prompt":"a cat"}}}}'
LIMITS = Limits(waiting_max=100_000_000, attempts_max=4, republish_ms=30_000)
LEASE_MS = 600_000
END_NUMBER = 1_000
"""The number of a job's last event under its fence: there is room for progress before it."""


def echo(database: Database) -> RunnableAgent:
    """The echo agent as seeded."""
    agent = database.read(catalog.runnable, agent_id=seed_content.ECHO.id)
    assert agent is not None, "the echo agent is seeded in development"
    return agent


def submission(agent: RunnableAgent, user_id: str) -> Submission:
    """What the API makes of a request for the echo agent."""
    config = runtime.validate(agent, input_data=PROMPT, config=None)
    return Submission(
        job_id=ids.new_id(),
        hold_id=ids.new_id(),
        user_id=user_id,
        agent_id=agent.agent_id,
        agent_version=agent.version,
        agent_name=agent.name,
        needs_purchase=False,
        price=runtime.price(agent, input_data=PROMPT, config=config).credits,
        kind=agent.kind,
        provider=agent.provider,
        project_id=None,
        input=PROMPT,
        config=config,
        deadline_seconds=3_600,
    )


def submitted(database: Database, people: Sequence[Person], *, count: int) -> list[tuple[str, Person]]:
    """So many accepted jobs, dealt out to the people in turn, each with its owner."""
    agent = echo(database)
    made = [(submission(agent, person.user_id), person) for person in (people[n % len(people)] for n in range(count))]
    for group in _groups(made):
        outcomes = database.transact(submit, [one for one, _ in group], limits=LIMITS)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes), "everyone can afford an echo"
    return [(one.job_id, person) for one, person in made]


def claimed(database: Database, job_ids: Iterable[str]) -> list[Claimed]:
    """These pending jobs, now running for this process."""
    held: list[Claimed] = []
    for group in _groups(job_ids):
        owner = f"bench:{ids.new_id()}"
        held += database.transact(jobs.claim, job_ids=group, owner=owner, lease_ms=LEASE_MS)
    return held


def settlement(job: Claimed) -> Settlement:
    """The successful end of a running job."""
    result: dict[str, Any] = {
        "outputs": [{"type": "text", "contentType": "text/plain", "text": "a cat", "metadata": {}}]
    }
    ending = Ending(
        job_id=job.id,
        fence=job.fence,
        state=states.COMPLETED,
        seq=states.first_seq(job.fence) + END_NUMBER,
        outcome=states.COMPLETED,
        used=job.held,
        result=result,
    )
    terms = Terms(agent_id=job.agent_id, creator_id=None, platform_percent=0, transfer_id=ids.new_id())
    return Settlement(ending=ending, transfer_id=ids.new_id(), held=job.held, terms=terms)


def completed(database: Database, running: Iterable[Claimed]) -> None:
    """End running jobs well."""
    for group in _groups(running):
        database.transact(settle, [settlement(one) for one in group], now_ms=now_ms())


def forget_messages(database: Database) -> None:
    """As if the relay had sent everything: nobody waits for these jobs."""
    database.transact(_forget)


def _forget(session: Session) -> None:
    session.connection().execute(delete(OUTBOX))


def counted(session: Session) -> Counter[str]:
    """How many jobs are in which state."""
    rows = session.connection().execute(select(JOBS.c.state, func.count()).group_by(JOBS.c.state))
    return Counter({row[0]: row[1] for row in rows})


def unfinished(session: Session) -> int:
    """How many jobs have not ended; cheap enough to be asked often."""
    alive = select(func.count()).where(JOBS.c.queue == "generation.text", JOBS.c.state.in_(states.ALIVE))
    return session.connection().execute(alive).scalar_one()


def _groups(items: Iterable[T]) -> Iterable[list[T]]:
    rest = iter(items)
    while group := list(islice(rest, GROUP)):
        yield group
