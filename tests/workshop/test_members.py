"""People are invited, told once, and join by accepting; who has an e-mail address stays their secret."""

from collections import Counter

import pytest

from atelier.accounts.errors import UserNotFound
from atelier.kernel.clock import now_ms
from atelier.kernel.errors import Forbidden, Invalid, NotFound
from atelier.kernel.ids import new_id
from atelier.workshop import members
from atelier.workshop.errors import (
    AlreadyMember,
    InvitationNotFound,
    ProjectNotFound,
    ProjectPrivate,
    TooManyMembers,
)
from tests.ledger.test_races import at_once, kinds
from tests.workshop import studio as studios
from tests.workshop.studio import MEMBERS_MAX, Studio


def invited(studio: Studio, project: str, owner: str) -> list[str]:
    """The addresses of the open invitations, as their owner sees them."""
    return [one.address for one in studio.team(project, owner).invitations or []]


def test_who_is_invited_is_told_and_joins_by_accepting(studio: Studio) -> None:
    owner, mei = studio.user("owner"), studio.user("mei")
    project = studio.project(owner)
    studio.invite(project, owner, email=" MEI@example.com ", role="viewer")
    data = {"inviter": "owner 的名字", "role": "viewer", "projectTitle": "江南四季"}
    assert studio.notices(mei) == [("project_invitation", data)]
    with pytest.raises(ProjectNotFound):
        studio.read(project, mei)
    assert invited(studio, project, owner) == ["mei@example.com"]
    for _ in range(2):
        assert studio.accept(project, mei).project.role == "viewer"
    assert studio.notices(owner) == [("invitation_accepted", {"invitee": "mei 的名字", "projectTitle": "江南四季"})]
    team = studio.team(project, mei)
    assert ([one.person.username for one in team.collaborators], team.invitations) == (["mei"], None)
    assert (team.owner.id, invited(studio, project, owner)) == (owner, [])


def test_a_username_is_public_and_an_address_is_not(studio: Studio) -> None:
    owner, mei = studio.user("owner"), studio.user("mei")
    studio.user("squatter", verified=False)
    project = studio.project(owner)
    with pytest.raises(UserNotFound):
        studio.invite(project, owner, username="nobody")
    studio.invite(project, owner, email="nobody@example.com")
    # Whoever has not proved that an address is theirs is not found by it.
    studio.invite(project, owner, email="squatter@example.com")
    studio.invite(project, owner, username="MEI")
    assert invited(studio, project, owner) == ["nobody@example.com", "squatter@example.com", "@mei"]
    assert len(studio.notices(mei)) == 1
    studio.accept(project, mei)
    with pytest.raises(AlreadyMember):
        studio.invite(project, owner, username="mei")
    studio.invite(project, owner, email="mei@example.com")
    assert "mei@example.com" in invited(studio, project, owner)
    assert len(studio.notices(mei)) == 1
    with pytest.raises(Invalid):
        studio.invite(project, owner, email="not an address")
    with pytest.raises(AlreadyMember):
        studio.invite(project, owner, email="owner@example.com")
    with pytest.raises(AlreadyMember):
        studio.invite(project, owner, username="owner")


def test_nobody_is_told_twice(studio: Studio) -> None:
    owner, mei = studio.user("owner"), studio.user("mei")
    project = studio.project(owner)
    for _ in range(3):
        studio.invite(project, owner, email="mei@example.com", role="viewer")
        (one,) = studio.team(project, owner).invitations or []
        withdraw(studio, project, owner, one.id)
        assert invited(studio, project, owner) == []
        with pytest.raises(InvitationNotFound):
            studio.accept(project, mei)
    studio.invite(project, owner, email="mei@example.com", role="editor")
    assert len(studio.notices(mei)) == 1
    assert studio.accept(project, mei).project.role == "editor"


def test_by_two_addresses_there_is_one_invitation_to_answer(studio: Studio) -> None:
    owner, mei = studio.user("owner"), studio.user("mei")
    project = studio.project(owner)
    studio.invite(project, owner, email="mei@example.com", role="viewer")
    studio.invite(project, owner, username="mei", role="editor")
    assert len(studio.notices(mei)) == 1
    assert invited(studio, project, owner) == ["mei@example.com", "@mei"]
    by_email = (studio.team(project, owner).invitations or [])[0]
    withdraw(studio, project, owner, by_email.id)
    with pytest.raises(InvitationNotFound):
        studio.accept(project, mei)

    other = studio.project(owner)
    studio.invite(other, owner, email="mei@example.com", role="viewer")
    withdraw(studio, other, owner, (studio.team(other, owner).invitations or [])[0].id)
    studio.invite(other, owner, username="mei", role="editor")
    assert studio.accept(other, mei).project.role == "editor"


def test_who_declines_is_left_alone_and_nobody_knows(studio: Studio) -> None:
    owner, mei = studio.user("owner"), studio.user("mei")
    project = studio.project(owner)
    studio.invite(project, owner, email="mei@example.com")
    for _ in range(2):
        studio.decline(project, mei)
    assert invited(studio, project, owner) == ["mei@example.com"]
    studio.invite(project, owner, email="mei@example.com")
    studio.invite(project, owner, username="mei")
    with pytest.raises(InvitationNotFound):
        studio.accept(project, mei)
    assert (len(studio.notices(mei)), studio.notices(owner)) == (1, [])
    studio.db.transact(studios.expire_invitations)
    studio.invite(project, owner, username="mei")
    assert len(studio.notices(mei)) == 2
    studio.accept(project, mei)


def test_an_invitation_expires(studio: Studio) -> None:
    owner, mei = studio.user("owner"), studio.user("mei")
    project = studio.project(owner)
    studio.invite(project, owner, username="mei")
    studio.db.transact(studios.expire_invitations)
    for answer in (studio.accept, studio.decline):
        with pytest.raises(InvitationNotFound):
            answer(project, mei)
    assert invited(studio, project, owner) == []


def test_fifty_invitations_of_one_person_at_once_are_one(studio: Studio) -> None:
    owner, mei = studio.user("owner"), studio.user("mei")
    project = studio.project(owner)
    assert kinds(at_once(lambda _: studio.invite(project, owner, username="mei"))) == Counter(NoneType=50)
    assert len(studio.notices(mei)) == 1
    assert kinds(at_once(lambda _: studio.accept(project, mei), threads=8)) == Counter(Shown=8)
    assert len(studio.notices(owner)) == 1


def test_only_so_many_are_asked(studio: Studio) -> None:
    owner = studio.user("owner")
    project = studio.project(owner, editor=studio.user(), viewer=studio.user())
    outcomes = at_once(lambda n: studio.invite(project, owner, email=f"guest{n}@example.com"), threads=8)
    assert kinds(outcomes) == Counter(NoneType=MEMBERS_MAX - 2, TooManyMembers=8 - MEMBERS_MAX + 2)
    for one in studio.team(project, owner).invitations or []:
        withdraw(studio, project, owner, one.id)
    with pytest.raises(TooManyMembers):
        studio.invite(project, owner, email="another@example.com")


def test_a_private_project_is_its_owners_alone(studio: Studio) -> None:
    owner, mei, lin = studio.user("owner"), studio.user("mei"), studio.user("lin")
    project = studio.project(owner, editor=lin)
    studio.invite(project, owner, username="mei")
    studio.change(project, owner, visibility="private")
    with pytest.raises(ProjectPrivate):
        studio.invite(project, owner, email="other@example.com")
    for answer in (studio.accept, studio.decline):
        with pytest.raises(InvitationNotFound):
            answer(project, mei)
    with pytest.raises(ProjectNotFound):
        studio.remove(project, lin, lin)
    assert [one.person.id for one in studio.team(project, owner).collaborators] == [lin]
    studio.change(project, owner, visibility="team")
    assert studio.accept(project, mei).project.role == "editor"
    assert studio.read(project, lin).project.role == "editor"


def test_the_owner_lets_go_and_everyone_may_leave(studio: Studio) -> None:
    owner, editor, viewer, stranger = (studio.user() for _ in range(4))
    project = studio.project(owner, editor=editor, viewer=viewer)
    with pytest.raises(Forbidden):
        studio.remove(project, editor, viewer)
    with pytest.raises(ProjectNotFound):
        studio.remove(project, stranger, editor)
    studio.remove(project, viewer, viewer)
    with pytest.raises(ProjectNotFound):
        studio.remove(project, viewer, viewer)
    studio.remove(project, owner, editor)
    for nobody in (editor, owner, new_id()):
        with pytest.raises(NotFound):
            studio.remove(project, owner, nobody)
    assert studio.team(project, owner).collaborators == []


def test_only_the_owner_invites_and_withdraws(studio: Studio) -> None:
    owner, editor, stranger = studio.user(), studio.user(), studio.user()
    studio.user("mei")
    project = studio.project(owner, visibility="public", editor=editor)
    studio.invite(project, owner, username="mei")
    (one,) = studio.team(project, owner).invitations or []
    for user in (editor, stranger):
        for name in ("mei", "nobody"):
            with pytest.raises(Forbidden):
                studio.invite(project, user, username=name)
        with pytest.raises(Forbidden):
            withdraw(studio, project, user, one.id)
    with pytest.raises(Forbidden):
        studio.team(project, stranger)
    with pytest.raises(AlreadyMember):
        studio.decline(project, editor)
    with pytest.raises(InvitationNotFound):
        withdraw(studio, project, owner, new_id())


def withdraw(studio: Studio, project: str, owner: str, invitation_id: str) -> None:
    studio.db.transact(
        members.withdraw, project_id=project, owner_id=owner, invitation_id=invitation_id, now_ms=now_ms()
    )
