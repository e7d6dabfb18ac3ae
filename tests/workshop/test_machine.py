"""Any order of what people do to a project and workers for it, killed at any commit, against a model of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.generation import settle
from atelier.generation.settle import Settlement
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Forbidden
from atelier.workshop.errors import ProjectNotFound, TooManyVersions
from tests.bounds import of_machine
from tests.workshop.studio import Studio

VERSIONS_MAX = 6
PEOPLE = ("owner", "editor", "viewer", "stranger")


@dataclass
class Model:
    """What a project should be."""

    visibility: str = "team"
    deleted: bool = False
    versions: int = 0
    current: int | None = None
    roles: dict[str, str] = field(default_factory=lambda: {"editor": "editor", "viewer": "viewer"})

    def role(self, person: str) -> str | None:
        if person == "owner":
            return "owner"
        return None if self.visibility == "private" else self.roles.get(person)

    def reads(self, person: str) -> bool:
        return not self.deleted and (self.visibility == "public" or self.role(person) is not None)

    def writes(self, person: str) -> bool:
        return not self.deleted and self.role(person) in {"owner", "editor"}

    def refusal(self, person: str) -> type[Exception]:
        return Forbidden if self.reads(person) else ProjectNotFound

    def grow(self, *, current: bool = True) -> int:
        self.versions += 1
        if current or self.current is None:
            self.current = self.versions
        return self.versions


@dataclass
class Job:
    person: str
    save: bool
    fence: int = 0
    state: str = "pending"
    number: int | None = None
    reason: str | None = None


def nothing() -> object:
    """Put nothing into a bundle."""
    none: list[str] = []
    return multiple(*none)


class Lives(RuleBasedStateMachine):
    """One project; `claims` also holds those that were lost."""

    studio: Studio
    jobs = Bundle("jobs")
    claims = Bundle("claims")
    people = st.sampled_from(PEOPLE)

    @initialize()
    def begin(self) -> None:
        self.model, self.lives = Model(), dict[str, Job]()
        self.ids = {person: self.studio.user() for person in PEOPLE}
        self.project = self.studio.project(self.ids["owner"], editor=self.ids["editor"], viewer=self.ids["viewer"])

    # -- people

    @rule(person=people, current=st.booleans())
    def add(self, person: str, current: bool) -> None:  # noqa: FBT001 - hypothesis passes them by name
        def act() -> object:
            return self.studio.add(self.project, self.ids[person], set_current=current, versions_max=VERSIONS_MAX)

        if not self.model.writes(person):
            self._refused(self.model.refusal(person), act)
        elif self.model.versions >= VERSIONS_MAX:
            self._refused(TooManyVersions, act)
        else:
            act()
            self.model.grow(current=current)

    @rule(person=people, share=st.integers(0, 100))
    def restore_version(self, person: str, share: int) -> None:
        if self.model.versions and self.model.writes(person):
            number = 1 + share % self.model.versions
            self.studio.restore(self.project, self.ids[person], number)
            self.model.current = number

    @rule(visibility=st.sampled_from(["private", "team", "public"]))
    def show(self, visibility: str) -> None:
        if not self.model.deleted:
            self.studio.change(self.project, self.ids["owner"], visibility=visibility)
            self.model.visibility = visibility

    @rule()
    def delete(self) -> None:
        if not self.model.deleted:
            self.studio.delete(self.project, self.ids["owner"])
            self.model.deleted = True

    @rule()
    def take_out(self) -> None:
        self.studio.take_out(self.project, self.ids["owner"])
        self.model.deleted = False

    @rule(person=st.sampled_from(["editor", "viewer"]), role=st.sampled_from(["editor", "viewer"]))
    def join_or_leave(self, person: str, role: str) -> None:
        if self.model.deleted:
            return
        if person in self.model.roles:
            self.studio.remove(self.project, self.ids["owner"], self.ids[person])
            del self.model.roles[person]
        else:
            self.studio.join(self.project, **{role: self.ids[person]})
            self.model.roles[person] = role

    @rule(person=people)
    def read(self, person: str) -> None:
        if self.model.reads(person):
            shown = self.studio.read(self.project, self.ids[person])
            assert shown.project.role == self.model.role(person)
            assert (shown.current.number if shown.current else None) == self.model.current
        else:
            self._refused(ProjectNotFound, lambda: self.studio.read(self.project, self.ids[person]))

    # -- jobs

    @rule(target=jobs, person=people, save=st.booleans())
    def submit(self, person: str, save: bool) -> object:  # noqa: FBT001 - hypothesis passes them by name
        if not self.model.writes(person):
            self._refused(ProjectNotFound, lambda: self.studio.submit(self.project, self.ids[person], save=save))
            return nothing()
        job = self.studio.submit(self.project, self.ids[person], save=save)
        self.lives[job] = Job(person, save)
        return job

    @rule(target=claims, job=jobs)
    def claim(self, job: str) -> object:
        claimed = self.studio.jobs.claim(job)
        if not claimed:
            return nothing()
        life = self.lives[job]
        life.state, life.fence = "running", claimed[0].fence
        return self.studio.completion(claimed[0], versions_max=VERSIONS_MAX)

    @rule(job=jobs)
    def lapse(self, job: str) -> None:
        self.studio.jobs.lapse(job)

    @rule(settlement=claims)
    def killed_before_the_commit(self, settlement: Settlement) -> None:
        with Session(self.studio.db.writer) as session:
            settle.settle(session, [settlement], now_ms=now_ms())
            session.rollback()

    @rule(settlements=st.lists(claims, min_size=1, max_size=3, unique_by=lambda one: one.ending.job_id))
    def complete(self, settlements: list[Settlement]) -> None:
        self._complete(settlements)

    @rule(settlement=consumes(claims))
    def answer_lost(self, settlement: Settlement) -> None:
        self._complete([settlement])
        self._complete([settlement])

    def _complete(self, settlements: list[Settlement]) -> None:
        self.studio.jobs.settle(*settlements)
        for one in settlements:
            job = self.lives[one.ending.job_id]
            if job.state != "running" or job.fence != one.ending.fence:
                continue
            job.state = "completed"
            if not job.save:
                continue
            if self.model.deleted:
                job.reason = "PROJECT_NOT_FOUND"
            elif not self.model.writes(job.person):
                job.reason = "FORBIDDEN"
            elif self.model.versions >= VERSIONS_MAX:
                job.reason = "VERSION_LIMIT"
            else:
                job.number = self.model.grow()

    def _refused(self, refusal: type[Exception], act: Callable[[], object]) -> None:
        with pytest.raises(refusal):
            act()

    @override
    def teardown(self) -> None:
        assert self.studio.numbers(self.project) == list(range(1, self.model.versions + 1))
        assert self.studio.current(self.project) == self.model.current
        for job_id, job in self.lives.items():
            assert self.studio.jobs.job(job_id)["state"] == job.state
            save = self.studio.save(job_id)
            assert (save is not None) == job.save
            if save is not None:
                assert (save.number, save.reason) == (job.number, job.reason)
        # What the test did to leases is late on purpose.
        report = self.studio.jobs.examine()
        assert set(report.totals) <= {"job.lease"}, report.findings


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "number", "steps"), [("sqlite", 12, 40), ("mariadb", 4, 40)], indirect=["engine"])
def test_projects_and_jobs_agree_with_the_model(
    db: Database, restore: Callable[[], None], number: int, steps: int
) -> None:
    class Fresh(Lives):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.studio = Studio(db)

    run_state_machine_as_test(Fresh, settings=of_machine(number, steps=steps))
