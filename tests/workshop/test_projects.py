"""Projects are made, changed, thrown away and taken back; after thirty days they are gone with all that was theirs."""

from collections import Counter

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.contracts.oplog import OperationRow
from atelier.kernel.clock import DAY_MS, HOUR_MS, now_ms
from atelier.kernel.errors import Forbidden
from atelier.kernel.ids import new_id
from atelier.workshop import projects, purging
from atelier.workshop.errors import Outdated, ProjectNotFound, TooManyProjects
from tests.ledger.test_races import at_once, kinds
from tests.workshop import studio as studios
from tests.workshop.studio import PROJECTS_MAX, Studio


def operations(studio: Studio, project_id: str) -> list[str]:
    def read(session: Session) -> list[str]:
        found = select(OperationRow.action).where(OperationRow.resource_id == project_id)
        return list(session.scalars(found.order_by(OperationRow.id)))

    return studio.db.read(read)


def test_twenty_at_once_make_as_many_as_are_allowed(studio: Studio) -> None:
    owner = studio.user()
    outcomes = at_once(lambda _: studio.create(owner), threads=20)
    assert kinds(outcomes) == Counter(Shown=PROJECTS_MAX, TooManyProjects=20 - PROJECTS_MAX)
    assert len(studio.page(owner)) == PROJECTS_MAX
    studio.project(studio.user())


def test_the_bin_makes_room_but_not_for_ever(studio: Studio) -> None:
    owner = studio.user()
    first = studio.project(owner)
    studio.delete(first, owner)
    for _ in range(projects.BIN_FACTOR * PROJECTS_MAX - 1):
        studio.delete(studio.project(owner), owner)
    with pytest.raises(TooManyProjects):
        studio.create(owner)
    studio.take_out(first, owner)


def test_what_is_in_the_bin_is_there_for_nobody_and_comes_back_as_it_was(studio: Studio) -> None:
    owner, editor = studio.user(), studio.user()
    project = studio.project(owner, visibility="public", editor=editor)
    studio.add(project, editor)
    before = studio.read(project, owner)
    with pytest.raises(Forbidden):
        studio.delete(project, editor)
    studio.delete(project, owner)
    for reader in (owner, editor, None):
        with pytest.raises(ProjectNotFound):
            studio.read(project, reader)
    assert (studio.page(owner), studio.page(owner, binned=True), studio.page(editor, shared=True)) == (
        [],
        [project],
        [],
    )
    with pytest.raises(ProjectNotFound):
        studio.take_out(project, editor)
    for _ in range(2):
        back = studio.take_out(project, owner)
        assert (back.project.versions, back.current) == (1, before.current)
    assert studio.read(project, None).project.role is None
    assert operations(studio, project) == ["PROJECT_CREATE", "PROJECT_DELETE", "PROJECT_RESTORE"]


def test_restoring_needs_room(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    studio.delete(project, owner)
    for _ in range(PROJECTS_MAX):
        studio.project(owner)
    with pytest.raises(TooManyProjects):
        studio.take_out(project, owner)


def test_after_thirty_days_it_cannot_be_restored_and_an_hour_later_it_is_purged(studio: Studio) -> None:
    owner, editor = studio.user(), studio.user()
    kept, late, old = (studio.project(owner, editor=editor) for _ in range(3))
    for project in (kept, late, old):
        for _ in range(projects.PURGED_VERSIONS_MAX + 3):
            studio.add(project, owner, versions_max=100)
        studio.invite(project, owner, email="someone@example.com")
        studio.complete(studio.submit(project, owner), versions_max=100)
    studio.delete(kept, owner, at_ms=now_ms() - projects.KEPT_MS + HOUR_MS)
    studio.delete(late, owner, at_ms=now_ms() - projects.KEPT_MS - HOUR_MS // 2)
    studio.delete(old, owner, at_ms=now_ms() - projects.KEPT_MS - DAY_MS)
    assert studio.page(owner, binned=True) == [kept]
    with pytest.raises(ProjectNotFound):
        studio.take_out(late, owner)

    # A part of it is gone: whoever goes on later finds the rest, and the doctor nothing.
    assert studio.db.transact(projects.purge_some, now_ms=now_ms())
    assert len(studio.numbers(old)) == 4
    assert studio.jobs.examine().totals == {}
    at_once(lambda _: purging.purge(studio.db), threads=3)
    assert purging.purge(studio.db) == 0
    assert (studio.numbers(old), len(studio.numbers(late))) == ([], projects.PURGED_VERSIONS_MAX + 4)
    left = studio.db.read(studios.count)
    assert left == {
        "projects": 2,
        "project_versions": 2 * (projects.PURGED_VERSIONS_MAX + 4),
        "project_members": 2,
        "project_invitations": 2,
    }
    studio.take_out(kept, owner)


def test_expired_invitations_are_purged(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    studio.invite(project, owner, email="someone@example.com")
    purging.purge(studio.db)
    assert studio.db.read(studios.count)["project_invitations"] == 1
    studio.db.transact(studios.expire_invitations)
    purging.purge(studio.db)
    assert studio.db.read(studios.count)["project_invitations"] == 0


def test_of_changes_to_what_was_seen_one_counts(studio: Studio) -> None:
    owner, editor = studio.user(), studio.user()
    project = studio.project(owner, editor=editor)
    seen = str(studio.read(project, owner).project.revision)
    outcomes = at_once(
        lambda n: studio.change(project, owner if n % 2 else editor, seen=seen, title=f"第{n}"), threads=8
    )
    assert kinds(outcomes) == Counter(Project=1, Outdated=7)
    after = studio.read(project, owner).project
    assert after.revision == 2
    # A version is no change of what was seen.
    studio.add(project, editor)
    assert studio.change(project, owner, seen="2", status="active").revision == 3
    with pytest.raises(Outdated):
        studio.change(project, owner, seen="2", status="draft")
    assert studio.change(project, owner, title="不看就改").revision == 4


def test_a_change_that_changes_nothing_is_none(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    shown = studio.read(project, owner).project
    assert studio.change(project, owner, title=shown.title, config={}) == shown


def test_the_owner_alone_decides_who_sees_it(studio: Studio) -> None:
    owner, editor, viewer = (studio.user() for _ in range(3))
    project = studio.project(owner, editor=editor, viewer=viewer)
    assert studio.change(project, editor, title="新名", visibility="team").title == "新名"
    with pytest.raises(Forbidden):
        studio.change(project, editor, visibility="public", title="别的")
    with pytest.raises(Forbidden):
        studio.change(project, viewer, title="别的")
    assert studio.read(project, viewer).project.title == "新名"
    assert studio.change(project, owner, visibility="private").visibility == "private"
    with pytest.raises(ProjectNotFound):
        studio.read(project, editor)


def test_lists_hold_what_one_owns_or_works_on(studio: Studio) -> None:
    owner, friend, stranger = (studio.user() for _ in range(3))
    first = studio.project(owner, editor=friend)
    second = studio.create(owner, type="image").project.id
    third = studio.project(owner, viewer=friend)
    studio.project(stranger, visibility="public")
    studio.change(third, owner, status="active")
    studio.add(first, friend)
    assert studio.page(owner) == [first, third, second]
    assert studio.page(owner, type="image") == [second]
    assert studio.page(owner, status="active", type="mixed") == [third]
    assert studio.page(owner, shared=True) == []
    assert studio.page(friend) == []
    assert studio.page(friend, shared=True) == [first, third]
    assert studio.page(friend, role="viewer") == [third]
    assert studio.page(friend, shared=True, status="active") == [third]
    studio.change(first, owner, visibility="private")
    assert studio.page(friend, shared=True) == [third]


def test_nothing_is_found_where_nothing_is(studio: Studio) -> None:
    owner = studio.user()
    for act in (studio.read, studio.delete, studio.take_out, studio.add, studio.change):
        with pytest.raises(ProjectNotFound):
            act(new_id(), owner)
