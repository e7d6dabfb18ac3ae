"""Versions are numbered without gaps, one of them is current, and a list shows a line of each."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from atelier.collaboration import projects
from atelier.kernel.errors import Forbidden
from atelier.workshop import previews
from atelier.workshop.errors import ProjectNotFound, TooManyVersions, VersionNotFound
from atelier.workshop.projects import NewProject
from atelier.workshop.versions import Version
from tests.ledger.test_races import at_once, kinds
from tests.workshop.studio import Studio

THREADS = 20


def test_twenty_at_once_are_numbered_without_gaps(studio: Studio) -> None:
    owner, editor = studio.user(), studio.user()
    project = studio.project(owner, editor=editor)
    outcomes = at_once(lambda n: studio.add(project, owner if n % 2 else editor), threads=THREADS)
    found = [one[1].number for one in outcomes if isinstance(one, tuple)]
    assert sorted(found) == studio.numbers(project) == list(range(1, THREADS + 1))
    assert studio.current(project) == THREADS


def test_of_twenty_at_once_as_many_are_added_as_there_is_room_for(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    outcomes = at_once(lambda _: studio.add(project, owner, versions_max=7), threads=THREADS)
    assert kinds(outcomes) == {"tuple": 7, "TooManyVersions": THREADS - 7}
    assert studio.numbers(project) == list(range(1, 8))


def test_the_first_version_is_current_and_then_the_one_that_is_to_be(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    assert studio.add(project, owner, set_current=False)[0] == 1
    assert studio.add(project, owner, set_current=False)[0] == 1
    assert studio.add(project, owner)[0] == 3
    shown = studio.read(project, owner)
    assert (shown.project.versions, shown.current and shown.current.number) == (3, 3)


def test_restoring_moves_the_pointer_and_copies_nothing(studio: Studio) -> None:
    owner, viewer = studio.user(), studio.user()
    project = studio.project(owner, viewer=viewer)
    for _ in range(3):
        studio.add(project, owner)
    restored = [studio.restore(project, owner, 1) for _ in range(2)]
    assert [one.number for one in restored] == [1, 1]
    assert (studio.current(project), studio.numbers(project)) == (1, [1, 2, 3])
    assert studio.add(project, owner)[1].number == 4
    for number in (0, 5, 999_999_999):
        with pytest.raises(VersionNotFound):
            studio.restore(project, owner, number)
    with pytest.raises(Forbidden):
        studio.restore(project, viewer, 1)
    assert studio.current(project) == 4


def test_only_who_may_write_adds(studio: Studio) -> None:
    owner, editor, viewer, stranger = (studio.user() for _ in range(4))
    project = studio.project(owner, editor=editor, viewer=viewer)
    studio.add(project, editor)
    with pytest.raises(Forbidden):
        studio.add(project, viewer)
    with pytest.raises(ProjectNotFound):
        studio.add(project, stranger)
    studio.change(project, owner, visibility="public")
    with pytest.raises(Forbidden):
        studio.add(project, stranger)
    studio.change(project, owner, visibility="private")
    with pytest.raises(ProjectNotFound):
        studio.add(project, editor)
    assert studio.numbers(project) == [1]


def test_a_full_project_says_how_much_it_holds(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    studio.add(project, owner, versions_max=1)
    with pytest.raises(TooManyVersions) as refused:
        studio.add(project, owner, versions_max=1)
    assert refused.value.details == {"limit": 1}


def test_a_version_remembers_who_made_it_and_how_large_it_is(studio: Studio) -> None:
    owner = studio.user()
    project = studio.project(owner)
    content = {"scenes": [{"n": 1}, {"caption": "  江南\n水乡 \u202e的清晨 "}], "title": "later"}
    version = studio.add(project, owner, content=content, note="第一稿")[1]
    assert isinstance(version, Version)
    assert (version.author_id, version.note, version.job_id) == (owner, "第一稿", None)
    assert version.preview == "江南 水乡 的清晨"
    assert version.size == len(
        '{"scenes":[{"n":1},{"caption":"  江南\\n水乡 \u202e的清晨 "}],"title":"later"}'.encode()
    )


def test_what_was_committed_and_not_answered_is_known_when_it_runs_again(studio: Studio) -> None:
    owner = studio.user()
    made = studio.create(owner).project
    again = NewProject(
        id=made.id, owner_id=owner, title="别的", description=None, type="text", visibility="team", config={}
    )
    assert studio.db.transact(projects.create, new=again, projects_max=1, now_ms=1).project == made
    for _ in range(2):
        current, version = studio.add(made.id, owner, id=made.id, versions_max=1)
        assert (current, version.number) == (1, 1)
    # An id that another project's version has is no key to it.
    other = studio.project(owner)
    with pytest.raises(IntegrityError):
        studio.add(other, owner, id=made.id)
    assert (studio.numbers(made.id), studio.numbers(other)) == ([1], [])


PREVIEWS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"a": [1, None, True, {"b": ""}]}, None),
    ({"a": "\x00\u202e \n"}, None),
    ({"a": {"b": ["", "x"]}, "c": "y"}, "x"),
    ({"a": "长" * 500}, "长" * 159 + "…"),
    ({"a": [{}] * 500 + ["far away"]}, None),
]


@pytest.mark.parametrize(("content", "preview"), PREVIEWS)
def test_a_preview_is_the_first_text_that_can_be_read(content: dict[str, Any], preview: str | None) -> None:
    assert previews.of_content(content) == preview
