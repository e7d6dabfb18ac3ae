"""How far jobs are that are put together from others, from their rows alone: what workers have told of it may be lost.

Each is numbered just before the event that tells the same: that one also names the steps that have begun since.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from atelier.catalog.models import VERSIONS
from atelier.contracts import queues
from atelier.generation import workflow
from atelier.generation.story import WORKFLOWS
from atelier.generation.workflow import Order, Seen, Told, Workflow
from atelier.jobs import states
from atelier.jobs.models import JOBS

J = JOBS.c
V = VERSIONS.c


class Standing(NamedTuple):
    """How far a job is, and a number for it among the job's events."""

    seq: int
    told: Told


def standings(
    session: Session, *, job_ids: Sequence[str], workflows: Mapping[str, Workflow] = WORKFLOWS
) -> dict[str, Standing]:
    """Those of these jobs that run and of which a step has ended, if one of these workflows is theirs and fits."""
    connection = session.connection()
    parents = connection.execute(
        select(J.id, J.fence, J.input, J.config, V.runtime)
        .join(VERSIONS, and_(V.agent_id == J.agent_id, V.version == J.agent_version))
        .where(J.id.in_(job_ids), J.provider == queues.WORKFLOW, J.state == states.RUNNING)
    ).all()
    children: defaultdict[str, dict[str, Seen]] = defaultdict(dict)
    columns = (J.parent_id, J.step, J.state)
    for row in connection.execute(select(*columns).where(J.parent_id.in_(job_ids)).order_by(J.id)):
        children[row.parent_id][row.step] = Seen(state=row.state)
    found: dict[str, Standing] = {}
    for parent in parents:
        composing, seen = workflows.get(parent.runtime["model"]), children[parent.id]
        ended = workflow.count_ended(seen)
        # A web process may be older than the worker: then what was told is all that it knows.
        if composing is None or not ended:
            continue
        try:
            steps = composing.steps(Order(input=parent.input, config=parent.config))
            fraction = workflow.progress(steps, seen)
        except workflow.BUGS:
            # It may also be newer than the job, and need what the order lacks. If the worker can't use the order either
            # it ends the job and says why; whoever looks is still to see the jobs beside it.
            continue
        told = workflow.told(fraction, [name for name, one in seen.items() if one.alive])
        found[parent.id] = Standing(workflow.told_seq(parent.fence, ended=ended) - 1, told)
    return found
