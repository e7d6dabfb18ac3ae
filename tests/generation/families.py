"""A job of four steps on one database, and workers that take its messages in any order.

first ──► left ──┐
    └───► right ─┴─► last          `right` may fail: `last` is made without it
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.catalog import seed_content, service
from atelier.contracts import outbox, queues
from atelier.contracts.messages import ADVANCE
from atelier.generation import family, sweep
from atelier.generation.run import Runner
from atelier.generation.submit import Accepted
from atelier.generation.workflow import Made, Order, Step, Work, Workflow
from atelier.jobs import queries, states
from atelier.jobs.models import JOBS, RESULTS
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.kernel.settings import Settings
from atelier.live.events import Event
from atelier.live.publisher import Publisher
from atelier.live.wire import Command
from atelier.providers.contract import Provider
from atelier.providers.echo import Echo
from atelier.storage.local import LocalStorage
from tests.furnishing import furnish
from tests.jobs.lifecycle import Workshop

PRICE = 7
ECHO_ID = seed_content.ECHO.id
STEPS = ("first", "left", "right", "last")


def _work(name: str) -> Callable[[Order, Made], Work]:
    """Say what was made before, and fail if that was ordered."""

    def make(order: Order, made: Made) -> Work:
        before = "+".join(sorted(str(outputs[0]["text"]) for outputs in made.values() if name == "last"))
        failing = {"fail": "permanent"} if name in order.config.get("fails", ()) else {}
        return Work(prompt=f"{name}({before})", config=failing)

    return make


def steps(_order: Order) -> Sequence[Step]:
    """The four."""
    return [
        Step(name="first", agent_id=ECHO_ID, make=_work("first")),
        Step(name="left", agent_id=ECHO_ID, make=_work("left"), after=("first",)),
        Step(name="right", agent_id=ECHO_ID, make=_work("right"), after=("first",), required=False),
        Step(name="last", agent_id=ECHO_ID, make=_work("last"), weight=2),
    ]


DIAMOND = Workflow(name="diamond", steps=steps)


def compose_shop(db: Database, workflow: Workflow) -> Workshop:
    """A workshop whose agent is this workflow."""
    db.transact(furnish)
    agent = next(one for one in seed_content.AGENTS if one.provider == queues.WORKFLOW)
    runtime = {**agent.content.runtime, "model": workflow.name}
    kind = "text" if workflow is DIAMOND else agent.kind
    content = replace(agent.content, kind=kind, runtime=runtime, credits_per_use=PRICE)
    version = db.transact(service.add_version, agent_id=agent.id, content=content, now_ms=now_ms())
    return Workshop(db, agent_id=agent.id, agent_version=version, provider=queues.WORKFLOW)


class Overheard(Publisher):
    """A publisher that others listen to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.heard: list[Callable[[Event], object]] = []

    @override
    def publish(
        self, user_id: str, events: Sequence[Event], *, final: bool = False, also: Sequence[Command] = ()
    ) -> bool:
        for event in events:
            for heard in self.heard:
                heard(event)
        return super().publish(user_id, events, final=final, also=also)


class Families:
    """Everything composed. Each message of the outbox is one that a worker may take."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        folder: Path,
        *,
        workflow: Workflow = DIAMOND,
        providers: Mapping[str, Provider] | None = None,
    ) -> None:
        self.shop = compose_shop(db, workflow)
        self._workflow = workflow
        self._providers = providers or {"echo": Echo()}
        self._settings = settings
        self.storage = LocalStorage(folder / "files")
        self._publisher = Overheard(settings.redis_url)
        self.runner = self.worker(db)

    def worker(self, db: Database) -> Runner:
        """A worker, as in another process."""
        return Runner(
            settings=self._settings,
            database=db,
            publisher=self._publisher,
            storage=self.storage,
            providers=self._providers,
            later={},
            name="test",
            workflows={self._workflow.name: self._workflow},
        )

    def listen(self, heard: Callable[[Event], object]) -> None:
        """Hear of every event from now on."""
        self._publisher.heard.append(heard)

    def close(self) -> None:
        """Let go of the broker."""
        self._publisher.close()

    def submit(self, user_id: str, *, fails: Sequence[str] = (), **config: Any) -> str:
        """A job that is waiting, of which these steps will fail."""
        kind = "text" if self._workflow is DIAMOND else "video"
        one = replace(self.shop.submission(user_id, PRICE, kind=kind), config={"fails": list(fails), **config})
        (outcome,) = self.shop.submit_all([one])
        if isinstance(outcome, Refusal):
            raise outcome
        assert isinstance(outcome, Accepted)
        return one.job_id

    def invite(self) -> None:
        """The sweeper publishes waiting jobs once more."""
        self.shop.db.transact(_execute, update(JOBS).where(JOBS.c.state == states.PENDING).values(sweep_ms=1))
        for queue in (queues.GENERATION_COMPOSE, queues.GENERATION_TEXT):
            overdue = self.shop.db.read(queries.overdue, queue=queue, state=states.PENDING, limit=100)
            self.shop.db.transact(sweep.republish, overdue, now_ms=now_ms(), base_ms=1)

    def messages(self) -> list[tuple[int, str, str]]:
        """What waits to be taken: number, contract and job of each message."""
        return self.shop.db.read(_messages)

    def take(self, number: int, contract: str, job_id: str, *, by: Runner | None = None) -> None:
        """A worker takes a message; it is gone even if the worker dies of it."""
        self.shop.db.transact(_forget, number=number)
        worker = by or self.runner
        (worker.advance if contract == ADVANCE.name else worker.run)(job_id)

    def take_first(self, contract: str) -> None:
        """The first message of this contract."""
        self.take(*next(one for one in self.messages() if one[1] == contract))

    def drain(self, *, choose: Callable[[int], int] = lambda _: 0) -> None:
        """Take messages until there are none; `choose` says which of so many is next."""
        while found := self.messages():
            self.take(*found[choose(len(found))])

    def look(self) -> None:
        """The sweeper sends once more for parked jobs, long after their time has come."""
        self.shop.db.transact(_execute, update(JOBS).where(JOBS.c.poll_ms > 0).values(poll_ms=1))
        self.shop.db.transact(family.look_again, now_ms=now_ms())

    def sweep(self) -> None:
        """A sweeper's round, long after everything has come due: dead workers' jobs are given back."""
        self.look()
        self.shop.db.transact(_execute, update(JOBS).where(JOBS.c.lease_ms > 0).values(lease_ms=1, sweep_ms=1))
        self.shop.db.transact(_execute, update(JOBS).where(JOBS.c.state == states.PENDING).values(run_after_ms=0))
        self.shop.sweep(queue=queues.GENERATION_COMPOSE)
        self.shop.sweep()

    def expire(self, job_id: str) -> None:
        """Let the deadline of a job have passed, and those of its steps with it."""
        late = update(JOBS).where((JOBS.c.id == job_id) | (JOBS.c.parent_id == job_id), JOBS.c.finished_ms.is_(None))
        self.shop.db.transact(_execute, late.values(deadline_ms=1, sweep_ms=1))

    def children(self, job_id: str) -> dict[str, dict[str, Any]]:
        """The steps of a job, by name."""
        return {one["step"]: one for one in self.shop.db.read(_children, job_id=job_id)}

    def steps(self, job_id: str) -> dict[str, str]:
        """How the steps are."""
        return {step: one["state"] for step, one in self.children(job_id).items()}

    def output(self, job_id: str) -> dict[str, Any]:
        """The first thing that the job has made."""
        output: dict[str, Any] = self.shop.db.read(_result, job_id=job_id)["outputs"][0]
        return output

    def text(self, job_id: str) -> str:
        """The text that the job has made."""
        return str(self.output(job_id)["text"])


def _messages(session: Session) -> list[tuple[int, str, str]]:
    columns = outbox.TABLE.c
    rows = session.connection().execute(select(columns.id, columns.contract, columns.message).order_by(columns.id))
    return [(row[0], row[1], from_json(row[2])["jobId"]) for row in rows]


def _forget(session: Session, *, number: int) -> None:
    session.connection().execute(delete(outbox.TABLE).where(outbox.TABLE.c.id == number))


def _execute(session: Session, statement: Any) -> None:
    session.connection().execute(statement)


def _children(session: Session, *, job_id: str) -> list[dict[str, Any]]:
    rows = session.connection().execute(select(JOBS).where(JOBS.c.parent_id == job_id).order_by(JOBS.c.id))
    return [dict(row) for row in rows.mappings()]


def _result(session: Session, *, job_id: str) -> Any:
    return session.connection().execute(select(RESULTS.c.document).where(RESULTS.c.job_id == job_id)).scalar_one()
