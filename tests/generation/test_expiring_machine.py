"""Any order of results, versions, purges and collectors that die or can't delete, against a model of what refers."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Database
from atelier.storage.local import LocalStorage
from atelier.storage.port import StorageUnavailable
from tests.bounds import of_machine
from tests.generation.shelf import Shelf, spoken

PROJECTS_MAX = 5


class Dead(BaseException):
    """The process is gone."""


class FickleStorage(LocalStorage):
    """A store that deletes so many files, and then can't, or kills whoever asks; None is for ever."""

    left: int | None = None
    end: type[BaseException] = Dead

    @override
    def delete(self, key: str) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.end
        super().delete(key)


class Expiry(RuleBasedStateMachine):
    """The model: when each result may go at the earliest, and which results each project refers to."""

    jobs, projects = Bundle("jobs"), Bundle("projects")
    shelf: Shelf
    storage: FickleStorage

    def __init__(self) -> None:
        super().__init__()
        self.due: dict[str, int] = {}
        self.refers: dict[str, set[str]] = defaultdict(set)
        self.versions: dict[str, int] = defaultdict(int)
        self.open = 0

    @precondition(lambda self: self.open < PROJECTS_MAX)
    @rule(target=projects)
    def project(self) -> str:
        self.open += 1
        return self.shelf.studio.project(self.shelf.owner)

    @rule(target=jobs, days=st.integers(1, 3))
    def make(self, days: int) -> str:
        job_id = self.shelf.make(days=days)
        self.due[job_id] = self.shelf.later_ms + days * DAY_MS
        return job_id

    @rule(target=jobs, project_id=projects)
    def make_for(self, project_id: str) -> str:
        job_id = self.shelf.make(project_id=project_id)
        self.due[job_id] = self.shelf.later_ms + DAY_MS
        self.refers[project_id].add(job_id)
        self.versions[project_id] += 1
        return job_id

    @rule(project_id=projects, job_ids=st.lists(jobs, max_size=3), as_link=st.booleans())
    def add(self, project_id: str, job_ids: list[str], as_link: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        there = {one for one in job_ids if self.shelf.result(one).gone_ms is None}
        self.shelf.add(project_id, spoken(job_ids, as_link=as_link))
        self.refers[project_id] |= there
        self.versions[project_id] += 1

    @rule(project_id=projects, number=st.integers(1, 50))
    def restore(self, project_id: str, number: int) -> None:
        if number <= self.versions[project_id]:
            self.shelf.studio.restore(project_id, self.shelf.owner, number)

    @rule(project_id=consumes(projects))
    def purge(self, project_id: str) -> None:
        self.shelf.purge(project_id)
        self.refers.pop(project_id, None)
        self.open -= 1

    @rule(days=st.sampled_from([0.1, 0.6, 1.1]), left=st.none() | st.integers(0, 4), dies=st.booleans())
    def expire(self, days: float, left: int | None, dies: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        self.storage.left, self.storage.end = left, Dead if dies else StorageUnavailable
        with suppress(Dead):
            self.shelf.expire(days=days)
        self.storage.left = None

    @invariant()
    def nothing_goes_that_is_referred_to_or_not_due(self) -> None:
        referred = {one for of_project in self.refers.values() for one in of_project}
        for job_id, due_ms in self.due.items():
            if job_id in referred or self.shelf.later_ms < due_ms - 60_000:
                assert self.shelf.is_whole(job_id)

    @override
    def teardown(self) -> None:
        self.shelf.expire(days=400)
        self.shelf.expire(days=2)
        referred = {one for of_project in self.refers.values() for one in of_project}
        for job_id in self.due:
            assert self.shelf.is_whole(job_id) if job_id in referred else self.shelf.is_gone(job_id)
        assert self.shelf.studio.jobs.examine().totals == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "bounds"), [("sqlite", (6, 25)), ("mariadb", (3, 25))], indirect=["engine"])
def test_nothing_referred_to_is_deleted_and_everything_else_is(
    db: Database, restore: Callable[[], None], tmp_path: Path, *, bounds: tuple[int, int]
) -> None:
    class Fresh(Expiry):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.storage = FickleStorage(tmp_path / "files")
            self.shelf = Shelf(db, self.storage)

    run_state_machine_as_test(Fresh, settings=of_machine(bounds[0], steps=bounds[1]))
