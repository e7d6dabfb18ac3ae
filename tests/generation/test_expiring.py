"""Results go when their time is over, nothing that a version refers to goes, and nothing stays for ever."""

import threading
from pathlib import Path

import pytest
from pydantic_core import from_json
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.collaboration import adding
from atelier.generation import expiring
from atelier.jobs import results
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Invalid
from atelier.kernel.ids import new_id
from atelier.storage.local import LocalStorage
from atelier.storage.port import Storage, StorageUnavailable
from atelier.workshop import references
from atelier.workshop.versions import NewVersion
from tests.generation.shelf import Shelf, spoken
from tests.workshop.studio import VERSIONS_MAX


@pytest.fixture
def shelf(db: Database, storage: Storage) -> Shelf:
    return Shelf(db, storage)


class FullStorage(LocalStorage):
    """A store that can't delete now."""

    broken = True

    @override
    def delete(self, key: str) -> None:
        if self.broken:
            raise StorageUnavailable
        super().delete(key)


class Dead(BaseException):
    """The process is gone."""


class MortalStorage(LocalStorage):
    """A store whose caller dies at its `left`-th step, before or after the file is deleted."""

    left = -1

    @override
    def delete(self, key: str) -> None:
        self._step()
        super().delete(key)
        self._step()

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Dead


class TestTime:
    def test_a_result_goes_after_its_time_and_not_before(self, shelf: Shelf) -> None:
        short, long = shelf.make(days=1), shelf.make(days=3)
        assert (shelf.expire(days=0.9), shelf.is_whole(short), shelf.is_whole(long)) == (0, True, True)
        assert (shelf.expire(days=0.2), shelf.is_gone(short), shelf.is_whole(long)) == (1, True, True)
        assert (shelf.expire(days=2), shelf.is_gone(long)) == (1, True)
        assert shelf.expire(days=1_000) == 0
        assert shelf.studio.jobs.examine().totals == {}

    def test_what_has_no_end_stays(self, shelf: Shelf) -> None:
        old = shelf.make(days=None)
        assert (shelf.expire(days=10_000), shelf.is_whole(old)) == (0, True)

    def test_more_than_a_round_go(self, db: Database, tmp_path: Path) -> None:
        shelf = Shelf(db, LocalStorage(tmp_path))
        made = [shelf.make() for _ in range(expiring.RESULTS_PER_ROUND + 3)]
        assert shelf.expire(days=2) == len(made)
        assert all(shelf.is_gone(one) for one in made)


class TestReferences:
    @pytest.mark.parametrize("as_link", [True, False])
    def test_what_a_version_speaks_of_stays_until_the_version_is_purged(self, shelf: Shelf, *, as_link: bool) -> None:
        first, second = (shelf.studio.project(shelf.owner) for _ in range(2))
        job_id, other = shelf.make(), shelf.make()
        for project_id in (first, second):
            shelf.add(project_id, spoken([job_id], as_link=as_link))
        shelf.add(first, {"text": "nothing of it"})
        shelf.studio.restore(first, shelf.owner, 1)
        assert (shelf.expire(days=40), shelf.is_gone(other), shelf.is_whole(job_id)) == (1, True, True)
        shelf.purge(first)
        assert (shelf.expire(days=2), shelf.is_whole(job_id)) == (0, True)
        shelf.purge(second)
        assert (shelf.expire(days=2), shelf.is_gone(job_id)) == (1, True)

    @pytest.mark.parametrize(
        "content",
        [
            '{"usageId": "JOB"}',
            '{"links": {"result": "/api/jobs/JOB/result"}}',
            '{"from": "https://example.com/api/jobs/JOB"}',
            r'{"state": "{\"scenes\": [{\"jobId\": \"JOB\"}]}"}',
            r'{"state": "{\"src\":\"https:\\/\\/example.com\\/api\\/jobs\\/JOB\\/outputs\\/0\"}"}',
        ],
    )
    def test_a_version_speaks_of_a_job_as_answers_do_or_in_a_text_that_is_json(self, content: str) -> None:
        job_id = new_id()
        assert references.named(from_json(content.replace("JOB", job_id))) == [job_id]

    def test_the_version_that_a_job_added_keeps_its_result(self, shelf: Shelf) -> None:
        project_id = shelf.studio.project(shelf.owner)
        job_id = shelf.make(project_id=project_id)
        assert (shelf.expire(days=40), shelf.is_whole(job_id)) == (0, True)
        shelf.purge(project_id)
        assert (shelf.expire(days=2), shelf.is_gone(job_id)) == (1, True)

    def test_a_job_that_is_still_running_may_be_spoken_of(self, shelf: Shelf) -> None:
        project_id = shelf.studio.project(shelf.owner)
        job_id = shelf.studio.jobs.submit(shelf.owner, 0)
        shelf.add(project_id, spoken([job_id], as_link=False))
        assert shelf.db.transact(references.referred, job_ids=[job_id, new_id()]) == {job_id}

    def test_a_version_that_speaks_of_what_is_gone_is_added_all_the_same(self, shelf: Shelf) -> None:
        project_id = shelf.studio.project(shelf.owner)
        job_id = shelf.make()
        shelf.expire(days=2)
        assert shelf.add(project_id, spoken([job_id, new_id()], as_link=False)) == 1
        assert shelf.db.transact(references.referred, job_ids=[job_id]) == set()
        assert shelf.studio.jobs.examine().totals == {}

    def test_a_version_speaks_of_so_many_jobs_at_most(self) -> None:
        many = [new_id() for _ in range(references.RESULTS_MAX)]
        assert references.named(spoken([*many, many[0]], as_link=True)) == sorted(many)
        with pytest.raises(Invalid):
            references.named(spoken([*many, new_id()], as_link=True))

    @pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
    def test_a_version_that_comes_while_it_is_decided_waits_for_the_decision(self, shelf: Shelf) -> None:
        project_id, job_id = shelf.studio.project(shelf.owner), shelf.make()
        marked, added = threading.Event(), threading.Event()

        def slowly(session: Session) -> None:
            assert expiring.mark(session, now_ms=now_ms() + 2 * DAY_MS)
            marked.set()
            assert not added.wait(0.5), "the version waits for this transaction"

        def add() -> None:
            marked.wait(10)
            shelf.add(project_id, spoken([job_id], as_link=False))
            added.set()

        thread = threading.Thread(target=add)
        thread.start()
        shelf.db.transact(slowly)
        thread.join(10)
        assert added.is_set()
        assert shelf.db.transact(references.referred, job_ids=[job_id]) == set(), "it was gone already"

    @pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
    def test_what_a_version_holds_that_is_being_added_is_left_for_the_next_round(self, shelf: Shelf) -> None:
        project_id, job_id = shelf.studio.project(shelf.owner), shelf.make()

        def adding_it(session: Session) -> int:
            new = NewVersion(id=new_id(), content=spoken([job_id], as_link=True))
            adding.add(
                session, new, project_id=project_id, user_id=shelf.owner, versions_max=VERSIONS_MAX, now_ms=now_ms()
            )
            return shelf.expire(days=2)

        assert shelf.db.transact(adding_it) == 0
        assert (shelf.expire(), shelf.is_whole(job_id)) == (0, True)


class TestFailures:
    def test_what_cannot_be_deleted_now_is_given_to_nobody_and_tried_again(self, db: Database, tmp_path: Path) -> None:
        storage = FullStorage(tmp_path)
        shelf = Shelf(db, storage)
        job_id = shelf.make()
        assert shelf.expire(days=2) == 0
        assert shelf.result(job_id).gone_ms is not None
        assert len(shelf.files(job_id)) == 2
        storage.broken = False
        assert shelf.expire() == 0, "whoever marked it may still be at work"
        assert (shelf.expire(days=0.1), shelf.is_gone(job_id)) == (1, True)

    @pytest.mark.parametrize("step", range(1, 5))
    def test_a_collector_that_dies_leaves_nothing_behind(self, db: Database, tmp_path: Path, step: int) -> None:
        storage = MortalStorage(tmp_path)
        shelf = Shelf(db, storage)
        job_id = shelf.make()
        storage.left = step
        with pytest.raises(Dead):
            shelf.expire(days=2)
        assert shelf.result(job_id).gone_ms is not None, "from the mark on nobody is given it"
        assert shelf.result(job_id).document["outputs"], "what must be deleted is known until it is"
        project_id = shelf.studio.project(shelf.owner)
        shelf.add(project_id, spoken([job_id], as_link=False))
        storage.left = -1
        assert (shelf.expire(days=0.1), shelf.is_gone(job_id)) == (1, True)
        assert shelf.studio.jobs.examine().totals == {}

    def test_one_that_dies_after_the_mark_leaves_nothing_behind(self, shelf: Shelf) -> None:
        job_id = shelf.make()
        shelf.later_ms = 2 * DAY_MS
        going = shelf.db.transact(expiring.mark, now_ms=now_ms() + shelf.later_ms)
        assert going
        assert [one.job_id for one in going] == [job_id]
        assert (shelf.expire(days=0.1), shelf.is_gone(job_id)) == (1, True)

    def test_emptying_twice_is_emptying_once(self, shelf: Shelf) -> None:
        job_id = shelf.make()
        shelf.db.transact(results.empty, job_id=job_id)
        assert shelf.is_whole(job_id), "only what is gone is emptied"
        shelf.expire(days=2)
        shelf.db.transact(results.empty, job_id=job_id)
        assert shelf.is_gone(job_id)
