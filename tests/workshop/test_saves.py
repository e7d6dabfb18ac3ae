"""A job for a project adds one version when it completes, or says why not; killed anywhere, one or none."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from atelier.generation import settle, submit
from atelier.generation.settle import Settlement
from atelier.generation.submit import Accepted, Limits
from atelier.jobs.service import Claimed
from atelier.kernel.clock import now_ms
from atelier.workshop import versions
from atelier.workshop.errors import ProjectNotFound, TooManyVersions
from atelier.workshop.saves import Save
from tests.ledger.test_races import at_once
from tests.workshop.studio import Studio


def test_a_completed_job_adds_a_version_that_refers_to_what_it_made(studio: Studio) -> None:
    owner, editor = studio.user(), studio.user(credits=10)
    project = studio.project(owner, editor=editor)
    studio.add(project, owner)
    job = studio.submit(project, editor, price=3)
    assert studio.save(job) == Save(project_id=project, number=None, reason=None)
    assert studio.complete(job)
    assert studio.save(job) == Save(project_id=project, number=2, reason=None)
    version = studio.db.read(versions.at, project_id=project, number=2)
    assert (version.author_id, version.job_id, version.kind, version.preview) == (editor, job, "text", "松鼠")
    assert studio.db.read(versions.content, project_id=project, number=2) == {
        "jobId": job,
        "agentId": studio.jobs.agent_id,
        "kind": "text",
        "outputs": [
            {"output": 0, "type": "text", "contentType": "text/plain", "size": 6, "sha256": "0" * 64, "metadata": {}}
        ],
    }
    assert studio.current(project) == 2
    assert studio.jobs.balance(editor).available == 7


def test_what_a_version_keeps_of_an_output_is_small(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    claimed = studio.jobs.claim_one(studio.submit(project, owner))
    made: dict[str, Any] = {
        "type": "image",
        "contentType": "image/png",
        "size": 7,
        "sha256": "f" * 64,
        "key": "outputs/secret/place.png",
    }
    outputs: list[dict[str, Any]] = [
        {**made, "metadata": {"width": 1024}},
        {**made, "metadata": {"raw": "x" * 5_000_000}},
        {"type": "text", "text": "长" * 60_000, "metadata": {}},
    ]
    settlement = studio.completion(claimed)
    ending = replace(settlement.ending, result={"outputs": outputs})
    assert studio.jobs.settle(replace(settlement, ending=ending))[0]
    content = studio.db.read(versions.content, project_id=project, number=1)
    shown = {"type": "image", "contentType": "image/png", "size": 7, "sha256": "f" * 64}
    assert content["outputs"] == [
        {"output": 0, **shown, "metadata": {"width": 1024}},
        {"output": 1, **shown},
        {"output": 2, "type": "text", "metadata": {}},
    ]
    assert studio.db.read(versions.at, project_id=project, number=1).size < 1_000


def test_a_job_for_a_project_that_asks_for_no_version_adds_none(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    job = studio.submit(project, owner, save=False)
    assert studio.complete(job)
    assert (studio.save(job), studio.numbers(project)) == (None, [])
    assert studio.jobs.job(job)["project_id"] == project


def test_who_may_not_write_may_not_submit(studio: Studio) -> None:
    owner, editor, viewer, stranger = (studio.user(credits=5) for _ in range(4))
    project = studio.project(owner, editor=editor, viewer=viewer)
    other = studio.project(owner)
    asked = [
        replace(studio.jobs.submission(user, 1), project_id=project, save_version=True)
        for user in (owner, viewer, editor, stranger)
    ]
    asked.append(replace(studio.jobs.submission(editor, 1), project_id=other))
    asked.append(studio.jobs.submission(stranger, 1))
    outcomes = studio.jobs.submit_all(asked)
    assert [type(one) for one in outcomes] == [
        Accepted, ProjectNotFound, Accepted, ProjectNotFound, ProjectNotFound, Accepted,
    ]  # fmt: skip
    assert [studio.jobs.balance(one).held for one in (owner, editor, viewer, stranger)] == [1, 1, 0, 1]
    studio.change(project, owner, visibility="private")
    with pytest.raises(ProjectNotFound):
        studio.submit(project, editor)
    studio.delete(project, owner)
    with pytest.raises(ProjectNotFound):
        studio.submit(project, owner)


def test_a_full_project_takes_no_job_that_is_to_add_to_it(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    studio.add(project, owner)
    asked = replace(studio.jobs.submission(owner, 0), project_id=project, save_version=True)
    limits = Limits(waiting_max=10, attempts_max=3, republish_ms=30_000, versions_max=1)
    both = [asked, replace(studio.jobs.submission(owner, 0), project_id=project)]
    refused, accepted = studio.db.transact(submit.submit, both, limits=limits)
    assert isinstance(refused, TooManyVersions)
    assert isinstance(accepted, Accepted)


@pytest.mark.parametrize("what", ["deleted", "private", "removed", "demoted", "full"])
def test_what_is_lost_meanwhile_costs_the_version_and_not_the_job(studio: Studio, what: str) -> None:
    owner, editor = studio.user(), studio.user(credits=5)
    project = studio.project(owner, editor=editor)
    job = studio.submit(project, editor, price=5)
    claimed = studio.jobs.claim_one(job)
    if what == "deleted":
        studio.delete(project, owner)
    elif what == "private":
        studio.change(project, owner, visibility="private")
    elif what in {"removed", "demoted"}:
        studio.remove(project, owner, editor)
        if what == "demoted":
            studio.join(project, viewer=editor)
    else:
        studio.add(project, owner)
    settlement = studio.completion(claimed, versions_max=1)
    assert studio.jobs.settle(settlement)[0]
    expected = {"deleted": "PROJECT_NOT_FOUND", "full": "VERSION_LIMIT"}
    assert studio.save(job) == Save(project_id=project, number=None, reason=expected.get(what, "FORBIDDEN"))
    assert studio.numbers(project) == ([1] if what == "full" else [])
    assert (studio.jobs.job(job)["state"], studio.jobs.balance(editor).balance) == ("completed", 0)


def test_a_failed_or_canceled_job_adds_nothing(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    failed, canceled = studio.submit(project, owner), studio.submit(project, owner)
    assert studio.jobs.fail(studio.jobs.claim_one(failed))
    assert studio.jobs.cancel(canceled, owner).done
    assert studio.numbers(project) == []
    assert studio.save(failed) == studio.save(canceled) == Save(project_id=project, number=None, reason=None)


def test_a_zombie_and_a_second_answer_add_nothing(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    job = studio.submit(project, owner)
    zombie = studio.jobs.claim_one(job)
    studio.jobs.lapse(job)
    winner = studio.jobs.claim_one(job)
    settlement = studio.completion(winner)
    assert studio.jobs.settle(studio.completion(zombie)) == [None]
    assert studio.numbers(project) == []
    (first,) = studio.jobs.settle(settlement)
    (again,) = studio.jobs.settle(settlement)
    assert first is not None
    assert again is not None
    assert (first.again, again.again) == (False, True)
    assert studio.jobs.settle(studio.completion(zombie)) == [None]
    assert studio.numbers(project) == [1]


def test_what_is_killed_before_it_is_committed_has_done_nothing(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    job = studio.submit(project, owner)
    settlement = studio.completion(studio.jobs.claim_one(job))
    with Session(studio.db.writer) as session:
        assert settle.settle(session, [settlement], now_ms=now_ms())[0]
        session.rollback()
    assert (studio.jobs.job(job)["state"], studio.numbers(project)) == ("running", [])
    assert studio.save(job) == Save(project_id=project, number=None, reason=None)
    assert studio.jobs.settle(settlement)[0]
    assert (studio.jobs.job(job)["state"], studio.numbers(project)) == ("completed", [1])


def test_many_workers_settle_into_one_project_beside_people_who_write_to_it(studio: Studio) -> None:
    owner, editor = studio.user(), studio.user(credits=100)
    project, other = studio.project(owner, editor=editor), studio.project(owner, editor=editor)
    groups = [[claim(studio, one, editor) for one in (project, other, project)] for _ in range(6)]
    by_hand = 6

    def work(number: int) -> object:
        if number < by_hand:
            return studio.add(project, owner)
        return studio.jobs.settle(*groups[number - by_hand])

    outcomes = at_once(work, threads=by_hand + len(groups))
    assert all(isinstance(one, tuple | list) for one in outcomes), outcomes
    assert studio.numbers(project) == list(range(1, by_hand + 2 * len(groups) + 1))
    assert studio.numbers(other) == list(range(1, len(groups) + 1))
    assert studio.jobs.balance(editor).held == 0


def claim(studio: Studio, project: str, user: str) -> Settlement:
    return studio.completion(studio.jobs.claim_one(studio.submit(project, user, price=1)))


def statements(studio: Studio, settlements: list[Settlement]) -> int:
    """How many statements a settlement takes."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(studio.db.writer, "before_cursor_execute", note)
    assert all(studio.jobs.settle(*settlements))
    event.remove(studio.db.writer, "before_cursor_execute", note)
    return len(seen)


def test_a_group_costs_no_more_for_being_large_and_nothing_without_projects(studio: Studio) -> None:
    owner = studio.user(credits=200)
    project = studio.project(owner)
    plain = [studio.jobs.completion(plain_claim(studio, owner)) for _ in range(22)]
    few, many = ([claim(studio, project, owner) for _ in range(count)] for count in (2, 20))
    usual = statements(studio, plain[:2])
    assert statements(studio, plain[2:]) == usual
    assert statements(studio, few) == statements(studio, many) == usual + 5


def plain_claim(studio: Studio, user: str) -> Claimed:
    return studio.jobs.claim_one(studio.jobs.submit(user, 1))
